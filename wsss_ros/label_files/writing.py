"""Labels of scenes, bags and pictures as files: labels, pictures, pseudo-labels for training."""

import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from wsss_ros import geometry
from wsss_ros.evaluation import pictures
from wsss_ros.evaluation.fused_scenes import fusion_of, with_fused_labels
from wsss_ros.evaluation.offline import IMAGE_LABELS, NOTE, POINT_LABELS
from wsss_ros.files import PartialFolder, write_json
from wsss_ros.label_files.labeller import Labeller, Tags
from wsss_ros.label_files.sources import Source
from wsss_ros.labels import LabelSpace, TagList
from wsss_ros.scenes import ply
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.scenes.images import write_rgb, write_uint16
from wsss_ros.scenes.scannet import ScanNetScene
from wsss_ros.scenes.scannet_pseudo import complete_pseudo_scan
from wsss_ros.scenes.scannet_write import POINTS
from wsss_ros.types import BadInput, Cloud

_SHEET_ROWS, _SHEET_WIDTH = 6, 320
_log = logging.getLogger("wsss_ros")
_MESH = POINTS.removesuffix(".ply")


@dataclass
class Written:
    """A summary of the written files: names of the scenes, numbers of images and points.

    ``left_out`` counts the frames and clouds without labels by cause, ``failed`` holds (name, reason) of each scene
    that failed, ``unread`` those of each frame that cannot be read. ``broken`` counts the failed scenes that cannot be
    read; the others have nothing to label.
    """

    scenes: list[str] = field(default_factory=list)
    images: int = 0
    points: int = 0
    left_out: Counter = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)
    unread: list[tuple[str, str]] = field(default_factory=list)
    broken: int = 0


class _NothingToLabel(BadInput):
    """A scene whose files are whole has no frame and no cloud that can be labelled."""


def segment(
    sources: Sequence[Source],
    out: str | Path,
    labeller: Labeller,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Written:
    """Write the labels of one source into ``out``, or those of several into ``out/NAME``.

    The files of a source: ``label-filt/FRAME.png`` (16-bit ids of the data set, 0 unlabelled), ``label-color``,
    ``overlay``, ``confidence`` (8 bits for 0..1) and ``frames.png``; ``NAME*.labels.ply`` (x y z, colour and id of the
    class, confidence; the points of the scene's cloud in its order) and ``cloud.png``; ``segment.json`` names the
    weights. With pseudo-labels, a scan in ScanNet's layout becomes a scan for training: its other files are linked.

    ``out`` is created only when it is complete. Raises BadInput when it exists already, when nothing can be segmented,
    and when the only source is broken; of several sources, a broken one is left out, with its reason in ``failed``.
    A frame that cannot be read is left out, with its reason in ``unread``. Raises NotWritten, an OSError, when the disk
    fails.
    """
    written = Written()
    with output_folder(out) as folder:
        for source in sources:
            target = folder if len(sources) == 1 else folder / source.name
            try:
                target.mkdir(exist_ok=True)
                _segment_one(source, target, labeller, written, progress)
                written.scenes.append(source.name)
            except BadInput as error:
                if len(sources) == 1:
                    raise
                shutil.rmtree(target)
                written.failed.append((source.name, str(error)))
                written.broken += not isinstance(error, _NothingToLabel)
        if not written.scenes:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in written.failed[:3])
            raise BadInput(f"none of {len(sources)} scenes could be segmented: {reasons}")
    return written


@contextmanager
def output_folder(out: str | Path) -> Iterator[Path]:
    """A hidden folder next to ``out`` that is renamed to ``out`` at the end; after an error it is removed.

    Raises BadInput when ``out`` exists already, and NotWritten, an OSError, when it cannot be written.
    """
    out = Path(out).absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} exists already; remove it or choose another --out")
    with PartialFolder(out) as partial:
        yield partial.inner
        partial.publish()


def _segment_one(
    source: Source, folder: Path, labeller: Labeller, written: Written, progress: Callable[[str, int, int], None]
) -> None:
    images = points = 0
    before = Counter(written.left_out)
    unread = dict[str, None]()  # frames may be read twice
    source.broken = lambda error: unread.setdefault(str(error))
    frame_tags: dict[str, list[str]] = {}
    if labeller.images and source.count:
        images = _write_images(source, folder, labeller, frame_tags, written.left_out, progress)
    if labeller.clouds:
        points = _write_cloud(source, folder, labeller, written.left_out)
    if unread:
        written.left_out["frames that cannot be read"] += len(unread)
    left_out = written.left_out - before
    if unread and not images and labeller.images:
        raise BadInput(f"{source.name}: none of {source.count} frames can be read; the first: {next(iter(unread))}")
    written.unread += [(source.name, reason) for reason in unread]
    if not images and not points:
        reasons = ", ".join(f"{count} {cause}" for cause, count in left_out.items())
        raise _NothingToLabel(f"{source.name}: nothing to segment ({reasons or 'no frame and no cloud'})")
    if labeller.threshold is not None and isinstance(source.scene, ScanNetScene):
        complete_pseudo_scan(source.scene, folder, frame_tags)
    _write_note(source, folder, labeller, images, points, left_out)
    written.images, written.points = written.images + images, written.points + points


def _write_note(source: Source, folder: Path, labeller: Labeller, images: int, points: int, left_out: Counter) -> None:
    networks = {"image": labeller.images, "cloud": labeller.clouds}
    used = {kind: network for kind, network in networks.items() if network}
    note = {
        "name": source.name,
        "weights": {kind: network.version for kind, network in used.items()},
        "pseudo_labels": labeller.threshold is not None,
        "threshold": labeller.threshold,
        "min_confidence": {kind: labeller.least_confidence(network) for kind, network in used.items()},
        "images": images,
        "points": points,
        "left_out": dict(left_out),
        "labels": labeller.labels.to_dict(),
    }
    write_json(folder / NOTE, note)


def _present(tags: TagList | None) -> Tags:
    return None if tags is None else tags.present


def _turns(source: Source, labeller: Labeller) -> int:
    """The quarter turns that make the images upright."""
    return source.turns() if labeller.turns is None else labeller.turns


# --- images ----------------------------------------------------------------------------------------


def _write_images(
    source: Source,
    folder: Path,
    labeller: Labeller,
    frame_tags: dict[str, list[str]],
    left_out: Counter,
    progress: Callable[[str, int, int], None],
) -> int:
    for name in (IMAGE_LABELS, "label-color", "overlay", "confidence"):
        (folder / name).mkdir()
    shown, rows, present, count = set(spread(source.count, _SHEET_ROWS)), [], set(), 0
    if turns := _turns(source, labeller):
        _log.info("%s: images are turned by %d degrees for the network (--rotate)", source.name, -90 * turns % 360)
    for number, (frame, own_tags) in enumerate(source.frames()):
        tags = source.tags if own_tags is None else own_tags
        if labeller.usable(_present(tags)):
            labels, confidence = labeller.image(frame, _present(tags), turns)
            _write_image(folder, frame.name or str(number), frame.rgb, labels, confidence, labeller.labels)
            frame_tags[frame.name] = [] if tags is None else tags.written
            present |= set(labeller.labels.present(labels))
            count += 1
            if number in shown:
                rows.append(_sheet_row(frame.rgb, labels, confidence, labeller.labels))
        else:
            left_out["frames without tags"] += 1
        progress(source.name, number + 1, source.count)
    if rows:
        titles = ["RGB", "labels", "confidence, 0 black to 1 white"]
        sheet = pictures.labelled_sheet(titles, pictures.padded(rows), labeller.labels, present)
        pictures.save(sheet, folder / "frames.png")
    return count


def _write_image(
    folder: Path, name: str, rgb: np.ndarray, labels: np.ndarray, confidence: np.ndarray, space: LabelSpace
) -> None:
    write_uint16(folder / IMAGE_LABELS / f"{name}.png", space.to_ids(labels).astype(np.uint16))
    pictures.save(space.colorize(labels), folder / "label-color" / f"{name}.png")
    pictures.save(Image.fromarray(np.rint(255 * confidence).astype(np.uint8)), folder / "confidence" / f"{name}.png")
    write_rgb(folder / "overlay" / f"{name}.jpg", pictures.overlay(rgb, labels, space))


def _sheet_row(rgb: np.ndarray, labels: np.ndarray, confidence: np.ndarray, space: LabelSpace) -> list[np.ndarray]:
    shown = (rgb, space.colorize(labels), pictures.heat(confidence))
    return [pictures.scaled(picture, _SHEET_WIDTH) for picture in shown]


# --- clouds ----------------------------------------------------------------------------------------


def _write_cloud(source: Source, folder: Path, labeller: Labeller, left_out: Counter) -> int:
    """Label the source's cloud and write it; returns the number of points."""
    if not labeller.usable(_present(source.tags)):
        left_out["clouds without tags"] += 1
        return 0
    cloud = source.cloud()
    if cloud is None or not len(cloud):
        left_out["no cloud, and no depth with poses to fuse one"] += 1
        return 0
    up = source.up()
    if labeller.clouds.takes_fused_labels:
        fusion = fusion_of(labeller.clouds, labeller.images)
        frames = (frame for frame, _ in source.frames())
        cloud = with_fused_labels(cloud, frames, labeller.images, fusion, up, _turns(source, labeller))
    labels, confidence = labeller.cloud(cloud, up, _present(source.tags))
    mesh = _MESH if isinstance(source.scene, ScanNetScene) else ""
    space = labeller.labels
    ids = space.to_ids(labels).astype(np.uint16)
    vertices = ply.colored_vertices(cloud.xyz, space.colorize(labels), label=ids, confidence=confidence)
    ply.write(folder / f"{source.name}{mesh}{POINT_LABELS}", vertices)
    _draw_cloud(folder / "cloud.png", cloud, up, labels, space)
    return len(cloud)


def _draw_cloud(
    path: Path, cloud: Cloud, up: tuple[float, float, float], labels: np.ndarray, space: LabelSpace
) -> None:
    finite = np.isfinite(cloud.xyz).all(axis=1)
    xyz = cloud.xyz[finite] @ geometry.upright(np.array(up)).T
    views = [("labels", space.colorize(labels[finite]))]
    if cloud.rgb is not None:
        views.insert(0, ("cloud", cloud.rgb[finite]))
    row = [pictures.render_cloud(xyz, colors) for _, colors in views]
    titles = [title for title, _ in views]
    pictures.save(pictures.labelled_sheet(titles, [row], space, space.present(labels)), path)
