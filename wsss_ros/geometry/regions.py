"""Regions of a cloud: parts that belong together by shape and colour, found without any label.

``regions`` is the entry. Its settings choose one of four ways:

- ``wypr``: planar region growing as in CGAL, with the values of WyPR. WSegPC uses these regions.
- ``growing``: growing over smooth surface as in PCL.
- ``vccs``: supervoxels (Papon et al., Voxel Cloud Connectivity Segmentation, CVPR 2013).
- ``merged``: supervoxels, each joined to the region of growing that has most of it, as GrowSP and Densify have it.

The result does not depend on the number of threads. It does not depend on the order of the points either, but for the
numbers of the regions, because points are first sorted by their place, and points at one place count as one. One
setting is the exception: with ``seeds: index``, as in the code of WyPR, growing starts at the points in their order.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Float64, Int64, UInt8
from pydantic import Field

from wsss_ros.config import Config
from wsss_ros.geometry import neighbors, region_kernels
from wsss_ros.geometry.normals import Planes, ball_planes, cpu_tree, planes
from wsss_ros.geometry.voxels import table_size, voxel_downsample

_REACH_M = 16_384.0  # farther from the middle of the cloud, float32 has no millimetres: such points have no region
_STEP_M = 16.0
_MOST_VOXELS = 100_000  # of a region that grows over voxels (GrowSP); the supervoxels of a larger one stay apart
_SEED_SHARE = 0.05  # of the voxels of a flat surface within half the seed distance: what a seed needs at least (PCL)


class RegionSettings(Config):
    """How a cloud is divided into regions. The defaults are those of WSegPC, which uses the regions of WyPR."""

    kind: Literal["wypr", "growing", "vccs", "merged"] = Field(
        "wypr",
        description="wypr: planar growing; growing: over smooth surface; vccs: supervoxels; merged: supervoxels, each "
        "joined to the region of growing that has most of it.",
    )
    neighbors: int = Field(12, ge=2, le=100, description="Neighbours of a point over which a region grows.")
    angle_deg: float = Field(20.0, ge=0, le=90, description="Largest angle between normals within a region.")
    curvature: float = Field(
        0.05,
        ge=0,
        le=1,
        description="growing, merged: regions go on from points up to this curvature (0: plane, 0.33: most; 1: all). "
        "0.05 is the value of PCL; with 1, regions run over all edges, because normals near an edge turn slowly.",
    )
    plane_m: float = Field(2.0, gt=0, description="wypr: largest distance of a point to the plane of its region.")
    min_points: int = Field(50, ge=1, description="Growing: regions with fewer points are none. wypr: they grow anew.")
    seeds: Literal["curvature", "index"] | None = Field(
        None,
        description="Where regions start to grow: at the flattest points first, or in the order of the points. "
        "By default curvature for growing and merged (as PCL), index for wypr (as its code).",
    )
    normal_neighbors: int = Field(30, ge=3, le=200, description="Points from which the normal of a point is computed.")
    voxel_m: float = Field(0.05, ge=0.02, le=1, description="Edge of the voxels of supervoxels, metres.")
    seed_m: float = Field(0.5, ge=0.02, le=20, description="Distance between the seeds of supervoxels, metres.")
    normal_radius_m: float = Field(0.15, gt=0, le=5, description="Radius for the normals of voxels, metres.")
    spatial: float = Field(0.4, ge=0, description="Weight of the distance to the centre of a supervoxel, per seed_m.")
    normal: float = Field(1.0, ge=0, description="Weight of the normal in the distance to a supervoxel.")
    color: float = Field(0.2, ge=0, description="Weight of the colour in the distance to a supervoxel.")
    on_voxels: bool = Field(
        False, description="merged: regions grow over the voxels, as in Densify; false: over the points."
    )
    majority: float = Field(
        0.5, ge=0.5, le=1, description="merged: a supervoxel joins the region that has more than this share of it."
    )
    drop_below: int = Field(0, ge=0, description="Final regions with fewer points (voxels with on_voxels) are none.")


_DENSIFY = RegionSettings(
    kind="merged", on_voxels=True, neighbors=15, angle_deg=5.0, curvature=1.0, min_points=1, drop_below=30
)
PRESETS: dict[str, RegionSettings] = {
    "growing": RegionSettings(kind="growing"),
    "vccs": RegionSettings(kind="vccs"),
    "both": RegionSettings(kind="merged"),
    "wypr": RegionSettings(),
    "densify": _DENSIFY,
    "densify_s3dis": _DENSIFY.model_copy(update={"angle_deg": 3.0, "drop_below": 10}),
}


def regions(
    points: Float[np.ndarray, "N 3"], colors: UInt8[np.ndarray, "N 3"] | None, settings: RegionSettings
) -> Int64[np.ndarray, "N"]:
    """Divide a cloud into regions.

    Args:
        points: metres. Points that are not finite, or 16 km from the others, have no region.
        colors: those of the points, for supervoxels; None: their distance has no part of the colour.
        settings: the way, and its values.

    Returns:
        The number of the region of each point, counted from 0 in the order of the points; -1: none.
    """
    usable, near = near_points(points)
    region = np.full(len(points), -1, np.int64)
    if not len(near):
        return region
    units = _units(near, None if colors is None else colors[usable])
    found = _WAYS[settings.kind](units, settings)
    region[usable] = found[units.of_point]
    return _numbered(region)


class _Units(NamedTuple):
    """The different places of a cloud, near each other in memory where they are near in space.

    ``of_point`` is the unit of each point, ``first`` the first point of each unit.
    """

    xyz: Float32[np.ndarray, "U 3"]
    rgb: Float64[np.ndarray, "U 3"] | None
    tree: neighbors.Tree
    of_point: Int64[np.ndarray, "N"]
    first: Int64[np.ndarray, "U"]


class _Voxels(NamedTuple):
    """Voxels: their cells, mean positions and colours, planes and tree, and the voxel of each unit."""

    cell: Int64[np.ndarray, "V 3"]
    xyz: Float32[np.ndarray, "V 3"]
    rgb: Float64[np.ndarray, "V 3"] | None
    tree: neighbors.Tree
    planes: Planes
    of_unit: Int64[np.ndarray, "U"]


def near_points(points: Float[np.ndarray, "N 3"]) -> tuple[Bool[np.ndarray, "N"], Float32[np.ndarray, "M 3"]]:
    """Which points are usable, and these relative to the middle of the cloud.

    Points that are not finite, or 16 km from the others, are not. The middle is a multiple of 16 m: a few points more
    or less do not move the voxels.
    """
    finite = np.isfinite(points).all(axis=1)
    if not finite.any():
        return finite, np.zeros((0, 3), np.float32)
    middle = np.median(points[finite].astype(np.float64), axis=0)
    middle = np.round(middle / _STEP_M) * _STEP_M
    with np.errstate(invalid="ignore", over="ignore"):
        near = points - middle
        usable = finite & (np.abs(near) < _REACH_M).all(axis=1)
    return usable, near[usable].astype(np.float32)


def _units(points: Float32[np.ndarray, "N 3"], colors: UInt8[np.ndarray, "N 3"] | None) -> _Units:
    points = points + np.float32(0)  # -0.0 and 0.0 are one place
    order = np.lexsort(points.T)
    new = np.ones(len(points), bool)
    new[1:] = (np.diff(points[order], axis=0) != 0).any(axis=1)
    of_sorted = np.cumsum(new) - 1
    tree = cpu_tree(points[order[new]])
    rank = np.empty_like(tree.order)
    rank[tree.order] = np.arange(len(rank))
    of_point = np.empty(len(points), np.int64)
    of_point[order] = rank[of_sorted]
    first = np.full(len(rank), len(points))
    np.minimum.at(first, of_point, np.arange(len(points)))
    xyz = np.ascontiguousarray(tree.place.T)
    in_order = tree._replace(order=np.arange(len(rank)), lowest=tree.first)
    return _Units(xyz, _means(colors, of_point, len(rank)), in_order, of_point, first)


def _means(values: np.ndarray | None, group: Int64[np.ndarray, "N"], groups: int) -> Float64[np.ndarray, "G 3"] | None:
    if values is None:
        return None
    count = np.bincount(group, minlength=groups)
    return np.stack([np.bincount(group, values[:, axis], groups) / count for axis in range(3)], axis=1)


def _wypr(units: _Units, settings: RegionSettings) -> Int64[np.ndarray, "U"]:
    """Planar growing; then a unit without region gets that of the nearest unit which has one."""
    surface = planes(units.tree, units.xyz, settings.normal_neighbors, settings.neighbors)
    region = np.full(len(units.xyz), -1, np.int64)
    region_kernels.grow_planes(
        units.xyz,
        surface.neighbor,
        surface.normal,
        _seeds(surface, units.first, settings.seeds or "index"),
        _cosine(settings.angle_deg),
        float(settings.plane_m),
        settings.min_points,
        region,
    )
    return _without_small(_filled(units.xyz, region), settings.drop_below)


def _growing(units: _Units, settings: RegionSettings) -> Int64[np.ndarray, "U"]:
    surface = planes(units.tree, units.xyz, settings.normal_neighbors, settings.neighbors)
    return _without_small(_grown(surface, units.first, settings), settings.drop_below)


def _vccs(units: _Units, settings: RegionSettings) -> Int64[np.ndarray, "U"]:
    voxels = _voxels(units, settings)
    return _without_small(_supervoxels(voxels, settings)[voxels.of_unit], settings.drop_below)


def _merged(units: _Units, settings: RegionSettings) -> Int64[np.ndarray, "U"]:
    voxels = _voxels(units, settings)
    supervoxel = _supervoxels(voxels, settings)
    if not settings.on_voxels:
        grown = _growing(units, settings.model_copy(update={"drop_below": 0}))
        return _without_small(_joined(supervoxel[voxels.of_unit], grown, settings.majority), settings.drop_below)
    surface = planes(voxels.tree, voxels.xyz, 1, settings.neighbors)
    first = np.full(len(voxels.xyz), len(units.of_point))
    np.minimum.at(first, voxels.of_unit, units.first)
    grown = _grown(voxels.planes._replace(neighbor=surface.neighbor), first, settings)
    grown[np.bincount(grown + 1)[grown + 1] > _MOST_VOXELS] = -1
    joined = _joined(supervoxel, grown, settings.majority)
    return _without_small(joined, settings.drop_below)[voxels.of_unit]


_WAYS: dict[str, Callable[[_Units, RegionSettings], Int64[np.ndarray, "U"]]] = {
    "wypr": _wypr,
    "growing": _growing,
    "vccs": _vccs,
    "merged": _merged,
}


def _grown(surface: Planes, first: Int64[np.ndarray, "U"], settings: RegionSettings) -> Int64[np.ndarray, "U"]:
    """Regions of smooth surface; -1 for those with fewer than ``min_points`` points."""
    region = np.full(len(surface.normal), -1, np.int64)
    seeds = _seeds(surface, first, settings.seeds or "curvature")
    region_kernels.grow_smooth(
        surface.neighbor,
        surface.normal,
        surface.curvature,
        seeds,
        _cosine(settings.angle_deg),
        float(settings.curvature),
        region,
    )
    return _without_small(region, settings.min_points)


def _seeds(surface: Planes, first: Int64[np.ndarray, "U"], order: str) -> Int64[np.ndarray, "U"]:
    return np.argsort(surface.curvature if order == "curvature" else first, kind="stable")


def _cosine(angle_deg: float) -> float:
    """The cosine of the largest angle, a little lower, so that equal normals are within an angle of 0."""
    return float(np.cos(np.radians(angle_deg))) - 1e-12


def _voxels(units: _Units, settings: RegionSettings) -> _Voxels:
    first, of_unit = voxel_downsample(units.xyz, settings.voxel_m)
    xyz = _means(units.xyz, of_unit, len(first))
    assert xyz is not None  # noqa: S101 - there are points
    near = xyz.astype(np.float32)
    tree = cpu_tree(near)
    surface = ball_planes(tree, near, settings.normal_radius_m)[0]
    cell = np.floor(units.xyz[first].astype(np.float64) / settings.voxel_m).astype(np.int64)
    return _Voxels(cell, near, _means(units.rgb, of_unit, len(first)), tree, surface, of_unit)


def _supervoxels(voxels: _Voxels, settings: RegionSettings) -> Int64[np.ndarray, "V"]:
    """VCCS: seeds on a grid; from them, supervoxels flow over adjacent voxels, step by step, with moving centres.

    Distance of a voxel to a supervoxel, as in PCL: spatial * |x - c| / seed_m + normal * (1 - |n n_c|) +
    color * |rgb - rgb_c| / 255. All supervoxels do a step at the same time. In PCL they take turns within a step.
    """
    seeds = _supervoxel_seeds(voxels, settings)
    adjacent = _adjacent(voxels.cell)
    rgb = np.zeros((len(voxels.xyz), 3)) if voxels.rgb is None else voxels.rgb
    feature = np.hstack(
        [voxels.xyz * (settings.spatial / settings.seed_m), voxels.planes.normal, rgb * (settings.color / 255)]
    )
    centre = feature[seeds]
    owner, distance = np.full(len(feature), -1, np.int64), np.full(len(feature), np.inf)
    owner[seeds] = np.arange(len(seeds))
    count = np.zeros(len(seeds), np.int64)
    for _ in range(int(1.8 * settings.seed_m / settings.voxel_m) - 1):  # the number of steps of PCL
        before, closest = owner.copy(), distance.copy()
        neighbors.share(
            region_kernels.flow, len(feature), adjacent, feature, centre, settings.normal, before, owner, distance
        )
        if (owner == before).all() and (distance == closest).all():
            break
        region_kernels.recentre(feature, owner, centre, count)
    return owner


def _supervoxel_seeds(voxels: _Voxels, settings: RegionSettings) -> Int64[np.ndarray, "S"]:
    """The voxel nearest to the middle of each occupied cell of the grid of seeds, unless it is isolated."""
    first, _ = voxel_downsample(voxels.xyz, settings.seed_m)
    middle = (np.floor(voxels.xyz[first].astype(np.float64) / settings.seed_m) + 0.5) * settings.seed_m
    queries, cloud = torch.from_numpy(middle.astype(np.float32)), torch.from_numpy(voxels.xyz)
    nearest = np.unique(neighbors.knn(cloud, queries, 1, voxels.tree)[0].numpy())
    radius = settings.seed_m / 2
    count = ball_planes(voxels.tree, voxels.xyz[nearest], radius)[1]
    return nearest[count > _SEED_SHARE * np.pi * (radius / settings.voxel_m) ** 2]


def _adjacent(cell: Int64[np.ndarray, "V 3"]) -> Int64[np.ndarray, "V 26"]:
    """The occupied voxels next to each voxel, by face, edge or corner; -1 after the last."""
    keys, values = np.full(table_size(len(cell)), -1, np.int64), np.empty(table_size(len(cell)), np.int64)
    region_kernels.insert_voxels(cell, keys, values)
    adjacent = np.empty((len(cell), 26), np.int64)
    neighbors.share(region_kernels.adjacent_voxels, len(cell), cell, keys, values, adjacent)
    return adjacent


def _joined(
    supervoxel: Int64[np.ndarray, "U"], grown: Int64[np.ndarray, "U"], majority: float
) -> Int64[np.ndarray, "U"]:
    """Each supervoxel, or the region of growing that has more than the share ``majority`` of it."""
    of_pair = np.flatnonzero((supervoxel >= 0) & (grown >= 0))
    pairs = supervoxel[of_pair] * (grown.max(initial=0) + 1) + grown[of_pair]
    pair, count = np.unique(pairs, return_counts=True)
    owner, region = np.divmod(pair, grown.max(initial=0) + 1)
    size = np.bincount(supervoxel[supervoxel >= 0], minlength=supervoxel.max(initial=0) + 1)
    name = np.arange(len(size)) + grown.max(initial=0) + 1
    wins = count > majority * size[owner]
    name[owner[wins]] = region[wins]
    return np.where(supervoxel >= 0, name[supervoxel], -1)


def _filled(xyz: Float32[np.ndarray, "U 3"], region: Int64[np.ndarray, "U"]) -> Int64[np.ndarray, "U"]:
    """The regions; a point without one gets that of the nearest point which has one."""
    given, free = np.flatnonzero(region >= 0), np.flatnonzero(region < 0)
    if not len(given) or not len(free):
        return region
    nearest = neighbors.knn(torch.from_numpy(xyz[given]), torch.from_numpy(xyz[free]), 1)[0].numpy()[:, 0]
    region[free] = region[given[nearest]]
    return region


def _without_small(region: Int64[np.ndarray, "U"], least: int) -> Int64[np.ndarray, "U"]:
    size = np.bincount(region[region >= 0], minlength=region.max(initial=0) + 1)
    return np.where((region >= 0) & (size[region] >= least), region, -1)


def _numbered(region: Int64[np.ndarray, "N"]) -> Int64[np.ndarray, "N"]:
    """The regions, numbered from 0 in the order of their first points."""
    names, first, which = np.unique(region, return_index=True, return_inverse=True)
    rank = np.empty(len(names), np.int64)
    rank[np.argsort(np.where(names < 0, -1, first), kind="stable")] = np.arange(len(names))
    return rank[which.reshape(-1)] - int(len(names) > 0 and names[0] < 0)
