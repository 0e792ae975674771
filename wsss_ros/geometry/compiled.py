"""Compilation of kernels with numba."""

import functools
import inspect
import logging
import pickle
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache

log = logging.getLogger("wsss_ros")


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
    dispatcher = numba.njit(nogil=True, **options)(function)
    with suppress(RuntimeError):  # numba: "no locator available"
        dispatcher._cache = _DiskCache(function)
    return dispatcher


class _DiskCache(FunctionCache):
    """Numba's cache of one function, which never stops a kernel: on a full disk it stores nothing, once reported.

    A damaged entry, such as one that a power cut left, is compiled again and replaced.
    """

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The stored machine code; None where there is none that can be used."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling raises almost anything
            with suppress(OSError):
                self.flush()  # of damaged entries
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Store machine code, if the disk takes it."""
        try:
            super().save_overload(sig, data)
        except (OSError, EOFError, pickle.PickleError) as error:
            _report_unwritable(self.cache_path, str(error))


@functools.cache
def _report_unwritable(folder: str, reason: str) -> None:
    text = "%s: compiled kernels cannot be stored (%s); each process compiles them again; free disk space, or set"
    log.warning(f"{text} NUMBA_CACHE_DIR", folder, reason)


def readonly(array: np.ndarray) -> np.ndarray:
    """A contiguous read-only view.

    Numba has different types for writable and read-only arrays. With this view a kernel is compiled for one type only,
    whether the caller's array is writable or belongs to a message.
    """
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view
