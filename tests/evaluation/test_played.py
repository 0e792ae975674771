"""Scores of bags whose contents are known, through the files and messages of the real chain."""

from pathlib import Path

import numpy as np
import pytest

from wsss_ros.bags import cdr
from wsss_ros.bags.recorder import Recorder
from wsss_ros.bags.recording import Topic
from wsss_ros.evaluation.played import Played, Published, label_points, read_played, read_published, score_played
from wsss_ros.types import BadInput, Cloud

IMAGE, CLOUD = cdr.IMAGE, cdr.CLOUD
TRUTH = np.array([[0, 0, 1], [1, 255, 2]], np.uint8)
XYZ = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]], np.float32)
RGB = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)


def record(path: Path, entries: list[tuple[str, str, int, object]]) -> Path:
    topics = {topic: Topic(topic, kind) for topic, kind, *_ in entries}
    recorder = Recorder(path, topics.values())
    for topic, kind, received_ns, message in entries:
        recorder.write(topic, received_ns, bytes(cdr.typestore().serialize_cdr(message, kind)))
    recorder.close()
    return path


def image(topic: str, stamp_ns: int, received_ns: int, pixels: np.ndarray, encoding: str):
    head = cdr.header(stamp_ns, "camera")
    return topic, IMAGE, received_ns, cdr.image_message(head, pixels, encoding)


def cloud(topic: str, stamp_ns: int, received_ns: int, xyz: np.ndarray, labels: np.ndarray | None):
    head = cdr.header(stamp_ns, "map")
    return topic, CLOUD, received_ns, cdr.cloud_message(head, Cloud(xyz, RGB[: len(xyz)]), labels)


@pytest.fixture
def bags(tmp_path):
    color = np.zeros((2, 3, 3), np.uint8)
    played = record(
        tmp_path / "played",
        [
            image("/color/image_raw", 100, 100, color, "rgb8"),
            image("/ground_truth/semantic/image_raw", 100, 100, TRUTH, "mono8"),
            image("/color/image_raw", 200, 200, color, "rgb8"),
            image("/ground_truth/semantic/image_raw", 200, 200, TRUTH, "mono8"),
            cloud("/ground_truth/cloud", 200, 200, XYZ, np.array([0, 1, 2, 255], np.uint8)),
        ],
    )
    predicted = np.array([[0, 0, 1], [0, 0, 2]], np.uint8)  # one pixel of class 1 taken for class 0
    moved = XYZ[[1, 0, 2]] + np.float32([0.01, 0, 0])
    moved[2, 1] += 1  # the third point was not covered
    published = record(
        tmp_path / "published",
        [
            image("/color/image_raw", 100, 1_000_000_000, color, "rgb8"),
            image("/semantic/image_raw", 100, 1_030_000_000, predicted, "mono8"),
            image("/semantic/confidence", 100, 1_031_000_000, np.ones((2, 3), np.float32), "32FC1"),
            cloud("/cloud", 150, 2_000_000_000, moved, None),
            cloud("/semantic_cloud", 150, 2_500_000_000, moved, np.array([1, 0, 2], np.uint8)),
        ],
    )
    return read_played(played), read_published(published)


def test_report(bags, labels):
    report = score_played(*bags, labels)
    assert (report["images_played"], report["images_answered"]) == (2, 1)
    assert report["score_2d"]["frames"] == 1
    assert report["score_2d"]["iou"]["wall"] == pytest.approx(100 * 2 / 3)
    assert report["score_2d"]["iou"]["floor"] == pytest.approx(50)
    assert report["score_2d"]["iou"]["cabinet"] == 100
    assert report["latency_ms"]["image_segmenter"] == {"median": 30.0, "p95": 30.0, "count": 1}
    assert report["latency_ms"]["cloud_segmenter"] == {"median": 500.0, "p95": 500.0, "count": 1}


def test_every_true_point_counts_and_uncovered_ones_are_missed(bags, labels):
    score = score_played(*bags, labels)["score_3d"]
    assert [score["iou"][name] for name in ("wall", "floor", "cabinet")] == [100, 100, 0]
    assert score["miou"] == pytest.approx(200 / 3)
    assert score["covered"] == pytest.approx(200 / 3)


def test_colours_come_back_from_the_message(bags):
    assert np.array_equal(bags[1].input_cloud.rgb, RGB[:3])
    assert (bags[1].input_cloud.labels == 255).all()


def test_without_truth_there_is_no_score(bags, labels):
    report = score_played(Played(images=bags[0].images), bags[1], labels)
    assert report["score_2d"] is None and report["score_3d"] is None


def test_nothing_published_is_reported_as_that(bags, labels):
    report = score_played(bags[0], Published(), labels)
    assert report["images_answered"] == 0 and report["cloud_points"] == 0 and report["score_3d"] is None


def test_a_recording_never_replaces_another(tmp_path):
    (tmp_path / "there").mkdir()
    with pytest.raises(BadInput, match="exists"):
        Recorder(tmp_path / "there", [])


def test_an_unfinished_recording_keeps_its_partial_name(tmp_path):
    Recorder(tmp_path / "bag", [Topic("/cloud", CLOUD)])
    assert not (tmp_path / "bag").exists() and (tmp_path / "bag.partial").is_dir()


def test_equal_clouds_are_matched_by_order_and_others_by_the_nearest():
    xyz = np.array([[0, 0, 0], [0, 0, 0], [1, 0, 0]], np.float32)
    labels = np.array([4, 5, 6], np.uint8)
    assert label_points(xyz, labels, xyz.copy()).tolist() == [4, 5, 6], "two points at one place keep theirs"
    near = np.array([[1.04, 0, 0], [1.06, 0, 0]], np.float32)
    assert label_points(xyz, labels, near).tolist() == [6, 255]
    utm = np.array([500_000.0, 4_649_776.0, 213.0])
    assert label_points(xyz + utm, labels, near.astype(np.float64) + utm).tolist() == [6, 255]


def test_compressed_images_are_read_and_timed(tmp_path):
    rgb = np.full((8, 8, 3), 90, np.uint8)
    jpeg = cdr.jpeg_message(cdr.header(100, "camera"), rgb, 95)
    entry = ("/color/image_raw/compressed", cdr.JPEG, 1_000_000_000, jpeg)
    answer = image("/semantic/image_raw", 100, 1_020_000_000, np.zeros((8, 8), np.uint8), "mono8")
    bag = record(tmp_path / "bag", [entry, answer])
    assert np.abs(read_played(bag).images[100].astype(int) - rgb).max() <= 2
    assert read_published(bag).image_latency == pytest.approx([0.02])
