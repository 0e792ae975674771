"""Read an MXNet NDArray list with numpy alone: the format of the ImageNet file of "Wider or Deeper" (ResNet38)."""

import struct
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from wsss_ros.types import BadInput

MXNET_LIST = 0x112
MXNET_V1, MXNET_V2 = 0xF993FAC8, 0xF993FAC9
MXNET_DTYPES = ("<f4", "<f8", "<f2", "<u1", "<i4", "<i1", "<i8")
MXNET_VALUES = {
    "weight": "arg:{}_gamma",
    "bias": "arg:{}_beta",
    "running_mean": "aux:{}_moving_mean",
    "running_var": "aux:{}_moving_var",
}
MOST_ARRAYS, MOST_DIMENSIONS, LONGEST_NAME = 10_000, 8, 1_000  # a header with more is broken


def mxnet_name(own: str) -> str:
    """The MXNet file's name of a weight of ResNet38: blocks.b2_1.conv_2a.weight -> arg:res2b1_branch2a_weight."""
    *path, module, value = own.split(".")
    kind, _, branch = module.partition("_")
    if path:
        level, _, repeat = path[-1].removeprefix("b").partition("_")
        module = f"{'res' if kind == 'conv' else 'bn'}{level}{'b' + repeat if repeat else 'a'}_branch{branch}"
    return f"arg:{module}_weight" if kind.startswith("conv") else MXNET_VALUES[value].format(module)


def read(path: Path) -> dict[str, Tensor]:
    """Tensors in the memory-mapped file: only the headers are read here.

    Raises BadInput for a broken file.
    """
    file = _Bytes(path)
    file.take("<QQ")
    count = file.count("<Q", MOST_ARRAYS, "arrays")
    arrays = [_read_array(file) for _ in range(count)]
    if file.count("<Q", MOST_ARRAYS, "names") != count:
        raise file.broken("another number of names than of arrays")
    names = [_read_name(file) for _ in range(count)]
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise file.broken(f"{few_names(repeated)} more than once")
    if file.left:
        raise file.broken(f"{file.left} bytes after the last name")
    return {name: torch.from_numpy(array) for name, array in zip(names, arrays, strict=True)}


def _read_array(file: "_Bytes") -> np.ndarray:
    (word,) = file.take("<I")
    if word == MXNET_V2 and file.take("<i") != (0,):
        raise file.broken("a sparse array")
    long = word in (MXNET_V1, MXNET_V2)
    dimensions = file.count("<I", MOST_DIMENSIONS, "dimensions") if long else word
    if not 0 < dimensions <= MOST_DIMENSIONS:  # an array without dimensions has no header either
        raise file.broken(f"an array of {dimensions} dimensions")
    shape = file.take(f"<{dimensions}{'q' if long else 'I'}")
    _device, _device_id, dtype = file.take("<iii")
    if min(shape) < 1 or not 0 <= dtype < len(MXNET_DTYPES):
        raise file.broken(f"an array of shape {list(shape)} and type {dtype}")
    return file.array(shape, np.dtype(MXNET_DTYPES[dtype]))


def _read_name(file: "_Bytes") -> str:
    raw = bytes(file.bytes(file.count("<Q", LONGEST_NAME, "letters of a name")))
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise file.broken(f"the name {raw[:40]!r}") from error


class _Bytes:
    """A file read from front to back through a memory map. A read beyond its end is refused before memory is taken."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, 0
        self._raw = np.memmap(path, np.uint8, mode="c")  # torch needs writable memory; the file is never written

    @property
    def left(self) -> int:
        return len(self._raw) - self._at

    def broken(self, what: str) -> BadInput:
        return BadInput(f"{self._path}: a broken MXNet file: {what} before byte {self._at}; download it again")

    def bytes(self, count: int) -> np.ndarray:
        if count > self.left:
            raise BadInput(
                f"{self._path}: truncated or broken: {count} bytes expected at byte {self._at}, {self.left} left; "
                "download it again"
            )
        self._at += count
        return self._raw[self._at - count : self._at]

    def take(self, layout: str) -> tuple[int, ...]:
        return struct.unpack(layout, self.bytes(struct.calcsize(layout)).tobytes())

    def count(self, layout: str, most: int, what: str) -> int:
        (number,) = self.take(layout)
        if number > most:
            raise self.broken(f"{number} {what}")
        return number

    def array(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        size = dtype.itemsize
        for length in shape:
            size *= length
        array = np.asarray(self.bytes(size).view(dtype).reshape(shape))
        return array if array.flags.aligned else array.copy()


def few_names(names: list[str], most: int = 4) -> str:
    """The first names, safe to print in one line."""
    text = ", ".join(name[:120].encode("unicode_escape").decode() for name in names[:most])
    return text + (", ..." if len(names) > most else "")
