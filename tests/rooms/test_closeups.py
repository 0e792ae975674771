"""Pictures of single things: what is tagged fills the view, equal seeds give equal pictures."""

import numpy as np
import pytest
import torch

from wsss_ros.config import ImageAugment
from wsss_ros.labels import LabelSpace
from wsss_ros.samples import closeups
from wsss_ros.samples.closeups import CloseupSamples
from wsss_ros.types import BadInput


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return closeups.generate(tmp_path_factory.mktemp("closeups"), 3, views=16, size=48)


def test_pictures_and_their_tags(made, labels):
    stored = np.load(made)
    assert stored["images"].shape[1:] == (48, 48, 3) and stored["images"].dtype == np.uint8
    assert len(stored["images"]) == len(stored["tags"]) >= 8 and stored["tags"].max() < len(labels)
    assert len(set(stored["tags"].tolist())) >= 4  # classes take turns
    assert all(image.std() > 3 for image in stored["images"])  # something is to be seen on each


def test_the_tagged_class_fills_the_view(tmp_path, labels, monkeypatch):
    """Counted on what the camera really met."""
    views, original = [], closeups.shade

    def spied(world, camera, view, *rest):
        views.append(np.bincount(np.append(world.label, 255)[view.part], minlength=256) / view.part.size)
        return original(world, camera, view, *rest)

    monkeypatch.setattr(closeups, "shade", spied)
    tags = np.load(closeups.generate(tmp_path, 4, views=12, size=40))["tags"]
    for seen, tag in zip(views, tags, strict=True):
        others = np.delete(seen[:20], [tag, labels.index("wall"), labels.index("floor")])
        assert seen[tag] >= closeups.LEAST_SHARE and seen[tag] > others.max()


def test_equal_seeds_give_equal_pictures(made, tmp_path):
    again = closeups.generate(tmp_path, 3, views=16, size=48)
    first, second = np.load(made), np.load(again)
    assert np.array_equal(first["images"], second["images"]) and np.array_equal(first["tags"], second["tags"])


def test_a_set_keeps_what_is_there(made):
    told = []
    assert closeups.generate_set(made.parent, 1, 3, 1, lambda *done: told.append(done)) == [made]
    assert told == [(1, 1)] and [file.name for file in made.parent.iterdir()] == [made.name]


def test_samples(made, labels):
    source = CloseupSamples([made], labels, ImageAugment(long_side=(36, 48), crop=32))
    sample = source.sample(2, np.random.default_rng(0))
    assert sample["images"].shape == (3, 32, 32) and 0 <= sample["images"].min() and sample["images"].max() <= 1
    assert sample["image_tags"].nonzero().ravel().tolist() == [int(np.load(made)["tags"][2])]
    assert torch.equal(sample["images"], source.sample(2, np.random.default_rng(0))["images"])
    assert source.names[2] == "closeups00003#2"


def test_bad_files_and_other_label_spaces_are_refused(made, labels, tmp_path):
    broken = tmp_path / "closeups00009.npz"
    broken.write_bytes(made.read_bytes()[:500])
    with pytest.raises(BadInput, match="closeups00009.npz: not readable as close-ups"):
        CloseupSamples([broken], labels, ImageAugment())
    with pytest.raises(BadInput, match="not those of 'two'"):
        CloseupSamples([made], LabelSpace("two", labels.names[:2], labels.colors[:2], labels.ids[:2]), ImageAugment())
