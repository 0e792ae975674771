"""Networks by name. A backbone turns an image into a feature map, or a cloud into one feature vector for each point.

A new network is a file in this folder and a row in ``IMAGE`` or ``CLOUD``.
"""

from collections.abc import Callable
from typing import Any

from wsss_ros.networks.backbone import Backbone
from wsss_ros.networks.classifier import CloudClassifier, ImageClassifier
from wsss_ros.networks.efficientnet_lite import EfficientNetLite
from wsss_ros.networks.minkunet import MinkUNet
from wsss_ros.networks.pointnet2 import PointNet2
from wsss_ros.networks.resnet import ResNet
from wsss_ros.networks.resnet38 import ResNet38
from wsss_ros.networks.sparse_unet import SparseUNet
from wsss_ros.types import BadInput

IMAGE: dict[str, Callable[..., Backbone]] = {
    "resnet38": ResNet38,
    "resnet": ResNet,
    "efficientnet_lite": EfficientNetLite,
}
CLOUD: dict[str, Callable[..., Backbone]] = {"pointnet2": PointNet2, "minkunet": MinkUNet, "sparse_unet": SparseUNet}

# Input of a cloud network -> its channels; fused_label has one for each class (2D3DNet, 3.2).
CLOUD_INPUTS = {"color": 3, "height": 1, "has_color": 1, "fused_label": 0, "fused_confidence": 1}


def build(
    kind: str, name: str, classes: int, options: dict[str, Any] | None = None, inputs: tuple[str, ...] = ()
) -> ImageClassifier | CloudClassifier:
    """Build a classifier: a backbone and a linear head.

    Args:
        kind: "image" or "cloud".
        name: of the backbone, a key of ``IMAGE`` or ``CLOUD``.
        classes: number of classes.
        options: keyword arguments of the backbone.
        inputs: what a cloud network takes in addition to xyz, keys of ``CLOUD_INPUTS``.

    Raises:
        BadInput: unknown kind, name, input or option.
    """
    options = dict(options or {})
    family = {"image": IMAGE, "cloud": CLOUD}.get(kind, {})
    if name not in family:
        raise BadInput(f"no {kind} network '{name}'; there are image: {', '.join(IMAGE)}; cloud: {', '.join(CLOUD)}")
    unknown = set(inputs) - set(CLOUD_INPUTS)
    if unknown:
        raise BadInput(f"cloud network inputs {sorted(unknown)} are unknown; choose from {', '.join(CLOUD_INPUTS)}")
    if kind == "cloud":
        options["in_features"] = sum(CLOUD_INPUTS[i] or classes for i in inputs)
    try:
        backbone = family[name](**options)
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise BadInput(f"network '{name}' with options {options}: {error}") from error
    return (ImageClassifier if kind == "image" else CloudClassifier)(backbone, classes)
