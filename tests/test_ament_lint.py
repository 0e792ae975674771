"""The linters of ROS 2, where they are installed: `colcon test` then runs them. `make lint` checks more.

ament_copyright is left out: the licence is that of LICENSE, and the files have no headers.
"""

import pytest
from support.paths import ROOT

CHECKED = [str(ROOT / name) for name in ("wsss_ros", "launch", "setup.py")]
# D105, D107, D401: make lint leaves them out, too (pyproject.toml). D402 takes "f(x)" in a sentence for a signature,
# D403 takes ScanNet for a word.
LEFT_OUT = ["D105", "D107", "D401", "D402", "D403"]


@pytest.mark.slow
def test_flake8():
    linter = pytest.importorskip("ament_flake8.main", reason="ament_flake8 comes with a ROS 2 installation")
    status, errors = linter.main_with_errors(["--config", str(ROOT / "setup.cfg"), *CHECKED, str(ROOT / "tests")])
    assert status == 0, "\n".join(errors)


@pytest.mark.slow
def test_pep257():
    linter = pytest.importorskip("ament_pep257.main", reason="ament_pep257 comes with a ROS 2 installation")
    assert linter.main(["--convention", "pep257", "--add-ignore", *LEFT_OUT, "--", *CHECKED]) == 0
