"""Compilation where numba finds no folder for its cache, a full one, or damaged files."""

import importlib.util
import logging

import numba
import pytest
from numba.core.caching import CacheImpl
from support.disks import fill, mounted

from wsss_ros.geometry.compiled import compiled


def test_kernels_compile_without_a_folder_for_their_cache(monkeypatch):
    """The package can be imported from a read-only installation by a user without a home."""
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(lambda x: x + 1)
    assert compiled(lambda x: x + 1)(2) == 3


def kernel(folder):
    """A kernel whose cache is in the folder, as a new process would have it."""
    source = folder / "kernel.py"
    if not source.exists():
        source.write_text("def plus_one(x):\n    return x + 1\n")
    spec = importlib.util.spec_from_file_location("kernel", source)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return compiled(module.plus_one)


def test_kernels_run_where_their_cache_is_full(tmp_path, caplog):
    with mounted(tmp_path / "disk", "size=2m") as disk, caplog.at_level(logging.WARNING, logger="wsss_ros"):
        made = kernel(disk)
        fill(disk)
        assert made(2) == 3 and made(2.0) == 3.0
        (record,) = caplog.records
        assert "compiled kernels cannot be stored" in record.getMessage() and "NUMBA_CACHE_DIR" in record.getMessage()


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_a_damaged_cache_is_replaced(tmp_path, ending):
    """As a power cut leaves it."""
    assert kernel(tmp_path)(2) == 3
    (file,) = (tmp_path / "__pycache__").glob(f"*.{ending}")
    data = file.read_bytes()
    for length in (0, len(data) // 2):
        file.write_bytes(data[:length])
        again = kernel(tmp_path)
        assert again(2) == 3 and not again.stats.cache_hits
        last = kernel(tmp_path)
        assert last(2) == 3 and last.stats.cache_hits
