"""The picture of what Densify sees in a room: its cloud, superpoints, primitives, their classes, and the truth."""

import numpy as np
from jaxtyping import Float, Integer, UInt8
from PIL import Image

from wsss_ros.evaluation import pictures
from wsss_ros.labels import LabelSpace


def draw_primitives(
    xyz: Float[np.ndarray, "N 3"],
    rgb: UInt8[np.ndarray, "N 3"] | None,
    superpoint: Integer[np.ndarray, "N"],
    primitive: Integer[np.ndarray, "N"],
    labels: LabelSpace,
    matched: UInt8[np.ndarray, "N"] | None = None,
    truth: UInt8[np.ndarray, "N"] | None = None,
    width: int = 420,
) -> Image.Image:
    """Views of a room next to each other, obliquely from above, with a legend of its classes.

    A primitive has the same colour in all rooms, a superpoint has not.

    Args:
        xyz: metres, z against gravity.
        rgb: colours; None: grey.
        superpoint: of each point, -1: none.
        primitive: of each point, -1: none.
        labels: the classes.
        matched: the class with which the primitive of each point is matched, unlabelled where there is none. None: no
            such view.
        truth: the true class of each point. None: no such view.
        width: of each view, pixels.
    """
    views = {"cloud": rgb, "superpoints": pictures.region_colors(superpoint)}
    views["primitives"] = pictures.region_colors(primitive)
    classes = {"matched classes": matched, "true classes": truth}
    given = {title: values for title, values in classes.items() if values is not None}
    views |= {title: labels.colorize(values) for title, values in given.items()}
    size = width, width * 3 // 4
    row = [pictures.render_cloud(xyz, colors, size=size) for colors in views.values()]
    present = np.unique(np.concatenate([np.zeros(0, np.uint8), *given.values()]))
    names = [labels.names[number] for number in present if number < len(labels)]
    return pictures.labelled_sheet(list(views), [row], labels, names) if given else pictures.sheet(list(views), [row])
