"""Pictures of the nodes' published predictions: frames with labels and confidence, the cloud, and the cloud as PLY."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from wsss_ros.evaluation import pictures
from wsss_ros.evaluation.played import Played, Published
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes import ply

_ROWS = 6  # number of frames in the picture
_WIDTH = 320  # width of one image in the picture, pixels
_OVERVIEW_ROWS = 3


def write(played: Played, published: Published, labels: LabelSpace, folder: Path) -> list[Path]:
    """Write pictures and the labelled cloud into ``folder``, if there are results for them; returns the paths.

    frames.png, cloud.png, cloud.ply, and overview.png, which has some of both.
    """
    written = []
    stamps = sorted(stamp for stamp in published.labels if stamp in played.images and stamp in published.confidence)
    if stamps:
        written.append(pictures.save(frames(stamps, played, published, labels), folder / "frames.png"))
    if published.cloud is not None and len(published.cloud.xyz):
        written.append(pictures.save(clouds(played, published, labels), folder / "cloud.png"))
        cloud = published.cloud
        vertices = ply.colored_vertices(cloud.xyz, labels.colorize(cloud.labels), label=cloud.labels)
        ply.write(folder / "cloud.ply", vertices)
        written.append(folder / "cloud.ply")
        if stamps:
            written.append(pictures.save(overview(stamps, played, published, labels), folder / "overview.png"))
    return written


def frames(stamps: Sequence[int], played: Played, published: Published, labels: LabelSpace) -> Image.Image:
    """Draw some frames, spread over ``stamps``: RGB, prediction, truth (if there is any) and confidence."""
    truth_known = bool(played.truth)
    chosen = [stamps[round(i)] for i in np.linspace(0, len(stamps) - 1, min(_ROWS, len(stamps)))]
    rows, seen = [], set()
    for stamp in chosen:
        rgb, predicted = played.images[stamp], published.labels[stamp]
        row = [rgb, pictures.overlay(rgb, predicted, labels, 0.65)]
        if truth_known:
            row.append(labels.colorize(played.truth[stamp]))
            seen |= set(labels.present(played.truth[stamp]))
        row.append(pictures.heat(published.confidence[stamp]))
        seen |= set(labels.present(predicted))
        rows.append([pictures.scaled(picture, _WIDTH) for picture in row])
    truth = ["truth"] if truth_known else []
    titles = ["RGB", "prediction (from the image alone)", *truth, "confidence, 0 black to 1 white"]
    return pictures.labelled_sheet(titles, rows, labels, seen)


def clouds(played: Played, published: Published, labels: LabelSpace) -> Image.Image:
    """Draw the accumulated cloud, the published cloud in the colours of its classes, and the truth if there is any."""
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
    return pictures.labelled_sheet([title for *_, title in views], [row], labels, seen)


def overview(stamps: Sequence[int], played: Played, published: Published, labels: LabelSpace) -> Image.Image:
    """Draw three frames with their labels, and next to them the accumulated cloud above the labelled one."""
    at = (np.arange(_OVERVIEW_ROWS) + 0.5) / _OVERVIEW_ROWS * len(stamps)
    rows, seen = [], set(labels.present(published.cloud.labels))
    for stamp in dict.fromkeys(stamps[int(index)] for index in at):
        rgb, predicted = played.images[stamp], published.labels[stamp]
        shown = (rgb, pictures.overlay(rgb, predicted, labels, 0.65))
        rows.append([pictures.scaled(picture, _WIDTH) for picture in shown])
        seen |= set(labels.present(predicted))
    frames_sheet = pictures.sheet(["image", "labels of the image network"], rows)
    cloud, source = published.cloud, published.input_cloud
    views = [(cloud.xyz, labels.colorize(cloud.labels), "labels of the cloud network")]
    if source is not None:
        views.insert(0, (source.xyz, source.rgb, "accumulated cloud"))
    height = frames_sheet.height // len(views) - 32  # without title and border
    clouds_sheets = [
        pictures.sheet([title], [[pictures.render_cloud(xyz, rgb, cloud.xyz, (4 * height // 3, height))]])
        for xyz, rgb, title in views
    ]
    return pictures.arranged([[frames_sheet], clouds_sheets], labels, seen)
