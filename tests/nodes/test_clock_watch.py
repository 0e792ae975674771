"""With use_sim_time: a /clock that never comes, one that is paused, and a replay that waits for its set."""

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from wsss_ros.nodes import clock_watch  # noqa: E402
from wsss_ros.nodes.clock_watch import ClockWatch  # noqa: E402
from wsss_ros.nodes.inputs import START_S  # noqa: E402
from wsss_ros.nodes.silence import Graph  # noqa: E402


class Simulation(Graph):
    """A node whose parts ``ClockWatch`` uses; ``seconds`` is the steady clock, ``now_ns`` the simulated one."""

    def __init__(self, monkeypatch) -> None:
        self.seconds, self.now_ns, self.sources = 100.0, 0, []
        self.use_sim_time = True
        monkeypatch.setattr(clock_watch, "time", SimpleNamespace(monotonic=lambda: self.seconds))
        super().__init__(self)
        self.watch = ClockWatch(self, self)

    def get_parameter(self, name: str):
        return SimpleNamespace(value=self.use_sim_time)

    def get_clock(self):
        return SimpleNamespace(now=lambda: SimpleNamespace(nanoseconds=self.now_ns))

    def publishers(self, topic: str):
        return [SimpleNamespace(node=name) for name in self.sources]

    def after(self, seconds: float, silent: bool = True) -> str:
        self.seconds += seconds
        return "".join(text for _, text in self.watch.problems(5.0, silent))


@pytest.fixture
def simulation(monkeypatch) -> Simulation:
    return Simulation(monkeypatch)


def test_a_clock_that_never_comes(simulation):
    assert simulation.after(0) == simulation.after(4) == ""
    text = simulation.after(2, silent=False)
    assert text.startswith("no simulated time: use_sim_time is true, and nothing came on /clock for 6 s; start the sim")
    simulation.now_ns = 7 * 10**9
    assert simulation.after(1) == ""


def test_a_paused_clock_is_the_reason_of_silence_only(simulation):
    simulation.now_ns = 12_500_000_000
    assert simulation.after(1) == ""
    assert simulation.after(6, silent=False) == ""
    assert "the simulated clock stands still at 12.500 s for 6 s: the simulation" in simulation.after(0)


def test_a_replay_that_waits_for_its_set_is_no_problem(simulation):
    simulation.sources = ["/robot/replay"]
    assert simulation.after(0) == simulation.after(START_S - 1) == ""
    assert "no simulated time" in simulation.after(2)


def test_without_simulated_time_there_is_nothing_to_watch(simulation):
    simulation.use_sim_time = False
    assert simulation.after(0) == simulation.after(60) == ""
