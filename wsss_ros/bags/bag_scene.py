"""A recorded bag as a scene: views with poses to train on, to segment, or to write in another form."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path

from wsss_ros.bags.bag import is_bag
from wsss_ros.bags.cdr import STRING, read_tag
from wsss_ros.bags.frames import BagFrames
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes import open_scene
from wsss_ros.scenes.reading import Reading, refuse_others
from wsss_ros.scenes.tags import Content, Row, TagFile
from wsss_ros.types import BadInput, Cloud, Frame, Scene

_SCENE_TAGS, _IMAGE_TAGS = "tags/scene", "tags/image"


@dataclass
class BagScene:
    """A bag with images, depth, calibration, and poses on the topic ``pose`` or in TF, as a ``types.Scene``.

    Its tags are those of its topics ``tags/scene`` and ``tags/image``, else of a ``tags.csv`` or ``tags.json`` in the
    folder of the bag, where images have their number from 0. The cloud is the last one of the bag. ``color``,
    ``fixed_frame`` and the topics are those of ``BagFrames``. Of a ``reading``, a bag takes the ``depth_scale``.
    Frames are read in order: reading an earlier one again reads the bag from its start.
    Raises BadInput as ``BagFrames`` does, and for a bag without complete views.
    """

    path: Path
    labels: LabelSpace
    complete: bool = True
    color: str = ""
    fixed_frame: str = ""
    depth_topic: str = ""
    camera_info_topic: str = ""
    pose_topic: str = ""
    reading: Reading | None = None
    name: str = field(init=False)
    world_up = None  # found from the views; z where the name of the frame says so and they agree
    world_frame = "map"

    def __post_init__(self) -> None:
        """Open the bag and count its views; no image is decoded."""
        self._bag = BagFrames(
            Path(self.path),
            self.color,
            "",
            self.fixed_frame,
            self.depth_topic,
            self.camera_info_topic,
            self.pose_topic,
            depth_scale_of(self.path, self.reading),
        )
        self.path, self.name = self._bag.path, self._bag.name
        self.folder, self.sources = self.path, (self.path,)
        if self._bag.several_cameras:
            raise BadInput(self._bag.several_cameras)
        if not self._bag.has_views:
            raise BadInput(
                f"{self.path}: a scene needs images, depth, camera_info and poses; the bag has {self._bag.missing()}"
            )
        self._stamps = {view.name: view.stamp_ns for view in self._bag.unread_views()}
        if not self._stamps:
            raise BadInput(f"{self.path}: no image has depth, camera_info and a pose of its time; check the stamps")
        self._names = list(self._stamps)
        self._lock = threading.Lock()
        self._next, self._views = 0, self._bag.unread_views()

    def __len__(self) -> int:
        """Number of views with depth and pose."""
        return len(self._names)

    def frame(self, index: int) -> Frame:
        """Decode one view. Raises BadInput when it cannot be read."""
        with self._lock:
            if index < self._next:
                self._next, self._views = 0, self._bag.unread_views()
            view = next(islice(self._views, index - self._next, None))
            self._next = index + 1
            return view.read()

    @cached_property
    def cloud(self) -> Cloud | None:
        """The last cloud of the bag, or None."""
        return self._bag.cloud() if self._bag.cloud_topic else None

    @property
    def images(self) -> str:
        """The topic of the images."""
        return self._bag.color

    # --- tags ---

    @cached_property
    def tag_file(self) -> TagFile | None:
        """The tags of the bag. Raises BadInput for a tag that is not a class."""
        if rows := list(self._rows()):
            return TagFile(self.path, self.labels, self.complete, Content(rows))
        return TagFile.of(self.path, self.labels, self.complete) if self.path.is_dir() else None

    def _rows(self) -> Iterator[Row]:
        """The tags of the messages, the last one of each image and of the scene."""
        last: dict[str, Row] = {}
        by_stamp = {stamp_ns: name for name, stamp_ns in self._stamps.items()}
        for topic, text in self._bag.texts(STRING, (_SCENE_TAGS, _IMAGE_TAGS)):
            names, stamp_ns = read_tag(text)
            about = "scene" if topic.endswith(_SCENE_TAGS) else by_stamp.get(stamp_ns, "")
            if about:
                last[about] = Row(topic, about, list(names))
        yield from last.values()

    @property
    def tags(self) -> tuple[str, ...] | None:
        """Class names that are tagged in the scene, or None."""
        return self.tag_file.scene if self.tag_file is not None else None

    @property
    def unknown(self) -> tuple[str, ...]:
        """Class names that were not judged in the scene."""
        return self.tag_file.unknown if self.tag_file is not None else ()

    def image_tags(self, index: int) -> tuple[str, ...] | None:
        """Class names that are tagged in one view, or None."""
        return self.tag_file.image(self._names[index]) if self.tag_file is not None else None

    def image_unknown(self, index: int) -> tuple[str, ...]:
        """Class names that were not judged in one view."""
        return self.tag_file.image_unknown(self._names[index]) if self.tag_file is not None else ()

    # --- truth: a recording of a robot has none ---

    def frame_truth(self, index: int) -> None:
        """None."""

    def cloud_truth(self) -> None:
        """None."""


def depth_scale_of(path: str | Path, reading: Reading | None) -> float | None:
    """The depth values per metre that are given for a bag. Raises BadInput for anything else that a reading has."""
    path, why = Path(path), "a bag has its own cameras, poses and times; depth_scale is for its depth"
    if reading is not None and reading.layout:
        raise BadInput(f"{path} is a bag, to which layout {reading.layout} does not apply: leave it out")
    refuse_others(reading, {"depth_scale"}, path, why)
    return None if reading is None else reading.depth_scale


def open_scene_or_bag(
    path: str | Path, labels: LabelSpace, complete: bool = True, reading: Reading | None = None, /, **of_bag: str
) -> Scene:
    """Open a scene folder or a bag; ``of_bag`` are the topics and the ``fixed_frame`` of ``BagScene``.

    ``reading`` is how a folder is read (``open_scene``), or the depth scale of a bag.

    Raises BadInput as ``open_scene`` or ``BagScene`` does, and for options that do not apply.
    """
    path = Path(path)
    if is_bag(path):
        return BagScene(path, labels, complete, **of_bag, reading=reading)
    if any(of_bag.values()):
        raise BadInput(f"{path} is not a bag; a topic of images and a fixed frame are options of bags")
    return open_scene(path, labels, complete, reading)
