"""Close-ups as samples of training: augmented pictures with one tag each."""

import numpy as np
import pytest
import torch

from wsss_ros.labels import LabelSpace
from wsss_ros.rooms.closeups import photograph_room
from wsss_ros.samples.augment import ImageAugment
from wsss_ros.samples.closeups import CloseupSamples
from wsss_ros.types import BadInput


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return photograph_room(tmp_path_factory.mktemp("closeups"), 3, views=8, size=48)


def test_samples(pictures, labels):
    source = CloseupSamples([pictures], labels, ImageAugment(long_side=(36, 48), crop=32))
    sample = source.sample(2, np.random.default_rng(0))
    assert sample["images"].shape == (3, 32, 32)
    assert sample["images"].min() >= 0
    assert sample["images"].max() <= 1
    assert sample["image_tags"].nonzero().ravel().tolist() == [int(np.load(pictures)["tags"][2])]
    assert torch.equal(sample["images"], source.sample(2, np.random.default_rng(0))["images"])
    assert source.names[2] == "closeups00003#2"


def test_bad_files_and_other_label_spaces_are_refused(pictures, labels, tmp_path):
    broken = tmp_path / "closeups00009.npz"
    broken.write_bytes(pictures.read_bytes()[:500])
    with pytest.raises(BadInput, match="closeups00009.npz: not readable as close-ups"):
        CloseupSamples([broken], labels, ImageAugment())
    other = LabelSpace("two", labels.names[:2], labels.colors[:2], labels.ids[:2])
    with pytest.raises(BadInput, match="not those of 'two'"):
        CloseupSamples([pictures], other, ImageAugment())
