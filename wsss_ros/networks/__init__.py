"""Networks by name. A backbone promises image -> feature map or cloud -> per-point features."""

from torch import nn

from wsss_ros.networks.classifier import ImageClassifier, PointClassifier
from wsss_ros.networks.pointnet2 import PointNet2
from wsss_ros.networks.resnet import ResNet
from wsss_ros.networks.resnet38 import ResNet38
from wsss_ros.types import BadInput

IMAGE = {"resnet38": ResNet38, "resnet": ResNet}
POINT = {"pointnet2": PointNet2}

POINT_INPUTS = {"color": 3, "height": 1}


def build(kind: str, name: str, classes: int, options: dict | None = None, inputs: tuple[str, ...] = ()) -> nn.Module:
    """A classifier of the given ``kind`` ("image" or "point") with the backbone ``name``.

    Raises BadInput on an unknown kind, name, point input or option.
    """
    options = dict(options or {})
    family = {"image": IMAGE, "point": POINT}.get(kind, {})
    if name not in family:
        raise BadInput(f"no {kind} network '{name}'; there are image: {', '.join(IMAGE)}; point: {', '.join(POINT)}")
    unknown = set(inputs) - set(POINT_INPUTS)
    if unknown:
        raise BadInput(f"point network inputs {sorted(unknown)} are unknown; choose from {', '.join(POINT_INPUTS)}")
    if kind == "point":
        options["in_features"] = sum(POINT_INPUTS[i] for i in inputs)
    try:
        backbone = family[name](**options)
    except (TypeError, ValueError) as error:
        raise BadInput(f"network '{name}' with options {options}: {error}") from error
    return (ImageClassifier if kind == "image" else PointClassifier)(backbone, classes)
