"""Collecting a scene: which views are kept, when the scene ends, which frames get the tags."""

import dataclasses
import gc
import itertools
import json
import time
import weakref

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from support.scene_stream import CAMERA, LABELS, SECOND, discarded, names_below, opened, pose_at, store_in, view, walk

from wsss_ros.scenes import open_scene
from wsss_ros.types import BadInput, Camera


def test_a_stream_becomes_a_scene(tmp_path):
    store = store_in(tmp_path)
    scene = store.create()
    assert [scene.add(frame) for frame in walk(4)] == [True] * 4
    assert scene.tag_image(["chair", "wall"], SECOND + 480_000_000) == 1
    assert scene.summary() == {
        "name": scene.name, "frames": 4, "received": 4, "points": len(scene.cloud), "tags": ["wall", "chair"],
        "image_tags": 1,
    }  # fmt: skip
    stored = store.finish(scene, "asked for")
    assert (stored.frames, stored.tags, stored.held_out) == (4, ("wall", "chair"), False)
    assert store.scenes() == store_in(tmp_path).scenes() == [stored]
    back = open_scene(stored.folder, LABELS)
    assert len(back) == 4 and back.tags == ("wall", "chair")
    assert [back.image_tags(k) for k in range(4)] == [None, ("wall", "chair"), None, None]
    for k, frame in enumerate(walk(4)):
        np.testing.assert_array_equal(back.frame(k).world_from_camera, frame.world_from_camera)
        np.testing.assert_array_equal(back.frame(k).depth_m, frame.depth_m)
        assert (back.frame(k).stamp_ns, back.frame(k).camera) == (frame.stamp_ns, CAMERA)
    np.testing.assert_array_equal(back.cloud.xyz, scene.cloud.xyz)
    assert back.frame_truth(0) is None and back.cloud_truth() is None
    about = json.loads((stored.folder / "scene.json").read_text())
    assert (about["why_ended"], about["began_ns"], about["ended_ns"]) == ("asked for", SECOND, SECOND * 5 // 2)
    assert names_below(tmp_path) == ["scenes"] and names_below(tmp_path / "scenes") == [scene.name]
    size = sum(path.stat().st_size for path in stored.folder.rglob("*") if path.is_file())
    assert size <= stored.bytes <= size + 4096 * 30


def test_views_that_are_not_kept_still_feed_the_cloud(tmp_path):
    scene = store_in(tmp_path).create()
    assert scene.add(view(0)) and not scene.add(view(0.2))
    assert (scene.frames, scene.received) == (1, 2)
    one = store_in(tmp_path / "other").create()
    one.add(view(0))
    assert len(scene.cloud) > len(one.cloud) > 1000


def test_kept_frames_do_not_stay_in_memory(tmp_path):
    scene, frame = store_in(tmp_path).create(), view()
    parts = [weakref.ref(part) for part in (frame.rgb, frame.depth_m)]
    assert scene.add(frame)
    del frame
    gc.collect()
    assert [part() for part in parts] == [None, None]


def test_the_cloud_is_bounded(tmp_path):
    scene = store_in(tmp_path, max_points=1000).create()
    for frame in walk(6):
        scene.add(frame)
    assert len(scene.cloud) <= 1000


def test_far_pixels_stay_out_of_the_cloud_and_a_view_of_nothing_is_not_kept(tmp_path):
    scene = store_in(tmp_path, max_depth_m=3.0).create()
    assert not scene.add(view(0, depth_m=4.0)) and len(scene.cloud) == 0
    with pytest.raises(BadInput, match="it had no depth; tag the whole scene"):
        scene.tag_image(["wall"])
    assert scene.add(view(0, depth_m=2.0))


@pytest.mark.parametrize(
    "changes, reason",
    [
        ({"depth_m": None}, "no depth"),
        ({"world_from_camera": None}, "no pose"),
        ({"world_from_camera": np.full((4, 4), np.nan)}, "NaN"),
        ({"camera": dataclasses.replace(CAMERA, fx=61.0)}, "expected one camera"),
    ],
)
def test_a_bad_view_is_refused_and_the_scene_goes_on(tmp_path, changes, reason):
    scene = store_in(tmp_path).create()
    scene.add(view(0))
    with pytest.raises(BadInput, match=reason):
        scene.add(dataclasses.replace(view(1), **changes))
    assert (scene.frames, scene.received, scene.lost) == (1, 1, "")
    assert scene.add(view(1))


@pytest.mark.parametrize(
    "frames, tags, reason",
    [(2, ["bed"], "2 frames of 2 views; expected 3"), (4, [], "no tags")],
)
def test_what_teaches_nothing_is_discarded(tmp_path, frames, tags, reason, caplog):
    caplog.set_level("INFO")
    store = store_in(tmp_path)
    scene = store.create()
    for frame in walk(frames):
        scene.add(frame)
    scene.tag_scene(tags)
    assert store.finish(scene, "asked for") is None and reason in store.last_discard
    (line,) = discarded(tmp_path)
    assert (line["scene"], line["tags"], line["bytes"]) == (scene.name, tags, 0) and reason in line["reason"]
    assert store.scenes() == [] and names_below(tmp_path / "scenes") == []
    assert scene.name not in caplog.text, "the collector reports it, and nobody else"
    with pytest.raises(BadInput, match="finished already"):
        store.finish(scene, "again")
    with pytest.raises(BadInput, match="the scene is finished; start another"):
        scene.add(view())


def test_names_are_unique_for_ever_and_safe(tmp_path):
    store = store_in(tmp_path)
    first, again = store.create("../kitchen 1"), store.create("../kitchen 1")
    assert (first.name, again.name) == ("kitchen_1", "kitchen_1_1")
    assert store.finish(first, "no frame") is None
    assert store_in(tmp_path).create("kitchen_1").name == "kitchen_1_1"  # the other's unfinished one was swept away
    assert store.create("..").name.startswith("scene_2") and len({store.create().name for _ in range(3)}) == 3


# --- thinning --------------------------------------------------------------------------------------


def turn_deg(a: np.ndarray, b: np.ndarray) -> float:
    return np.degrees((Rotation.from_matrix(a[:3, :3]).inv() * Rotation.from_matrix(b[:3, :3])).magnitude())


def near(a: np.ndarray, b: np.ndarray, slack: float = 0.0) -> bool:
    return np.linalg.norm(a[:3, 3] - b[:3, 3]) <= 0.25 + slack and turn_deg(a, b) <= 15 + slack


PLACES = st.lists(st.tuples(st.floats(0, 1.2), st.floats(0, 1.2), st.floats(0, 90)), min_size=1, max_size=25)


@settings(max_examples=25)
@given(PLACES, st.integers(1, 8))
def test_thinning(tmp_path_factory, places, most):
    """No two kept frames are near one another; each view is near a kept one, unless no more were to be kept."""
    scene = store_in(tmp_path_factory.mktemp("thin"), max_frames=most).create()
    camera, kept = Camera(6.0, 6.0, 3.5, 2.5, 8, 6), []
    for number, (x, y, yaw) in enumerate(places):
        frame = dataclasses.replace(view(camera=camera, at_s=number), world_from_camera=pose_at(x, y, yaw))
        if scene.add(frame):
            kept.append(frame.world_from_camera)
        assert len(kept) == most or any(near(frame.world_from_camera, other, 1e-6) for other in kept)
    assert scene.frames == len(kept) <= most
    assert not any(near(a, b, -1e-6) for a, b in itertools.combinations(kept, 2))


def test_view_change_counts_not_time(tmp_path):
    scene = store_in(tmp_path).create()
    assert [scene.add(view(0, at_s=k)) for k in range(4)] == [True, False, False, False]
    assert [scene.add(view(0, at_s=4 + k, yaw_deg=10 * k)) for k in range(4)] == [False, False, True, False]


def test_a_loop_adds_no_frame(tmp_path):
    """A bag that starts over: stamps jump back, every view is known, and time does not run twice."""
    store = store_in(tmp_path, end_duration_s=4.0)
    scene, frames = store.create(), walk(6)
    assert all([scene.add(frame) for frame in frames])
    for _ in range(3):
        assert all(not scene.end_reason(frame) and not scene.add(frame) for frame in frames[:3])
    assert (scene.frames, scene.received) == (6, 15)
    assert scene.tag_image(["sofa"], frames[1].stamp_ns) == 1
    assert "lasted 5 s" in scene.end_reason(view(0, at_s=4.6))  # time that really goes on does end it
    stored = store.finish(scene, "asked for")
    back = open_scene(stored.folder, LABELS)
    assert [back.frame(k).stamp_ns for k in range(6)] == [frame.stamp_ns for frame in frames]
    about = json.loads((stored.folder / "scene.json").read_text())
    assert (about["began_ns"], about["ended_ns"]) == (frames[0].stamp_ns, frames[5].stamp_ns)


# --- the end of a scene ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "never, bound, inside, outside, why",
    [
        ({"end_distance_m": 0}, {"end_distance_m": 2.0}, view(1.9, 1), view(2.1, 1), "2.1 m from the first"),
        ({"end_silence_s": 0}, {"end_silence_s": 3.0}, view(0, 2.9), view(0, 3.1), "no view for 3.1 s"),
        ({"end_duration_s": 0}, {"end_duration_s": 5.0}, view(0, 4.9), view(0, 5.1), "lasted 5 s"),
        ({}, {"end_overlap": 0.3}, view(0, 1, yaw_deg=15), view(0, 1, yaw_deg=170), "saw 0 %"),
    ],
)
def test_the_view_moves_on(tmp_path, never, bound, inside, outside, why):
    off = {"end_distance_m": 0, "end_silence_s": 0, "end_duration_s": 0}
    scene = opened(tmp_path / "bound", [view(0)], **{**off, **bound})
    assert scene.end_reason(inside) == "" and why in scene.end_reason(outside)
    assert opened(tmp_path / "never", [view(0)], **{**off, **never}).end_reason(outside) == ""


def test_a_scene_without_views_is_never_over_and_another_camera_ends_it(tmp_path):
    scene = store_in(tmp_path).create()
    assert scene.end_reason(view(100, 100)) == ""
    scene.add(view(0))
    assert "another camera" in scene.end_reason(view(0, camera=dataclasses.replace(CAMERA, fx=61.0)))


# --- tags ------------------------------------------------------------------------------------------


def test_tags_go_to_the_frame_that_stands_for_the_view_nearest_in_time(tmp_path):
    frames = [view(0, 0), view(0.2, 1), view(1, 2), view(1.1, 3)]
    scene = opened(tmp_path, frames)
    assert scene.frames == 2
    numbers = [scene.tag_image(["bed"], SECOND + round(at * SECOND)) for at in (-0.9, 0.4, 1.4, 1.6, 3.9)]
    assert numbers == [0, 0, 0, 1, 1]
    assert scene.tag_image(["bed"]) == 1


@pytest.mark.parametrize("stamp_ns", [0, -5 * SECOND, 4 * SECOND, 10**18, 10**40])
def test_a_time_without_a_view_is_refused(tmp_path, stamp_ns):
    scene = opened(tmp_path, [view(0, 0.5), view(1, 1.0)])
    with pytest.raises(BadInput, match="the nearest view of .* s away.*at most 1.0 s"):
        scene.tag_image(["bed"], stamp_ns)
    assert scene.tags == ()


def test_unknown_classes_are_named_with_the_nearest(tmp_path):
    scene = opened(tmp_path, [view()])
    with pytest.raises(BadInput, match="'chiar' is not a class.*the nearest is 'chair'"):
        scene.tag_image(["wall", "chiar"])
    with pytest.raises(BadInput, match="'tabel'.*'table'"):
        scene.tag_scene(["tabel"])
    assert scene.tags == () and scene.image_tags == 0


def test_a_tag_before_any_view_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no view yet"):
        store_in(tmp_path).create().tag_image(["bed"])


def test_the_last_tags_count_and_no_tags_remove_them(tmp_path):
    scene = opened(tmp_path, [view(0, 0), view(0.02, 1), view(1, 2)])
    scene.tag_image(["bed", "sofa"], SECOND)
    scene.tag_image(["bed"], 2 * SECOND)  # 2 cm on: the same view
    assert scene.tags == ("bed",) and scene.tags_by_frame() == {"0": ["bed"]}
    scene.tag_image([], SECOND)
    assert scene.tags == () and scene.tags_by_frame() == {}


def test_tags_of_a_view_clearly_farther_do_not_replace_but_are_in_the_scene(tmp_path):
    scene = opened(tmp_path, [view(0, 0), view(0.2, 1)])
    scene.tag_image(["bed"], SECOND)
    assert scene.tag_image(["sofa"], 2 * SECOND) == 0
    assert scene.tags_by_frame() == {"0": ["bed"]} and scene.tags == ("bed", "sofa")
    closer = opened(tmp_path / "b", [view(0, 0), view(0.2, 1)])
    closer.tag_image(["sofa"], 2 * SECOND)
    closer.tag_image(["bed"], SECOND)
    assert closer.tags_by_frame() == {"0": ["bed"]}


def test_tags_of_the_scene_go_before_those_of_its_images(tmp_path):
    scene = opened(tmp_path, [view(0), view(1)])
    scene.tag_image(["sofa"])
    scene.tag_scene(["table", "wall"])
    assert scene.tags == ("wall", "table")
    scene.tag_scene([])
    assert scene.tags == ("sofa",)


def test_a_scene_of_which_only_absent_classes_are_known_has_those_of_its_images(tmp_path):
    scene = opened(tmp_path, [view(0, 0), view(0.2, 1), view(1, 2)])
    scene.tag_image(["bed", "-chair"], SECOND)
    scene.tag_image(["desk", "?table"], 2 * SECOND)  # farther from the frame
    scene.tag_image(["-bed", "?sofa"], 3 * SECOND)
    assert scene.tags_by_frame() == {"0": ["bed", "-chair"], "1": ["-bed", "?sofa"]} and scene.image_tags == 1
    assert scene.tag_list.written == ["bed", "desk", "?sofa"], "a frame without a chair is not a scene without one"
    scene.tag_scene(["-sofa", "-door"])
    assert scene.tag_list.written == ["bed", "desk", "-sofa", "-door"]
    scene.tag_scene(["wall", "-door"])
    assert scene.tag_list.written == ["wall", "-door"]


def test_a_view_beyond_the_most_frames_takes_no_tag(tmp_path):
    scene = opened(tmp_path, walk(5), max_frames=3)
    assert scene.frames == 3
    with pytest.raises(BadInput, match="holds its most frames; tag the whole scene"):
        scene.tag_image(["bed"])


def test_a_burst_of_a_thousand_tags_among_more_views_than_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr("wsss_ros.online.scene_views.MAX_REMEMBERED", 1500)
    scene, tiny_camera = store_in(tmp_path, end_silence_s=0).create(), Camera(6.0, 6.0, 3.5, 2.5, 8, 6)
    frames = [view(0.5 * (k % 7), at_s=k / 10, camera=tiny_camera) for k in range(7)]
    for k in range(2000):
        scene.add(dataclasses.replace(frames[k % 7], stamp_ns=SECOND + k * SECOND // 10))
    before_s = time.process_time()
    numbers = [scene.tag_image(["bed", "wall"], SECOND + k * SECOND // 10) for k in range(900, 1900)]
    assert time.process_time() - before_s < 5  # about 0.1 s on one core
    assert numbers == [k % 7 for k in range(900, 1900)] and scene.frames == 7
    with pytest.raises(BadInput, match="nearest view"):
        scene.tag_image(["bed"], SECOND + 30 * SECOND)  # too long ago
