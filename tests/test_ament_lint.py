"""The linters of ROS 2, where they are installed: `colcon test` then runs them. `make lint` checks more.

ament_copyright is left out: the licence is that of LICENSE, and the files have no headers.
"""

import subprocess
import sys

import pytest
from support.paths import ROOT

CHECKED = [str(ROOT / name) for name in ("wsss_ros", "launch", "setup.py")]
# D105, D107, D401: make lint leaves them out, too (pyproject.toml). D402 takes "f(x)" in a sentence for a signature,
# D403 takes ScanNet for a word.
LEFT_OUT = ["D105", "D107", "D401", "D402", "D403"]


def check(linter: str, *arguments: str) -> None:
    """Run a linter in a process of its own: flake8 forks, which this process cannot after rclpy and torch."""
    pytest.importorskip(f"{linter}.main", reason=f"{linter} comes with a ROS 2 installation")
    command = f"import sys; from {linter}.main import main; sys.exit(main(sys.argv[1:]))"
    done = subprocess.run([sys.executable, "-c", command, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_flake8():
    check("ament_flake8", "--config", str(ROOT / "setup.cfg"), *CHECKED, str(ROOT / "tests"))


@pytest.mark.slow
def test_pep257():
    check("ament_pep257", "--convention", "pep257", "--add-ignore", *LEFT_OUT, "--", *CHECKED)
