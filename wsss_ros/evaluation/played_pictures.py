"""Pictures of what the nodes published: frames with their labels and confidence, the cloud, and the cloud as PLY."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from wsss_ros.evaluation import pictures
from wsss_ros.evaluation.played import Played, Points, Published
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes import ply

_ROWS = 6  # frames in the picture
_WIDTH = 320  # of one image in the picture, pixels


def write(played: Played, published: Published, labels: LabelSpace, folder: Path) -> list[Path]:
    """Write frames.png, cloud.png and cloud.ply into ``folder``, as far as there are answers, and return their paths."""
    written = []
    stamps = sorted(stamp for stamp in published.labels if stamp in played.images and stamp in published.confidence)
    if stamps:
        written.append(pictures.save(frames(stamps, played, published, labels), folder / "frames.png"))
    if published.cloud is not None and len(published.cloud.xyz):
        written.append(pictures.save(clouds(played, published, labels), folder / "cloud.png"))
        ply.write(folder / "cloud.ply", vertices(published.cloud, labels))
        written.append(folder / "cloud.ply")
    return written


def frames(stamps: Sequence[int], played: Played, published: Published, labels: LabelSpace) -> Image.Image:
    """Draw a few frames, spread over ``stamps``: RGB, prediction, truth (where there is any) and confidence."""
    truth_known = bool(played.truth)
    chosen = [stamps[round(i)] for i in np.linspace(0, len(stamps) - 1, min(_ROWS, len(stamps)))]
    rows, seen = [], set()
    for stamp in chosen:
        rgb, predicted = played.images[stamp], published.labels[stamp]
        row = [rgb, pictures.blend(rgb, labels.colorize(predicted), 0.65)]
        if truth_known:
            row.append(labels.colorize(played.truth[stamp]))
            seen |= set(labels.present(played.truth[stamp]))
        row.append(pictures.heat(published.confidence[stamp]))
        seen |= set(labels.present(predicted))
        rows.append([pictures.scaled(picture, _WIDTH) for picture in row])
    truth = ["truth"] if truth_known else []
    titles = ["RGB", "prediction (from the image alone)", *truth, "confidence, 0 black to 1 white"]
    width = len(titles) * (_WIDTH + 6)
    return pictures.sheet(titles, rows, pictures.legend(labels, sorted(seen), width))


def clouds(played: Played, published: Published, labels: LabelSpace) -> Image.Image:
    """Draw the published cloud in its colours and in its classes, next to the truth where there is any."""
    cloud, source, truth = published.cloud, published.input_cloud, played.cloud_truth
    like = (truth or cloud).xyz
    views = [(cloud.xyz, labels.colorize(cloud.labels), "prediction (from the points alone)")]
    if source is not None:
        views.insert(0, (source.xyz, source.rgb, "accumulated cloud"))
    seen = set(labels.present(cloud.labels))
    if truth is not None:
        views.append((truth.xyz, labels.colorize(truth.labels), "truth"))
        seen |= set(labels.present(truth.labels))
    row = [pictures.render_cloud(xyz, rgb, like) for xyz, rgb, _ in views]
    width = len(row) * 646
    return pictures.sheet([title for *_, title in views], [row], pictures.legend(labels, sorted(seen), width))


def vertices(cloud: Points, labels: LabelSpace) -> np.ndarray:
    """Return the cloud as PLY vertices with the colour of each point's class, and its class."""
    fields = [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("label", "u1")]
    rows = np.zeros(len(cloud.xyz), fields)
    for index, axis in enumerate("xyz"):
        rows[axis] = cloud.xyz[:, index]
    for index, channel in enumerate(("red", "green", "blue")):
        rows[channel] = labels.colorize(cloud.labels)[:, index]
    rows["label"] = cloud.labels
    return rows
