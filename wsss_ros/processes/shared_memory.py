"""Shared memory between processes (/dev/shm): whether there is any, and how much."""

import multiprocessing
import os
import pickle
from pathlib import Path
from typing import Any

FOLDER = Path("/dev/shm")


def fault() -> str:
    """Why processes cannot share memory and locks here; empty where they can."""
    try:
        multiprocessing.get_context("spawn").Lock()
    except (OSError, ImportError) as error:
        return f"{FOLDER}: {getattr(error, 'strerror', None) or error}"
    return "" if os.access(FOLDER, os.W_OK) else f"{FOLDER}: no folder that this user may write to"


def free_bytes() -> int:
    """The bytes of shared memory that are free."""
    state = os.statvfs(FOLDER)
    return state.f_bavail * state.f_frsize


def bytes_of(value: Any) -> int:
    """About how many bytes of shared memory a value takes on its way from another process."""
    return len(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))
