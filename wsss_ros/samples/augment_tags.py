"""Augmentations that change which classes a cloud has, together with its tags (WSegPC, secs. 3.3 and 4.2).

Walls and floors are in nearly all rooms, so their tags teach little. Some clouds therefore lose their floor, walls or
ceiling, and others become one cloud with the tags of both (Mix3D). Tags of images stay as they are.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from jaxtyping import Bool, Float, Float32, Float64, Int64
from pydantic import Field

from wsss_ros.config import Config
from wsss_ros.labels import LabelSpace

STRUCTURES = ("floor", "wall", "ceiling")


class StructureRemoval(Config):
    """How often clouds lose a structure of the room, and where it is looked for."""

    floor: float = Field(0.5, ge=0, le=1, description="Share of the clouds that lose the floor.")
    wall: float = Field(0.5, ge=0, le=1, description="Share of the clouds that lose the walls of the four sides.")
    ceiling: float = Field(0.0, ge=0, le=1, description="Share of the clouds that lose the ceiling; the paper: S3DIS.")
    slab_m: float = Field(
        0.5,
        gt=0,
        le=5,
        description="Thickness of the slabs at the bottom, the sides and the top of a cloud, metres. "
        "The region with most points in a slab is the one that is removed.",
    )


class MixSettings(Config):
    """Mix3D: how often two clouds of a batch become one, and for which networks."""

    share: float = Field(0.0, ge=0, le=1, description="Share of the pairs of clouds that are mixed (Mix3D).")
    networks: Literal["student", "both"] = Field(
        "student", description="Who sees mixed clouds; with student, as in the paper, the teacher sees each for itself."
    )


def structure_classes(labels: LabelSpace) -> dict[str, int]:
    """The label of each structure that is a class."""
    return {name: labels.names.index(name) for name in STRUCTURES if name in labels.names}


def remove_structures(
    xyz: Float[np.ndarray, "N 3"],
    region: Int64[np.ndarray, "N"],
    tags: Float32[np.ndarray, "C"],
    classes: Mapping[str, int],
    settings: StructureRemoval,
    rng: np.random.Generator,
) -> tuple[Bool[np.ndarray, "N"], Float32[np.ndarray, "C"]]:
    """Which points stay when the cloud loses some structures at random, and the tags that it has then.

    A structure is the region with most points in the slab at its side of the cloud; walls have four. The complete
    region is removed, also outside the slab. A structure stays if it is not among the tags, if no region reaches into
    its slabs, or if no point would be left.

    Args:
        xyz: z up, with walls along x and y, metres.
        region: of each point, from 0; -1: without a region, never removed.
        tags: of the cloud, multi-hot 0 / 1.
        classes: label of each structure (``structure_classes``).
        settings: how often each structure is removed, and the thickness of the slabs.
        rng: the source of all randomness. Each structure takes one number.
    """
    kept, left = np.ones(len(xyz), dtype=bool), tags.copy()
    drawn = [name for name in STRUCTURES if rng.random() < getattr(settings, name)]
    for name in drawn:
        label = classes.get(name)
        if label is None or not tags[label] or not len(xyz):
            continue
        chosen = [_largest(region[slab]) for slab in _slabs(xyz, name, settings.slab_m)]
        removed = np.isin(region, chosen) & (region >= 0)
        if removed.any() and (kept & ~removed).any():
            kept &= ~removed
            left[label] = 0
    return kept, left


def mixed_pairs(clouds: int, share: float, rng: np.random.Generator) -> Int64[np.ndarray, "P 2"]:
    """Random pairs of different clouds of a batch that become one; each pair does so with the probability ``share``.

    A cloud is in one pair at most.
    """
    pairs = rng.permutation(clouds)[: clouds // 2 * 2].reshape(-1, 2).astype(np.int64)
    return pairs[rng.random(len(pairs)) < share]


def mixed_points(
    first: Float[np.ndarray, "N 3"], second: Float[np.ndarray, "M 3"], rng: np.random.Generator
) -> Float64[np.ndarray, "K 3"]:
    """The points of two clouds as one cloud (Mix3D): both centred, the first one moved by up to half its extent.

    The points of the first cloud come first; each cloud keeps its order and shape.
    """
    first, second = (cloud - cloud.mean(axis=0) if len(cloud) else cloud for cloud in (first, second))
    share = rng.random(3)
    if len(first):
        low, high = first.min(axis=0), first.max(axis=0)
        first = first + (low + share * (high - low)) / 2
    return np.concatenate([first, second]).astype(np.float64)


def union_tags(
    tags: Float[np.ndarray, "K C"], known: Float[np.ndarray, "K C"]
) -> tuple[Float[np.ndarray, "C"], Float[np.ndarray, "C"]]:
    """The tags of K things together, and which classes are known: tagged in one of them, or known in all."""
    present = tags.max(axis=0)
    return present, np.maximum(present, known.min(axis=0))


def _slabs(xyz: np.ndarray, name: str, thickness_m: float) -> Sequence[np.ndarray]:
    """The points in the slab of a structure: at the bottom, at the top, or at each of the four sides."""
    low, high = xyz < xyz.min(axis=0) + thickness_m, xyz > xyz.max(axis=0) - thickness_m
    if name == "wall":
        return [low[:, 0], low[:, 1], high[:, 0], high[:, 1]]
    return [low[:, 2] if name == "floor" else high[:, 2]]


def _largest(regions: np.ndarray) -> int:
    """The region with most points, that with the smallest number of equal ones; -1 without any."""
    found, count = np.unique(regions[regions >= 0], return_counts=True)
    return int(found[count.argmax()]) if len(found) else -1
