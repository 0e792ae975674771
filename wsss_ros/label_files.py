"""Labels of scenes and bags as files: labels, pictures, pseudo-labels for training, files for the ScanNet benchmark."""

import json
import logging
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float32, UInt8
from PIL import Image

from wsss_ros import geometry
from wsss_ros.bags.frames import BagFrames
from wsss_ros.evaluation import pictures
from wsss_ros.evaluation.offline import IMAGE_LABELS, NOTE, POINT_LABELS
from wsss_ros.files import PartialFolder
from wsss_ros.inference import CloudSegmenter, ImageSegmenter, Segmenter
from wsss_ros.labels import RECOMMENDED, LabelSpace, TagList
from wsss_ros.scenes import open_scene, ply
from wsss_ros.scenes.derived import cloud_of, turns_of, up_of
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.scenes.images import read_rgb, write_rgb, write_uint16
from wsss_ros.scenes.scannet import ScanNetScene
from wsss_ros.scenes.scannet_pseudo import complete_pseudo_scan
from wsss_ros.scenes.scannet_write import POINTS
from wsss_ros.types import BadInput, Cloud, Frame, Scene

BENCHMARK_SIZE = (640, 480)  # the benchmark scores pictures of this size and shrinks others to it
_SHEET_ROWS, _SHEET_WIDTH = 6, 320
_log = logging.getLogger("wsss_ros")
_MESH = POINTS.removesuffix(".ply")

Tags = tuple[str, ...] | None


@dataclass
class Source:
    """The input of segmentation: ``count`` frames with their tags, and a cloud with its direction against gravity."""

    name: str
    count: int
    frames: Callable[[], Iterator[tuple[Frame, TagList | None]]]
    cloud: Callable[[], Cloud | None]
    up: Callable[[], tuple[float, float, float]]
    tags: TagList | None = None
    scene: Scene | None = None
    turns: Callable[[], int] = lambda: 0  # that make the images upright, from the poses (geometry.mounted_turns)

    @classmethod
    def of_scene(cls, scene: Scene, frames: int = 0, up: str = "auto") -> "Source":
        """The source of a scene: ``frames`` of its frames, spread evenly (0: all), and its cloud.

        The cloud is the scene's own, else it is fused from all frames. ``up`` is 'x,y,z', or 'auto' for ``up_of``.
        """
        chosen = spread(len(scene), frames)

        def views() -> Iterator[tuple[Frame, TagList | None]]:
            for index in chosen:
                yield scene.frame(index), _listed(scene.image_tags(index), scene.image_unknown(index))

        cloud, found = partial(cloud_of, scene), _direction(up, partial(up_of, scene))
        tags, turns = _listed(scene.tags, scene.unknown), partial(turns_of, scene)
        return cls(scene.name, len(chosen), views, cloud, found, tags, scene, turns)

    @classmethod
    def of_bag(cls, bag: BagFrames, frames: int = 0, up: str = "auto") -> "Source":
        """The source of a bag: ``frames`` of its images, spread evenly (0: all), and its cloud.

        ``up`` is 'x,y,z' in the frame of the cloud, or 'auto' to find it there.
        """
        chosen = spread(len(bag), frames)
        views = lambda: ((frame, None) for frame in bag.frames(set(chosen)))  # noqa: E731
        return cls(bag.name, len(chosen), views, bag.cloud, _direction(up, bag.up), turns=bag.turns)


def _direction(up: str, found: Callable[[], tuple[float, float, float]]) -> Callable[[], tuple[float, float, float]]:
    if up == "auto":
        return found
    x, y, z = map(float, geometry.parse_up(up))
    return lambda: (x, y, z)


def _listed(tags: Tags, unknown: tuple[str, ...]) -> TagList | None:
    return None if tags is None else TagList(tags, unknown=unknown)


def _present(tags: TagList | None) -> Tags:
    return None if tags is None else tags.present


@dataclass
class Labeller:
    """Labels images and clouds with one network or both. With ``threshold`` the labels are pseudo-labels.

    A pixel or point whose confidence is below ``min_confidence`` is unlabelled (-1: below what the weights recommend).
    Pseudo-labels are seeds (eq. 5): an image gets classes of its tags only (of the scene's tags, if it has none), a
    cloud classes of the scene's tags only. A pixel or point whose confidence is below ``threshold`` is unlabelled.
    ``turns`` quarter turns make images upright for the network; None takes those that the poses ask for.
    Raises BadInput when the two networks have different label spaces.
    """

    images: ImageSegmenter | None = None
    clouds: CloudSegmenter | None = None
    threshold: float | None = None
    min_confidence: float = RECOMMENDED
    turns: int | None = None

    @property
    def labels(self) -> LabelSpace:
        """The label space of the networks."""
        return (self.images or self.clouds).labels

    def __post_init__(self) -> None:
        if self.images and self.clouds and self.images.labels != self.clouds.labels:
            raise BadInput(
                f"the image network knows '{self.images.labels.name}', the cloud network '{self.clouds.labels.name}'; "
                "use weights of one label space, or segment images and clouds separately (--only)"
            )

    def image(
        self, frame: Frame, tags: Tags, turns: int = 0
    ) -> tuple[UInt8[np.ndarray, "H W"], Float32[np.ndarray, "H W"]]:
        """Labels and confidence of every pixel of an image that ``turns`` quarter turns make upright."""
        return self._sure(self.images, *self.images(frame, present=self._present(tags), turns=turns))

    def cloud(
        self, cloud: Cloud, up: tuple[float, float, float], tags: Tags
    ) -> tuple[UInt8[np.ndarray, "N"], Float32[np.ndarray, "N"]]:
        """Labels and confidence of every point."""
        return self._sure(self.clouds, *self.clouds(cloud, up, self._present(tags)))

    def usable(self, tags: Tags) -> bool:
        """Whether an image or cloud with these tags can be labelled: pseudo-labels need tags."""
        return self.threshold is None or bool(tags)

    def _present(self, tags: Tags) -> Float32[np.ndarray, "C"] | None:
        return None if self.threshold is None else self.labels.multi_hot(tags)

    def least_confidence(self, network: Segmenter) -> float:
        """The confidence that a label of this network needs."""
        return network.threshold(self.min_confidence if self.threshold is None else self.threshold)

    def _sure(
        self, network: Segmenter, labels: np.ndarray, confidence: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        return network.drop_unsure(labels, confidence, self.least_confidence(network)), confidence


@dataclass
class Written:
    """A summary of the written files: names of the scenes, numbers of images and points.

    ``left_out`` counts the frames and clouds without labels by cause, ``failed`` holds (name, reason) of each scene
    that failed.
    """

    scenes: list[str] = field(default_factory=list)
    images: int = 0
    points: int = 0
    left_out: Counter = field(default_factory=Counter)
    failed: list[tuple[str, str]] = field(default_factory=list)


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
    """
    written = Written()
    with _output_folder(out) as folder:
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
        if not written.scenes:
            reasons = "; ".join(f"{name}: {reason}" for name, reason in written.failed[:3])
            raise BadInput(f"none of {len(sources)} scenes could be segmented: {reasons}")
    return written


@contextmanager
def _output_folder(out: str | Path) -> Iterator[Path]:
    """A hidden folder next to ``out`` that is renamed to ``out`` at the end; after an error it is removed."""
    out = Path(out).absolute()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BadInput(f"{out} exists already; remove it or choose another --out")
    try:
        partial = PartialFolder(out)
    except OSError as error:
        raise BadInput(f"{out}: cannot be created ({error}); choose another --out") from error
    with partial:
        try:
            yield partial.inner
            partial.publish()
        except OSError as error:
            raise BadInput(f"{out}: could not be written, and nothing of it is left: {error}") from error


def _segment_one(
    source: Source, folder: Path, labeller: Labeller, written: Written, progress: Callable[[str, int, int], None]
) -> None:
    images = points = 0
    before = Counter(written.left_out)
    frame_tags: dict[str, list[str]] = {}
    if labeller.images and source.count:
        images = _write_images(source, folder, labeller, frame_tags, written.left_out, progress)
    if labeller.clouds:
        points = _write_cloud(source, folder, labeller, written.left_out)
    left_out = written.left_out - before
    if not images and not points:
        reasons = ", ".join(f"{count} {cause}" for cause, count in left_out.items())
        raise BadInput(f"{source.name}: nothing to segment ({reasons or 'no frame and no cloud'})")
    if labeller.threshold is not None and isinstance(source.scene, ScanNetScene):
        complete_pseudo_scan(source.scene, folder, frame_tags)
    _write_note(source, folder, labeller, images, points, left_out)
    written.images, written.points = written.images + images, written.points + points


def _write_note(
    source: Source, folder: Path, labeller: Labeller, images: int, points: int, left_out: Counter
) -> None:
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
    (folder / NOTE).write_text(json.dumps(note, indent=1) + "\n")


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
    turns = source.turns() if labeller.turns is None else labeller.turns
    if turns:
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


# --- the ScanNet benchmark -------------------------------------------------------------------------


def benchmark(
    scans: Sequence[Path],
    out: str | Path,
    images: ImageSegmenter | None,
    clouds: CloudSegmenter | None,
    progress: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> Written:
    """Write submissions to the benchmark: the folders ``out/3d`` and ``out/2d``. To submit one, zip its files.

    ``3d/SCAN.txt`` holds the nyu40 id of each vertex of ``*_vh_clean_2.ply``, one on each line, for scans with such a
    file. ``2d/SCAN_NNNNNN.png`` holds 8-bit nyu40 ids for each image of ``color``, on the colour camera's pixels,
    resized by nearest neighbour to 640x480, the size at which the benchmark scores (its images are those of
    scannet_frames_test). Raises BadInput as ``segment`` does, for a scan with neither points nor images, and for
    weights of other classes than ScanNet's 20.
    """
    for network in filter(None, (images, clouds)):
        if network.labels.name != "scannet20":
            raise BadInput(f"weights for '{network.labels.name}'; the benchmark has ScanNet's 20 classes (scannet20)")
    written = Written()
    with _output_folder(out) as folder:
        for number, scan in enumerate(scans):
            pictures_of, meshes = _color_files(scan) if images else [], list(scan.glob(f"*{POINTS}")) if clouds else []
            if not pictures_of and not meshes:
                raise BadInput(f"{scan}: neither '*{POINTS}' nor images in 'color'; expected a scan of the benchmark")
            for path in pictures_of:
                _benchmark_image(path, folder / "2d" / f"{scan.resolve().name}_{int(path.stem):06d}.png", images)
            if meshes:
                written.points += _benchmark_cloud(scan, folder / "3d", clouds)
            written.images += len(pictures_of)
            written.scenes.append(scan.name)
            progress(scan.name, number + 1, len(scans))
    return written


def _color_files(scan: Path) -> list[Path]:
    return sorted((p for p in (scan / "color").glob("*.*") if p.stem.isdecimal()), key=lambda path: int(path.stem))


def _benchmark_image(source: Path, target: Path, images: ImageSegmenter) -> None:
    target.parent.mkdir(exist_ok=True)
    ids = images.labels.to_ids(images(Frame(read_rgb(source)))[0]).astype(np.uint8)
    Image.fromarray(ids).resize(BENCHMARK_SIZE, Image.Resampling.NEAREST).save(target)


def _benchmark_cloud(scan: Path, folder: Path, clouds: CloudSegmenter) -> int:
    folder.mkdir(exist_ok=True)
    scene = open_scene(scan, clouds.labels)
    labels = clouds(scene.cloud)[0]
    (folder / f"{scene.name}.txt").write_text("".join(f"{id}\n" for id in clouds.labels.to_ids(labels).tolist()))
    return len(labels)
