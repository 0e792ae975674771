"""Scores of the nodes' published predictions against the truth in the played bag; both are read from bags."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from wsss_ros.bags.bag import read_bag
from wsss_ros.bags.cloud_codec import cloud_to_labels, read_cloud
from wsss_ros.bags.codec import color_to_rgb, image_to_array, image_to_labels, stamp_ns
from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.geometry import local_origin, neighbors
from wsss_ros.labels import UNLABELLED, LabelSpace

REACH_M = 0.05  # a true point gets the label of the nearest published point within this distance; else it is a miss


@dataclass
class Points:
    """A cloud of a bag. Points without a label have label 255, points without a colour are black."""

    xyz: Float[np.ndarray, "N 3"]
    rgb: UInt8[np.ndarray, "N 3"]
    labels: UInt8[np.ndarray, "N"]


@dataclass
class Played:
    """The content of the played bag: images and true labels by stamp (ns), and the last cloud with true labels."""

    images: dict[int, np.ndarray] = field(default_factory=dict)
    truth: dict[int, np.ndarray] = field(default_factory=dict)
    cloud_truth: Points | None = None


@dataclass
class Published:
    """The messages that the nodes published.

    Labels and confidence by stamp (ns), the last labelled cloud and the last accumulated cloud, latencies in seconds,
    arrival times of the label images (ns), and the last diagnostics of each node.
    """

    labels: dict[int, np.ndarray] = field(default_factory=dict)
    confidence: dict[int, np.ndarray] = field(default_factory=dict)
    cloud: Points | None = None
    input_cloud: Points | None = None
    image_latency: list[float] = field(default_factory=list)
    cloud_latency: list[float] = field(default_factory=list)
    image_arrivals: list[int] = field(default_factory=list)
    diagnostics: dict[str, dict[str, str]] = field(default_factory=dict)


def read_played(path: str | Path) -> Played:
    """Read the bag that was played. Raises BadInput as ``read_bag`` does, and for messages that cannot be read."""
    played = Played()
    for topic, _, message in read_bag(path):
        if topic.endswith("ground_truth/semantic/image_raw"):
            played.truth[stamp_ns(message.header)] = image_to_labels(message)
        elif topic.removesuffix("/compressed").endswith("color/image_raw"):
            played.images[stamp_ns(message.header)] = color_to_rgb(message)
        elif topic.endswith("ground_truth/cloud"):
            played.cloud_truth = _points(message)
    return played


def read_published(path: str | Path) -> Published:
    """Read a bag of the recorder. Latency is the time between an input's and its result's arrival at the recorder.

    Raises BadInput as ``read_played`` does.
    """
    published = Published()
    arrived: dict[tuple[str, int], int] = {}
    for topic, received_ns, message in read_bag(path):
        name = topic.lstrip("/")
        if name == "diagnostics":
            for status in message.status:
                values = {value.key: value.value for value in status.values}
                published.diagnostics[status.name.strip("/")] = {"message": status.message, **values}
            continue
        stamp = stamp_ns(message.header)
        arrived.setdefault((name.removesuffix("/compressed"), stamp), received_ns)
        if name == "semantic/image_raw":
            published.labels[stamp] = image_to_labels(message)
            published.image_arrivals.append(received_ns)
            _add_latency(published.image_latency, arrived.get(("color/image_raw", stamp)), received_ns)
        elif name == "semantic/confidence":
            published.confidence[stamp] = image_to_array(message)[..., 0]
        elif name == "cloud":
            published.input_cloud = _points(message)
        elif name == "semantic_cloud":
            published.cloud = _points(message)
            _add_latency(published.cloud_latency, arrived.get(("cloud", stamp)), received_ns)
    return published


def score_played(played: Played, published: Published, labels: LabelSpace) -> dict:
    """Scores (percent; None without truth), latencies (ms), rates (Hz) and dropped messages, ready for JSON."""
    return {
        "score_2d": _score_images(played, published, labels),
        "score_3d": _score_cloud(played, published, labels),
        "images_played": len(played.images),
        "images_answered": len(published.labels),
        "image_rate_hz": _rate(published.image_arrivals),
        "latency_ms": {
            "image_segmenter": _latency(published.image_latency),
            "cloud_segmenter": _latency(published.cloud_latency),
        },
        "cloud_points": len(published.cloud.xyz) if published.cloud else 0,
        "drops": {name: _drops(values) for name, values in published.diagnostics.items()},
        "diagnostics": published.diagnostics,
    }


def label_points(
    known: Float[np.ndarray, "N 3"], labels: UInt8[np.ndarray, "N"], xyz: Float[np.ndarray, "M 3"]
) -> UInt8[np.ndarray, "M"]:
    """For each point of ``xyz`` the label of the nearest ``known`` point; 255 if that is farther than REACH_M.

    Points of equal clouds are matched by their order.
    """
    if np.array_equal(known, xyz):
        return labels
    origin = local_origin(known)  # float32 is coarse far from it
    support, queries = (torch.from_numpy((points - origin).astype(np.float32)) for points in (known, xyz))
    index, squared = neighbors.knn(support, queries, 1)
    near = squared[:, 0].numpy() <= REACH_M**2
    return np.where(near, labels[index[:, 0].numpy()], np.uint8(UNLABELLED))


def _score_images(played: Played, published: Published, labels: LabelSpace) -> dict | None:
    matrix = ConfusionMatrix(labels)
    both = [stamp for stamp in published.labels if stamp in played.truth]
    for stamp in both:
        matrix.update(published.labels[stamp], played.truth[stamp])
    return {**matrix.compute(), "frames": len(both)} if both else None


def _score_cloud(played: Played, published: Published, labels: LabelSpace) -> dict | None:
    truth = played.cloud_truth
    if truth is None or published.cloud is None or not len(published.cloud.xyz):
        return None
    found = label_points(published.cloud.xyz, published.cloud.labels, truth.xyz)
    scored = truth.labels < len(labels)
    covered = float(100 * (found[scored] != UNLABELLED).mean()) if scored.any() else None
    return {**ConfusionMatrix(labels).update(found, truth.labels).compute(), "covered": covered}


def _add_latency(latencies: list[float], input_ns: int | None, result_ns: int) -> None:
    if input_ns is not None:
        latencies.append((result_ns - input_ns) / 1e9)


def _latency(seconds: list[float]) -> dict | None:
    if not seconds:
        return None
    median, p95 = np.percentile(1e3 * np.array(seconds), [50, 95])
    return {"median": round(float(median), 1), "p95": round(float(p95), 1), "count": len(seconds)}


def _rate(arrivals_ns: list[int]) -> float | None:
    span_s = (arrivals_ns[-1] - arrivals_ns[0]) / 1e9 if len(arrivals_ns) > 1 else 0
    return round((len(arrivals_ns) - 1) / span_s, 2) if span_s > 0 else None


def _drops(values: dict[str, str]) -> dict[str, int]:
    return {key.removeprefix("dropped "): int(value) for key, value in values.items() if key.startswith("dropped ")}


def _points(message) -> Points:
    """The finite points of a cloud message; black without colours, 255 without labels."""
    read = read_cloud(message)
    rgb = read.cloud.rgb if read.cloud.rgb is not None else np.zeros(read.cloud.xyz.shape, np.uint8)
    if any(field.name == "label" for field in message.fields):
        return Points(read.cloud.xyz, rgb, read.gather(cloud_to_labels(message)))
    return Points(read.cloud.xyz, rgb, np.full(len(rgb), UNLABELLED, np.uint8))
