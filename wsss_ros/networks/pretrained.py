"""Pretrained weights for the image backbones, read from the files that their authors publish.

ResNet38: the ImageNet file of "Wider or Deeper", an MXNet NDArray list, read with numpy alone.
ResNet: a state dict with torchvision's names, written by torch.save or as safetensors.
Both expect images as ``classifier.normalise_images`` makes them.
"""

import struct
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from wsss_ros.networks.resnet38 import ResNet38
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
CLASSIFIERS = {"arg:linear1000_weight", "arg:linear1000_bias", "fc.weight", "fc.bias"}
OPTIONAL = "num_batches_tracked"
MOST_ARRAYS, MOST_DIMENSIONS, LONGEST_NAME = 10_000, 8, 1_000  # a header with more is broken


def load(backbone: nn.Module, path: str | Path) -> None:
    """Fill a backbone with pretrained weights. A ResNet38 is frozen afterwards.

    The classifier in the file is ignored. Values are converted to the backbone's precision.

    Args:
        backbone: a ResNet38 or a ResNet.
        path: of the file. Its format is recognised from its content.

    Raises:
        BadInput: no such file, another or a broken format, weights that are missing, unknown, of another shape or not
            finite (the message names a few of each). The backbone is then unchanged.
    """
    path = Path(path)
    read = _reader(path)
    if read is _read_mxnet and not isinstance(backbone, ResNet38):
        raise BadInput(f"{path}: an MXNet file, which fills a ResNet38, not a {type(backbone).__name__}")
    left_out = CLASSIFIERS | {"_extra_state"}
    tensors = {name: value for name, value in read(path).items() if name not in left_out}
    own = {name: value for name, value in backbone.state_dict().items() if name not in left_out}
    if read is _read_mxnet:
        own = {mxnet_name(name): value for name, value in own.items() if not name.endswith(OPTIONAL)}
    _check_names(path, type(backbone).__name__, own, tensors)
    _check_values(path, own, tensors)
    with torch.no_grad():
        for name, value in tensors.items():
            own[name].copy_(value)
    if isinstance(backbone, ResNet38):
        backbone.freeze()


def mxnet_name(own: str) -> str:
    """The MXNet file's name of a weight of ResNet38: blocks.b2_1.conv_2a.weight -> arg:res2b1_branch2a_weight."""
    *path, module, value = own.split(".")
    kind, _, branch = module.partition("_")
    if path:
        level, _, repeat = path[-1].removeprefix("b").partition("_")
        module = f"{'res' if kind == 'conv' else 'bn'}{level}{'b' + repeat if repeat else 'a'}_branch{branch}"
    return f"arg:{module}_weight" if kind.startswith("conv") else MXNET_VALUES[value].format(module)


def _reader(path: Path) -> Callable[[Path], dict[str, Tensor]]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise BadInput(f"{path}: pretrained weights cannot be read: {error.strerror}; check the path") from error
    first = int.from_bytes(head[:8], "little")
    if len(head) == 9 and first == MXNET_LIST:
        return _read_mxnet
    if head.startswith((b"PK\x03\x04", b"\x80\x02")):  # a zip file, or the pickle that torch wrote before 1.6
        return _read_torch
    if head[8:] == b"{" and first <= size - 8:
        return _read_safetensors
    raise BadInput(
        f"{path}: neither an MXNet .params file nor a state dict of torch or safetensors, or truncated ({size} bytes); "
        "download it again"
    )


def _read_torch(path: Path) -> dict[str, Tensor]:
    with path.open("rb") as file:
        zipped = file.read(2) == b"PK"
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Exception as error:  # an unpickler may raise anything for foreign bytes
        first = (str(error).splitlines() or [""])[0][:200]
        raise BadInput(
            f"{path}: not a readable state dict of torch ({type(error).__name__}: {first}); download it again"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
        raise BadInput(f"{path}: contains a {type(content).__name__}; expected a state dict: tensors by name")
    foreign = [name for name, value in content.items() if not isinstance(value, Tensor)]
    if foreign:
        raise BadInput(f"{path}: {_few(foreign)} are not tensors; expected a plain state dict, so save that part alone")
    return content


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise BadInput(f"{path}: not a readable safetensors file ({error}); download it again") from error


def _read_mxnet(path: Path) -> dict[str, Tensor]:
    """Tensors in the memory-mapped file: only the headers are read here."""
    file = _Bytes(path)
    file.take("<QQ")
    count = file.count("<Q", MOST_ARRAYS, "arrays")
    arrays = [_read_array(file) for _ in range(count)]
    if file.count("<Q", MOST_ARRAYS, "names") != count:
        raise file.broken("another number of names than of arrays")
    names = [_read_name(file) for _ in range(count)]
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if repeated:
        raise file.broken(f"{_few(repeated)} more than once")
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


def _check_names(path: Path, network: str, own: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    missing = [name for name in own if name not in tensors and not name.endswith(OPTIONAL)]
    unknown = [name for name in tensors if name not in own]
    shapes = [
        f"{name} {list(tensors[name].shape)} for {list(value.shape)}"
        for name, value in own.items()
        if name in tensors and tensors[name].shape != value.shape
    ]
    kinds = [
        f"{name} {tensors[name].dtype}"
        for name, value in own.items()
        if name in tensors and not _fits(tensors[name], value)
    ]
    faults = {"missing": missing, "unknown": unknown, "of another shape": shapes, "of another type": kinds}
    if any(faults.values()):
        text = "; ".join(f"{len(names)} {fault}: {_few(names)}" for fault, names in faults.items() if names)
        raise BadInput(f"{path}: its weights are not those of this {network}: {text}. Expected: a file of this network")


def _fits(value: Tensor, own: Tensor) -> bool:
    usual = value.layout == torch.strided and value.device.type == "cpu"
    return usual and value.is_floating_point() == own.is_floating_point()


def _check_values(path: Path, own: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    broken = [name for name, value in tensors.items() if not torch.isfinite(value.to(own[name].dtype)).all()]
    if broken:
        raise BadInput(f"{path}: {len(broken)} weights are not finite: {_few(broken)}; the file is damaged")
    negative = [name for name, value in tensors.items() if name.endswith("_var") and bool((value < 0).any())]
    if negative:
        raise BadInput(f"{path}: {len(negative)} variances are below zero: {_few(negative)}; the file is damaged")


def _few(names: list[str], most: int = 4) -> str:
    """The first names, safe to print in one line."""
    text = ", ".join(name[:120].encode("unicode_escape").decode() for name in names[:most])
    return text + (", ..." if len(names) > most else "")
