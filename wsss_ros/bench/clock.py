"""Time: the median of repeated calls, and the seconds of each part of a training step."""

import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


def median_ms(call: Callable[[], Any], runs: int) -> tuple[float, Any]:
    """The median milliseconds of ``runs`` calls, and the result of the last one."""
    times, result = [], None
    for _ in range(runs):
        started = time.perf_counter()
        result = call()
        times.append(1e3 * (time.perf_counter() - started))
    return statistics.median(times), result


def processor(device: torch.device) -> str:
    """Where was measured: the name of the GPU, or the number of CPU threads."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU threads"


class PartClock:
    """Seconds by part of a step. Networks run inside the losses; their time is taken off the part ``losses``."""

    def __init__(self, device_type: str):
        self.device_type = device_type
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self._forward_started: dict[str, float] = {}
        self._started = 0.0

    def now(self) -> float:
        """Seconds; a GPU finishes its work first."""
        if self.device_type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    def start(self) -> None:
        """Set all parts to zero and start to count."""
        self.seconds.clear()
        self._started = self.now()

    def elapsed(self) -> float:
        """Seconds since ``start``."""
        return self.now() - self._started

    @contextmanager
    def of(self, part: str) -> Iterator[None]:
        """Add the time of the block to ``part``."""
        started = self.now()
        yield
        self.seconds[part] += self.now() - started

    def watch(self, network: nn.Module, part: str) -> None:
        """Count the forward passes of ``network`` as ``part`` and not as ``losses``."""

        def before(*_: Any) -> None:
            self._forward_started[part] = self.now()

        def after(*_: Any) -> None:
            taken = self.now() - self._forward_started[part]
            self.seconds[part] += taken
            self.seconds["losses"] -= taken

        network.register_forward_pre_hook(before)
        network.register_forward_hook(after)
