"""`wsss`: quick help, plain errors, and the children of `wsss up`."""

import os
import signal
import subprocess
import sys
import time
import types

import pytest
from support.paths import ROOT
from typer.testing import CliRunner

from wsss_ros.cli import main as cli
from wsss_ros.cli import up
from wsss_ros.node_set import Process
from wsss_ros.types import BadInput


def wsss(*arguments: str):
    return CliRunner().invoke(cli.app, arguments)


# --- help and errors ---


def commands() -> list[str]:
    return cli.Commands().list_commands(None)


def test_help_lists_the_commands_that_exist():
    listed = wsss("--help").output
    assert {"up", "bag", "replay"} <= set(commands())
    assert all(f" {name} " in listed and cli.COMMANDS[name][:20] in listed for name in commands())


@pytest.mark.parametrize("name", commands())
def test_every_command_has_help(name):
    answer = wsss(name, "--help")
    assert answer.exit_code == 0, answer.output
    assert "Usage" in answer.output and len(answer.output.splitlines()) > 6


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom typer.testing import CliRunner\nfrom wsss_ros.cli.main import app\n"
        "assert CliRunner().invoke(app, ['--help']).exit_code == 0\n"
        "print(*{'torch', 'numpy', 'open3d', 'rclpy', 'numba'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT).stdout.split() == []


@pytest.fixture
def failing(monkeypatch):
    """A command `bench` that raises what it is given."""

    def install(error: BaseException) -> None:
        def bench() -> None:
            """Fail."""
            raise error

        monkeypatch.setitem(
            sys.modules, "wsss_ros.cli.bench", types.SimpleNamespace(bench=bench, __spec__=cli.__spec__)
        )

    return install


@pytest.mark.parametrize(
    "error, status, told",
    [
        (BadInput("got a fish,\n  wanted a bird"), 2, "wsss: got a fish, wanted a bird\n"),
        (PermissionError(13, "Permission denied", "/out"), 1, "wsss: [Errno 13] Permission denied: '/out'\n"),
        (KeyboardInterrupt(), 130, "wsss: interrupted\n"),
    ],
)
def test_errors_are_one_line_and_a_status(failing, error, status, told):
    failing(error)
    answer = wsss("bench")
    assert (answer.exit_code, answer.stderr) == (status, told)


def test_debug_shows_the_traceback(failing):
    failing(BadInput("got a fish"))
    assert isinstance(wsss("--debug", "bench").exception, BadInput)
    assert not isinstance(wsss("bench").exception, BadInput)


def test_unknown_argument_of_up_names_the_nearest():
    answer = wsss("up", "loup:=true")
    assert answer.exit_code == 2 and "the nearest is 'loop'" in answer.stderr


def test_up_lists_the_arguments_of_the_launch_file():
    listed = wsss("up", "--args").output
    assert "bag:=" in listed and "cloud_topic:=cloud" in listed and "rviz:=false" in listed


# --- children ---

NODES = {
    "quick": "print('hello from quick'); time.sleep(0.3)",
    "steady": "time.sleep(60)",
    "broken": "print('no weights'); sys.exit(3)",
    "deaf": "signal.signal(signal.SIGINT, signal.SIG_IGN); print(os.getpid()); time.sleep(60)",
    "stone": "[signal.signal(s, signal.SIG_IGN) for s in (signal.SIGINT, signal.SIGTERM)]; print('up'); time.sleep(60)",
}


@pytest.fixture
def nodes(tmp_path, monkeypatch):
    for name, body in NODES.items():
        (tmp_path / f"fake_{name}.py").write_text(f"import os, signal, sys, time\n{body}\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")])))
    monkeypatch.setattr(up.node_set, "LINGER_S", 0.1)
    monkeypatch.setattr(up.node_set, "PATIENCE_S", (1.0, 1.0))

    def make(name: str, ends_the_set: bool = False) -> Process:
        return Process(name, module=f"fake_{name}", ends_the_set=ends_the_set)

    return make


def test_the_end_of_the_replay_ends_the_set(nodes, capfd):
    began = time.monotonic()
    assert up.run([nodes("steady"), nodes("quick", ends_the_set=True)]) == 0
    assert time.monotonic() - began < 30
    assert "[quick] hello from quick" in capfd.readouterr().out


def test_a_failed_node_is_named_and_gives_the_status(nodes, capfd):
    assert up.run([nodes("broken"), nodes("quick", ends_the_set=True)]) == 1
    captured = capfd.readouterr()
    assert "[broken] no weights" in captured.out
    assert "wsss: broken failed with status 3" in captured.err


def test_the_set_is_over_when_no_node_is_left(nodes):
    assert up.run([nodes("quick"), nodes("broken")]) == 1


@pytest.mark.parametrize("name, status", [("deaf", 0), ("stone", 1)])
def test_who_does_not_hear_is_ended_by_force(nodes, name, status):
    children = up.Children()
    children.start(nodes(name))
    child = children._running[name][1]
    time.sleep(1.5)
    children.end()
    assert child.poll() is not None
    assert bool(children.failed) is bool(status)


def test_a_missing_rviz_is_named_and_nothing_is_left_running(nodes, monkeypatch):
    started = []
    start = up.Children.start
    monkeypatch.setattr(
        up.Children, "start", lambda self, p: (start(self, p), started.append(self._running[p.name][1]))
    )
    monkeypatch.setenv("PATH", "")
    with pytest.raises(BadInput, match="rviz2.*not on this machine"):
        up.run([nodes("steady"), Process("rviz2", package="rviz2")])
    assert started and all(child.poll() is not None for child in started)


def test_ctrl_c_ends_everything_also_when_pressed_twice(nodes):
    code = (
        "from wsss_ros.cli import up\nfrom wsss_ros.node_set import Process\nup.node_set.PATIENCE_S = (1.0, 1.0)\n"
        "raise SystemExit(up.run([Process('steady', module='fake_steady'), Process('deaf', module='fake_deaf')]))"
    )
    running = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    child = int(running.stdout.readline().removeprefix("[deaf] "))
    running.send_signal(signal.SIGINT)
    time.sleep(0.2)
    running.send_signal(signal.SIGINT)
    assert running.wait(30) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
