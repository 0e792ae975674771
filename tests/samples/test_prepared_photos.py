"""Photographs decoded once: each at its own size, mapped from disk; a broken one leaves out itself only."""

import logging

import numpy as np
import pytest
import torch
from support.photo_folders import TAGS, size_of, write_photo, write_photos

from wsss_ros.samples import augment, photos
from wsss_ros.samples.augment import ImageAugment
from wsss_ros.samples.photos import prepare_photos
from wsss_ros.samples.samples import ImageSamples
from wsss_ros.scenes.photos import PhotoFolder
from wsss_ros.types import BadInput

PLAIN = (0.0, 0.0, 0.0, 0.0)


@pytest.fixture
def folder(tmp_path):
    return write_photos(tmp_path / "pictures")


def prepared(folder, labels, tmp_path, long_side=512, squeezed=""):
    return prepare_photos(PhotoFolder(folder, labels), labels, tmp_path / "cache", long_side, squeezed)


def test_photographs_come_back_at_their_own_sizes(folder, labels, tmp_path):
    source = PhotoFolder(folder, labels)
    ready, left_out = prepared(folder, labels, tmp_path)
    assert len(ready) == 4 and ready.names == tuple(TAGS) and left_out == []
    for index in range(4):
        assert np.array_equal(ready.image(index).transpose(1, 2, 0), source.rgb(index))
        assert labels.tags(ready.image_tags[index]) == source.image_tags(index)
        assert labels.tags(1 - ready.image_known[index]) == source.image_unknown(index)
    assert isinstance(ready.pixels, np.memmap) and not ready.squeezed.any()


def test_large_photographs_become_smaller(folder, labels, tmp_path):
    ready, _ = prepared(folder, labels, tmp_path, long_side=50)
    for index in range(4):
        width, height = size_of(index)
        scale = 50 / max(width, height)
        assert ready.image(index).shape == (3, round(height * scale), round(width * scale))
        assert ready.image(index)[0, 5, [5, -5]].tolist() == [20 * index + 100, 20 * index]


def test_a_second_run_decodes_nothing_and_a_changed_picture_is_decoded(folder, labels, tmp_path, monkeypatch):
    first, _ = prepared(folder, labels, tmp_path)
    monkeypatch.setattr(photos, "_decode", lambda *_: pytest.fail("decoded again"))
    (folder / "tags.csv").write_text("".join(line for line in (folder / "tags.csv").open()).replace("counter", "desk"))
    again, _ = prepared(folder, labels, tmp_path)
    assert np.array_equal(first.pixels, again.pixels) and labels.tags(again.image_tags[0]) == ("wall", "desk")
    monkeypatch.undo()
    write_photo(folder / "d.png", 7)
    changed, _ = prepared(folder, labels, tmp_path)
    assert changed.image(3)[0, 0, -1] == 140


@pytest.mark.parametrize("content", [b"not a picture", None])
def test_a_broken_picture_is_left_out_each_time(folder, labels, tmp_path, caplog, content):
    whole = (folder / "kitchen/b.webp").read_bytes()
    (folder / "kitchen/b.webp").write_bytes(whole[: len(whole) // 2] if content is None else content)
    caplog.set_level(logging.WARNING, "wsss_ros")
    for _ in range(2):
        ready, ((name, reason),) = prepared(folder, labels, tmp_path)
        assert ready.names == ("kitchen/a", "living/c", "d") and name == "kitchen/b"
        assert "kitchen/b.webp: cannot be decoded" in reason
        assert ready.image(1)[0, 0, -1] == 40 and labels.tags(ready.image_tags[1]) == ("sofa",)
    assert caplog.text.count("photograph 'kitchen/b' is left out") == 2


def test_nothing_that_can_be_decoded(folder, labels, tmp_path):
    for path in folder.rglob("*.*"):
        if path.suffix != ".csv":
            path.write_bytes(b"")
    with pytest.raises(BadInput, match="none of 4 photographs can be decoded; the first: .*kitchen/a.png"):
        prepared(folder, labels, tmp_path)


def test_samples_have_tags_and_known_classes(folder, labels, tmp_path):
    ready, _ = prepared(folder, labels, tmp_path)
    samples = ImageSamples([ready], ImageAugment(long_side=(40, 60), crop=32))
    assert samples.names == list(TAGS)
    batch = samples.collate([samples.sample(index, np.random.default_rng(index)) for index in range(4)])
    assert batch.images.shape == (4, 3, 32, 32)
    assert torch.equal(batch.image_tags, torch.from_numpy(ready.image_tags))
    assert batch.image_known[2, :2].tolist() == [0, 0] and batch.image_known[1].all()


def test_a_pattern_names_the_squeezed_photographs(folder, labels, tmp_path):
    ready, _ = prepared(folder, labels, tmp_path, squeezed="kitchen/*")
    assert ready.squeezed.tolist() == [True, True, False, False]


def test_the_longer_side_is_in_range_after_stretching():
    rng = np.random.default_rng(0)
    for _ in range(100):
        stretch = augment.random_stretch(rng)
        view = augment.random_view(rng, 256, 256, (200, 300), 64, stretch)
        size = 256 * np.abs(view.scale)
        assert 200 <= size.max() <= 300 and size[0] / size[1] == pytest.approx(stretch)


def test_a_stretched_crop_shows_the_place_that_the_view_names(folder, labels, tmp_path):
    """The border between the halves of a photograph is where the view maps it to."""
    ready, _ = prepared(folder, labels, tmp_path, squeezed="*")
    samples = ImageSamples([ready], ImageAugment(long_side=(40, 60), crop=32, jitter=PLAIN))
    stretches = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        stretch = augment.random_stretch(rng)
        view = augment.random_view(rng, 60, 40, (40, 60), 32, stretch)
        border, row = view.uv_from_source(np.array([[29.5, 20.0]]))[0]
        if 2 < border < 29 and 1 < row < 30:
            light = samples.sample(0, np.random.default_rng(seed))["images"][0, round(row)] > 50 / 255
            changes = np.flatnonzero(np.diff(light.numpy().astype(int))) + 0.5
            assert np.abs(changes - border).min() < 1
            stretches.append(stretch)
    assert len(stretches) > 20 and min(stretches) < 0.85 and max(stretches) > 1.35
