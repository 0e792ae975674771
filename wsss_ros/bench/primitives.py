"""Superpoints and primitives of many scenes: how long they take, their memory, and how pure they are."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Float32, Int64, UInt8
from PIL import Image
from torch import Tensor

from wsss_ros.bench.clock import median_ms
from wsss_ros.bench.memory import peak_mb, resident_mb
from wsss_ros.evaluation.confusion_matrix import iou_of
from wsss_ros.evaluation.primitive_pictures import draw_primitives
from wsss_ros.geometry.regions import RegionSettings, regions
from wsss_ros.geometry.superpoints import HandMadeSettings, hand_made
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.methods.densify.matching import match, primitive_means
from wsss_ros.methods.densify.primitives import Clusters, grouped, kmeans, primitive_features, superpoint_features
from wsss_ros.networks.checkpoint import Checkpoint
from wsss_ros.networks.classifier import input_features
from wsss_ros.scenes.derived import cloud_of, upright_rotation
from wsss_ros.types import Cloud, Scene

STANDARD_ROWS, STANDARD_WIDTH = 100_000, 109  # superpoints of ScanNet; 96 features of a network, 3 + 10 hand-made
_SAMPLE = 40_000  # points that a network takes, if its checkpoint does not say how many it has learned from
PARTS = ("superpoints", "hand-made", "network")


class Seconds(NamedTuple):
    """What passed, and what processors worked for it, all threads together."""

    wall: float
    processor: float


@dataclass
class Found:
    """The superpoints of all scenes.

    Attributes:
        seconds: of each scene by part, one of PARTS: those that passed, and those that processors worked.
        points: of each scene.
        free: points of each scene without superpoint.
        rows: features of the superpoints of each scene, and their numbers in it.
        classes: how many points of each class each of these superpoints has.
        missed: points of each class without superpoint.
        added_mb: peak memory above what was there before the first scene.
    """

    seconds: dict[str, list[Seconds]] = field(default_factory=lambda: {part: [] for part in PARTS})
    points: list[int] = field(default_factory=list)
    free: list[int] = field(default_factory=list)
    rows: list[tuple[Float[Tensor, "S D"], Int64[Tensor, "S"]]] = field(default_factory=list)
    classes: list[Int64[np.ndarray, "S C"]] = field(default_factory=list)
    missed: Int64[np.ndarray, "C"] | int = 0
    added_mb: float = 0.0


def find(
    scenes: Sequence[Scene], labels: LabelSpace, settings: RegionSettings, network: Checkpoint | None
) -> Iterator[tuple[str, Found]]:
    """Yield the name of each scene when it is done, and what was found so far. ``network`` gives features if given."""
    compiling = np.random.default_rng(0).random((2000, 3)) * [1, 1, 0.01]
    hand_made(compiling, None, regions(compiling, None, settings), HandMadeSettings())
    found, before = Found(), resident_mb()
    for scene in scenes:
        cloud, truth = cloud_of(scene), scene.cloud_truth()
        xyz = cloud.xyz @ upright_rotation(scene).T
        steps = _superpoints(cloud, xyz, settings, network)
        for part, (_, seconds) in zip(PARTS, steps, strict=True):
            found.seconds[part].append(seconds)
        region, extra, (features, points) = (result for result, _ in steps)
        rows, numbers = superpoint_features(features, torch.from_numpy(region)[points], torch.from_numpy(extra))
        found.rows.append((rows, numbers))
        found.points.append(len(region))
        found.free.append(int((region < 0).sum()))
        known = np.zeros(0, np.int64) if truth is None else np.flatnonzero(truth != UNLABELLED)
        pairs = (region + 1)[known] * len(labels) + (truth[known] if truth is not None else 0)
        shape = len(extra) + 1, len(labels)
        counts = np.bincount(pairs, minlength=shape[0] * shape[1]).reshape(shape)
        found.missed = found.missed + counts[0]
        found.classes.append(counts[1:][numbers.numpy()])
        found.added_mb = peak_mb() - before
        yield scene.name, found


def _superpoints(cloud: Cloud, xyz: np.ndarray, settings: RegionSettings, network: Checkpoint | None) -> list[Any]:
    """Regions, hand-made features, and features of the network with their points, each with its time."""
    region, seconds = _timed(lambda: regions(cloud.xyz, cloud.rgb, settings))
    extra = _timed(lambda: hand_made(xyz, cloud.rgb, region, HandMadeSettings()))
    return [(region, seconds), extra, _timed(lambda: _features(xyz, cloud.rgb, network))]


def _timed(call: Callable[[], Any]) -> tuple[Any, Seconds]:
    wall, processor = time.perf_counter(), time.process_time()
    result = call()
    return result, Seconds(time.perf_counter() - wall, time.process_time() - processor)


def _features(
    xyz: Float[np.ndarray, "N 3"], rgb: np.ndarray | None, network: Checkpoint | None
) -> tuple[Float[Tensor, "M D"], Int64[Tensor, "M"]]:
    """Features at the points of a random part of the cloud, as a network learns from it; none without a network."""
    if network is None:
        return torch.zeros(len(xyz), 0), torch.arange(len(xyz))
    part = torch.randperm(len(xyz), generator=_seeded())[: network.config.points or _SAMPLE]
    near = torch.from_numpy(xyz[part.numpy()] - xyz.mean(axis=0)).float()[None]
    colors = None if rgb is None else torch.from_numpy(rgb[part.numpy()]).float()[None] / 255
    with torch.inference_mode():
        return network.network(near, input_features(near, colors, network.config.inputs))[0][0], part


@dataclass(frozen=True)
class Result:
    """Primitives of all superpoints, the groups of the primitives, and the times they took.

    ``standard_s`` is the time of k-means over as many rows of STANDARD_WIDTH numbers as were asked for, and
    ``standard_mb`` is its peak memory without these rows.
    """

    clusters: Clusters
    group: Int64[Tensor, "K"]
    primitives_s: Seconds
    groups_s: Seconds
    standard_s: Seconds
    standard_mb: float

    def primitives(self, found: Found) -> tuple[Int64[Tensor, "R"], ...]:
        """The primitive of each superpoint of each scene; -1 for superpoints without features."""
        of_scenes = self.clusters.cluster.split([len(rows) for rows, _ in found.rows])
        placed = []
        for cluster, (_, numbers) in zip(of_scenes, found.rows, strict=True):
            primitive = torch.full((int(numbers.max()) + 1 if len(numbers) else 0,), -1)
            primitive[numbers] = cluster
            placed.append(primitive)
        return tuple(placed)


def cluster(found: Found, count: int, groups: int, standard: int = STANDARD_ROWS) -> Result:
    """Primitives and groups. ``standard`` rows for the timing of k-means; 0: without."""
    rows = torch.cat([each for each, _ in found.rows])
    clusters, of_primitives = _timed(lambda: kmeans(rows, count, _seeded()))
    # Without a network, groups are those of the hand-made features.
    features = primitive_features(rows, clusters, rows.shape[1])
    group, of_groups = _timed(lambda: grouped(features, groups, _seeded()))
    many, before = standard_rows(rows, standard), resident_mb()
    _, of_many = _timed(lambda: kmeans(many, count, _seeded()) if standard else None)
    return Result(clusters, group, of_primitives, of_groups, of_many, peak_mb() - before)


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def standard_rows(rows: Float[Tensor, "S D"], count: int) -> Float[Tensor, "count width"]:
    """Random ones of the rows, with more columns and noise, so that all differ; their length is 1 again."""
    generator = _seeded()
    drawn = rows[torch.randint(len(rows), (count,), generator=generator)]
    wide = F.pad(drawn, (max(0, STANDARD_WIDTH - rows.shape[1]), 0))[:, -STANDARD_WIDTH:]
    return F.normalize(wide + 0.02 * torch.randn(wide.shape, generator=generator), dim=1)


def purity(
    classes: Int64[np.ndarray, "S C"], cluster: Int64[np.ndarray, "S"], missed: np.ndarray
) -> tuple[float, float]:
    """Accuracy and mIoU in percent if each cluster had its most frequent class, and points in none were wrong.

    Args:
        classes: how many points of each class each superpoint has.
        cluster: of each superpoint.
        missed: points of each class in no superpoint.
    """
    counts = np.zeros((int(cluster.max(initial=-1)) + 1, classes.shape[1]), np.int64)
    np.add.at(counts, cluster, classes)
    matrix = np.zeros((classes.shape[1], classes.shape[1] + 1), np.int64)  # as ``ConfusionMatrix.counts``
    np.add.at(matrix.T, counts.argmax(axis=1), counts)
    matrix[:, -1] = missed
    total = matrix.sum()
    if not total:
        return float("nan"), float("nan")
    return 100 * np.trace(matrix) / total, 100 * float(np.nanmean(iou_of(matrix)))


def picture(
    scene: Scene,
    labels: LabelSpace,
    settings: RegionSettings,
    primitive: Int64[Tensor, "R"],
    network: Checkpoint | None,
) -> Image.Image:
    """Cloud, superpoints, primitives and truth of a scene; with a network also the classes of its primitives.

    Args:
        scene: with tags, if there is a network.
        labels: the classes.
        settings: of the superpoints.
        primitive: of each superpoint of the scene (``Result.primitives``).
        network: its features and its head are matched with the tags of the scene (eqs. 6-7).
    """
    cloud = cloud_of(scene)
    region = regions(cloud.xyz, cloud.rgb, settings)
    upright = cloud.xyz @ upright_rotation(scene).T
    none = np.full(max(0, int(region.max(initial=-1)) + 1 - len(primitive)) + 1, -1)  # the last is for no superpoint
    of_points = np.append(primitive.numpy(), none)[region]
    tags = labels.multi_hot(scene.tags)
    matched = None if network is None else _matched(tags, upright, cloud.rgb, of_points, network)
    return draw_primitives(upright, cloud.rgb, region, of_points, labels, matched, scene.cloud_truth())


def _matched(
    tags: Float32[np.ndarray, "C"],
    xyz: np.ndarray,
    rgb: np.ndarray | None,
    primitive: Int64[np.ndarray, "N"],
    network: Checkpoint,
) -> UInt8[np.ndarray, "N"]:
    """The class of the primitive of each point, unlabelled where it has none."""
    features, points = _features(xyz, rgb, network)
    means, number = primitive_means(features, torch.from_numpy(primitive)[points])
    found = match(means, network.network.get_parameter("head.weight"), torch.from_numpy(tags))
    classes = np.full(int(primitive.max(initial=-1)) + 2, UNLABELLED, np.uint8)
    classes[number.numpy()] = np.where(found.numpy() < 0, UNLABELLED, found.numpy())
    return classes[primitive]


def match_ms(count: int, classes: int, width: int = 96, runs: int = 20) -> float:
    """Milliseconds to match primitives with the tags of a scene that has them all; median of random scores."""
    means, head = torch.randn(count, width, generator=_seeded()), torch.randn(classes, width, generator=_seeded())
    return median_ms(lambda: match(means, head, torch.ones(classes)), runs)[0]
