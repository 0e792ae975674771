"""Child processes that end when asked, or by force; signals handled for a while."""

import multiprocessing
import os
import signal
import subprocess
import sys

import pytest
from support.waiting import until

from wsss_ros.processes import children
from wsss_ros.processes.signals import handled, stop_requests

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(3600)"


def started(code: str) -> subprocess.Popen:
    child = children.start([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert child.stdout.readline() == "up\n"
    return child


def test_children_are_asked_first_and_killed_where_they_do_not_end():
    polite, deaf = started("import time; print('up', flush=True); time.sleep(3600)"), started(DEAF)
    looks = []
    children.end([polite, deaf], [(signal.SIGTERM, 0.5)], lambda: looks.append(polite.poll()))
    assert (polite.returncode, deaf.returncode) == (-signal.SIGTERM, -signal.SIGKILL)
    assert looks[-1] == -signal.SIGTERM
    children.end([polite, deaf], [(signal.SIGTERM, 0.5)])  # nothing is left to do


def test_children_of_multiprocessing_are_ended_too():
    child = multiprocessing.get_context("spawn").Process(target=signal.pause, daemon=True)
    child.start()
    assert not children.wait([child], 0.0)
    children.end([child], [(signal.SIGTERM, 60.0)])
    assert child.exitcode == -signal.SIGTERM


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_is_noted_and_the_second_acts_as_usual(number):
    got = []
    with handled([signal.SIGINT, signal.SIGTERM], lambda number, _: got.append(number)):
        with stop_requests() as stop:
            os.kill(os.getpid(), number)
            until(lambda: stop.number == number)
            assert not got
            os.kill(os.getpid(), number)
            until(lambda: got == [number])
        os.kill(os.getpid(), number)
        until(lambda: got == [number, number])
