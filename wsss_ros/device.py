"""Devices and precisions by name, and the number of CPU threads."""

from pathlib import Path

import torch

from wsss_ros.types import BadInput

_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def device_named(name: str) -> torch.device:
    """The device ``name``; "auto" is the GPU if torch sees one, else the CPU.

    Raises BadInput for an unknown or absent device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise BadInput(f"device '{name}' is unknown; use auto, cpu, cuda or cuda:N") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise BadInput(f"device '{name}' was asked for, but this torch sees no CUDA GPU; use auto or cpu")
    return device


def dtype_named(precision: str, device: torch.device) -> torch.dtype:
    """The type ``precision``; "auto" is bfloat16 if ``device`` computes fast with it, else float32.

    Raises BadInput for an unknown precision.
    """
    if precision == "auto":
        return torch.bfloat16 if has_fast_bfloat16(device) else torch.float32
    if precision not in _DTYPES:
        raise BadInput(f"precision '{precision}' is unknown; use auto, {', '.join(_DTYPES)}")
    return _DTYPES[precision]


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the hardware supports bfloat16. If not, torch emulates it, which is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def use_threads(count: int) -> None:
    """Let torch compute with ``count`` CPU threads in this process; 0 leaves the number as it is."""
    if count > 0:
        torch.set_num_threads(count)
