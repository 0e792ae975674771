"""The collector: which views and tags make a scene, and when a scene starts and ends."""

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.online_stream import CAMERA, Room, settings

from wsss_ros.config import build
from wsss_ros.online.collector import RETRY_S, Collector, read_tag
from wsss_ros.online.settings import OnlineConfig
from wsss_ros.online.store import SceneStore
from wsss_ros.samples.prepared import prepare
from wsss_ros.scenes import open_scenes
from wsss_ros.types import BadInput, Distortion

S = 10**9

# --- tags as text ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, names, stamp_ns",
    [
        ("chair", ("chair",), None),
        (" chair , shower curtain,", ("chair", "shower curtain"), None),
        ("@12.500000000 chair, table", ("chair", "table"), 12_500_000_000),
        ("@12.5 chair", ("chair",), 12_500_000_000),
        ("@1700000000.000000001  chair", ("chair",), 1_700_000_000_000_000_001),
        ("@3 chair", ("chair",), 3 * S),
        ("@3 chair, -sofa, ?desk", ("chair", "-sofa", "?desk"), 3 * S),
    ],
)
def test_tags_are_read(text, names, stamp_ns):
    assert read_tag(text) == (names, stamp_ns)


@pytest.mark.parametrize("text", ["", " , ", "@12.5", "@ chair", "@1.2.3 chair", "@-1 chair", "x" * 1001])
def test_what_is_not_a_tag_is_refused(text):
    with pytest.raises(BadInput, match="expected"):
        read_tag(text)


# --- the collector ---------------------------------------------------------------------------------


class Stream:
    """A collector on a store in ``folder``, shown rooms at ten views a second; ``now`` is the wall clock."""

    def __init__(self, folder: Path, labels, automatic: bool = True, **changes) -> None:
        self.config = build(OnlineConfig, settings(folder, labels) | {"min_frames": 2} | changes)
        self.store = SceneStore(folder / "online", self.config, labels, 2)
        self.reports: list[str] = []
        self.collector = Collector(self.store, self.config, automatic, self.reports.append)
        self.now, self.stamp_ns = 100.0, 1000 * S

    def show(self, room: int, *views: int) -> str:
        """Show these views and return what is reported meanwhile."""
        self.reports.clear()
        for view in views:
            self.now += 0.1
            self.stamp_ns += S // 10
            self.collector.view(Room(room).frame(view, self.stamp_ns), self.now)
        return "; ".join(self.reports)

    def tag(self, about: str, text: str) -> list[str]:
        """Tag, and return what is refused by the time nothing waits any longer."""
        try:
            self.collector.tag(about, text, self.now)
        except BadInput as error:
            return [str(error)]
        return [str(error) for error in self.collector.settle(self.now + 60)]

    def stored(self) -> dict:
        return {stored.name: json.loads((stored.folder / "tags.json").read_text()) for stored in self.store.scenes()}


def test_the_first_view_starts_a_scene_and_a_far_one_the_next(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    assert "starts" in stream.show(0, 0, 1, 2)
    first = stream.collector.scene.name
    stream.tag("scene", "wall, Floor")
    report = stream.show(1, 0)
    assert f"scene {first} is stored" in report and "3 frames, wall, floor" in report and report.endswith("starts")
    assert stream.collector.scene.name != first and stream.stored()[first]["scene"] == ["wall", "floor"]
    (scene,), _ = open_scenes(tmp_path / "online/scenes", labels)
    assert (scene.name, scene.tags, len(scene)) == (first, ("wall", "floor"), 3), "offline commands read it"


def test_views_with_lens_distortion_are_stored_without_it(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    bent = replace(CAMERA, distortion=Distortion("polynomial", (-0.2, 0.03, 0.002, -0.001)))
    for view in range(3):
        raw = replace(Room(0).frame(view, (view + 1) * S), camera=bent)
        stream.collector.view(raw, stream.now + view)
    stream.tag("scene", "wall")
    stream.collector.finish("asked for")
    (scene,), _ = open_scenes(tmp_path / "online/scenes", labels)
    assert (len(scene), scene.frame(0).camera) == (3, CAMERA)


def test_without_automatic_only_start_starts_a_scene(tmp_path, labels):
    stream = Stream(tmp_path, labels, automatic=False)
    assert stream.show(0, 0, 1) == "" and stream.collector.scene is None
    stream.collector.start()
    stream.show(0, 0, 1, 2)
    assert stream.collector.scene.summary()["frames"] == 3
    stream.tag("image", "wall")
    assert "is stored" in stream.collector.finish("asked for")
    assert stream.show(0, 3) == "" and stream.collector.scene is None


def test_a_scene_without_tags_is_discarded_and_reported(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0, 1, 2)
    assert "is discarded (asked for): it has no tags" in stream.collector.finish("asked for")
    assert not stream.store.scenes()
    with pytest.raises(BadInput, match="no scene is open"):
        stream.collector.finish("asked for")


def test_a_second_start_ends_the_scene_before(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0, 1, 2)
    stream.tag("scene", "wall")
    assert "is stored (another one starts)" in stream.collector.start()


def test_silence_ends_a_scene_and_a_pause_does_not_count_as_silence(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0, 1, 2)
    stream.tag("scene", "wall")
    stream.reports.clear()
    stream.collector.check_silence(stream.now + 19)
    stream.collector.pause(stream.now + 100)
    stream.collector.check_silence(stream.now + 119)
    assert not stream.reports
    for later in (121, 500):
        stream.collector.check_silence(stream.now + later)
    (report,) = stream.reports
    assert "is stored (no view for 21 s)" in report


def test_an_image_tag_goes_to_the_view_of_its_time(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0, 2, 4)
    first = 1000 * S + S // 10
    for stamp_ns, name in ((first, "wall"), (first + 120_000_000, "floor")):
        assert not stream.tag("image", f"@{stamp_ns // S}.{stamp_ns % S:09d} {name}")
    assert not stream.tag("image", "bed")
    name = stream.collector.scene.name
    stream.collector.finish("asked for")
    frames = {int(number): tags for number, tags in stream.stored()[name]["frames"].items()}
    assert [frames[number] for number in sorted(frames)] == [["wall"], ["floor"], ["bed"]]
    assert stream.collector.taken == 3


def test_a_tag_waits_for_the_view_of_its_time(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0)
    stamp_ns = stream.stamp_ns + 2 * S // 10
    stream.collector.tag("image", f"@{stamp_ns // S}.{stamp_ns % S:09d} bed", stream.now)
    assert not stream.collector.settle(stream.now) and len(stream.collector.waiting) == 1
    stream.show(0, 2, 4)
    assert not stream.collector.settle(stream.now) and not stream.collector.waiting
    assert stream.collector.scene.summary()["image_tags"] == 1


@pytest.mark.parametrize("about", ["image", "scene"])
@pytest.mark.parametrize("text, why", [("@1.0 wall", "1"), ("@5000.0 wall", "5000")])
def test_a_tag_for_a_time_without_a_view_is_refused_in_the_end(tmp_path, labels, about, text, why):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0, 1)
    (fault,) = stream.tag(about, text)
    assert why in fault and not stream.collector.scene.tags and not stream.collector.taken


def test_a_tag_without_a_scene_waits_and_is_refused_in_the_end(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    (fault,) = stream.tag("scene", "wall")
    assert "no scene is open for 'wall'" in fault


@pytest.mark.parametrize(
    "about, text, why",
    [
        ("scene", "wall, chiar", "'chiar' is not a class of 'scannet20'; the nearest is 'chair'"),
        ("image", "sofa, bed, -sofa", "'sofa' is both present and absent"),
    ],
)
def test_names_that_cannot_be_tags_are_refused_at_once(tmp_path, labels, about, text, why):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0)
    with pytest.raises(BadInput, match=why):
        stream.collector.tag(about, text, stream.now)
    assert not stream.collector.scene.tags, "all or none of a message"


@pytest.mark.parametrize("complete", [True, False])
def test_absent_classes_reach_the_training_and_so_does_what_a_list_leaves_out(tmp_path, labels, complete):
    stream = Stream(tmp_path, labels, complete_tags=complete)
    stream.show(0, 0, 2, 4)
    assert not stream.tag("image", "wall, -bed, ?desk") and not stream.tag("scene", "-sofa, ?sink")
    scene = stream.collector.scene
    assert scene.summary()["tags"] == ["wall", "-sofa", "?desk", "?sink"] and scene.image_tags == 1
    stream.collector.finish("asked for")
    (written,) = stream.stored().values()
    assert written == {
        "scene": ["wall", "-sofa", "?desk", "?sink"],
        "frames": {"2": ["wall", "-bed", "?desk"]},
        **({} if complete else {"complete": False}),
    }
    (scene,), _ = open_scenes(tmp_path / "online/scenes", labels)
    (ready,) = prepare([scene], labels, tmp_path / "cache", 1).scenes
    judged = [set(labels.tags(row)) for row in (ready.known, ready.image_known[0])]
    every = set(labels.names)
    if complete:
        assert judged == [every - {"desk", "sink"}, every - {"desk"}]
    else:
        assert judged == [{"wall", "sofa"}, {"wall", "bed", "sofa"}], "no sofa is in the scene, so none in the image"


def test_a_tag_of_the_scene_before_does_not_go_to_the_next(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0, 1, 2)
    late_ns = stream.stamp_ns
    stream.tag("scene", "wall")
    stream.show(1, 0)
    (fault,) = stream.tag("image", f"@{late_ns // S}.{late_ns % S:09d} bed")
    assert "the scene of its time has ended" in fault


def test_stamps_that_jump_back_bring_no_new_frames_and_tags_of_both_times(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0, 2, 4)
    assert not stream.tag("image", "wall")
    stream.collector.jumped()
    stream.stamp_ns = 1000 * S
    stream.show(0, 0, 2, 4)
    assert not stream.tag("image", "@1000.1 floor") and stream.collector.jumps == 1
    summary = stream.collector.scene.summary()
    assert (summary["frames"], summary["received"], summary["image_tags"]) == (3, 6, 2)


def test_after_a_jump_back_tags_of_the_new_time_are_not_too_late(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0, 1, 2)
    stream.collector.finish("asked for")
    stream.collector.jumped()
    stream.stamp_ns = 1 * S
    stream.show(0, 0)
    assert not stream.tag("image", "@1.1 wall")


def test_a_pause_does_not_count_as_silence_between_two_stamps_either(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0, 1)
    name = stream.collector.scene.name
    stream.collector.pause(stream.now)
    stream.stamp_ns += 3600 * S
    assert stream.show(0, 2, 3) == "" and stream.collector.scene.name == name
    stream.stamp_ns += 3600 * S
    assert f"scene {name} is discarded (no view for 3600" in stream.show(0, 4), "that was no pause"


def text_at(stamp_ns: int, name: str) -> str:
    return f"@{stamp_ns // S}.{stamp_ns % S:09d} {name}"


def test_a_tag_that_waits_when_its_scene_ends_is_not_lost(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0, 1, 2)
    stream.collector.tag("image", text_at(stream.stamp_ns + S // 100, "bed"), stream.now)
    assert len(stream.collector.waiting) == 1
    assert "3 frames, bed" in stream.collector.finish("asked for") and not stream.collector.waiting


def test_a_tag_that_waits_goes_to_the_next_scene_where_that_is_nearer(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0, 1, 2)
    stream.tag("scene", "wall")
    stream.collector.tag("image", text_at(stream.stamp_ns + S // 10, "bed"), stream.now)
    assert "3 frames, wall" in stream.show(1, 0)  # a view of that time, and of another room
    assert not stream.collector.settle(stream.now) and stream.collector.scene.tags == ("bed",)


def test_after_a_jump_back_a_tag_waits_for_its_view(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0, 2, 4)
    stream.collector.jumped()
    stream.stamp_ns = 1000 * S
    stream.collector.tag("image", "@1000.1 floor", stream.now)
    stream.show(0, 6)
    assert not stream.collector.settle(stream.now)
    name = stream.collector.scene.name
    stream.collector.finish("asked for")
    assert stream.stored()[name]["frames"] == {"3": ["floor"]}, "not that of the time before"


def test_a_full_disk_ends_the_scene_and_the_next_starts_later(tmp_path, labels, monkeypatch):
    stream = Stream(tmp_path, labels)
    stream.show(0, 0)

    def full(path, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    with monkeypatch.context() as patch:
        patch.setattr("wsss_ros.scenes.scannet_write.write_depth", full)
        with pytest.raises(BadInput, match="No space left"):
            stream.show(0, 4)
    assert stream.collector.scene is None and "No space left" in stream.store.last_discard
    assert not list((stream.store.folder / "scenes").iterdir()), "nothing half is left"
    assert stream.show(0, 0, 1, 2) == "", "not at once"
    stream.now += RETRY_S
    assert "starts" in stream.show(0, 0, 1, 2)


def test_tags_that_wait_are_bounded(tmp_path, labels):
    stream = Stream(tmp_path, labels)
    for _ in range(5000):
        stream.collector.tag("scene", "wall", stream.now)
    with pytest.raises(BadInput, match="5000 tags wait"):
        stream.collector.tag("scene", "wall", stream.now)
