"""The evaluator node between real processes; what it counts is tested in tests/evaluation."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from support.waiting import status_of, until

from wsss_ros.evaluation import played
from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix

SECOND = 10**9

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import Image, PointCloud2  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from support.node_views import LATCHED, RELIABLE  # noqa: E402
from support.ros_probe import NodeProcess, Probe  # noqa: E402
from support.tiny_networks import ON_ONE_THREAD, save_network  # noqa: E402
from support.view_messages import CLOCK, header  # noqa: E402

from wsss_ros.bags import cloud_codec, codec  # noqa: E402
from wsss_ros.bags.recording import SceneRecording  # noqa: E402
from wsss_ros.inference import CloudSegmenter, ImageSegmenter, shipped_weights  # noqa: E402
from wsss_ros.networks import checkpoint  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402
from wsss_ros.rooms.generator import generate_room  # noqa: E402
from wsss_ros.scenes import open_scene  # noqa: E402

pytestmark = pytest.mark.slow
SPACE = "/evaluated"


@pytest.fixture
def processes(ros_environment, tmp_path):
    """Starts nodes in one namespace; those that still run at the end are ended."""
    running = []

    def start(name: str, log: str = "", **parameters) -> NodeProcess:
        log_file = tmp_path / f"{log or name}.log"
        running.append(NodeProcess(name, ros_environment, log_file, space=SPACE, **parameters))
        return running[-1]

    yield start
    for node in running:
        node.end()


@pytest.fixture
def probe(ros_environment):
    made = Probe(ros_environment)
    yield made
    made.close()


def entries(folder: Path) -> dict[tuple[str, str, str], dict]:
    found = json.loads((folder / "evaluation.json").read_text())
    return {(entry["set"], entry["version"], entry["domain"]): entry for entry in found}


def scored(folder: Path, name: str) -> dict[str, int]:
    """How many predictions of each domain the report counts in the set ``name``."""
    if not (folder / "evaluation.json").exists():
        return {}
    return {domain: entry["frames"] for (chosen, _, domain), entry in entries(folder).items() if chosen == name}


def has_rest(probe: Probe, node: NodeProcess, topic: str, job: str) -> bool:
    """Whether a segmenter has labelled all its input, or replaced it by newer, and nothing more has come."""
    before, values = probe.values(node), probe.values(node)
    received, replaced = f"received {SPACE}/{topic}", int(values.get(f"dropped {job} replaced by a newer one", 0))
    return before[received] == values[received] and int(values.get("processed", 0)) == int(values[received]) - replaced


def test_a_room_played_twice_with_other_weights_is_scored_as_offline(probe, processes, labels, tmp_path):
    room = generate_room(tmp_path / "rooms", 5, frames=12, size=(160, 120))
    # The weights that ship know something, so that no number is trivial; then some that know nothing.
    files = {kind: [shipped_weights(kind), tmp_path / "other" / kind] for kind in ("image", "cloud")}
    versions = {
        kind: [checkpoint.load(shipped).version, save_network(other, kind, labels, 1)]
        for kind, (shipped, other) in files.items()
    }
    evaluator = processes("evaluator", output=tmp_path / "out", write_period_s=1.0)
    images = processes("image_segmenter", weights=files["image"][0], min_confidence=0.0, **ON_ONE_THREAD)
    clouds = processes("cloud_segmenter", weights=files["cloud"][0], points=2000, min_confidence=0.0, **ON_ONE_THREAD)
    for node in (evaluator, images, clouds):
        probe.active(node)
    answers = {"2d": probe.collect(Image, f"{SPACE}/semantic/image_raw", RELIABLE),
               "3d": probe.collect(PointCloud2, f"{SPACE}/semantic_cloud", LATCHED)}  # fmt: skip
    kept: dict[tuple[str, str], list] = {}
    counts = lambda: {domain: len(got) for domain, got in answers.items()}  # noqa: E731
    for number, name in enumerate(("old", "new")):
        play = {"source": room, "rate": 4.0, "set_name": name, "wait_for_subscribers_s": 300.0}
        player = processes("replay", log=f"replay{number}", **play)
        assert status_of(player.process, counts) == 0, player.text
        until(lambda: has_rest(probe, images, "color/image_raw", "image"), "images are not labelled", counts)
        until(lambda: has_rest(probe, clouds, "cloud", "cloud"), "clouds are not labelled", counts)
        # What the evaluator has not scored when it ends is in no report.
        until(
            lambda n=name: scored(tmp_path / "out", n) == counts(),
            lambda n=name: f"'{n}': {scored(tmp_path / 'out', n)} of {counts()} scored; {probe.values(evaluator)}",
        )
        for domain, got in answers.items():
            kept[name, domain] = got[:]
            got.clear()
        for kind, path in (("image", files["image"][1]), ("cloud", files["cloud"][1])):
            probe.publish_without_waiting(f"{SPACE}/weights/{kind}", String(data=str(path)), LATCHED)
        for node, kind in ((images, "image"), (clouds, "cloud")):
            until(lambda n=node, k=kind: probe.values(n)["weights"] == versions[k][1], "no hand-over")
    assert entries(tmp_path / "out"), "written while it runs"
    assert evaluator.end(signal.SIGINT) == 0 and "Traceback" not in evaluator.text, evaluator.text
    report = entries(tmp_path / "out")
    scene = open_scene(room, labels)
    by_stamp = {scene.frame(index).stamp_ns: index for index in range(len(scene))}
    for number, name in enumerate(("old", "new")):
        assert len(kept[name, "2d"]) > 6 and kept[name, "3d"], "too few predictions to compare"
        matrix, segmenter = ConfusionMatrix(labels), ImageSegmenter(files["image"][number], "cpu", "float32", 1)
        for message in kept[name, "2d"]:
            index = by_stamp[codec.stamp_ns(message.header)]
            found = segmenter(scene.frame(index))[0]
            assert np.array_equal(codec.image_to_labels(message), found), f"{name}, frame {index}"
            matrix.update(found, scene.frame_truth(index))
        assert_scored(report[name, versions["image"][number], "2d"], matrix, len(kept[name, "2d"]))
        matrix, segmenter = ConfusionMatrix(labels), CloudSegmenter(files["cloud"][number], "cpu", "float32", 2000, 1)
        true_clouds = true_clouds_of(scene)
        for message in kept[name, "3d"]:
            cloud = cloud_codec.read_cloud(message).cloud
            truth = true_clouds[codec.stamp_ns(message.header)]
            assert np.array_equal(truth.xyz, cloud.xyz)
            found = segmenter(type(cloud)(truth.xyz, truth.rgb))[0]
            matrix.update(found, truth.labels)
        assert_scored(report[name, versions["cloud"][number], "3d"], matrix, len(kept[name, "3d"]))
    assert len(report) == 4 and report["old", versions["image"][0], "2d"]["miou"] > 3


def true_clouds_of(scene) -> dict[int, played.Points]:
    found = {}
    for stamp, topic, message in SceneRecording(scene).messages():
        if topic == "ground_truth/cloud":
            found[stamp] = played._points(message)
    return found


def assert_scored(entry: dict, matrix: ConfusionMatrix, frames: int) -> None:
    scores = matrix.compute()
    assert entry["frames"] == frames
    assert entry["miou"] == pytest.approx(scores["miou"]) and entry["iou"] == pytest.approx(scores["iou"])


# --- what cannot be scored -------------------------------------------------------------------------


def labels_image(stamp: int, pixels: np.ndarray, encoding: str = "mono8") -> Image:
    message = conversions.image_message(header(stamp, "c"), pixels, "mono8")
    message.encoding = encoding
    return message


def labelled_cloud(stamp: int, labels: np.ndarray, frame_id: str = "map", field: str = "label") -> PointCloud2:
    """Points without colour on a line, as anybody might send them."""
    table = np.zeros(len(labels), [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), (field, "<u4")])
    table["x"], table[field] = np.arange(len(labels)), labels
    message = PointCloud2(header=header(stamp, frame_id), height=1, width=len(labels), point_step=16)
    message.row_step = 16 * len(labels)
    message.fields = [
        conversions.PointField(name=name, offset=4 * place, datatype=kind, count=1)
        for place, (name, kind) in enumerate(zip(table.dtype.names, (7, 7, 7, 6), strict=True))
    ]
    message.data.frombytes(table.tobytes())
    return message


def test_bad_input_is_counted_and_never_ends_it(probe, processes, tmp_path):
    node = processes("evaluator", output=tmp_path / "out", write_period_s=0.5, sensor_timeout_s=30.0)
    probe.active(node)
    truth = np.array([[0, 1, 2], [2, 255, 200]], np.uint8)
    square = np.zeros((4, 4), np.uint8)

    def images(pred: Image, true: Image) -> None:
        probe.send(f"{SPACE}/ground_truth/semantic/image_raw", true, RELIABLE)
        probe.send(f"{SPACE}/semantic/image_raw", pred, RELIABLE)

    def clouds(pred: PointCloud2, true: PointCloud2) -> None:
        probe.send(f"{SPACE}/ground_truth/cloud", true, LATCHED)
        probe.send(f"{SPACE}/semantic_cloud", pred, LATCHED)

    probe.publish_without_waiting(f"{SPACE}/image_segmenter/weights", String(data="abc"), LATCHED)
    stamp = CLOCK.next
    at = stamp()
    images(labels_image(at, square), labels_image(at, truth))
    probe.next_status(node, "label image size: 4 x 4 predicted, 3 x 2 true")
    at = stamp()
    images(labels_image(at, truth, "rgb8"), labels_image(at, truth))
    probe.next_status(node, "label encoding: got 'rgb8', expected mono8")
    at = stamp()
    images(labels_image(at, np.full_like(truth, 77)), labels_image(at, truth))
    probe.next_status(node, "predicted labels outside of 'scannet20': 6 in one of the images")
    probe.next_status(node, "true labels outside of 'scannet20': 1 in one")
    for bad, text in (
        (lambda s: labelled_cloud(s, np.zeros(3), frame_id="odom"), "cloud frames: 'odom' predicted, 'map' true"),
        (lambda s: labelled_cloud(s, np.zeros(3), field="other"), "cloud labels: no field 'label'"),
        (lambda s: labelled_cloud(s, np.zeros(0)), "empty labelled cloud: 0 points"),
    ):
        at = stamp()
        clouds(bad(at), labelled_cloud(at, np.array([1, 2, 255])))
        probe.next_status(node, text)
    at = stamp()  # another size, nearest within 5 cm; a label that fits no byte
    clouds(labelled_cloud(at, np.array([1, 70_000])), labelled_cloud(at, np.array([1, 2, 255])))
    at = stamp()
    images(labels_image(at, truth), labels_image(at, truth))

    def all_scored() -> bool:
        values = probe.values(node)
        return values.get("miou 2d abc", "").endswith("of 2") and "miou 3d unknown" in values

    until(all_scored, "not all scored")
    assert "without a version" in probe.next_status(node).message
    assert node.end() == 0 and "Traceback" not in node.text and "internal error" not in node.text
    found = entries(tmp_path / "out")
    flat = found["", "abc", "2d"]
    assert flat["frames"] == 2 and flat["iou"]["wall"] == pytest.approx(50) and flat["iou"]["bed"] is None
    solid = found["", "unknown", "3d"]
    assert solid["frames"] == 1 and (solid["iou"]["floor"], solid["iou"]["cabinet"]) == (100, 0)


def test_a_folder_that_cannot_be_written(probe, processes, tmp_path):
    (tmp_path / "file").write_text("in the way")
    node = processes("evaluator", output=tmp_path / "file" / "out", exit_on_failure="false")
    assert probe.next_status(node, "configure failed", "cannot be written").level == b"\x02"
    assert node.end() == 0 and "Traceback" not in node.text
