"""`wsss fuse`: its files, scores and held-out frames, how it continues, and what cannot be fused."""

import json
import os
import signal
from dataclasses import dataclass

import numpy as np
import pytest
from support.striped_scenes import StripedScene
from support.tiny_scene import TinyScene

from wsss_ros.bags.bag import Bag
from wsss_ros.bags.cdr import header, image_message
from wsss_ros.bags.writing import write_bag
from wsss_ros.evaluation.offline import FilePredictions
from wsss_ros.files import NotWritten
from wsss_ros.fusion import PRESETS, FusionSettings, labels_in_frame
from wsss_ros.label_files import fused
from wsss_ros.label_files.frame_labels import FileLabels, TopicLabels, class_numbers
from wsss_ros.label_files.fused import fuse_scene
from wsss_ros.labels import scannet20
from wsss_ros.processes.signals import Interrupted
from wsss_ros.scenes import ply
from wsss_ros.scenes.images import write_uint16
from wsss_ros.types import BadInput, Cloud

SETTINGS = FusionSettings(visibility="depth", dilation=0, max_distance_m=10)


class HalvedScene(TinyScene):
    """The wall of TinyScene: class 0 where x is below 1 m, class 3 above; one point is not finite."""

    @property
    def cloud(self):
        cloud = super().cloud
        xyz = cloud.xyz.copy()
        xyz[5] = np.nan
        return Cloud(xyz, cloud.rgb)

    def cloud_truth(self):
        return np.where(super().cloud.xyz[:, 0] < 1, 0, 3).astype(np.uint8)

    def frame_truth(self, index):
        frame = self.frame(index)
        v, u = np.mgrid[:24, :32]
        rays = np.stack([(u - 15.5) / 20.0, (v - 11.5) / 21.0, np.ones(u.shape)], axis=-1)
        x = (2.0 * rays @ frame.world_from_camera[:3, :3].T + frame.world_from_camera[:3, 3])[..., 0]
        return np.where(x < 1, 0, 3).astype(np.uint8)


@dataclass
class TrueLabels:
    """The truth as the labels of the frames; without label for the frames of ``missing``."""

    scene: HalvedScene
    missing: tuple = ()
    stop_at: int = -1
    asked: int = 0

    def __post_init__(self):
        self.labels, self.source = scannet20(), "truth"

    def of(self, frame):
        number = int(frame.name.split()[1])
        self.asked += 1
        if number == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        if number in self.missing:
            raise BadInput("no label image")
        return self.scene.frame_truth(number)


def test_the_files(tmp_path):
    scene, out, seen = HalvedScene(), tmp_path / "out", []
    report = fuse_scene(scene, TrueLabels(scene, (1,)), out, SETTINGS, progress=lambda *step: seen.append(step))
    assert (report.frames, report.left_out) == (4, {"no label image": 1})
    assert seen[-1] == ("votes", 5, 5)
    assert sorted(path.name for path in out.iterdir()) == ["fused.png", "segment.json", "tiny.labels.ply", "votes.npz"]
    assert report.scores["accuracy"] > 97 and report.points == len(scene.cloud)
    vertices, votes = ply.read(out / "tiny.labels.ply"), np.load(out / "votes.npz")
    np.testing.assert_array_equal(FilePredictions(out, scannet20()).cloud(scene), votes["label"])
    assert vertices["confidence"][0] == votes["confidence"][0] and votes["votes"].shape == (len(vertices), 20)
    assert (votes["votes"].sum(axis=1) > 0).sum() == report.voted > 300
    assert votes["label"][5] == 255 and (votes["label"] != 255).sum() == len(vertices) - 1
    note = json.loads((out / "segment.json").read_text())
    assert note["frames"] == 4 and note["fusion"]["visibility"] == "depth"


def test_held_out_frames_do_not_vote_and_are_compared(tmp_path):
    scene, out = HalvedScene(), tmp_path / "out"
    report = fuse_scene(scene, TrueLabels(scene), out, SETTINGS, hold_out=3)
    assert report.frames == 4 and report.held_out["frames"] == 1
    assert report.held_out["agreement"] > 90
    assert report.held_out["single_frames"]["accuracy"] == 100
    assert report.held_out["map"]["accuracy"] == pytest.approx(report.held_out["agreement"])


def test_an_interrupted_fusion_continues(tmp_path):
    scene = HalvedScene()
    whole = fuse_scene(scene, TrueLabels(scene), tmp_path / "whole", SETTINGS)
    with pytest.raises(
        Interrupted, match="stopped by SIGINT after 4 of 5 frames; the same command continues"
    ) as stopped:
        fuse_scene(scene, TrueLabels(scene, stop_at=3), tmp_path / "out", SETTINGS)
    assert stopped.value.signal == signal.SIGINT
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["unfinished.npz"]
    for other in ({"settings": PRESETS["features"]}, {"settings": SETTINGS, "up": (0.0, 1.0, 0.0)}):
        with pytest.raises(BadInput, match="a fusion of other frames, labels or settings"):
            fuse_scene(scene, TrueLabels(scene), tmp_path / "out", **other)
    rest = TrueLabels(scene)
    report = fuse_scene(scene, rest, tmp_path / "out", SETTINGS)
    assert rest.asked == 1 and report == whole, "the frame that was interrupted has voted once"
    found, expected = (np.load(tmp_path / name / "votes.npz") for name in ("out", "whole"))
    assert all((found[key] == expected[key]).all() for key in ("votes", "label"))
    with pytest.raises(BadInput, match="is complete"):
        fuse_scene(scene, TrueLabels(scene), tmp_path / "out", SETTINGS)


class BrokenScene(HalvedScene):
    """A scene without a cloud, whose first frame cannot be read."""

    cloud = None

    def cloud_truth(self):
        return None

    def frame(self, index):
        if index == 0:
            raise BadInput("0.jpg: not an image")
        return super().frame(index)


def test_a_frame_that_cannot_be_read_is_left_out(tmp_path, caplog):
    scene = BrokenScene(scale=4)
    report = fuse_scene(scene, TrueLabels(scene), tmp_path / "out", SETTINGS)
    assert (report.frames, report.left_out) == (4, {"0.jpg: not an image": 1}) and report.voted > 100
    assert "frames cannot be read; the first: 0.jpg: not an image" in caplog.text


def test_what_a_killed_fusion_was_writing_is_no_hindrance_and_does_not_stay(tmp_path):
    scene, out = HalvedScene(), tmp_path / "out"
    out.mkdir()
    (out / ".unfinished.npz.x1y2.partial").write_bytes(b"PK")  # killed during the first save
    fuse_scene(scene, TrueLabels(scene), out, SETTINGS)
    assert not list(out.glob(".*"))


def test_frames_that_are_all_held_out_or_none(tmp_path, caplog):
    scene = HalvedScene()
    with pytest.raises(BadInput, match="hold_out 1: all 5 frames are held out, so none can vote"):
        fuse_scene(scene, TrueLabels(scene), tmp_path / "a", SETTINGS, hold_out=1)
    assert fuse_scene(scene, TrueLabels(scene), tmp_path / "b", SETTINGS, hold_out=6).held_out is None
    assert "hold_out 6: none of 5 frames is held out" in caplog.text


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path):
    scene = HalvedScene()
    (tmp_path / "file").touch()
    labels = TrueLabels(scene)
    with pytest.raises(NotWritten, match="file"):
        fuse_scene(scene, labels, tmp_path / "file" / "out", SETTINGS)
    assert not labels.asked


def test_what_cannot_be_fused(tmp_path):
    scene = HalvedScene()
    with pytest.raises(BadInput, match="no frame of 5 has voted .5 no label image"):
        fuse_scene(scene, TrueLabels(scene, tuple(range(5))), tmp_path / "a", SETTINGS)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "thesis.tex").touch()
    with pytest.raises(BadInput, match="is not an unfinished fusion"):
        fuse_scene(scene, TrueLabels(scene), tmp_path / "b", SETTINGS)
    bare = HalvedScene(has_depth=False)
    bare.__class__ = type("Bare", (HalvedScene,), {"cloud": None})
    with pytest.raises(BadInput, match="no cloud, and no frames with depth"):
        fuse_scene(bare, TrueLabels(scene), tmp_path / "c", SETTINGS)


class OtherLabels(TrueLabels):
    """Label images that do not belong to the frames: square ones, or ones without any known id."""

    def of(self, frame):
        return np.zeros((20, 20), np.uint8) if self.stop_at else np.full((24, 32), 255, np.uint8)


def test_labels_that_do_not_belong_to_the_frames(tmp_path):
    scene = HalvedScene()
    with pytest.raises(BadInput, match="20x20 for an image of 32x24.*, 2 for other causes") as refused:
        fuse_scene(scene, OtherLabels(scene), tmp_path / "a", SETTINGS)
    assert str(refused.value).count("20x20") == 3
    with pytest.raises(BadInput, match="reach none of .* check that their ids are those of 'scannet20'"):
        fuse_scene(scene, OtherLabels(scene, stop_at=0), tmp_path / "b", SETTINGS)


def test_the_direction_against_gravity_can_be_given(tmp_path, monkeypatch):
    def refuse(scene):
        raise BadInput("up cannot be found")

    monkeypatch.setattr(fused, "up_of", refuse)
    scene = HalvedScene()
    with pytest.raises(BadInput, match="up cannot be found"):
        fuse_scene(scene, TrueLabels(scene), tmp_path / "a", SETTINGS)
    assert fuse_scene(scene, TrueLabels(scene), tmp_path / "b", SETTINGS, up=(0.0, -1.0, 0.0)).frames == 5


def test_label_images_in_a_folder(tmp_path):
    scene, space = HalvedScene(), scannet20()
    folder = tmp_path / "labels" / "label-filt"
    folder.mkdir(parents=True)
    with pytest.raises(BadInput, match="no label images"):
        FileLabels(tmp_path / "labels", space)
    for index in range(4):
        write_uint16(folder / f"frame {index}.png", space.to_ids(scene.frame_truth(index)).astype(np.uint16))
    files = FileLabels(tmp_path / "labels", space)
    np.testing.assert_array_equal(files.of(scene.frame(2)), scene.frame_truth(2))
    report = fuse_scene(scene, files, tmp_path / "out", SETTINGS)
    assert report.frames == 4 and report.left_out == {"no label image in the folder": 1}


def test_label_images_whose_numbers_mean_something_else(tmp_path):
    """13 is a place in the list of classes, and no id of the data set: it is refused, or read as ``label_ids`` says."""
    scene, space = HalvedScene(), scannet20()
    places = np.full(scene.frame_truth(0).shape, 13, np.uint16)
    write_uint16(tmp_path / f"{scene.frame(0).name}.png", places)
    with pytest.raises(BadInput, match="--label-ids index"):
        FileLabels(tmp_path, space)
    np.testing.assert_array_equal(FileLabels(tmp_path, space, "index").of(scene.frame(0)), places)


def test_a_damaged_label_image_on_a_topic_leaves_out_its_frame_alone(tmp_path, labels, monkeypatch):
    scene, topic, whole = StripedScene(0, labels), "/ground_truth/semantic/image_raw", Bag.raw

    def damaged(bag, topics=None):
        for number, raw in enumerate(whole(bag, topics)):
            yield raw._replace(data=raw.data[:20]) if number == 1 else raw

    source = TopicLabels(write_bag(scene, tmp_path / "scene.mcap"), topic, labels)
    monkeypatch.setattr(Bag, "raw", damaged)
    for index in range(len(scene)):
        if index != 1:
            np.testing.assert_array_equal(source.of(scene.frame(index)), scene.frame_truth(index))
            continue
        with pytest.raises(BadInput, match="no label image with its stamp"):
            source.of(scene.frame(index))


def test_the_map_in_a_frame():
    scene = HalvedScene()
    frame, xyz, label = scene.frame(1), TinyScene().cloud.xyz, scene.cloud_truth()
    found = labels_in_frame(xyz, label, frame, reach_m=0.1)
    known = found != 255
    assert known.mean() > 0.9 and not known[0, :4].any()
    assert (found == scene.frame_truth(1))[known].mean() > 0.95
    assert (labels_in_frame(xyz[:0], label[:0], frame) == 255).all()


@pytest.mark.parametrize("encoding, kind", [("mono8", np.uint8), ("mono16", np.uint16), ("32SC1", np.int32)])
def test_label_images_of_other_models(encoding, kind):
    ids = np.array([[0, 19, 255]], kind)
    message = image_message(header(0, "camera"), ids, encoding)
    assert class_numbers(message, scannet20()).tolist() == [[0, 19, 255]]
    if kind is np.int32:
        ids[0, 0] = -1
        assert class_numbers(image_message(header(0, "camera"), ids, encoding), scannet20()).tolist() == [
            [255, 19, 255]
        ]
    ids[0, 1] = 20
    with pytest.raises(BadInput, match="id 20: 'scannet20' has classes 0 to 19"):
        class_numbers(image_message(header(0, "camera"), ids, encoding), scannet20())


@pytest.mark.parametrize(
    "damage", [lambda data: data[:-40], lambda data: data[:80] + b"?" + data[81:], lambda data: b""]
)
def test_a_damaged_unfinished_fusion_says_what_to_do(tmp_path, damage):
    scene = HalvedScene()
    with pytest.raises(Interrupted):
        fuse_scene(scene, TrueLabels(scene, stop_at=1), tmp_path / "out", SETTINGS)
    path = tmp_path / "out" / "unfinished.npz"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(BadInput, match="unfinished.npz: cannot be read .*remove it to start again"):
        fuse_scene(scene, TrueLabels(scene), tmp_path / "out", SETTINGS)
