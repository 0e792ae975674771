"""Training runs on scenes small enough to learn in seconds."""

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from wsss_ros import config
from wsss_ros.methods.method import PhaseData
from wsss_ros.networks import checkpoint
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.mixture import Source
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.run import train
from wsss_ros.types import KINDS

ADAM = {"name": "adam", "lr": 0.01}
GENTLE = {"name": "adam", "lr": 0.002}
PHASES = [
    {"method": "classify", "epochs": 4, "batch": 8, "image": ADAM},
    {"method": "classify", "epochs": 6, "batch": 4, "cloud": ADAM},
    {"method": "joint", "epochs": 2, "batch": 4, "warmup_epochs": 1, "image": GENTLE, "cloud": GENTLE},
]
SHORT = [{**phase, "epochs": 1} for phase in PHASES[:2]] + [{**PHASES[2], "warmup_epochs": 0, "epochs": 1}]
JOINT = SHORT[2:]


def values_for(root: Path, **changes) -> dict:
    return {
        "output": str(root / "run"),
        "device": "cpu",
        "data": {
            "train": {"folder": str(root / "train")},
            "val": {"folder": str(root / "val")},
            "frames_per_scene": 0,
            "cache": str(root / "cache"),
        },
        "image": {
            "options": {"width": 0.125},
            "long_side": 0,
            "augment": {"long_side": [32, 40], "crop": 32, "jitter": [0.1, 0.1, 0.1, 0]},
        },
        "cloud": {
            "options": {"width": 0.125, "centres": [64, 32, 16, 8], "neighbours": [8, 8, 8, 8]},
            "augment": {"points": 256},
        },
        "phases": PHASES,
        **changes,
    }


def settings_for(root: Path, **changes) -> TrainConfig:
    return config.build(TrainConfig, values_for(root, **changes))


def cells(points, colors, settings) -> np.ndarray:
    """Regions that need no search: cubes of half a metre; the points of the first have none."""
    corner = np.floor(np.asarray(points) / 0.5).astype(np.int64)
    return np.unique(corner, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64) - 1


def phase_data(scenes, labels) -> PhaseData:
    image = ImageAugment(long_side=(32, 40), crop=32)
    return PhaseData([Source(scenes)], labels, image, CloudAugment(points=256), ("color",), 0.05)


def versions(run: str | Path, kinds: Sequence[str] = KINDS) -> list[str]:
    return [checkpoint.load(Path(run) / f"{kind}.safetensors").version for kind in kinds]


def killed(settings: TrainConfig, after: int) -> int:
    """Train in a process of its own that is killed with -9 after a number of steps; returns its status."""
    done = []

    def report(progress):
        done.extend([progress] * bool(progress.terms))
        if len(done) == after:
            os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        try:
            train(settings, report=report)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@contextmanager
def one_thread() -> Iterator[None]:
    """As the processes have that tests start: steps this small are no quicker on more, and the sums differ."""
    threads, variable = torch.get_num_threads(), os.environ.get("OMP_NUM_THREADS")
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        os.environ.pop("OMP_NUM_THREADS") if variable is None else os.environ.update(OMP_NUM_THREADS=variable)
