"""Collecting scenes: what is kept, what tags belong to it, when it is over, what the memory lets go, what survives."""

import dataclasses
import errno
import gc
import itertools
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import time
import weakref
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from test_inference import tiny
from typer.testing import CliRunner

from wsss_ros import files, geometry
from wsss_ros.bags.frames import BagFrames
from wsss_ros.bags.writing import write_bag
from wsss_ros.cli.main import app
from wsss_ros.config import CloudAugment, ImageAugment
from wsss_ros.evaluation.offline import Comparison, Networks, evaluate_clouds, evaluate_images
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import scannet20
from wsss_ros.online.settings import StoreConfig
from wsss_ros.online.store import OpenScene, SceneStore, StoredScene, least_missed
from wsss_ros.samples.prepared import prepare
from wsss_ros.samples.samples import PairSamples
from wsss_ros.scenes import open_scene
from wsss_ros.types import BadInput, Camera, Frame

LABELS = scannet20()
CAMERA = Camera(60.0, 60.0, 31.5, 23.5, 64, 48)
SECOND = 1_000_000_000
HUNDREDS_OF_M = itertools.count(1)


def pose_at(x: float, y: float = 0.0, yaw_deg: float = 0.0) -> np.ndarray:
    """A level camera in a map whose z points up."""
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    pose = np.eye(4)
    pose[:3, :3] = np.array([[s, 0, c], [-c, 0, s], [0, -1, 0]])
    pose[:3, 3] = x, y, 1.0
    return pose


def view(x: float = 0, at_s: float = 0, yaw_deg: float = 0, camera: Camera = CAMERA, depth_m: float = 2) -> Frame:
    rng = np.random.default_rng(int(1000 * abs(x) + abs(yaw_deg)))
    rgb = rng.integers(0, 255, (camera.height, camera.width, 3), np.uint8)
    depth = np.full(rgb.shape[:2], depth_m, np.float32)
    return Frame(rgb, camera, depth, pose_at(x, yaw_deg=yaw_deg), SECOND + round(at_s * SECOND))


def walk(views: int = 5, step_m: float = 0.5) -> list[Frame]:
    return [view(step_m * k, at_s=0.5 * k) for k in range(views)]


def store_in(folder: Path, every: int = 4, **changes) -> SceneStore:
    return SceneStore(folder, StoreConfig(**changes), LABELS, every)


def collect(
    store: SceneStore, tags: tuple[str, ...] = ("wall", "chair"), views: int = 3, at_m: float | None = None
) -> StoredScene | None:
    """Each time in another place, unless it is given."""
    scene = store.begin()
    start_m = 100.0 * next(HUNDREDS_OF_M) if at_m is None else at_m
    for k in range(views):
        scene.add(view(start_m + 0.5 * k, at_s=0.5 * k))
    scene.tag_image(tags)
    return store.finish(scene, "asked for")


def let_go(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "let_go.jsonl").read_text().splitlines()]


def names_below(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# --- a scene from stream to disk -------------------------------------------------------------------


def test_a_stream_becomes_a_scene(tmp_path):
    store = store_in(tmp_path)
    scene = store.begin()
    assert [scene.add(frame) for frame in walk(4)] == [True] * 4
    assert scene.tag_image(["chair", "wall"], SECOND + 480_000_000) == 1
    assert scene.summary() == {
        "name": scene.name, "frames": 4, "received": 4, "points": len(scene.cloud), "tags": ["wall", "chair"],
        "image_tags": 1,
    }  # fmt: skip
    stored = store.finish(scene, "asked for")
    assert (stored.frames, stored.tags, stored.held_out, stored.tagged_frames) == (4, ("wall", "chair"), False, 1)
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
    scene = store_in(tmp_path).begin()
    assert scene.add(view(0)) and not scene.add(view(0.2))
    assert (scene.frames, scene.received) == (1, 2)
    one = store_in(tmp_path / "other").begin()
    one.add(view(0))
    assert len(scene.cloud) > len(one.cloud) > 1000


def test_kept_frames_do_not_stay_in_memory(tmp_path):
    scene, frame = store_in(tmp_path).begin(), view()
    parts = [weakref.ref(part) for part in (frame.rgb, frame.depth_m)]
    assert scene.add(frame)
    del frame
    gc.collect()
    assert [part() for part in parts] == [None, None]


def test_the_cloud_is_bounded(tmp_path):
    scene = store_in(tmp_path, max_points=1000).begin()
    for frame in walk(6):
        scene.add(frame)
    assert len(scene.cloud) <= 1000


def test_far_pixels_stay_out_of_the_cloud_and_a_view_of_nothing_is_not_kept(tmp_path):
    scene = store_in(tmp_path, max_depth_m=3.0).begin()
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
        ({"camera": dataclasses.replace(CAMERA, fx=61.0)}, "wanted one camera"),
    ],
)
def test_a_bad_view_is_refused_and_the_scene_goes_on(tmp_path, changes, reason):
    scene = store_in(tmp_path).begin()
    scene.add(view(0))
    with pytest.raises(BadInput, match=reason):
        scene.add(dataclasses.replace(view(1), **changes))
    assert (scene.frames, scene.received, scene.lost) == (1, 1, "")
    assert scene.add(view(1))


@pytest.mark.parametrize(
    "frames, tags, reason",
    [(2, ["bed"], "2 frames of 2 views; wanted 3"), (4, [], "nobody said")],
)
def test_what_teaches_nothing_is_let_go(tmp_path, frames, tags, reason):
    store = store_in(tmp_path)
    scene = store.begin()
    for frame in walk(frames):
        scene.add(frame)
    scene.tag_scene(tags)
    assert store.finish(scene, "asked for") is None and reason in store.last_let_go
    (line,) = let_go(tmp_path)
    assert (line["scene"], line["tags"], line["bytes"]) == (scene.name, tags, 0) and reason in line["reason"]
    assert store.scenes() == [] and names_below(tmp_path / "scenes") == []
    with pytest.raises(BadInput, match="finished already"):
        store.finish(scene, "again")
    with pytest.raises(BadInput, match="the scene is finished; begin another"):
        scene.add(view())


def test_names_are_unique_for_ever_and_safe(tmp_path):
    store = store_in(tmp_path)
    first, again = store.begin("../kitchen 1"), store.begin("../kitchen 1")
    assert (first.name, again.name) == ("kitchen_1", "kitchen_1_1")
    assert store.finish(first, "no frame") is None
    assert store_in(tmp_path).begin("kitchen_1").name == "kitchen_1_1"  # the other's unfinished one was swept away
    assert store.begin("..").name.startswith("scene_2") and len({store.begin().name for _ in range(3)}) == 3


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
    scene = store_in(tmp_path_factory.mktemp("thin"), max_frames=most).begin()
    camera, kept = Camera(6.0, 6.0, 3.5, 2.5, 8, 6), []
    for number, (x, y, yaw) in enumerate(places):
        frame = dataclasses.replace(view(camera=camera, at_s=number), world_from_camera=pose_at(x, y, yaw))
        if scene.add(frame):
            kept.append(frame.world_from_camera)
        assert len(kept) == most or any(near(frame.world_from_camera, other, 1e-6) for other in kept)
    assert scene.frames == len(kept) <= most
    assert not any(near(a, b, -1e-6) for a, b in itertools.combinations(kept, 2))


def test_view_change_counts_not_time(tmp_path):
    scene = store_in(tmp_path).begin()
    assert [scene.add(view(0, at_s=k)) for k in range(4)] == [True, False, False, False]
    assert [scene.add(view(0, at_s=4 + k, yaw_deg=10 * k)) for k in range(4)] == [False, False, True, False]


def test_a_loop_adds_no_frame(tmp_path):
    """A bag that starts over: stamps jump back, every view is known, and time does not run twice."""
    store = store_in(tmp_path, end_duration_s=4.0)
    scene, frames = store.begin(), walk(6)
    assert all([scene.add(frame) for frame in frames])
    for _ in range(3):
        assert all(not scene.over(frame) and not scene.add(frame) for frame in frames[:3])
    assert (scene.frames, scene.received) == (6, 15)
    assert scene.tag_image(["sofa"], frames[1].stamp_ns) == 1
    assert "lasted 5 s" in scene.over(view(0, at_s=4.6))  # time that really goes on does end it
    stored = store.finish(scene, "asked for")
    back = open_scene(stored.folder, LABELS)
    assert [back.frame(k).stamp_ns for k in range(6)] == [frame.stamp_ns for frame in frames]
    about = json.loads((stored.folder / "scene.json").read_text())
    assert (about["began_ns"], about["ended_ns"]) == (frames[0].stamp_ns, frames[5].stamp_ns)


# --- the end of a scene ----------------------------------------------------------------------------


def _open(folder: Path, frames: list[Frame], **changes) -> OpenScene:
    scene = store_in(folder, **changes).begin()
    for frame in frames:
        scene.add(frame)
    return scene


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
    scene = _open(tmp_path / "bound", [view(0)], **{**off, **bound})
    assert scene.over(inside) == "" and why in scene.over(outside)
    assert _open(tmp_path / "never", [view(0)], **{**off, **never}).over(outside) == ""


def test_a_scene_without_views_is_never_over_and_another_camera_ends_it(tmp_path):
    scene = store_in(tmp_path).begin()
    assert scene.over(view(100, 100)) == ""
    scene.add(view(0))
    assert "another camera" in scene.over(view(0, camera=dataclasses.replace(CAMERA, fx=61.0)))


# --- tags ------------------------------------------------------------------------------------------


def test_tags_go_to_the_frame_that_stands_for_the_view_nearest_in_time(tmp_path):
    frames = [view(0, 0), view(0.2, 1), view(1, 2), view(1.1, 3)]
    scene = _open(tmp_path, frames)
    assert scene.frames == 2
    numbers = [scene.tag_image(["bed"], SECOND + round(at * SECOND)) for at in (-0.9, 0.4, 1.4, 1.6, 3.9)]
    assert numbers == [0, 0, 0, 1, 1]
    assert scene.tag_image(["bed"]) == 1


@pytest.mark.parametrize("stamp_ns", [0, -5 * SECOND, 4 * SECOND, 10**18, 10**40])
def test_a_time_without_a_view_is_refused(tmp_path, stamp_ns):
    scene = _open(tmp_path, [view(0, 0.5), view(1, 1.0)])
    with pytest.raises(BadInput, match="the nearest view of .* s away.*at most 1.0 s"):
        scene.tag_image(["bed"], stamp_ns)
    assert scene.tags == ()


def test_unknown_classes_are_named_with_the_nearest(tmp_path):
    scene = _open(tmp_path, [view()])
    with pytest.raises(BadInput, match="'chiar' is no class.*the nearest is 'chair'"):
        scene.tag_image(["wall", "chiar"])
    with pytest.raises(BadInput, match="'tabel'.*'table'"):
        scene.tag_scene(["tabel"])
    assert scene.tags == () and scene.image_tags == 0


def test_a_tag_before_any_view_is_refused(tmp_path):
    with pytest.raises(BadInput, match="no view yet"):
        store_in(tmp_path).begin().tag_image(["bed"])


def test_the_last_word_counts_and_an_empty_one_takes_back(tmp_path):
    scene = _open(tmp_path, [view(0, 0), view(0.02, 1), view(1, 2)])
    scene.tag_image(["bed", "sofa"], SECOND)
    scene.tag_image(["bed"], 2 * SECOND)  # 2 cm on: the same view
    assert scene.tags == ("bed",) and scene.tags_by_frame() == {"0": ["bed"]}
    scene.tag_image([], SECOND)
    assert scene.tags == () and scene.tags_by_frame() == {}


def test_what_is_said_about_a_view_clearly_farther_does_not_replace_but_is_in_the_scene(tmp_path):
    scene = _open(tmp_path, [view(0, 0), view(0.2, 1)])
    scene.tag_image(["bed"], SECOND)
    assert scene.tag_image(["sofa"], 2 * SECOND) == 0
    assert scene.tags_by_frame() == {"0": ["bed"]} and scene.tags == ("bed", "sofa")
    closer = _open(tmp_path / "b", [view(0, 0), view(0.2, 1)])
    closer.tag_image(["sofa"], 2 * SECOND)
    closer.tag_image(["bed"], SECOND)
    assert closer.tags_by_frame() == {"0": ["bed"]}


def test_tags_of_the_scene_go_before_those_of_its_images(tmp_path):
    scene = _open(tmp_path, [view(0), view(1)])
    scene.tag_image(["sofa"])
    scene.tag_scene(["table", "wall"])
    assert scene.tags == ("wall", "table")
    scene.tag_scene([])
    assert scene.tags == ("sofa",)


def test_a_view_beyond_the_most_frames_takes_no_tag(tmp_path):
    scene = _open(tmp_path, walk(5), max_frames=3)
    assert scene.frames == 3
    with pytest.raises(BadInput, match="holds its most frames; tag the whole scene"):
        scene.tag_image(["bed"])


def test_a_burst_of_a_thousand_tags_among_more_views_than_are_remembered(tmp_path, monkeypatch):
    monkeypatch.setattr("wsss_ros.online.open_scene.REMEMBERED", 1500)
    scene, tiny_camera = store_in(tmp_path, end_silence_s=0).begin(), Camera(6.0, 6.0, 3.5, 2.5, 8, 6)
    frames = [view(0.5 * (k % 7), at_s=k / 10, camera=tiny_camera) for k in range(7)]
    for k in range(2000):
        scene.add(dataclasses.replace(frames[k % 7], stamp_ns=SECOND + k * SECOND // 10))
    began = time.perf_counter()
    numbers = [scene.tag_image(["bed", "wall"], SECOND + k * SECOND // 10) for k in range(900, 1900)]
    assert time.perf_counter() - began < 5  # about 0.1 s on one core
    assert numbers == [k % 7 for k in range(900, 1900)] and scene.frames == 7
    with pytest.raises(BadInput, match="nearest view"):
        scene.tag_image(["bed"], SECOND + 30 * SECOND)  # long ago: no longer remembered


# --- whole or not at all ---------------------------------------------------------------------------


def test_everything_is_on_the_disk_before_the_scene_takes_its_name(tmp_path, monkeypatch):
    synced, renamed, sync, rename = set(), [], files.sync, os.replace

    def replaced(source, target):
        if Path(target).parent.name == "scenes":
            missing = [path for path in [source, *Path(source).rglob("*")] if path not in synced]
            renamed.append((target, missing))
            synced.clear()
        rename(source, target)

    monkeypatch.setattr(files, "sync", lambda path: (synced.add(path), sync(path)))
    monkeypatch.setattr(os, "replace", replaced)
    stored = collect(store_in(tmp_path))
    assert renamed == [(stored.folder, [])] and synced == {tmp_path / "scenes"}


def test_what_a_power_cut_leaves_is_swept_away(tmp_path):
    """A scene that was written but not renamed; one that was renamed away but not noted; half a line."""
    store = store_in(tmp_path)
    kept, gone = collect(store), collect(store, ("bed",))
    unfinished = store.begin()
    unfinished.add(view())
    shutil.copytree(kept.folder, tmp_path / "scenes" / ".other.partial-abc" / "other")
    os.replace(gone.folder, gone.folder.with_name(f".{gone.name}.let-go"))
    (tmp_path / "let_go.jsonl").write_text('{"scene": "cut sh')
    again = store_in(tmp_path)
    assert again.scenes() == [kept] and names_below(tmp_path / "scenes") == [kept.name]
    line = json.loads((tmp_path / "let_go.jsonl").read_text().splitlines()[1])
    assert (line["scene"], line["tags"], line["number"]) == (gone.name, ["bed"], 2) and "interrupted" in line["reason"]
    assert collect(again).number == 3


def test_a_scene_half_deleted_at_the_crash_does_not_stop_the_next_start(tmp_path):
    gone = tmp_path / "scenes" / ".x.let-go"
    gone.mkdir(parents=True)
    (gone / "scene.json").write_text("{")
    assert store_in(tmp_path).scenes() == [] and not gone.exists()
    assert [line["scene"] for line in let_go(tmp_path)] == ["x"]


def _collect_for_ever(folder: Path) -> None:
    store = store_in(folder, max_scenes=3)
    for k in itertools.count():
        collect(store, (LABELS.names[k % 5],), views=4)


def whole(scene: StoredScene) -> bool:
    back = open_scene(scene.folder, LABELS)
    frames = [back.frame(k) for k in range(len(back))]
    return len(frames) == scene.frames == 4 and len(back.cloud) > 256 and back.tags == scene.tags != ()


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_killed_at_any_moment_leaves_whole_scenes_or_none(tmp_path):
    collect(store_in(tmp_path / "warm"))  # compiled before the fork
    rng, stored = np.random.default_rng(0), []
    for _ in range(10):
        process = multiprocessing.get_context("fork").Process(target=_collect_for_ever, args=(tmp_path,))
        process.start()
        time.sleep(rng.uniform(0.05, 0.6))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        scenes = store_in(tmp_path).scenes()
        stored.append([scene.number for scene in scenes])
        assert all(map(whole, scenes)) and len(scenes) <= 4  # one more where the kill came before room was made
        assert names_below(tmp_path / "scenes") == sorted(scene.name for scene in scenes)
    assert max(map(max, filter(None, stored))) > 3  # some were stored, some were let go
    lines = let_go(tmp_path)
    assert len({line["scene"] for line in lines}) == len(lines)
    assert not {line["scene"] for line in lines} & {scene.name for scene in scenes}


@pytest.fixture
def small_disk(tmp_path):
    """2 MB of memory as a disk; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", folder], capture_output=True).returncode:
        pytest.skip("no tmpfs may be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_a_disk_full_at_any_moment(small_disk):
    """Whatever room is left, down to none: a scene is stored whole, or it is not there and the others are."""
    store, kept, outcomes = store_in(small_disk), [], Counter()
    kept.append(collect(store, ("bed",), views=4))
    for spare in range(0, 600_000, 25_000):
        free = os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize
        (small_disk / "ballast").write_bytes(bytes(max(0, free - spare)))
        scene = store.begin()  # folders take no room there
        try:
            for frame in walk(4):
                scene.add(frame)
            scene.tag_scene(["chair"])
            kept.append(store.finish(scene, "asked for"))
            outcomes["stored"] += 1
        except BadInput as error:
            assert "No space left" in str(error)
            outcomes["in a frame" if scene.lost else "at the end"] += 1
            if scene.lost:
                with pytest.raises(BadInput, match="No space left"):
                    scene.add(view())
                assert store.finish(scene, "the disk is full") is None
        (small_disk / "ballast").unlink()
        assert store.scenes() == kept and all(map(whole, kept))
        assert names_below(small_disk / "scenes") == sorted(each.name for each in kept)
        if len(kept) == 2:
            kept.remove(removed := kept[1])
            shutil.rmtree(removed.folder)
    assert set(outcomes) == {"stored", "in a frame", "at the end"}


@pytest.mark.parametrize("limit", [3_000, 60_000])
def test_a_file_that_does_not_fit(tmp_path, limit):
    """On any machine: the system refuses a file in the middle, a picture or, at the end, the cloud."""
    store = store_in(tmp_path)
    kept, before = collect(store, views=4), resource.getrlimit(resource.RLIMIT_FSIZE)
    scene = store.begin()
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        with pytest.raises(BadInput, match=f"nothing of it is left.*Errno {errno.EFBIG}"):
            for frame in walk(4):
                scene.add(frame)
            scene.tag_scene(["bed"])
            store.finish(scene, "asked for")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert bool(scene.lost) == (limit == 3_000)
    assert store.scenes() == [kept] and whole(kept) and names_below(tmp_path / "scenes") == [kept.name]
    assert collect(store) is not None


# --- the memory ------------------------------------------------------------------------------------


def test_held_out_by_scene_for_good(tmp_path):
    store = store_in(tmp_path, every=3, max_scenes=4)
    for _ in range(4):
        collect(store)
    assert [scene.number for scene in store.scenes()] == [1, 2, 3, 4]
    assert [scene.held_out for scene in store.scenes()] == [False, False, True, False]
    store = store_in(tmp_path, every=3, max_scenes=4)
    for _ in range(3):
        collect(store)
    sides = {scene.number: scene.held_out for scene in store.scenes()}
    assert all(held == (number % 3 == 0) for number, held in sides.items()) and len(sides) == 4 and 7 in sides


def test_a_bag_played_again_stays_on_its_side_of_the_gate(tmp_path):
    store = store_in(tmp_path, every=2)
    taught, held = collect(store, at_m=0), collect(store, at_m=50)
    assert (taught.held_out, held.held_out) == (False, True)
    again = [collect(store, at_m=x, views=v) for x, v in ((50.5, 3), (0.0, 6), (1.5, 4), (51.5, 3))]
    assert [scene.number for scene in again] == [3, 4, 5, 6]
    assert [scene.held_out for scene in again] == [True, False, False, True]
    assert [scene.again_of for scene in again[:2]] == [(held.name,), (taught.name,)]
    assert not again[3].again_of, "one view alone is no replay"
    # what an older version stored has no fingerprints
    about = json.loads((held.folder / "scene.json").read_text())
    del about["fingerprints"], about["again_of"]
    (held.folder / "scene.json").write_text(json.dumps(about))
    assert store.scenes()[1].fingerprints == frozenset()


def test_a_bag_played_again_is_known_by_views_that_were_not_kept(tmp_path):
    """Every sixth view is kept; the second time they are other ones."""
    store = store_in(tmp_path, every=2, min_shift_m=0.29)
    stored = []
    for first in (0, 1):
        scene = store.begin()
        kept = [k for k in range(first, 60) if scene.add(view(0.05 * k, at_s=0.1 * k))]
        scene.tag_image(["wall"])
        stored.append(store.finish(scene, "asked for"))
    assert kept[:3] == [1, 7, 13] and stored[0].fingerprints.isdisjoint(stored[1].fingerprints)
    assert stored[1].again_of == (stored[0].name,) and not stored[1].held_out


def test_views_of_both_sides_of_the_gate_are_let_go(tmp_path):
    store = store_in(tmp_path, every=2)
    taught, held = collect(store, at_m=0), collect(store, at_m=1.5)
    assert collect(store, at_m=0.5, views=4) is None and len(store.scenes()) == 2
    assert f"it shows views of '{taught.name}', for training, and of '{held.name}', held out" in store.last_let_go


def test_common_classes_go_first_and_the_log_says_so(tmp_path):
    store = store_in(tmp_path, every=100, max_scenes=3)
    bed, chair, more, sofa = [collect(store, ("wall", other)) for other in ("bed", "chair", "chair", "sofa")]
    assert store.scenes() == [bed, more, sofa] and not chair.folder.exists()
    (line,) = let_go(tmp_path)
    assert (line["scene"], line["tags"], line["bytes"]) == (chair.name, ["wall", "chair"], chair.bytes)
    assert "4 scenes, 3 may stay" in line["reason"] == store.last_let_go
    assert names_below(tmp_path / "scenes") == sorted(scene.name for scene in (bed, more, sofa))


def test_bounded_in_bytes(tmp_path):
    size = collect(store_in(tmp_path / "probe")).bytes
    store = store_in(tmp_path / "store", max_gb=2.5 * size / 1e9)
    kept = [collect(store) for _ in range(4)][-2:]
    assert store.scenes() == kept and "GB, " in let_go(tmp_path / "store")[0]["reason"]


def test_a_scene_too_large_by_itself_does_not_push_the_others_out(tmp_path):
    store = store_in(tmp_path, max_gb=0.0004)
    small = collect(store, views=3)
    assert collect(store, views=30) is None and "GB, and all may take" in store.last_let_go
    assert store.scenes() == [small]


def test_pinned_scenes_stay(tmp_path, caplog):
    store = store_in(tmp_path, max_scenes=2)
    first, second = collect(store), collect(store)
    store.pinned = {first.name}
    third = collect(store)
    assert store.scenes() == [first, third]
    store.pinned = {first.name, third.name}
    collect(store)
    assert len(store.scenes()) == 3 and "a round reads them all" in caplog.text and not second.folder.exists()


def fake(number: int, tags: tuple[str, ...], held_out: bool) -> StoredScene:
    return StoredScene(f"s{number}", Path("x"), tags, held_out, 5, 10, 0, number, 5)


MEMORIES = st.lists(
    st.tuples(st.lists(st.sampled_from(LABELS.names[:6]), min_size=1, max_size=4, unique=True), st.booleans()),
    min_size=2,
    max_size=20,
)


@given(MEMORIES)
def test_no_class_loses_its_last_scene_while_another_can_give_one(memory):
    scenes = [fake(k, tuple(tags), held) for k, (tags, held) in enumerate(memory)]
    counts = Counter(tag for scene in scenes for tag in scene.tags)
    spare = [scene for scene in scenes if all(counts[tag] > 1 for tag in scene.tags)]
    chosen = least_missed(scenes, scenes, 4)
    assert chosen in spare or not spare
    surplus = 4 * sum(scene.held_out for scene in scenes) > len(scenes)
    if any(scene.held_out == surplus for scene in spare):
        assert chosen.held_out == surplus
        side = Counter(tag for scene in scenes if scene.held_out == surplus for tag in scene.tags)
        rarest = [min(side[tag] - (tag in s.tags) for tag in side) for s in spare if s.held_out == surplus]
        assert min(side[tag] - (tag in chosen.tags) for tag in side) == max(rarest)


def test_a_full_memory_evens_out():
    """A stream of nine chairs to one bed: the beds for training all stay, and of the three held out there is either."""
    memory = []
    for k in range(60):
        memory.append(fake(k, ("wall", "bed") if k % 10 == 0 else ("wall", "chair"), k % 4 == 0))
        if len(memory) > 12:
            memory.remove(least_missed(memory[:-1], memory, 4))
    sides = {held: Counter(s.tags[1] for s in memory if s.held_out == held) for held in (False, True)}
    assert sides[False] == {"bed": 3, "chair": 6} and sorted(sides[True].values()) == [1, 2]


def test_reset_keeps_a_copy(tmp_path):
    store = store_in(tmp_path, every=2)
    first, held = collect(store), collect(store, ("bed",))
    scene = store.begin()
    scene.add(view())
    archive = store.reset()
    assert archive.parent == tmp_path / "archive" and store.scenes() == [] and names_below(tmp_path / "scenes") == []
    assert names_below(archive) == sorted([first.name, held.name])
    assert open_scene(archive / held.name, LABELS).tags == ("bed",)
    assert {line["scene"]: "reset" in line["reason"] for line in let_go(tmp_path)} == dict.fromkeys(
        (scene.name, first.name, held.name), True
    )
    with pytest.raises(BadInput, match="finished"):
        scene.add(view(1))
    assert collect(store_in(tmp_path, every=2)).number == 3 and store.reset() != archive


def test_a_broken_scene_is_left_out_by_name(tmp_path, caplog):
    store = store_in(tmp_path)
    good, bad = collect(store), collect(store)
    (bad.folder / "tags.json").write_text('{"scene": ["chiar"]}')
    assert store.scenes() == [good] and bad.name in caplog.text and "'chair'" in caplog.text
    (bad.folder / "tags.json").write_text('{"scene": ["bed"]}')  # mended by hand, read anew
    assert [scene.tags for scene in store.scenes()] == [good.tags, ("bed",)]


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BadInput, match="no place for scenes"):
        store_in(tmp_path / "file")


# --- every offline command works on it -------------------------------------------------------------


def test_a_scene_without_truth_goes_through_every_command(tmp_path):
    stored = collect(store_in(tmp_path / "store"), ("wall", "chair"), views=5)
    scene = open_scene(stored.folder, LABELS)
    (ready,) = prepare([scene], LABELS, tmp_path / "cache", 0).scenes
    pairs = PairSamples([ready], ImageAugment(long_side=(48, 64), crop=48), CloudAugment(points=512))
    sample = pairs.sample(0, np.random.default_rng(0))
    assert LABELS.tags(sample["cloud_tags"].numpy()) == ("wall", "chair") and len(sample["links_point"]) > 50

    networks = Networks(
        ImageSegmenter(tiny(LABELS, "image"), "cpu", "float32"),
        CloudSegmenter(tiny(LABELS, "cloud", inputs=("color",)), "cpu", "float32"),
    )
    for evaluate, reason in ((evaluate_images, "none of its 5 frames has truth"), (evaluate_clouds, "have no truth")):
        with pytest.raises(BadInput, match=reason):
            evaluate(networks, [scene], Comparison.between(LABELS, LABELS))

    written = write_bag(scene, tmp_path / "scene.mcap")
    assert len(BagFrames(written)) == 5


def test_wsss_segment(tmp_path):
    stored = collect(store_in(tmp_path / "store"), views=3)
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["segment", str(stored.folder), "--out", str(out), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert len(list(out.rglob("label-filt/*.png"))) == 3 and len(list(out.rglob("*_vh_clean_2.labels.ply"))) == 1


def test_the_kitchen(tmp_path, kitchen):
    """100 real frames with a person's tags: streamed, reopened, ready to train on."""
    source = open_scene(kitchen, LABELS)
    frames = [source.frame(k) for k in range(len(source))]
    poses = np.stack([frame.world_from_camera for frame in frames])
    upright = np.eye(4)
    upright[:3, :3] = geometry.upright(geometry.camera_up(poses))  # as the replay node turns it
    store = store_in(tmp_path)
    scene = store.begin("kitchen")
    for k, frame in enumerate(frames):
        frame = dataclasses.replace(frame, world_from_camera=upright @ frame.world_from_camera)
        assert scene.over(frame) == ""
        scene.add(frame)
        scene.tag_image(source.image_tags(k), frame.stamp_ns)
    assert 10 < scene.frames < 40 and scene.received == 100
    assert scene.image_tags == scene.frames and scene.tags == source.tags
    stored = store.finish(scene, "end of the recording")
    assert stored.bytes < 20e6 and stored.tagged_frames == stored.frames
    (ready,) = prepare([open_scene(stored.folder, LABELS)], LABELS, tmp_path / "cache", 0, 320).scenes
    assert len(ready.images) == stored.frames and ready.links.min() > 1000 and len(ready.xyz) > 50_000
    assert LABELS.tags(ready.tags) == source.tags
    height = ready.xyz @ ready.upright_from_world[2, :3]
    assert 1.5 < np.percentile(height, 99) - np.percentile(height, 1) < 3.5  # it stands up
