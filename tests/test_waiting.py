"""The waits of the tests: they go on with progress and fail on a hang."""

import subprocess
import sys

import pytest
from support import waiting
from support.waiting import output_of, status_of, until


class Clock:
    """Stands in for ``time``: each look at a condition takes 10 s."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, _: float) -> None:
        self.now += 10.0


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(waiting, "time", made)
    return made


def test_the_first_true_result_is_returned():
    results = iter([0, None, "", "here", "later"])
    assert until(lambda: next(results)) == "here"


def test_a_hang_fails_with_its_reason(clock):
    with pytest.raises(AssertionError, match=r"the door stays closed \(no progress for 300 s\)"):
        until(lambda: False, lambda: "the door stays closed")
    assert clock.now == 300


def test_with_progress_it_waits_as_long_as_it_takes(clock):
    assert until(lambda: clock.now > 5000, progress=lambda: clock.now // 250)
    with pytest.raises(AssertionError, match="never happened"):
        until(lambda: False, progress=lambda: min(clock.now // 250, 40))
    assert clock.now == 40 * 250 + 300


def test_a_process_that_hangs_is_killed(clock):
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"])
    with pytest.raises(AssertionError, match=f"process {process.pid} does not end"):
        status_of(process)
    assert process.returncode == -9


def test_all_output_is_returned():
    code = "import sys; print('out', file=sys.stdout); print('err', file=sys.stderr)"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert output_of(process) == ("out\n", "err\n")
    assert process.returncode == 0
