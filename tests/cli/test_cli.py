"""`wsss`: quick help, plain errors, and the children of `wsss up`."""

import os
import signal
import subprocess
import sys
import types

import pytest
from support.paths import ROOT
from typer.testing import CliRunner

from wsss_ros.cli import ENDED_BY_CTRL_C
from wsss_ros.cli import main as cli
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
        (BadInput("got a fish,\n  wanted a bird"), 1, "wsss: got a fish, wanted a bird\n"),
        (PermissionError(13, "Permission denied", "/out"), 1, "wsss: /out: Permission denied\n"),
        (KeyboardInterrupt(), 130, "wsss: interrupted\n"),
    ],
)
def test_errors_are_one_line_and_a_status(failing, error, status, told):
    failing(error)
    answer = wsss("bench")
    assert (answer.exit_code, answer.stderr) == (status, told)


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_signals_end_the_commands_of_robots_at_any_time(number, status):
    """While a command loads its modules, and while it works: 0 after Ctrl-C, 143 after SIGTERM."""
    for name in ENDED_BY_CTRL_C:
        code = f"""
import os, sys, types
sys.argv = ["wsss", "{name}"]
from wsss_ros.cli import main
def {name}() -> None:
    os.kill(os.getpid(), {int(number)})
def load(name):
    if "early" in os.environ:
        os.kill(os.getpid(), {int(number)})
    return types.SimpleNamespace(**{{name.rpartition(".")[2]: {name}}})
main.importlib = types.SimpleNamespace(import_module=load)
main.main()
"""
        for early in ({"early": "1"}, {}):
            done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=os.environ | early)
            assert done.returncode == status, (name, early)


def test_a_signal_before_the_command_is_imported_ends_it_without_a_traceback():
    for name, status in (("up", 0), ("train", 130)):
        code = f"import os, sys\nsys.argv = ['-m', '{name}']\nimport wsss_ros.cli\nos.kill(os.getpid(), 2)"
        done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (status, "")


@pytest.mark.parametrize("when", ["load", "work"])
def test_a_signal_while_a_class_is_defined_is_no_fault(when):
    """Python 3.11 raises RuntimeError there, as pydantic is imported."""
    code = f"""
import os, sys, types
sys.argv = ["wsss", "segment"]
from wsss_ros.cli import main
class Named:
    def __set_name__(self, owner, name):
        os.kill(os.getpid(), 2)
def define(now):
    if now == "{when}":
        type("Owner", (), {{"part": Named()}})
def segment() -> None:
    define("work")
def load(name):
    define("load")
    return types.SimpleNamespace(segment=segment)
main.importlib = types.SimpleNamespace(import_module=load)
main.main()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr


def test_a_signal_whose_exception_python_drops_still_gives_the_status(monkeypatch):
    class Dropping:
        def __del__(self) -> None:
            cli._end(signal.SIGTERM, None)

    def segment() -> None:
        """Delete an object at the moment of the signal."""
        Dropping()

    monkeypatch.setattr(cli, "_received", [])
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    module = types.SimpleNamespace(segment=segment, __spec__=cli.__spec__)
    monkeypatch.setitem(sys.modules, "wsss_ros.cli.segment", module)
    assert wsss("segment").exit_code == 143


def test_the_work_of_other_commands_is_not_done_after_ctrl_c():
    assert cli._status_after(signal.SIGINT, "train") == 130


def test_debug_shows_the_traceback(failing):
    failing(BadInput("got a fish"))
    assert isinstance(wsss("--debug", "bench").exception, BadInput)
    assert not isinstance(wsss("bench").exception, BadInput)


def test_unknown_argument_of_up_names_the_nearest():
    answer = wsss("up", "loup:=true")
    assert answer.exit_code == 1 and "the nearest is 'loop'" in answer.stderr


def test_up_lists_the_arguments_of_the_launch_file():
    listed = wsss("up", "--args").output
    assert "bag:=" in listed and "cloud_topic:=cloud" in listed and "rviz:=false" in listed
