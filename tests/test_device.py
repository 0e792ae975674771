"""Names of devices, of their arithmetic, and the number of threads."""

import os
import subprocess
import sys

import pytest
import torch
from support.paths import ROOT

from wsss_ros.device import device_named, dtype_named, has_fast_bfloat16, use_threads
from wsss_ros.types import BadInput

CPU = torch.device("cpu")


def test_devices():
    assert device_named("cpu") == CPU
    assert device_named("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(BadInput, match="device 'abacus' is unknown; use auto, cpu"):
        device_named("abacus")


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_an_absent_gpu():
    with pytest.raises(BadInput, match="sees no CUDA GPU"):
        device_named("cuda:1")


def test_precision():
    assert dtype_named("float32", CPU) == torch.float32
    assert dtype_named("bfloat16", CPU) == torch.bfloat16
    assert dtype_named("auto", CPU) == (torch.bfloat16 if has_fast_bfloat16(CPU) else torch.float32)
    with pytest.raises(BadInput, match="precision 'int1' is unknown; use auto, float32"):
        dtype_named("int1", CPU)


def test_threads():
    before = torch.get_num_threads()
    use_threads(0)
    assert torch.get_num_threads() == before
    use_threads(1)
    assert torch.get_num_threads() == 1
    use_threads(before)


@pytest.mark.parametrize("own, expected", [(None, "passive"), ("active", "active")])
def test_threads_that_wait_for_each_other_sleep(own, expected):
    """The package asks OpenMP for it, unless the user has asked for something else."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    environment |= {} if own is None else {"OMP_WAIT_POLICY": own}
    code = "import sys, os, wsss_ros; print('torch' in sys.modules, os.environ['OMP_WAIT_POLICY'])"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.split() == ["False", expected]
