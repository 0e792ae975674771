"""The hand-over of weights in this process: steps whose order real processes leave to chance."""

import threading
import weakref
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from support.waiting import HANG_S, until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from std_msgs.msg import String  # noqa: E402

from wsss_ros.nodes.hand_over import HandOver  # noqa: E402
from wsss_ros.nodes.health import Health  # noqa: E402
from wsss_ros.types import BadInput  # noqa: E402


class FakeNode:
    """The parts of a node that a HandOver uses; jobs run when the test calls ``work``."""

    def __init__(self) -> None:
        self.health, self.jobs, self.published = Health(), [], []
        self.destroyed = False

    def create_publisher(self, kind, topic, qos):
        return SimpleNamespace(publish=lambda message: self.published.append(message.data))

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
    """A HandOver whose loads wait for their gate, and the files a to d."""
    node, gates = FakeNode(), {name: threading.Event() for name in "abcd"}
    for name in "abcd":
        (tmp_path / name).write_text("complete")

    def load(path: str) -> FakeNetwork:
        started.append(Path(path).name)
        assert gates[Path(path).name].wait(HANG_S)
        return FakeNetwork(Path(path).name, load)

    started: list[str] = []
    hand_over = HandOver(node, "weights/image", FakeNetwork("old", load), lambda _: (None, np.ones(3)))
    hand_over.start()
    announce = lambda name: hand_over.on_announced(String(data=str(tmp_path / name)))  # noqa: E731
    yield SimpleNamespace(node=node, hand_over=hand_over, gates=gates, announce=announce, started=started)
    for gate in gates.values():
        gate.set()
    hand_over.stop()


def test_a_new_file_with_the_weights_in_use_is_followed_without_a_second_network(tmp_path):
    (tmp_path / "copy").write_text("complete")
    node, current, tried = FakeNode(), FakeNetwork("old", lambda path: FakeNetwork("old")), []
    hand_over = HandOver(node, "weights/image", current, lambda _: (tried.append(1), np.ones(3)))
    hand_over.start()
    hand_over.on_announced(String(data=str(tmp_path / "copy")))
    until(lambda: node.jobs)
    node.work()
    assert not tried and hand_over.current.segmenter is current and hand_over.current.file == str(tmp_path / "copy")
    hand_over.stop()


def test_while_one_loads_only_the_newest_waits(gated):
    gated.announce("a")
    until(lambda: gated.started == ["a"])
    for name in "bcd":
        gated.announce(name)
    for gate in gated.gates.values():
        gate.set()
    until(lambda: gated.node.jobs)
    gated.node.work()
    assert gated.started == ["a", "d"] and gated.node.published == ["old", "d"]
    assert gated.hand_over.current.segmenter.version == "d" and gated.hand_over.count == 1


def test_frames_go_on_while_weights_load(gated):
    gated.announce("a")
    until(lambda: gated.started == ["a"])
    seen = []
    for _ in range(3):
        gated.node.submit("image", lambda: seen.append(gated.hand_over.current.segmenter.version))
        gated.node.work()
    gated.gates["a"].set()
    until(lambda: gated.node.jobs)
    gated.node.work()
    gated.node.submit("image", lambda: seen.append(gated.hand_over.current.segmenter.version))
    gated.node.work()
    assert seen == ["old", "old", "old", "a"]


def test_what_was_loaded_and_then_overtaken_is_not_taken(gated):
    gated.gates["a"].set()
    gated.announce("a")
    until(lambda: gated.node.jobs)
    gated.announce("b")  # before the worker takes it
    gated.node.work()
    assert gated.node.published == ["old"]
    gated.gates["b"].set()
    until(lambda: gated.node.jobs)
    gated.node.work()
    assert gated.node.published == ["old", "b"]


def test_a_stop_in_the_middle_of_a_load_discards_it(gated):
    gated.announce("a")
    until(lambda: gated.started == ["a"])
    threading.Timer(0.2, gated.gates["a"].set).start()
    gated.hand_over.stop()
    gated.node.work()
    assert gated.node.published == ["old"] and not gated.hand_over.problem
    gated.hand_over.start()
    gated.announce("a")  # the latch repeats it
    until(lambda: gated.node.jobs)
    gated.node.work()
    assert gated.node.published == ["old", "a"]
    gated.hand_over.stop()
    gated.hand_over.release()
    assert gated.node.destroyed and gated.hand_over.current is None


def test_a_failure_that_may_pass_is_tried_again(gated, monkeypatch):
    old = gated.hand_over.current.segmenter
    load = old.with_weights
    monkeypatch.setattr(old, "with_weights", lambda *_: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA")))
    gated.announce("a")
    until(lambda: gated.hand_over.problem)
    assert "a: OutOfMemoryError: CUDA; old stays, it is tried again every 5 s" in gated.hand_over.problem
    assert not gated.node.jobs and gated.node.health.dropped == {"new weights not loaded": 1}
    gated.node.again()
    until(lambda: gated.node.health.dropped == {"new weights not loaded": 2})
    old.with_weights = load
    gated.gates["a"].set()
    gated.node.again()
    until(lambda: gated.node.jobs)
    gated.node.work()
    assert gated.node.published == ["old", "a"] and not gated.hand_over.problem
    gated.node.again()
    assert gated.started == ["a"], "what is in use is not loaded again"


def test_a_refused_file_is_not_tried_again(gated, monkeypatch):
    old = gated.hand_over.current.segmenter
    monkeypatch.setattr(old, "with_weights", lambda *_: (_ for _ in ()).throw(BadInput("no checkpoint")))
    gated.announce("a")
    until(lambda: gated.hand_over.problem)
    gated.node.again()
    gated.hand_over.stop()  # whatever was started has ended
    assert gated.node.health.dropped == {"new weights refused": 1}
    assert "announce a sound file" in gated.hand_over.problem


def test_nothing_refers_to_the_old_network(gated):
    old = weakref.ref(gated.hand_over.current.segmenter)
    gated.gates["a"].set()
    gated.announce("a")
    until(lambda: gated.node.jobs)
    assert old() is not None
    gated.node.work()
    assert old() is None, "something still refers to the network that was replaced"
