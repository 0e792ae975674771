"""Playback: when messages are due, pause, loops, slow recordings, and what can be played."""

import threading

import pytest
from support.tiny_scene import TinyScene, write_scene_folder

from wsss_ros.bags import playback
from wsss_ros.bags.bag import is_bag
from wsss_ros.bags.playback import Playback, open_recording
from wsss_ros.bags.recording import Raw, SceneRecording, Topic
from wsss_ros.bags.writing import write_bag
from wsss_ros.types import BadInput

SECOND, TICK_S = 10**9, 0.02


class FakeTime:
    """The module ``time`` with a clock that only ``sleep`` and waiting move."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class FakeCondition:
    """A condition of one thread: a wait with a limit moves the clock, one without calls ``on_pause``."""

    def __init__(self, time: FakeTime, on_pause) -> None:
        self.time, self.on_pause = time, on_pause

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...

    def notify_all(self) -> None: ...

    def wait(self, seconds: float | None) -> None:
        self.on_pause() if seconds is None else self.time.sleep(seconds)


class Ticks:
    """A recording of empty messages, one every 20 ms; ``make_s`` is the time to make one."""

    topics = (Topic("/tick", "std_msgs/msg/Empty"),)

    def __init__(self, count: int = 6, time: FakeTime | None = None, make_s: float = 0.0) -> None:
        self.stamps = [5 * SECOND + round(i * TICK_S * SECOND) for i in range(count)]
        self.time, self.make_s = time, make_s

    def raw(self):
        for stamp_ns in self.stamps:
            if self.time is not None:
                self.time.sleep(self.make_s)
            yield Raw("/tick", "std_msgs/msg/Empty", stamp_ns, b"")


@pytest.fixture
def time(monkeypatch) -> FakeTime:
    fake = FakeTime()
    monkeypatch.setattr(playback, "time", fake)
    return fake


def in_fake_time(time: FakeTime, recording: Ticks, on_pause=lambda: None, **options) -> Playback:
    made = Playback(recording, **options)
    made._changed = FakeCondition(time, on_pause)
    return made


def played(playback: Playback, time: FakeTime) -> list[tuple[float, int]]:
    """Seconds since the first message, and stamp, of all messages."""
    got = []
    playback.play(lambda raw: got.append((time.now, raw.stamp_ns)))
    return [(at - got[0][0], stamp_ns) for at, stamp_ns in got]


# --- pacing ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.5, 1.0, 4.0])
def test_messages_come_when_they_are_due(time, rate):
    recording = Ticks()
    got = played(in_fake_time(time, recording, rate=rate), time)
    assert [stamp for _, stamp in got] == recording.stamps
    due = [(stamp - recording.stamps[0]) / SECOND / rate for stamp in recording.stamps]
    assert [at for at, _ in got] == pytest.approx(due, abs=1e-6)


def test_the_clock_never_goes_back_nor_past_an_unsent_message():
    playback = Playback(Ticks(10), rate=2.0)
    assert playback.now_ns() is None
    seen, sent, at_sending = [], [], []

    def send(raw: Raw) -> None:
        at_sending.append(playback.now_ns())
        sent.append(raw.stamp_ns)

    thread = threading.Thread(target=playback.play, args=(send,))
    thread.start()
    while thread.is_alive():
        known, now_ns = len(sent), playback.now_ns()
        if now_ns is not None:
            seen.append(now_ns)
            unsent = playback.recording.stamps[known:]
            assert len(sent) > known or not unsent or now_ns <= unsent[0]
    thread.join()
    assert seen == sorted(seen) and playback.now_ns() == sent[-1]
    assert sent == at_sending == playback.recording.stamps


def test_pause_holds_messages_and_clock_and_resume_goes_on_from_there(time):
    held = []

    def on_pause() -> None:
        held.append((len(got), playback.now_ns()))
        time.sleep(7.0)
        held.append((len(got), playback.now_ns()))
        playback.pause()  # a second pause changes nothing
        playback.resume()

    def send(raw: Raw) -> None:
        got.append((time.now, raw.stamp_ns))
        if len(got) == 3:
            time.sleep(TICK_S / 2)
            playback.pause()

    got, recording = [], Ticks()
    playback = in_fake_time(time, recording, on_pause, paused=True)
    playback.play(send)
    first, third = recording.stamps[0], recording.stamps[2]  # the clock does not go past the last message sent
    assert held == [(0, first), (0, first), (3, third), (3, third)]
    assert [stamp for _, stamp in got] == recording.stamps
    assert got[3][0] - got[2][0] == pytest.approx(TICK_S / 2 + 7.0 + TICK_S)


def test_a_loop_starts_over_until_it_is_stopped(time):
    playback, got = in_fake_time(time, Ticks(3), rate=10, loop=True), []

    def send(raw: Raw) -> None:
        got.append(raw.stamp_ns)
        if len(got) == 7:
            playback.stop()

    playback.play(send)
    assert got == (Ticks(3).stamps * 3)[:7] and playback.loops == 2 and playback.sent == 7


def test_a_stop_ends_a_pause():
    playback = Playback(Ticks(), paused=True)
    thread = threading.Thread(target=playback.play, args=(lambda raw: None,))
    thread.start()
    playback.stop()
    thread.join()
    assert not playback.sent


def test_slow_messages_slow_the_replay_and_are_reported(time):
    playback = in_fake_time(time, Ticks(5, time, make_s=0.08))
    got = played(playback, time)
    assert len(got) == 5 and got[-1][0] == pytest.approx(4 * 0.08)
    assert playback.behind_s == pytest.approx(4 * (0.08 - TICK_S))


# --- what can be played ----------------------------------------------------------------------------


def test_what_is_a_bag_and_what_a_scene(tmp_path, labels):
    folder = write_scene_folder(tmp_path / "scene", labels)
    file, of_rosbag2 = write_bag(TinyScene(), tmp_path / "a.mcap"), write_bag(TinyScene(), tmp_path / "a")
    (tmp_path / "a.mcap.partial").mkdir()
    results = {path.name: is_bag(path) for path in (folder, file, of_rosbag2, tmp_path / "a.mcap.partial")}
    assert results == {"scene": False, "a.mcap": True, "a": True, "a.mcap.partial": True}
    scene = open_recording(folder, labels)
    assert isinstance(scene, SceneRecording) and len(scene) == 5
    assert open_recording(file, labels).topics == open_recording(of_rosbag2, labels).topics == scene.topics
    with pytest.raises(BadInput, match="set 'source' to a bag"):
        open_recording("", labels)
    with pytest.raises(BadInput, match="no such bag or scene"):
        open_recording(tmp_path / "b.mcap", labels)
    with pytest.raises(BadInput, match="expected one scene folder"):
        open_recording(tmp_path / "scene" / "color", labels)
