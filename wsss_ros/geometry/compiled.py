"""Compilation of kernels with numba."""

import inspect
from collections.abc import Callable
from typing import Any

import numba
import numpy as np


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator: numba compiles the function at its first call, and the function runs without the GIL.

    The machine code is cached on disk for later processes. Without a folder to write to (a read-only installation
    and no home), each process compiles again.
    """
    return _compiled(function)


def inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator as ``compiled``, for a part of a kernel's loop. A call would keep the loop from being vectorised."""
    return _compiled(function, forceinline=True)


def _compiled(function: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    function = inspect.unwrap(function)  # a test run wraps functions in type checks, which numba cannot compile
    try:
        return numba.njit(cache=True, nogil=True, **options)(function)
    except RuntimeError:  # numba: "no locator available"
        return numba.njit(nogil=True, **options)(function)


def readonly(array: np.ndarray) -> np.ndarray:
    """A contiguous read-only view.

    Numba has different types for writable and read-only arrays. With this view a kernel is compiled for one type only,
    whether the caller's array is writable or belongs to a message.
    """
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
