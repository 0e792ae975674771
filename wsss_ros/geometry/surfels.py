"""Surfels: a disc for each point of a cloud, by which the cloud hides what is behind it (2D3DNet, appendix G.3)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float64
from pydantic import Field

from wsss_ros.config import Config
from wsss_ros.geometry import neighbors, surfel_kernels
from wsss_ros.geometry.normals import cpu_tree
from wsss_ros.types import BadInput


class SurfelSettings(Config):
    """The neighbourhoods from which surfels are computed. The defaults are those of the paper, for LiDAR outdoors."""

    radius_m: float = Field(0.25, gt=0, le=10, description="Radius of the neighbourhood of a point, metres.")
    max_radius_m: float = Field(
        2.0, gt=0, le=100, description="A neighbourhood without a plane is doubled up to this radius, metres."
    )
    neighbors: int = Field(32, ge=3, le=1000, description="Most points of a neighbourhood; of more, some are drawn.")


class Surfels(NamedTuple):
    """The discs of N points, which are their centres.

    ``normal``, ``tangent`` and ``bitangent`` are orthogonal unit vectors; the signs have no meaning. ``radius_m`` has
    the radii along tangent and bitangent.
    """

    normal: Float64[np.ndarray, "N 3"]
    tangent: Float64[np.ndarray, "N 3"]
    bitangent: Float64[np.ndarray, "N 3"]
    radius_m: Float64[np.ndarray, "N 2"]


def surfels(
    points: Float[np.ndarray, "N 3"],
    settings: SurfelSettings | None = None,
    up: Sequence[float] = (0.0, 0.0, 1.0),
) -> Surfels:
    """The surfel of each point, from a principal component analysis of its neighbourhood, centred at the point.

    The tangent is the direction of most variance, the normal that of least. The radius along the tangent is a quarter
    of the radius of the neighbourhood; that along the bitangent is smaller by the ratio of the standard deviations. A
    neighbourhood is degenerate if it has fewer than three points, or if one of the two largest standard deviations is
    below a tenth of its radius, clipped to 0.25-1 cm. It is then doubled. A point whose largest neighbourhood is
    degenerate gets the normal ``up`` and, as the paper does not say it, the radius of the smallest neighbourhood.

    Of more than ``neighbors`` points, those are used whose hash with the point is the smallest, so that the result is
    the same in each call.

    Args:
        points: metres.
        settings: sizes of the neighbourhoods.
        up: direction of the normals where there is no plane.

    Raises:
        BadInput: coordinates that are not finite, or ``up`` without a length.
    """
    settings = settings or SurfelSettings()
    count, upward = len(points), np.asarray(up, np.float64)
    if upward.shape != (3,) or not np.isfinite(upward).all() or not upward.any():
        raise BadInput(f"up is {up}; expected a direction of three numbers")
    found = Surfels(*(np.zeros((count, width)) for width in (3, 3, 3, 2)))
    if not count:
        return found
    if not np.isfinite(points).all():
        raise BadInput(f"the cloud of {count} points has NaN or infinite coordinates; remove these points first")
    near = (points.astype(np.float64) - np.median(points, axis=0)).astype(np.float32)
    sizes = (settings.radius_m, max(settings.max_radius_m, settings.radius_m))
    rest = np.stack(_frame_of(upward / np.linalg.norm(upward)))
    neighbors.share(
        surfel_kernels.discs, count, *cpu_tree(near), near, sizes, min(settings.neighbors, count), rest, *found
    )
    return found


def _frame_of(normal: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The normal with two directions that are orthogonal to it."""
    tangent = np.cross(normal, np.eye(3)[np.abs(normal).argmin()])
    tangent /= np.linalg.norm(tangent)
    return normal, tangent, np.cross(normal, tangent)
