"""Weights handed to running segmenters: under a stream, in a burst, broken, early, and to nodes that come and go."""

import os
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from support.waiting import until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.qos import QoSProfile  # noqa: E402
from sensor_msgs.msg import Image, PointCloud2  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from support.node_views import BEST_EFFORT, LATCHED, RELIABLE, answered, until_answered  # noqa: E402
from support.ros_probe import NodeProcess, Probe  # noqa: E402
from support.tiny_networks import CONFIGS, ON_ONE_THREAD, save_network  # noqa: E402
from support.view_messages import CLOCK, cloud, header, room  # noqa: E402

from wsss_ros.bags import cloud_codec, codec  # noqa: E402
from wsss_ros.inference import CloudSegmenter, ImageSegmenter  # noqa: E402
from wsss_ros.labels import LabelSpace  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402
from wsss_ros.nodes.health import RECENT_S  # noqa: E402
from wsss_ros.types import Frame  # noqa: E402

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def versions(tmp_path_factory, labels) -> dict[str, dict[str, Path]]:
    """Six files of each kind, by version, in the order of announcement."""
    folder = tmp_path_factory.mktemp("versions")
    made = {}
    for kind in CONFIGS:
        paths = [folder / f"{number:04d}" / f"{kind}.safetensors" for number in range(6)]
        made[kind] = {save_network(path, kind, labels, number): path for number, path in enumerate(paths)}
    return made


@pytest.fixture
def start(shared_ros_environment, probe, tmp_path, request):
    """Starts a segmenter and waits until it is active; all are ended."""
    running = []

    def run(name: str, weights: Path, log: str = "node.log", **parameters) -> NodeProcess:
        given = ON_ONE_THREAD | {"weights": weights} | parameters
        running.append(NodeProcess(name, shared_ros_environment, tmp_path / log, **given))
        return probe.active(running[-1])

    yield run
    for node in running:
        node.end()
        probe.diagnostics.pop(node.path, None)
    publishers = probe._publishers  # announcements of one test are not those of another
    for topic in [topic for topic in publishers if "/weights/" in topic]:
        probe.node.destroy_publisher(publishers.pop(topic))


def announce(probe: Probe, node: NodeProcess, path: object) -> None:
    kind = "image" if node.name == "image_segmenter" else "cloud"
    probe.publish_without_waiting(node.topic(f"weights/{kind}"), String(data=str(path)), LATCHED)


def in_use(probe: Probe, node: NodeProcess, version: str) -> None:
    until(lambda: probe.values(node).get("weights") == version, lambda: f"never {version}: {node.text}")


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((20, 20, 1), np.uint8))


# --- the image segmenter under a stream ------------------------------------------------------------


class Stream:
    """Pictures in turn at 10 Hz, and when each was sent and answered."""

    def __init__(self, probe: Probe, node: NodeProcess, pictures: list[np.ndarray]) -> None:
        self.pictures, self.sent, self.answers = pictures, {}, []
        self._publisher = probe.node.create_publisher(Image, node.topic("color/image_raw"), BEST_EFFORT)
        note = lambda message: self.answers.append((time.monotonic(), message))  # noqa: E731
        probe.node.create_subscription(Image, node.topic("semantic/image_raw"), note, QoSProfile(depth=1000))
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        due, number = time.monotonic(), 0
        while not self._ended.wait(max(0, due - time.monotonic())):
            stamp = CLOCK.next()
            message = conversions.image_message(header(stamp, "c"), self.pictures[number % len(self.pictures)], "rgb8")
            self.sent[stamp] = (time.monotonic(), number % len(self.pictures))
            self._publisher.publish(message)
            due, number = due + 0.1, number + 1

    def __enter__(self) -> "Stream":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def latencies_ms(self, around: list[float] | None = None, within_s: float = 1.0) -> np.ndarray:
        """Of all answers, or of those to frames sent near some moments."""
        found = []
        for at, message in list(self.answers):
            sent_at, _ = self.sent[codec.stamp_ns(message.header)]
            if around is None or any(abs(sent_at - moment) <= within_s for moment in around):
                found.append(1e3 * (at - sent_at))
        return np.array(found)

    def unanswered(self, around: list[float], within_s: float = 1.0) -> tuple[float, float]:
        """Shares of the frames sent near some moments, and of the others."""
        answered = {codec.stamp_ns(message.header) for _, message in self.answers}
        lost: dict[bool, list[bool]] = {True: [], False: []}
        for stamp, (at, _) in self.sent.items():
            lost[any(abs(at - moment) <= within_s for moment in around)].append(stamp not in answered)
        return tuple(float(np.mean(lost[near] or [False])) for near in (True, False))


def versions_of(stream: Stream, results: dict[str, list[bytes]]) -> list[str]:
    """The version that made each answer, in the order of the frames. Each answer is exactly that of one version."""
    versions = []
    for _, message in sorted(stream.answers, key=lambda answer: codec.stamp_ns(answer[1].header)):
        index = stream.sent[codec.stamp_ns(message.header)][1]
        makers = [version for version, labels in results.items() if labels[index] == bytes(message.data)]
        assert len(makers) == 1, f"picture {index} was labelled by {makers}; expected one version"
        versions += makers
    return versions


def test_five_hand_overs_under_a_stream(probe, start, versions):
    files, pictures = versions["image"], [picture(seed) for seed in range(4)]
    results = {
        version: [ImageSegmenter(path, "cpu", "float32", 1)(Frame(rgb))[0].tobytes() for rgb in pictures]
        for version, path in files.items()
    }
    (first, _), *later = files.items()
    node = start("image_segmenter", files[first])
    published: list[tuple[float, str]] = []
    note = lambda message: published.append((time.monotonic(), message.data))  # noqa: E731
    probe.node.create_subscription(String, f"{node.path}/weights", note, LATCHED)
    until(lambda: published, "a late subscriber gets no version")
    with Stream(probe, node, pictures) as stream:
        more_answers(stream, 20)
        for version, path in later:
            announce(probe, node, path)
            until(lambda version=version: published[-1][1] == version, f"never {version}")
            more_answers(stream, 10)
    values = until(lambda: counts_of_a_node_at_rest(probe, node), "it never answered all", lambda: len(stream.answers))
    until(lambda: len(stream.answers) == int(values["processed"]), "a frame was lost that no newer one replaced")
    assert [version for _, version in published] == list(files)
    made_by = versions_of(stream, results)
    assert list(dict.fromkeys(made_by)) == list(files) and made_by == sorted(made_by, key=list(files).index)
    assert (values["weights"], values["weights_file"]) == (later[-1][0], str(later[-1][1]))
    assert values["hand_overs"] == "5"
    swaps = [at for at, _ in published[1:]]
    near, far = stream.unanswered(swaps)
    all_ms, near_ms = stream.latencies_ms(), stream.latencies_ms(swaps)
    print(
        f"\n{len(stream.sent)} frames sent, {len(stream.answers)} answered; "
        f"latency ms: median {np.median(all_ms):.0f}, p95 {np.percentile(all_ms, 95):.0f}, max {all_ms.max():.0f}; "
        f"within 1 s of a swap: median {np.median(near_ms):.0f}, p95 {np.percentile(near_ms, 95):.0f}, "
        f"max {near_ms.max():.0f}; unanswered: {near:.0%} within 1 s of a swap, {far:.0%} of the others"
    )


def more_answers(stream: Stream, count: int) -> None:
    first = len(stream.answers)
    until(lambda: len(stream.answers) >= first + count, "frames are not answered", lambda: len(stream.answers))


def counts_of_a_node_at_rest(probe: Probe, node: NodeProcess) -> dict[str, str] | None:
    """Values of the diagnostics, once each frame was labelled or replaced by a newer one."""
    values = probe.values(node)
    replaced = int(values.get("dropped image replaced by a newer one", 0))
    received = int(values[f"received {node.topic('color/image_raw')}"])
    return values if int(values["processed"]) == received - replaced else None


# --- files that cannot be used ---------------------------------------------------------------------


def bad_files(folder: Path, labels: LabelSpace, sound: Path, point: Path) -> dict[str, tuple[object, str]]:
    """What is announced, and the message about it."""
    (folder / "half").write_bytes(sound.read_bytes()[:-1000])
    (folder / "foreign").write_bytes(b"not weights at all")
    turned = LabelSpace("turned", labels.names[::-1], labels.colors, labels.ids)
    save_network(folder / "turned", "image", turned, 0)
    # Weights that are finite and whose scores are not: trying them shows it.
    save_network(folder / "huge", "image", labels, 0, lambda network: [p.fill_(3e38) for p in network.parameters()])
    nan = torch.tensor(float("nan"))
    save_network(folder / "nan", "image", labels, 0, lambda network: next(network.parameters()).fill_(nan))
    return {
        "missing": (folder / "nowhere.safetensors", "is not a file here"),
        "a folder": (folder, "is not a file here"),
        "relative": ("weights/image.safetensors", "expected the absolute path"),
        "empty": ("", "expected the absolute path"),
        "half written": (folder / "half", "not a readable checkpoint"),
        "foreign": (folder / "foreign", "not a readable checkpoint"),
        "of points": (point, "a network for 'cloud', expected one for 'image'"),
        "other labels": (folder / "turned", "label space 'turned' of 20 classes, expected 'scannet20'"),
        "not finite": (folder / "nan", "weights that are not finite"),
        "not finite at work": (folder / "huge", "its scores are not finite"),
    }


def test_bad_files_leave_the_old_weights_at_work(probe, start, versions, labels, tmp_path):
    (first, path), (second, other) = list(versions["image"].items())[:2]
    node = start("image_segmenter", path)
    answers = probe.collect(Image, node.topic("semantic/image_raw"), RELIABLE)
    expected = ImageSegmenter(path, "cpu", "float32", 1)(Frame(picture(0)))[0].tobytes()
    point = next(iter(versions["cloud"].values()))
    for name, (bad, text) in bad_files(tmp_path, labels, path, point).items():
        announce(probe, node, bad)
        status = probe.next_status(node, "new weights refused", text, f"{first} stays")
        assert status.level == b"\x01", name
        values = {pair.key: pair.value for pair in status.values}
        assert (values["weights"], values["weights_file"]) == (first, str(path)), name
    refused_at = time.monotonic()
    stamp = CLOCK.next()
    message = conversions.image_message(header(stamp, "c"), picture(0), "rgb8")
    until_answered(lambda: probe.send(node.topic("color/image_raw"), message, BEST_EFFORT), answers)
    assert bytes(answered(answers, stamp).data) == expected
    until(lambda: time.monotonic() > refused_at + RECENT_S + 1)  # other problems are reported for this long
    assert "new weights refused" in probe.next_status(node).message, "reported until another announcement"
    announce(probe, node, other)
    in_use(probe, node, second)
    assert "refused" not in probe.next_status(node).message
    announce(probe, node, tmp_path / "half")
    probe.next_status(node, "new weights refused", f"{second} stays")
    announce(probe, node, other)  # what is in use already
    until(lambda: "refused" not in probe.next_status(node).message, "the problem stays")
    assert probe.values(node)["hand_overs"] == "1"
    assert probe.get(node, "weights") == str(path), "the parameter stays what it starts with"
    assert "Traceback" not in node.text and "internal error" not in node.text


def test_of_a_burst_the_newest_wins(probe, start, versions):
    *files, (newest, last) = versions["image"].items()
    node = start("image_segmenter", files[0][1])
    published = probe.collect(String, f"{node.path}/weights", LATCHED)
    announce(probe, node, files[1][1])
    in_use(probe, node, files[1][0])
    burst = files * 20
    for _, path in burst:
        announce(probe, node, path)
    announce(probe, node, last)  # the only time: nothing of the burst may come after it
    in_use(probe, node, newest)
    values = probe.values(node)
    assert values["weights"] == newest and int(values["hand_overs"]) < len(burst)
    until(lambda: published[-1].data == newest)
    assert [message.data for message in published].count(newest) == 1


# --- nodes that come and go ------------------------------------------------------------------------


def test_a_late_node_gets_the_newest_and_one_that_was_killed_again(probe, start, versions, shared_ros_environment):
    (first, path), (second, announced), (third, newest), *_ = versions["image"].items()
    name = "image_segmenter"
    topic = f"/{name}_test_{os.getpid()}/weights/image"
    for file in (announced, newest):
        probe.publish_without_waiting(topic, String(data=str(file)), LATCHED)
    node = start(name, path)
    in_use(probe, node, third)
    announce(probe, node, announced)
    node.end(signal.SIGKILL)
    again = start(name, path, log="again.log")
    in_use(probe, again, second)
    assert probe.values(again)["weights_file"] == str(announced)


def test_deactivate_and_cleanup_in_the_middle_of_a_load(probe, start, versions):
    (first, path), *others = versions["image"].items()
    node = start("image_segmenter", path)
    published = probe.collect(String, f"{node.path}/weights", LATCHED)
    for number in range(3):
        version, file = others[number]
        announce(probe, node, file)
        time.sleep(0.02 * number)  # the load is somewhere in its course
        assert probe.transition(node, "deactivate")
        if number:
            assert probe.transition(node, "cleanup")
            until(lambda: probe.node.count_publishers(f"{node.path}/weights") == 0, "its publisher is left")
            assert probe.transition(node, "configure")
        assert probe.transition(node, "activate")
        in_use(probe, node, version)
        until(lambda version=version: published and published[-1].data == version, "the version was not published")
    assert "Traceback" not in node.text and "internal error" not in node.text
    assert node.end() == 0


# --- the cloud segmenter ---------------------------------------------------------------------------


def test_clouds_are_labelled_by_one_version_each(probe, start, versions):
    files = dict(list(versions["cloud"].items())[:3])
    (first, path), *later = files.items()
    node = start("cloud_segmenter", path, points=1000)
    got = probe.collect(PointCloud2, node.topic("semantic_cloud"), LATCHED)
    seen = set()
    for version, file in files.items():
        if file != path:
            announce(probe, node, file)
            in_use(probe, node, version)
        stamp = CLOCK.next()
        probe.send(node.topic("cloud"), cloud(stamp), LATCHED)
        table = np.frombuffer(answered(got, stamp).data, cloud_codec.SEMANTIC_POINT)
        expected = CloudSegmenter(file, "cpu", "float32", 1000, 1)(room())[0]
        np.testing.assert_array_equal(table["label"], expected)
        seen.add(expected.tobytes())
    assert len(seen) == 3, "the versions give the same labels"
    announce(probe, node, next(iter(versions["image"].values())))
    status = probe.next_status(node, "new weights refused", "expected one for 'cloud'", f"{later[-1][0]} stays")
    assert status.level == b"\x01"
    assert probe.values(node)["hand_overs"] == "2"
