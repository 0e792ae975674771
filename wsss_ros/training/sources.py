"""The sources of a run's training data: folders of scenes, single scenes, procedural rooms, folders of photographs."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import Field

from wsss_ros.bags.bag import is_bag
from wsss_ros.bags.bag_scene import BagScene
from wsss_ros.config import Config
from wsss_ros.labels import LabelSpace
from wsss_ros.rooms.generator import RoomsConfig
from wsss_ros.samples.mixture import Source
from wsss_ros.samples.photos import prepare_photos
from wsss_ros.samples.prepared import Prepared, prepare
from wsss_ros.scenes import is_photo_folder, open_all
from wsss_ros.scenes.photos import PhotoFolder
from wsss_ros.scenes.reading import Reading
from wsss_ros.training.scene_set import SceneSetConfig, open_scene_set
from wsss_ros.types import BadInput, Photos, Scene

LeftOut = list[tuple[str, str]]  # (name, reason)
_OF_BAGS = ("color", "fixed_frame", "depth_topic", "camera_info_topic", "pose_topic")  # options of bags only


class SourceConfig(Config):
    """One source of training data, and how much of each step comes from it."""

    path: str = Field(
        description="Folder of scenes, one scene with poses, a bag, or folder of photographs with tags.csv."
    )
    weight: float = Field(1.0, gt=0, description="Share of the samples of each step, relative to the other sources.")
    scenes: str = Field("", description="Text file with one scene name per line (ScanNet's lists); empty takes all.")
    rooms: RoomsConfig | None = Field(None, description="Generate procedural rooms into the folder.")
    frames_per_scene: int | None = Field(
        None, ge=0, description="Frames used of each scene, 0 for all; empty: data.frames_per_scene."
    )
    dense: bool = Field(
        False, description="Methods that learn from dense labels may use those of its scenes: for simulated ones."
    )
    complete: bool = Field(
        True, description="Classes that tags.csv or tags.json does not list are absent; false: they are unknown."
    )
    ignore_tags: tuple[str, ...] = Field(
        (), description="Names in its tag files that are not classes and are skipped; other such names are errors."
    )
    split: str = Field("", description="Photographs with this value in the column split; empty takes all.")
    include: str = Field("", description="Photographs or scenes whose name matches a pattern, such as free/*.")
    squeezed: str = Field(
        "", description="Pattern for photographs that lost their aspect ratio: training stretches them at random."
    )
    reading: Reading | None = Field(
        None,
        description="How its scene folders are read, where their files do not say it; of a bag, its depth_scale.",
    )
    color: str = Field("", description="Topic of the images of a bag; empty finds it.")
    fixed_frame: str = Field("", description="World frame of a bag with poses in TF; empty takes map, else odom.")
    depth_topic: str = Field("", description="Topic of the depth images of a bag; empty finds it.")
    camera_info_topic: str = Field("", description="Topic of the calibration of a bag's images; empty finds it.")
    pose_topic: str = Field("", description="Topic of the poses of a bag, or its odometry; empty: pose, else TF.")

    @property
    def name(self) -> str:
        """The name of the source in files and messages: the last part of its path, and its ``include``."""
        return source_name(self.path, self.include)

    @property
    def scene_set(self) -> SceneSetConfig:
        """The source as a set of scenes."""
        return SceneSetConfig(
            folder=self.path, scenes=self.scenes, complete=self.complete, rooms=self.rooms, reading=self.reading
        )


class ValPhotosConfig(Config):
    """Photographs that the image network is scored on after training."""

    path: str = Field(description="Folder of photographs with tags.csv, and perhaps dense labels in its folder label.")
    split: str = Field("val", description="Photographs with this value in the column split; empty takes all.")
    include: str = Field("", description="Photographs whose name matches a pattern, such as free/*.")
    ignore: tuple[str, ...] = Field((), description="Classes that their truth does not know; they are not scored.")

    @property
    def name(self) -> str:
        """The name in files and messages."""
        return source_name(self.path, self.include)

    def open(self, labels: LabelSpace) -> PhotoFolder:
        """Open the folder. Raises BadInput for an ignored name that is not a class, and without photographs."""
        for name in self.ignore:
            labels.index(name)
        return PhotoFolder(self.path, labels, self.split, self.include)


def source_name(path: str, include: str) -> str:
    """The last part of a path, and the pattern."""
    return "/".join([Path(path).resolve().name, *([include] if include else [])])


@dataclass(frozen=True)
class Decoding:
    """How scenes and photographs are decoded (``samples.prepared.prepare``)."""

    cache: str
    frames_per_scene: int
    long_side: int
    tolerance_m: float
    truth: bool


@dataclass(frozen=True)
class OpenedSource:
    """A source whose scenes or photographs are opened but not decoded."""

    config: SourceConfig
    scenes: Sequence[Scene]
    photos: Photos | None
    left_out: LeftOut

    def prepare(
        self, labels: LabelSpace, decoding: Decoding, progress: Callable[[str, int, int], None]
    ) -> tuple[Source, LeftOut]:
        """Decode it; returns the source for training, and (name, reason) of what cannot be used.

        ``progress(task, done, total)`` is called after every scene or photograph. Raises BadInput if nothing is left.
        """
        given = self.config
        if self.photos is not None:
            photos, left_out = prepare_photos(
                self.photos,
                labels,
                decoding.cache,
                decoding.long_side,
                given.squeezed,
                lambda done, total: progress("prepare photographs", done, total),
            )
            return Source(photos=photos, name=given.name, weight=given.weight), left_out
        prepared = self._prepare_scenes(labels, decoding, lambda done, total: progress("prepare scenes", done, total))
        return Source(prepared.scenes, name=given.name, weight=given.weight), prepared.left_out

    def _prepare_scenes(self, labels: LabelSpace, decoding: Decoding, progress: Callable[[int, int], None]) -> Prepared:
        frames = self.config.frames_per_scene
        return prepare(
            self.scenes,
            labels,
            decoding.cache,
            decoding.frames_per_scene if frames is None else frames,
            decoding.long_side,
            decoding.tolerance_m,
            decoding.truth and self.config.dense,
            progress,
        )


def open_source(given: SourceConfig, labels: LabelSpace) -> OpenedSource:
    """Open a source. Raises BadInput for options that do not apply to it, and when it has nothing to train on."""
    folder, labels = Path(given.path), replace(labels, ignored=given.ignore_tags)
    if given.rooms is None and is_photo_folder(folder):
        _refuse(given, "a folder of photographs", ("scenes", "frames_per_scene", "dense", "reading", *_OF_BAGS))
        photos = PhotoFolder(folder, labels, given.split, given.include, given.complete)
        return OpenedSource(given, (), photos, photos.left_out)
    if given.rooms is None and is_bag(folder):
        _refuse(given, "a bag", ("scenes", "split", "squeezed", "dense"))
        topics = {name: getattr(given, name) for name in _OF_BAGS}
        bag = BagScene(folder, labels, given.complete, **topics, reading=given.reading)
        return OpenedSource(given, [bag], None, [])
    _refuse(given, "a folder of scenes", ("split", "squeezed", *_OF_BAGS))
    if given.rooms is not None:
        scenes, left_out = open_scene_set(given.scene_set, labels)
    else:
        listed = Path(given.scenes) if given.scenes else None
        scenes, left_out = open_all([folder], labels, listed, given.complete, given.reading)
    chosen = [scene for scene in scenes if not given.include or fnmatchcase(scene.name, given.include)]
    if not chosen:
        raise BadInput(f"{folder}: none of {len(scenes)} scenes has a name like '{given.include}'")
    return OpenedSource(given, chosen, None, left_out)


def _refuse(given: SourceConfig, what: str, options: Iterable[str]) -> None:
    """Raises BadInput for an option that is set but does not apply to ``what``."""
    for option in options:
        if getattr(given, option) != SourceConfig.model_fields[option].default:
            raise BadInput(f"{given.path}: {what}, to which '{option}' does not apply; remove this key")
