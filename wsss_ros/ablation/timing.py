"""How long a run trained, over all interruptions, and on which kind of machine."""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from wsss_ros.files import read_json, write_json

_SAVE_EVERY_S = 5.0


class TrainingClock:
    """Seconds of training so far. ``path`` keeps them with the command and the machine."""

    def __init__(self, path: Path, command: str):
        self.path = path
        self.content = {"command": command, "machine": machine()}
        self.before_s = read_json(path)["seconds"] if path.is_file() else 0.0
        self.started = self.saved = time.monotonic()

    def tick(self) -> None:
        """Save the seconds, at most every few seconds."""
        if time.monotonic() - self.saved > _SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Save the seconds now."""
        self.saved = time.monotonic()
        write_json(self.path, {**self.content, "seconds": round(self.before_s + self.saved - self.started, 1)})


@contextmanager
def timed(path: Path, command: str) -> Iterator[TrainingClock]:
    """Count the seconds of the block, however it ends, to those that ``path`` has already."""
    clock = TrainingClock(path, command)
    try:
        yield clock
    finally:
        clock.save()


def machine() -> str:
    """Describe the kind of machine, without its name."""
    cores = f"{len(os.sched_getaffinity(0))} CPU cores ({platform.machine()})"
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{cores}{gpu}, torch {torch.__version__}"
