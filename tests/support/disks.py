"""Small, full and read-only disks: tmpfs, which only root may mount. Without it the test is skipped with the reason."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[Path]:
    """An empty disk with these options of mount; ``folder`` is created."""
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no tmpfs may be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def fill(folder: Path, spare: int = 0) -> Path:
    """Leave ``spare`` bytes free on the disk of ``folder``; returns the file to delete for more."""
    state = os.statvfs(folder)
    ballast = folder / "ballast"
    ballast.write_bytes(bytes(max(0, state.f_bavail * state.f_frsize - spare)))
    return ballast
