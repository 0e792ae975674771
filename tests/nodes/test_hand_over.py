"""Weights handed to running segmenters: under a stream, in a burst, broken, early, and to nodes that come and go."""

import os
import signal
import threading
import time
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from sensor_msgs.msg import Image, PointCloud2  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from support.ros_probe import NodeProcess, Probe, wait  # noqa: E402
from test_nodes import BEST_EFFORT, CLOCK, LATCHED, RELIABLE, answered, cloud, header, room  # noqa: E402

from wsss_ros.bags import cloud_codec, codec  # noqa: E402
from wsss_ros.inference import CloudSegmenter, ImageSegmenter  # noqa: E402
from wsss_ros.labels import LabelSpace  # noqa: E402
from wsss_ros.networks import checkpoint  # noqa: E402
from wsss_ros.nodes import conversions  # noqa: E402
from wsss_ros.nodes.hand_over import HandOver  # noqa: E402
from wsss_ros.nodes.health import Health  # noqa: E402
from wsss_ros.types import BadInput, Frame  # noqa: E402

POINTS = {"width": 0.125, "centres": (256, 128, 64, 32), "neighbours": (16, 8, 8, 8)}
CONFIGS = {
    "image": checkpoint.NetworkConfig("image", "resnet", {"width": 0.25}),
    "cloud": checkpoint.NetworkConfig("cloud", "pointnet2", POINTS, inputs=("color",)),
}
COMMON = {"device": "cpu", "precision": "float32", "threads": 1}


def save(path: Path, kind: str, labels: LabelSpace, seed: int, spoil=lambda network: None) -> str:
    """Returns the version."""
    torch.manual_seed(seed)
    network = CONFIGS[kind].build(labels)
    with torch.no_grad():
        for value in network.parameters():  # a fresh head answers much alike, whatever its seed
            if value.dim() > 1 and len(value) == len(labels):
                value.mul_(30)
        spoil(network)
    return checkpoint.save(path, network, CONFIGS[kind], labels)


@pytest.fixture(scope="module")
def versions(tmp_path_factory, labels) -> dict[str, dict[str, Path]]:
    """Six files of each kind, by version, in the order of announcement."""
    folder = tmp_path_factory.mktemp("versions")
    made = {}
    for kind in CONFIGS:
        paths = [folder / f"{number:04d}" / f"{kind}.safetensors" for number in range(6)]
        made[kind] = {save(path, kind, labels, number): path for number, path in enumerate(paths)}
    return made


@pytest.fixture(scope="module")
def probe(shared_ros_environment):
    made = Probe(shared_ros_environment)
    yield made
    made.close()


@pytest.fixture
def start(shared_ros_environment, probe, tmp_path, request):
    """Starts a segmenter and waits until it is active; all are ended."""
    running = []

    def run(name: str, weights: Path, log: str = "node.log", **parameters) -> NodeProcess:
        given = COMMON | {"weights": weights} | parameters
        node = NodeProcess(name, shared_ros_environment, tmp_path / log, **given)
        running.append(node)
        said = probe.diagnostics[node.path] = []
        # Not by a service: one of the same name that was killed would be asked for a while.
        state = lambda: said and next(pair.value for pair in said[-1].values if pair.key == "state")  # noqa: E731
        wait(lambda: state() == "active", 60, "never active")
        return node

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


def in_use(probe: Probe, node: NodeProcess, version: str, timeout_s: float = 30) -> None:
    wait(lambda: probe.values(node).get("weights") == version, timeout_s, f"never {version}: {node.text}")


def picture(seed: int) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((20, 20, 1), np.uint8))


# --- the image segmenter under a stream ------------------------------------------------------------


class Stream:
    """Pictures at 10 Hz in turn, and when each was sent and answered."""

    def __init__(self, probe: Probe, node: NodeProcess, pictures: list[np.ndarray]) -> None:
        self.pictures, self.sent, self.answers = pictures, {}, []
        self._publisher = probe.node.create_publisher(Image, node.topic("color/image_raw"), BEST_EFFORT)
        note = lambda message: self.answers.append((time.monotonic(), message))  # noqa: E731
        probe.node.create_subscription(Image, node.topic("semantic/image_raw"), note, RELIABLE)
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
        """Of all answers, or of those sent so near to some moments."""
        found = []
        for at, message in list(self.answers):
            sent_at, _ = self.sent[codec.stamp_ns(message.header)]
            if around is None or any(abs(sent_at - moment) <= within_s for moment in around):
                found.append(1e3 * (at - sent_at))
        return np.array(found)


    def unanswered(self, around: list[float], within_s: float = 1.0) -> tuple[float, float]:
        """Shares of the frames sent so near to some moments, and of the others."""
        answered = {codec.stamp_ns(message.header) for _, message in self.answers}
        lost: dict[bool, list[bool]] = {True: [], False: []}
        for stamp, (at, _) in self.sent.items():
            lost[any(abs(at - moment) <= within_s for moment in around)].append(stamp not in answered)
        return tuple(float(np.mean(lost[near] or [False])) for near in (True, False))


def versions_of(stream: Stream, results: dict[str, list[bytes]]) -> list[str]:
    """By which version each answer was made, in the order of the frames; each must be exactly that of one."""
    told = []
    for _, message in sorted(stream.answers, key=lambda answer: codec.stamp_ns(answer[1].header)):
        index = stream.sent[codec.stamp_ns(message.header)][1]
        makers = [version for version, labels in results.items() if labels[index] == bytes(message.data)]
        assert len(makers) == 1, f"picture {index} was labelled by {makers}; expected one version"
        told += makers
    return told


def test_five_hand_overs_under_a_stream(probe, start, versions):
    files, pictures = versions["image"], [picture(seed) for seed in range(4)]
    results = {
        version: [ImageSegmenter(path, "cpu", "float32", 1)(Frame(rgb))[0].tobytes() for rgb in pictures]
        for version, path in files.items()
    }
    (first, _), *later = files.items()
    node = start("image_segmenter", files[first])
    told: list[tuple[float, str]] = []
    note = lambda message: told.append((time.monotonic(), message.data))  # noqa: E731
    probe.node.create_subscription(String, f"{node.path}/weights", note, LATCHED)
    wait(lambda: told, 10, "no version told to a late joiner")
    with Stream(probe, node, pictures) as stream:
        wait(lambda: len(stream.answers) > 20, 30, "no answers")
        for version, path in later:
            announce(probe, node, path)
            wait(lambda version=version: told[-1][1] == version, 30, f"never {version}")
            time.sleep(1.5)
    time.sleep(0.5)
    assert [version for _, version in told] == list(files)
    made_by = versions_of(stream, results)
    assert list(dict.fromkeys(made_by)) == list(files) and made_by == sorted(made_by, key=list(files).index)
    values = probe.values(node)
    assert (values["weights"], values["weights_file"]) == (later[-1][0], str(later[-1][1]))
    assert values["hand_overs"] == "5"
    received = int(values[f"received {node.topic('color/image_raw')}"])
    replaced = int(values.get("dropped image replaced by a newer one", 0))
    swaps = [at for at, _ in told[1:]]
    near, far = stream.unanswered(swaps)
    all_ms, near_ms = stream.latencies_ms(), stream.latencies_ms(swaps)
    print(
        f"\n{len(stream.sent)} frames sent, {received} received, {replaced} replaced, {len(stream.answers)} answered; "
        f"latency ms: median {np.median(all_ms):.0f}, p95 {np.percentile(all_ms, 95):.0f}, max {all_ms.max():.0f}; "
        f"within 1 s of a swap: median {np.median(near_ms):.0f}, p95 {np.percentile(near_ms, 95):.0f}, "
        f"max {near_ms.max():.0f}; unanswered: {near:.0%} within 1 s of a swap, {far:.0%} of the others"
    )
    assert len(stream.answers) == received - replaced, "a frame was lost that no newer one replaced"
    assert near <= far + 0.2, "on a busy machine frames are replaced, but no more so where weights are handed over"


# --- files that cannot be used ---------------------------------------------------------------------


def bad_files(folder: Path, labels: LabelSpace, sound: Path, point: Path) -> dict[str, tuple[object, str]]:
    """What is announced, and what is told of it."""
    (folder / "half").write_bytes(sound.read_bytes()[:-1000])
    (folder / "foreign").write_bytes(b"not weights at all")
    turned = LabelSpace("turned", labels.names[::-1], labels.colors, labels.ids)
    save(folder / "turned", "image", turned, 0)
    # Weights that are finite and whose scores are not: checked by trying them.
    save(folder / "huge", "image", labels, 0, lambda network: [p.fill_(3e38) for p in network.parameters()])
    nan = torch.tensor(float("nan"))
    save(folder / "nan", "image", labels, 0, lambda network: next(network.parameters()).fill_(nan))
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
        status = probe.told(node, "new weights refused", text, f"{first} stays", timeout_s=20)
        assert status.level == b"\x01", name
        values = {pair.key: pair.value for pair in status.values}
        assert (values["weights"], values["weights_file"]) == (first, str(path)), name
    stamp = CLOCK.next()
    message = conversions.image_message(header(stamp, "c"), picture(0), "rgb8")
    probe.send(node.topic("color/image_raw"), message, BEST_EFFORT)
    assert bytes(answered(answers, stamp).data) == expected
    time.sleep(11)  # longer than other complaints stay
    assert "new weights refused" in probe.told(node, "").message, "told for as long as it holds"
    announce(probe, node, other)
    in_use(probe, node, second)
    assert "refused" not in probe.told(node, "").message
    announce(probe, node, tmp_path / "half")
    probe.told(node, "new weights refused", f"{second} stays", timeout_s=20)
    announce(probe, node, other)  # what is at work already
    wait(lambda: "refused" not in probe.told(node, "").message, 10, "the complaint stays")
    assert probe.values(node)["hand_overs"] == "1"
    assert probe.get(node, "weights") == str(path), "the parameter stays what it starts with"
    assert "Traceback" not in node.text and "internal error" not in node.text


def test_of_a_burst_the_newest_wins(probe, start, versions):
    files = list(versions["image"].items())
    node = start("image_segmenter", files[0][1])
    announce(probe, node, files[1][1])
    in_use(probe, node, files[1][0])
    for _, path in files * 20:
        announce(probe, node, path)
    in_use(probe, node, files[-1][0])
    time.sleep(2)
    values = probe.values(node)
    assert values["weights"] == files[-1][0] and int(values["hand_overs"]) < 20


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
    told = probe.collect(String, f"{node.path}/weights", LATCHED)
    for number in range(3):
        version, file = others[number]
        announce(probe, node, file)
        time.sleep(0.02 * number)  # the load is somewhere in its course
        assert probe.transition(node, "deactivate")
        if number:
            assert probe.transition(node, "cleanup")
            wait(lambda: probe.node.count_publishers(f"{node.path}/weights") == 0, 30, "its publisher is left")
            assert probe.transition(node, "configure")
        assert probe.transition(node, "activate")
        in_use(probe, node, version)
        wait(lambda version=version: told and told[-1].data == version, 10, "the version was not told")
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
        wanted = CloudSegmenter(file, "cpu", "float32", 1000, 1)(room())[0]
        np.testing.assert_array_equal(table["label"], wanted)
        seen.add(wanted.tobytes())
    assert len(seen) == 3, "the versions cannot be told apart"
    announce(probe, node, next(iter(versions["image"].values())))
    status = probe.told(node, "new weights refused", "expected one for 'cloud'", f"{later[-1][0]} stays", timeout_s=20)
    assert status.level == b"\x01"
    assert probe.values(node)["hand_overs"] == "2"


# --- in this process: what the timing of real ones leaves to chance --------------------------------


class FakeNode:
    """What a HandOver asks of a node; jobs run when the test says."""

    def __init__(self) -> None:
        self.health, self.jobs, self.told = Health(), [], []
        self.destroyed = False

    def create_publisher(self, kind, topic, qos):
        return SimpleNamespace(publish=lambda message: self.told.append(message.data))

    def destroy_publisher(self, publisher) -> None:
        self.destroyed = True

    def subscribe(self, *_, **__) -> None: ...

    def every(self, period_s, function) -> None:
        self.again = function

    def submit(self, kind, function, *arguments) -> None:
        self.jobs.append((function, arguments))

    def get_logger(self):
        return SimpleNamespace(info=lambda text: None, warning=lambda text: None)

    def work(self) -> None:
        while self.jobs:
            function, arguments = self.jobs.pop(0)
            function(*arguments)


class FakeNetwork:
    kind, device, labels = "image", torch.device("cpu"), None

    file = "shipped"

    def __init__(self, version: str, load=None) -> None:
        self.version, self.with_weights = version, load


@pytest.fixture
def gated(tmp_path):
    """A HandOver whose loads wait for a word, and the files a to d."""
    node, gates = FakeNode(), {name: threading.Event() for name in "abcd"}
    for name in "abcd":
        (tmp_path / name).write_text("whole")

    def load(path: str) -> FakeNetwork:
        started.append(Path(path).name)
        assert gates[Path(path).name].wait(10)
        return FakeNetwork(Path(path).name, load)

    started: list[str] = []
    made = HandOver(node, "weights/image", FakeNetwork("old", load), lambda _: (None, np.ones(3)))
    made.start()
    say = lambda name: made.on_announced(String(data=str(tmp_path / name)))  # noqa: E731
    yield SimpleNamespace(node=node, made=made, gates=gates, say=say, started=started)
    for gate in gates.values():
        gate.set()
    made.stop()


def test_while_one_loads_only_the_newest_waits(gated):
    gated.say("a")
    wait(lambda: gated.started == ["a"])
    for name in "bcd":
        gated.say(name)
    for gate in gated.gates.values():
        gate.set()
    wait(lambda: gated.node.jobs)
    gated.node.work()
    assert gated.started == ["a", "d"] and gated.node.told == ["old", "d"]
    assert gated.made.current.segmenter.version == "d" and gated.made.count == 1


def test_what_was_loaded_and_then_overtaken_is_not_taken(gated):
    gated.gates["a"].set()
    gated.say("a")
    wait(lambda: gated.node.jobs)
    gated.say("b")  # before the worker came to it
    gated.node.work()
    assert gated.node.told == ["old"]
    gated.gates["b"].set()
    wait(lambda: gated.node.jobs)
    gated.node.work()
    assert gated.node.told == ["old", "b"]


def test_a_stop_in_the_middle_of_a_load_lets_it_come_to_nothing(gated):
    gated.say("a")
    wait(lambda: gated.started == ["a"])
    threading.Timer(0.2, gated.gates["a"].set).start()
    gated.made.stop()
    gated.node.work()
    assert gated.node.told == ["old"] and not gated.made.problem
    gated.made.start()
    gated.say("a")  # the latch tells it again
    wait(lambda: gated.node.jobs)
    gated.node.work()
    assert gated.node.told == ["old", "a"]
    gated.made.stop()
    gated.made.release()
    assert gated.node.destroyed and gated.made.current is None


def test_a_failure_that_may_pass_is_tried_again(gated, monkeypatch):
    old = gated.made.current.segmenter
    load = old.with_weights
    monkeypatch.setattr(old, "with_weights", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA")))
    gated.say("a")
    wait(lambda: gated.made.problem)
    assert "a: OutOfMemoryError: CUDA; old stays, it is tried again every 5 s" in gated.made.problem
    assert not gated.node.jobs and gated.node.health.dropped == {"new weights not loaded": 1}
    gated.node.again()
    wait(lambda: gated.node.health.dropped == {"new weights not loaded": 2})
    old.with_weights = load
    gated.gates["a"].set()
    gated.node.again()
    wait(lambda: gated.node.jobs)
    gated.node.work()
    assert gated.node.told == ["old", "a"] and not gated.made.problem
    gated.node.again()
    assert gated.started == ["a"], "what is in use is not loaded again"


def test_a_refused_file_is_not_tried_again(gated, monkeypatch):
    old = gated.made.current.segmenter
    monkeypatch.setattr(old, "with_weights", lambda *_: (_ for _ in ()).throw(BadInput("no checkpoint")))
    gated.say("a")
    wait(lambda: gated.made.problem)
    gated.node.again()
    time.sleep(0.2)
    assert gated.node.health.dropped == {"new weights refused": 1} and "announce a sound file" in gated.made.problem


def test_the_old_network_is_let_go(gated):
    old = weakref.ref(gated.made.current.segmenter)
    gated.gates["a"].set()
    gated.say("a")
    wait(lambda: gated.node.jobs)
    assert old() is not None
    gated.node.work()
    assert old() is None, "something still refers to the network that was replaced"
