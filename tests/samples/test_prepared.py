"""Scenes prepared for training: what is stored, when it is rebuilt, and what is left out."""

import dataclasses
import logging

import numpy as np
import pytest
from support.painted_scene import CAMERA, PaintedScene
from support.striped_scenes import StripedScene, written

from wsss_ros.samples.prepared import prepare
from wsss_ros.scenes import open_scene
from wsss_ros.types import BadInput, Frame


def test_a_scene_comes_back_as_arrays(tmp_path, labels):
    (scene,) = prepare([PaintedScene()], labels, tmp_path, 0, 48, truth=True).scenes
    source = PaintedScene()
    assert scene.images.shape == (3, 3, 36, 48) and scene.depth_mm.shape == (3, 72, 96)
    assert labels.tags(scene.tags) == ("wall", "picture")
    assert [labels.tags(row) for row in scene.image_tags] == [("wall", "picture"), ("wall",), ("wall",)]
    assert (scene.known == 1).all() and (scene.image_known == 1).all() and scene.image_known.shape == (3, len(labels))
    assert scene.camera(1) == CAMERA and np.array_equal(scene.poses[2], source.frame(2).world_from_camera)
    assert np.abs(scene.depth_mm[0] / 1000 - source.frame(0).depth_m).max() < 0.0006
    assert np.array_equal(scene.xyz, source.cloud.xyz) and np.array_equal(scene.cloud_truth, source.cloud_truth())
    assert np.array_equal(scene.frame_truth[1], source.frame_truth(1))
    assert (scene.links > 2000).all() and (scene.links <= 3000).all()  # the 500 hidden points have none
    assert np.allclose(scene.upright_from_world[:3, :3] @ source.world_up, [0, 0, 1])


def test_a_folder_is_decoded_once_and_again_when_it_changes(tmp_path, labels, monkeypatch):
    written(tmp_path / "scenes", labels, [0])
    folder, cache = tmp_path / "scenes" / "scene0", tmp_path / "cache"
    (first,) = prepare([open_scene(folder, labels)], labels, cache, 0).scenes
    decoded = open_scene(folder, labels)
    monkeypatch.setattr(decoded, "frame", lambda index: pytest.fail("decoded again"))
    (again,) = prepare([decoded], labels, cache, 0).scenes
    assert isinstance(again.images, np.memmap) and np.array_equal(first.images, again.images)
    assert first.frame_truth is None
    with_truth = prepare([open_scene(folder, labels)], labels, cache, 0, truth=True).scenes[0]
    assert with_truth.frame_truth is not None and len(list(cache.iterdir())) == 2
    (folder / "tags.csv").write_text('frame,tags\nscene,"wall"\n0,"wall"\n')
    (changed,) = prepare([open_scene(folder, labels)], labels, cache, 0).scenes
    assert labels.tags(changed.tags) == ("wall",) and len(list(cache.iterdir())) == 3


def test_of_a_scene_tagged_by_hand_the_tagged_frames_are_taken(tmp_path, labels):
    written(tmp_path / "scenes", labels, [0])
    folder = tmp_path / "scenes" / "scene0"
    (folder / "tags.csv").write_text('frame,tags\nscene,"wall, floor"\n1,"wall"\n3,"floor"\n')
    (some,) = prepare([open_scene(folder, labels)], labels, tmp_path / "cache", 3).scenes
    assert [labels.tags(row) for row in some.image_tags] == [("wall",), ("floor",)]
    (one,) = prepare([open_scene(folder, labels)], labels, tmp_path / "cache", 1).scenes
    assert len(one.images) == 1 and one.image_tags.any()


def test_unknown_classes_are_marked_and_a_change_of_their_meaning_is_noticed(tmp_path, labels):
    written(tmp_path / "scenes", labels, [0])
    folder = tmp_path / "scenes" / "scene0"
    rows = 'frame,tags,unknown\nscene,"wall, -bed",desk\n1,wall,"sofa, bed"\n3,"floor, -door",\n'
    (folder / "tags.csv").write_text(rows)
    judged = {True: [], False: []}
    for complete in (True, False):
        (scene,) = prepare([open_scene(folder, labels, complete)], labels, tmp_path / "cache").scenes
        assert [labels.tags(row) for row in scene.image_tags] == [("wall",), ("floor",)]
        judged[complete] = [set(labels.tags(row)) for row in (scene.known, *scene.image_known)]
    every = set(labels.names)
    assert judged[True] == [every - {"desk"}, every - {"sofa"}, every], "no bed is in the scene, so none in a frame"
    assert judged[False] == [{"wall", "bed"}, {"wall", "bed"}, {"floor", "door", "bed"}]


def test_an_untagged_frame_is_not_judged(tmp_path, labels):
    scene = PaintedScene()
    scene.image_tags = lambda index: ("wall",) if index else None
    (ready,) = prepare([scene], labels, tmp_path, 0).scenes
    assert ready.image_known.any(axis=1).tolist() == [False, True, True] and ready.image_known[1:].all()


def test_dense_truth_is_read_only_when_asked_for(tmp_path, labels):
    scene = StripedScene(0, labels)
    scene.frame_truth = scene.cloud_truth = lambda *_: pytest.fail("training looked at dense truth")
    prepare([scene], labels, tmp_path, 0)


class Broken(StripedScene):
    """A striped scene with parts replaced."""

    def __init__(self, labels, **parts):
        super().__init__(1, labels)
        self.name = "broken"
        self.parts = parts

    @property
    def tags(self):
        return self.parts.get("tags", super().tags)

    def __len__(self) -> int:
        return self.parts.get("frames", 4)

    def frame(self, index: int) -> Frame:
        fault = self.parts.get("fault")
        if fault is not None and index in self.parts.get("bad", range(4)):
            raise BadInput(fault)
        return dataclasses.replace(super().frame(index), **self.parts.get("change", {}))

    @property
    def cloud(self):
        return self.parts.get("cloud", super().cloud)


def far_away() -> np.ndarray:
    pose = np.eye(4)
    pose[:3, 3] = 50
    return pose


@pytest.mark.parametrize(
    "parts, reason",
    [
        ({"tags": None}, "no tags"),
        ({"frames": 0}, "no usable frame"),
        ({"change": {"world_from_camera": far_away()}}, "no point of its cloud is visible in any of 4 frames"),
        ({"fault": "7.jpg: cannot be decoded"}, "none of 4 frames can be used; the first: 7.jpg"),
        ({"change": {"depth_m": None}}, "lacks depth"),
    ],
)
def test_a_bad_scene_is_left_out_by_name_and_the_rest_goes_on(tmp_path, labels, parts, reason, caplog):
    caplog.set_level(logging.WARNING, "wsss_ros")
    result = prepare([Broken(labels, **parts), StripedScene(0, labels)], labels, tmp_path, 0)
    assert [scene.name for scene in result.scenes] == ["scene0"]
    ((name, text),) = result.left_out
    assert name == "broken" and reason in text
    assert any("broken is left out" in message for message in caplog.messages)


def test_a_bad_frame_is_left_out_and_the_scene_stays(tmp_path, labels, caplog):
    result = prepare([Broken(labels, fault="2.jpg: cut short", bad=[2])], labels, tmp_path, 0)
    assert len(result.scenes[0].images) == 3 and "2.jpg: cut short" in caplog.text


def test_without_a_usable_scene_an_error_lists_the_reasons(tmp_path, labels):
    with pytest.raises(BadInput, match="none of 1 scenes can be trained on .broken: it has no tags"):
        prepare([Broken(labels, tags=None)], labels, tmp_path)


def test_scenes_without_a_cloud_get_one_from_their_frames(tmp_path, labels, kitchen):
    scene = open_scene(kitchen, labels)
    assert scene.cloud is None
    (ready,) = prepare([scene], labels, tmp_path, 6, 320).scenes
    assert len(ready.xyz) > 50_000 and ready.links.min() > 1000
    height = ready.xyz @ ready.upright_from_world[2, :3]
    floor = np.percentile(height, 1)
    assert 1.5 < np.percentile(height, 99) - floor < 3.5  # a room stands up
