"""Hand-made features of the regions of a cloud: mean colour, and how their normals lie to each other.

Superpoints are regions (``regions.PRESETS["densify"]``). Features are computed over voxels, as in GrowSP, so that dense
parts of a cloud do not count more than others.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, Integer, UInt8
from pydantic import Field

from wsss_ros.config import Config
from wsss_ros.geometry import neighbors, superpoint_kernels
from wsss_ros.geometry.normals import ball_planes, cpu_tree
from wsss_ros.geometry.regions import near_points
from wsss_ros.geometry.voxels import voxel_downsample

COLORS = 3  # columns of the colour; the histogram follows


class HandMadeSettings(Config):
    """How the hand-made features of superpoints are computed. The defaults are those of GrowSP, but for its zeros."""

    voxel_m: float = Field(0.05, ge=0.005, le=1, description="Edge of the voxels that give the normals, metres.")
    normal_radius_m: float = Field(0.15, gt=0, le=5, description="Radius for the normals of voxels, metres.")
    bins: int = Field(10, ge=1, le=100, description="Bins of the histogram of normal products, from -1 to 1.")
    zeros: bool = Field(
        False,
        description="Count a product of 0 for each pair of voxels once more, as the code of GrowSP does: it fills the "
        "lower triangle of its matrix of products with zeros.",
    )
    most_voxels: int = Field(
        1000, ge=2, le=20_000, description="Voxels of a superpoint whose products are counted; of more, a random part."
    )


def hand_made(
    points: Float[np.ndarray, "N 3"],
    colors: UInt8[np.ndarray, "N 3"] | None,
    region: Integer[np.ndarray, "N"],
    settings: HandMadeSettings,
) -> Float32[np.ndarray, "R E"]:
    """The hand-made features of each region: its mean colour minus 0.5, then the histogram of normal products.

    The histogram ("PFH" in GrowSP) counts the products of the normals of all pairs of voxels, a voxel with itself
    included, and is divided by its sum. Normals have no side; each gets the sign with which its longest component is
    positive. Voxels without a plane are left out. A region without any other has a histogram of zeros.

    Args:
        points: metres, in a frame in which floors are level, so that all scenes have the same signs.
        colors: those of the points; None: mid-grey, whose columns are 0.
        region: of each point, -1: none. These points still have a part in the normals.
        settings: voxels, normals and bins.
    """
    count = int(region.max(initial=-1)) + 1
    features = np.zeros((count, COLORS + settings.bins), np.float32)
    usable, near = near_points(points)
    if not (region[usable] >= 0).any():
        return features
    cells = _cells(near, None if colors is None else colors[usable], region[usable].astype(np.int64), settings)
    size = np.bincount(cells.region, minlength=count)
    if cells.rgb is not None:
        for axis in range(COLORS):
            total = np.bincount(cells.region, cells.rgb[:, axis], count)
            features[:, axis] = np.where(size > 0, total / np.maximum(size, 1) / 255 - 0.5, 0)
    features[:, COLORS:] = _histograms(cells, count, settings)
    return features


class _Cells(NamedTuple):
    """The parts of voxels that belong to one region: normal, region and mean colour."""

    normal: Float64[np.ndarray, "U 3"]
    region: Int64[np.ndarray, "U"]
    rgb: Float64[np.ndarray, "U 3"] | None


def _cells(
    points: Float32[np.ndarray, "N 3"],
    colors: UInt8[np.ndarray, "N 3"] | None,
    region: Int64[np.ndarray, "N"],
    settings: HandMadeSettings,
) -> _Cells:
    first, voxel = voxel_downsample(points, settings.voxel_m)
    middle = _means(points, voxel, len(first)).astype(np.float32)
    normal = _signed(ball_planes(cpu_tree(middle), middle, settings.normal_radius_m)[0].normal)
    inside, regions = region >= 0, int(region.max()) + 1
    pair, of_pair = np.unique((voxel * regions + region)[inside], return_inverse=True)
    of_voxel, of_region = np.divmod(pair, regions)
    rgb = None if colors is None else _means(colors[inside], of_pair.reshape(-1), len(pair))
    return _Cells(normal[of_voxel], of_region, rgb)


def _signed(normal: Float64[np.ndarray, "V 3"]) -> Float64[np.ndarray, "V 3"]:
    longest = np.take_along_axis(normal, np.abs(normal).argmax(axis=1)[:, None], axis=1)
    return np.where(longest < 0, -normal, normal)


def _means(values: np.ndarray, group: Int64[np.ndarray, "N"], groups: int) -> Float64[np.ndarray, "G 3"]:
    size = np.bincount(group, minlength=groups)
    return np.stack([np.bincount(group, values[:, axis], groups) / size for axis in range(3)], axis=1)


def _histograms(cells: _Cells, count: int, settings: HandMadeSettings) -> Float64[np.ndarray, "R bins"]:
    with_plane = np.flatnonzero(np.abs(cells.normal).max(axis=1) > 0)
    mixed = np.random.default_rng(0).permutation(with_plane)  # so that the first ones of a region are a random part
    order = mixed[np.argsort(cells.region[mixed], kind="stable")]
    start = np.searchsorted(cells.region[order], np.arange(count + 1))
    counts = np.zeros((count, settings.bins))
    arguments = cells.normal[order], start, settings.most_voxels, settings.zeros, counts
    neighbors.share(superpoint_kernels.normal_products, count, *arguments)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
