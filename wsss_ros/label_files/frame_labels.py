"""Label images of the frames of a scene: from an image network, from files, or from a topic of a bag."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import UInt8

from wsss_ros.bags.bag import Bag
from wsss_ros.bags.bag_labels import check_camera, label_info_topic, label_topic, read_label_info
from wsss_ros.bags.codec import image_to_ids, stamp_ns
from wsss_ros.evaluation.offline import IMAGE_LABELS
from wsss_ros.fusion.label_table import LabelTable, meaning_of
from wsss_ros.fusion.semantic_map import NOT_SEEN
from wsss_ros.label_files.labeller import Labeller
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.scenes.label_images import LabelImages
from wsss_ros.types import BadInput, Frame

log = logging.getLogger("wsss_ros")

_TOLERANCE_NS = 20_000_000


@runtime_checkable
class FrameLabels(Protocol):
    """Labels of frames, which are asked for in the order of their times; ``source`` says where they are from."""

    labels: LabelSpace
    source: str

    def of(self, frame: Frame) -> UInt8[np.ndarray, "H W"]:
        """The labels of a frame. Raises BadInput when there are none, or they cannot be read."""


@dataclass
class NetworkLabels:
    """The labels of an image network. ``turns`` quarter turns make the images upright."""

    labeller: Labeller
    turns: int = 0
    labels: LabelSpace = field(init=False)
    source: str = field(init=False)

    def __post_init__(self) -> None:
        """Note the label space and the version of the weights."""
        images = self.labeller.images
        least = self.labeller.least_confidence(images)
        self.labels, self.source = self.labeller.labels, f"image network {images.version}, confidence {least:g} or more"

    def of(self, frame: Frame) -> UInt8[np.ndarray, "H W"]:
        """The labels of a frame, 255 where the network is not sure."""
        return self.labeller.image(frame, None, self.turns)[0]


class FileLabels:
    """Label images in a folder or in its ``label-filt``, named as the frames, such as ``wsss segment`` writes them.

    What their numbers mean says ``label_ids`` (``scenes.label_images.LabelImages``). Raises BadInput for a folder
    without label images, and where the meaning is not clear.
    """

    def __init__(self, folder: Path, labels: LabelSpace, label_ids: str = "dataset") -> None:
        inner = folder / IMAGE_LABELS
        self._images = LabelImages(inner if inner.is_dir() else folder, labels, label_ids)
        self.labels, self.source = labels, f"files in {self._images.folder}, ids: {label_ids}"
        if not self._images.files:
            raise BadInput(
                f"{self._images.folder}: no label images; expected FRAME.png with ids, as 'wsss segment' writes them"
            )
        self._images.check()

    def of(self, frame: Frame) -> UInt8[np.ndarray, "H W"]:
        """The labels of a frame."""
        labels = self._images.read(frame.name)
        if labels is None:
            raise BadInput("no label image in the folder")
        return labels


@dataclass
class TopicLabels:
    """Label images on a topic of a bag: mono8, mono16 or 32SC1.

    What their ids mean says ``names``, else the LabelInfo of the bag (``info_topic``, else the one that belongs to the
    topic), else the label space: class numbers from 0, 255 or less than 0 where there is no class. With names, the
    classes are theirs and have the colours of the label space; pixels with an id without a name have no label.

    A frame has the label image of its stamp. Frames in the order of their times are read in one pass. Raises BadInput
    where no topic fits, or several do, and for names that cannot be classes.
    """

    bag: Path
    topic: str
    labels: LabelSpace
    names: Mapping[int, str] | None = None
    info_topic: str = ""
    source: str = field(init=False)
    meaning: str = field(init=False)

    def __post_init__(self) -> None:
        """Find the topics and read the names."""
        self._bag = Bag(self.bag)
        self._types = self._bag.types()
        self.topic = label_topic(self._bag, self.topic)
        self.source, self.meaning = f"topic {self.topic}", f"class numbers of '{self.labels.name}'"
        self._table: LabelTable | None = None
        self._reported: set[int] = set()
        if self.names is not None:
            self._use(self.names, "given names")
        elif self.info_topic or label_info_topic(self._bag, self.topic):
            self.info_topic = label_info_topic(self._bag, self.topic, self.info_topic)
            self._use(read_label_info(self._bag, self.info_topic), f"names of {self.info_topic}")
        self._messages, self._next, self._last_ns = self._stream(), None, 0

    def _use(self, names: Mapping[int, str], meaning: str) -> None:
        self.labels, self._table = meaning_of(names, self.labels)
        self.meaning = f"{meaning}: " + ", ".join(f"{number} {name}" for number, name in sorted(names.items()))
        self.source = f"{self.source}, {meaning}"

    def check_camera(self, images: str) -> None:
        """Raises BadInput where the label images are of another camera than those of the topic ``images``."""
        check_camera(self._bag, self.topic, images)

    def _stream(self) -> Iterator[Any]:
        for raw in self._bag.raw({self.topic}):
            with suppress(BadInput):  # damaged: its frame has no label image
                yield raw.stamped(self._types)[0]

    def of(self, frame: Frame) -> UInt8[np.ndarray, "H W"]:
        """The labels whose stamp is that of the frame, up to 20 ms."""
        if frame.stamp_ns < self._last_ns:
            self._messages, self._next = self._stream(), None
        self._last_ns = frame.stamp_ns
        self._next = self._next or next(self._messages, None)
        while self._next is not None and stamp_ns(self._next.header) < frame.stamp_ns - _TOLERANCE_NS:
            self._next = next(self._messages, None)
        if self._next is None or stamp_ns(self._next.header) > frame.stamp_ns + _TOLERANCE_NS:
            raise BadInput("no label image with its stamp on the topic")
        return class_numbers(self._next, self.labels) if self._table is None else self._named(self._next, self._table)

    def _named(self, message: Any, table: LabelTable) -> UInt8[np.ndarray, "H W"]:
        ids = image_to_ids(message)
        labels = table.labels(ids)
        if unknown := set(table.unknown(ids, labels)) - self._reported:
            self._reported |= unknown
            shown = ", ".join(map(str, sorted(unknown)))
            log.warning("%s: the ids %s have no name; their pixels do not vote", self.source, shown)
        labels[labels == NOT_SEEN] = UNLABELLED
        return labels


def class_numbers(message: Any, labels: LabelSpace) -> UInt8[np.ndarray, "H W"]:
    """The labels of a label image whose ids are class numbers from 0; 255 for 255 and for ids below 0.

    Raises BadInput for another encoding, and for an id that is not a class.
    """
    ids = image_to_ids(message)
    known = (ids >= 0) & (ids != UNLABELLED)
    largest = int(ids.max(initial=0, where=known))
    if largest >= len(labels):
        raise BadInput(f"a label image with the id {largest}: '{labels.name}' has classes 0 to {len(labels) - 1}")
    return np.where(known, ids, UNLABELLED).astype(np.uint8)
