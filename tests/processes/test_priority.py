"""A process that lets others go first."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.paths import ROOT

CODE = """
import os, pathlib
from wsss_ros.processes.priority import yield_processor
group = pathlib.Path("/proc/self/autogroup")
before = os.nice(0), group.read_text() if group.exists() else ""
yield_processor(7)
print(os.nice(0) - before[0], before[1] == (group.read_text() if group.exists() else ""))
"""


@pytest.mark.parametrize("leads", [False, True])
def test_its_nice_value_and_that_of_a_session_of_its_own(leads):
    command = [sys.executable, "-c", CODE]
    done = subprocess.run(command, cwd=ROOT, start_new_session=leads, capture_output=True, text=True, check=True)
    groups = Path("/proc/self/autogroup").exists()
    assert done.stdout.split() == ["7", str(not (leads and groups))]
