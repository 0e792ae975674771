"""Close-ups of single things: the tagged class fills the view, equal seeds give equal pictures."""

import numpy as np
import pytest

from wsss_ros.rooms import closeups
from wsss_ros.rooms.closeups import generate_closeups, photograph_room


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    return photograph_room(tmp_path_factory.mktemp("closeups"), 3, views=16, size=48)


def test_pictures_and_their_tags(pictures, labels):
    stored = np.load(pictures)
    assert stored["images"].shape[1:] == (48, 48, 3)
    assert stored["images"].dtype == np.uint8
    assert len(stored["images"]) == len(stored["tags"]) >= 8
    assert stored["tags"].max() < len(labels)
    assert len(set(stored["tags"].tolist())) >= 4  # classes take turns
    assert all(image.std() > 3 for image in stored["images"])  # each shows something


def test_the_tagged_class_fills_the_view(tmp_path, labels, monkeypatch):
    """Counted on the surfaces that the camera met."""
    views, original = [], closeups.shade

    def spied(world, camera, view, *rest):
        views.append(np.bincount(np.append(world.label, 255)[view.part], minlength=256) / view.part.size)
        return original(world, camera, view, *rest)

    monkeypatch.setattr(closeups, "shade", spied)
    tags = np.load(photograph_room(tmp_path, 4, views=12, size=40))["tags"]
    for seen, tag in zip(views, tags, strict=True):
        others = np.delete(seen[:20], [tag, labels.index("wall"), labels.index("floor")])
        assert seen[tag] >= closeups.LEAST_SHARE
        assert seen[tag] > others.max()


def test_equal_seeds_give_equal_pictures(pictures, tmp_path):
    again = photograph_room(tmp_path, 3, views=16, size=48)
    first, second = np.load(pictures), np.load(again)
    assert np.array_equal(first["images"], second["images"])
    assert np.array_equal(first["tags"], second["tags"])


def test_a_set_keeps_existing_files(pictures):
    calls = []
    assert generate_closeups(pictures.parent, 1, 3, 1, lambda *done: calls.append(done)) == [pictures]
    assert calls == [(1, 1)]
    assert [file.name for file in pictures.parent.iterdir()] == [pictures.name]
