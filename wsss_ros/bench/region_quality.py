"""Regions of clouds against dense truth: how pure they are, which true boundaries they find, and how long they take."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from PIL import Image

from wsss_ros.evaluation import pictures
from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.files import replace
from wsss_ros.geometry import neighbors
from wsss_ros.geometry.regions import RegionSettings, regions
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.scenes.derived import cloud_of, upright_rotation
from wsss_ros.types import Cloud, Scene

BOUNDARY_M = 0.05  # a true boundary is found if a boundary of regions is at most so far away, metres
_RING = 8  # neighbours of a point, itself included, that decide whether it is at a boundary


@dataclass
class Quality:
    """The scores of one way on some clouds; sums over points, and one entry for each cloud.

    ``pure`` and ``found`` are (hits, points), for classes and for objects.
    """

    labels: LabelSpace
    seconds: list[float] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    free: list[int] = field(default_factory=list)
    points: list[int] = field(default_factory=list)
    pure: dict[str, list[int]] = field(default_factory=dict)
    found: dict[str, list[int]] = field(default_factory=dict)
    majority: ConfusionMatrix = field(init=False)

    def __post_init__(self) -> None:
        self.majority = ConfusionMatrix(self.labels)

    def row(self) -> dict[str, float | None]:
        """Means over the clouds (regions, seconds) and shares of all points, in percent; None without truth."""
        shares = {
            f"{name}_{kind}": 100 * hits[kind][0] / hits[kind][1] if hits.get(kind, [0, 0])[1] else None
            for (name, hits), kind in product({"purity": self.pure, "recall": self.found}.items(), KINDS)
        }
        return {
            "regions": float(np.mean(self.counts)),
            "free": 100 * sum(self.free) / max(sum(self.points), 1),
            **shares,
            "miou": self.majority.compute()["miou"] if "classes" in self.pure else None,
            "seconds": float(np.mean(self.seconds)),
            "points": float(np.mean(self.points)),
        }


KINDS = ("classes", "objects")


@dataclass(frozen=True)
class Truths:
    """A cloud, what is known about its points by kind (-1: unknown), and its true boundaries."""

    cloud: Cloud
    known: Mapping[str, Int64[np.ndarray, "N"]]
    ring: Int64[np.ndarray, "N K"]


def truths(scene: Scene) -> Truths:
    """The cloud of a scene with its classes and objects, as far as the scene knows them."""
    cloud = cloud_of(scene)
    given = {"classes": scene.cloud_truth(), "objects": getattr(scene, "cloud_objects", lambda: None)()}
    known = {kind: _known(values) for kind, values in given.items() if values is not None}
    xyz = torch.from_numpy(np.ascontiguousarray(cloud.xyz, dtype=np.float32))
    return Truths(cloud, known, neighbors.knn(xyz, xyz, _RING)[0].numpy())


def _known(values: np.ndarray) -> Int64[np.ndarray, "N"]:
    return np.where(values == UNLABELLED, -1, values).astype(np.int64) if values.dtype == np.uint8 else values


def measure(
    scenes: Sequence[Scene], labels: LabelSpace, ways: Mapping[str, RegionSettings]
) -> Iterator[tuple[str, dict[str, Quality]]]:
    """Yield the name of each scene when it is done, and the scores of each way so far."""
    scores = {name: Quality(labels) for name in ways}
    for settings in ways.values():  # compiles the kernels
        corner = np.random.default_rng(0).random((2000, 3)) * [1, 1, 0.01]
        regions(corner, np.zeros((2000, 3), np.uint8), settings)
    for scene in scenes:
        known = truths(scene)
        for name, settings in ways.items():
            started = time.perf_counter()
            region = regions(known.cloud.xyz, known.cloud.rgb, settings)
            add(scores[name], known, region, time.perf_counter() - started)
        yield scene.name, scores


def add(quality: Quality, known: Truths, region: Int64[np.ndarray, "N"], seconds: float) -> None:
    """Count the regions of one cloud."""
    quality.seconds.append(seconds)
    quality.counts.append(int(region.max(initial=-1)) + 1)
    quality.free.append(int((region < 0).sum()))
    quality.points.append(len(region))
    edges = _changes(region, known.ring)
    for kind, values in known.known.items():
        guess = majority(region, values)
        judged = (values >= 0) & (region >= 0)
        _count(quality.pure, kind, (guess == values)[judged])
        true_edges = _changes(values, known.ring, skip=-1)
        _count(quality.found, kind, _near(known.cloud.xyz, true_edges, edges))
        if kind == "classes":
            truth, predicted = (np.where(each < 0, UNLABELLED, each).astype(np.uint8) for each in (values, guess))
            quality.majority.update(predicted, truth)


def majority(region: Int64[np.ndarray, "N"], values: Int64[np.ndarray, "N"]) -> Int64[np.ndarray, "N"]:
    """The most frequent known value of the region of each point, the lowest of equal ones; -1: none is known."""
    counted = (region >= 0) & (values >= 0)
    shape = region.max(initial=-1) + 1, values.max(initial=-1) + 1
    if not counted.any():
        return np.full(len(region), -1)
    pairs = np.bincount(region[counted] * shape[1] + values[counted], minlength=shape[0] * shape[1]).reshape(shape)
    winner = np.where(pairs.any(axis=1), pairs.argmax(axis=1), -1)
    return np.where(region >= 0, winner[region], -1)


def _count(hits: dict[str, list[int]], kind: str, right: Bool[np.ndarray, "M"]) -> None:
    so_far = hits.setdefault(kind, [0, 0])
    so_far[0] += int(right.sum())
    so_far[1] += len(right)


def _changes(
    values: Int64[np.ndarray, "N"], ring: Int64[np.ndarray, "N K"], skip: int | None = None
) -> Bool[np.ndarray, "N"]:
    """The points with a neighbour of another value; the value ``skip`` is no boundary to others."""
    other, own = values[ring], values[:, None]
    differ = other != own
    if skip is not None:
        differ &= (other != skip) & (own != skip)
    return differ.any(axis=1)


def _near(
    xyz: Float[np.ndarray, "N 3"], true_edges: Bool[np.ndarray, "N"], edges: Bool[np.ndarray, "N"]
) -> Bool[np.ndarray, "M"]:
    """Which of the true boundary points have a boundary of regions next to them."""
    if not edges.any() or not true_edges.any():
        return np.zeros(int(true_edges.sum()), bool)
    cloud, queries = (
        torch.from_numpy(np.ascontiguousarray(xyz[each], dtype=np.float32)) for each in (edges, true_edges)
    )
    return neighbors.knn(cloud, queries, 1)[1].numpy()[:, 0] <= BOUNDARY_M**2


def picture(scene: Scene, labels: LabelSpace, ways: Mapping[str, RegionSettings], width: int = 420) -> Image.Image:
    """The cloud of a scene in its colours, its truth if there is any, and its regions, seen obliquely from above."""
    known = truths(scene)
    upright = known.cloud.xyz @ upright_rotation(scene).T
    views: dict[str, Any] = {"cloud": known.cloud.rgb}
    if "classes" in known.known:
        views["true classes"] = labels.colorize(scene.cloud_truth())
    for name, settings in ways.items():
        views[name] = pictures.region_colors(regions(known.cloud.xyz, known.cloud.rgb, settings))
    size = width, width * 3 // 4
    drawn = [pictures.render_cloud(upright, rgb, size=size) for rgb in views.values()]
    columns = min(4, len(views))
    names = [*views] + [""] * (-len(views) % columns)
    drawn += [np.full_like(drawn[0], 255)] * (len(names) - len(drawn))
    return pictures.stacked(
        [pictures.sheet(names[i : i + columns], [drawn[i : i + columns]]) for i in range(0, len(names), columns)]
    )


def save(pages: Sequence[Image.Image], path: Path) -> None:
    """Write pictures below each other, with few colours, so that the file is small."""
    page = pictures.stacked(pages).quantize(128, dither=Image.Dither.NONE)
    replace(path, lambda file: page.save(file, "PNG", optimize=True))
