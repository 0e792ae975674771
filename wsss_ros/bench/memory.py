"""Memory of this process and of the GPU, in MB (2^20 bytes)."""

from dataclasses import dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class PeakMemory:
    """Peak of the process, the part of it above ``resident_mb`` before, and the peak of the GPU (None on the CPU)."""

    process_mb: float
    added_mb: float
    gpu_mb: float | None


def resident_mb() -> float:
    """Memory of this process now. The peak that Linux keeps starts again from here."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status_mb("VmRSS")


def peak_mb() -> float:
    """The peak since the last ``resident_mb``."""
    return _status_mb("VmHWM")


def peak_memory(device_type: str, before_mb: float) -> PeakMemory:
    """The peaks since ``resident_mb`` returned ``before_mb``."""
    peak = peak_mb()
    gpu = torch.cuda.max_memory_allocated() / 2**20 if device_type == "cuda" else None
    return PeakMemory(peak, peak - before_mb, gpu)


def _status_mb(name: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) / 1024
