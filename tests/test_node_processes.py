"""The processes of a node set: their output, their end in order and by force, and what is left running."""

import dataclasses
import os
import signal
import subprocess
import sys

import pytest
from support.paths import ROOT
from support.waiting import status_of, until

from wsss_ros import node_processes, node_set
from wsss_ros.node_processes import NodeProcesses
from wsss_ros.node_set import Process
from wsss_ros.types import BadInput

NODES = {
    "quick": "print('hello from quick'); time.sleep(0.3)",
    "steady": "time.sleep(3600)",
    "broken": "print('no weights'); sys.exit(3)",
    "logging": "print('[ERROR] [1.5] [x]: configure failed: no CUDA'); print('[INFO] [1.6] [x]: bye'); sys.exit(1)",
    "raising": "print('[ERROR] [1.5] [x]: an earlier problem'); raise ValueError('port taken')",
    "killed": "os.kill(os.getpid(), signal.SIGKILL)",
    "deaf": "signal.signal(signal.SIGINT, lambda *_: print('asked')); print(os.getpid()); time.sleep(3600)",
    "stone": "[signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)]; print(os.getpid()); "
    "time.sleep(3600)",
}


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    for name, body in NODES.items():
        (tmp_path / f"fake_{name}.py").write_text(f"import os, signal, sys, time\n{body}\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])))
    monkeypatch.setattr(node_set, "LINGER_S", 0.1)
    monkeypatch.setattr(node_set, "PATIENCE_S", (1.0, 1.0))

    def make(name: str, ends_the_set: bool = False) -> Process:
        return Process(name, module=f"fake_{name}", ends_the_set=ends_the_set)

    return make


def test_the_end_of_the_replay_ends_the_set(nodes, capfd):
    assert node_processes.run([nodes("steady"), nodes("quick", ends_the_set=True)]) == 0
    assert "[quick] hello from quick" in capfd.readouterr().out


@pytest.mark.parametrize(
    "name, last",
    [
        ("broken", "wsss: broken failed with status 3: no weights"),
        ("logging", "wsss: logging failed with status 1: configure failed: no CUDA"),
        ("raising", "wsss: raising failed with status 1: ValueError: port taken"),
        ("killed", "wsss: killed was ended by SIGKILL; its last line: it wrote nothing"),
    ],
)
def test_a_failed_node_ends_the_set_at_once_and_its_reason_is_the_last_line(nodes, capfd, name, last):
    assert node_processes.run([nodes("steady"), nodes(name)]) == 1
    assert capfd.readouterr().err.splitlines()[-1] == last


def test_a_node_that_the_set_does_not_need_fails_alone(nodes, capfd):
    alone = dataclasses.replace(nodes("broken"), needed=False)
    assert node_processes.run([alone, nodes("quick", ends_the_set=True)]) == 1, "the status tells it in the end"
    assert "[quick] hello from quick" in capfd.readouterr().out


def test_the_set_is_over_when_no_node_is_left(nodes):
    assert node_processes.run([nodes("quick")]) == 0


@pytest.mark.parametrize("name, status", [("deaf", 0), ("stone", 1)])
def test_a_process_that_ignores_signals_is_ended_by_force(nodes, capfd, name, status):
    processes = NodeProcesses()
    processes.start(nodes(name))
    child = processes._running[name].child
    until(lambda: f"[{name}]" in capfd.readouterr().out, "it never started")
    processes.end()
    assert child.poll() is not None
    assert bool(processes.failed) is bool(status)


def test_a_missing_rviz_is_named_and_nothing_is_left_running(nodes, monkeypatch):
    started = []
    start = NodeProcesses.start
    monkeypatch.setattr(
        NodeProcesses, "start", lambda self, p: (start(self, p), started.append(self._running[p.name].child))
    )
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BadInput, match="rviz2.*not on this machine"):
        node_processes.run([nodes("steady"), Process("rviz2", package="rviz2")])
    assert started and all(child.poll() is not None for child in started)


@pytest.fixture
def deaf_set(nodes):
    """A set in a process of its own, and the process id of its node that does not end by SIGINT."""
    code = (
        "from wsss_ros import node_processes, node_set\nfrom wsss_ros.node_set import Process\n"
        "node_set.PATIENCE_S = (1.0, 1.0)\nnodes = [Process(n, module=f'fake_{n}') for n in ('steady', 'deaf')]\n"
        "raise SystemExit(node_processes.run(nodes))"
    )
    running = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    return running, int(running.stdout.readline().removeprefix("[deaf] "))


def test_ctrl_c_ends_everything_also_when_pressed_twice(deaf_set):
    running, child = deaf_set
    running.send_signal(signal.SIGINT)
    assert "[deaf] asked\n" in running.stdout  # reads until then: two signals at once may arrive as one
    running.send_signal(signal.SIGINT)
    assert status_of(running) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_the_status_has_the_signal_that_ended_the_set(deaf_set, number):
    running, child = deaf_set
    running.send_signal(number)
    assert status_of(running) == 128 + number
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
