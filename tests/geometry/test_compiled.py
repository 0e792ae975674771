"""Compilation where numba finds no folder for its cache."""

import numba
import pytest
from numba.core.caching import CacheImpl

from wsss_ros.geometry.compiled import compiled


def test_kernels_compile_without_a_folder_for_their_cache(monkeypatch):
    """The package can be imported from a read-only installation by a user without a home."""
    monkeypatch.setattr(CacheImpl, "_locator_classes", [])
    with pytest.raises(RuntimeError, match="cannot cache"):
        numba.njit(cache=True)(lambda x: x + 1)
    assert compiled(lambda x: x + 1)(2) == 3
