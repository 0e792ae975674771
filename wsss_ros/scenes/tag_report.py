"""What was understood of the tags of a folder: classes with counts, faults, and rows and images without each other."""

import csv
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from wsss_ros.labels import ABSENT, LabelSpace, TagList
from wsss_ros.scenes import fitting, open_scene, tag_files
from wsss_ros.scenes.label_images import LabelImages
from wsss_ros.scenes.photos import LABELS, NoPicture, Pictures, read_tags
from wsss_ros.scenes.tags import frame_matcher
from wsss_ros.types import BadInput


@dataclass
class TagReport:
    """The tags of a folder. ``lists`` are those of the images by the frame of their row.

    ``counts`` has for each class the number of images in which it is present, absent and unknown. ``unmatched`` are
    frames of rows that match no image, ``without`` images without a row; None where no images are known. ``faults``
    are rows that cannot be used, with the reason.
    """

    source: Path
    kind: str
    lists: dict[str, TagList] = field(default_factory=dict)
    scene: TagList | None = None
    counts: dict[str, tuple[int, int, int]] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)
    without: list[str] | None = None
    notes: tuple[str, ...] = ()

    @property
    def usable(self) -> bool:
        """Whether all rows were understood, and one at least belongs to an image or to the scene."""
        return not self.why_not

    @property
    def why_not(self) -> str:
        """The first reason why the tags cannot be used as they are; empty if they can."""
        if self.faults:
            return self.faults[0]
        matched = self.scene is not None or len(self.lists) > len(self.unmatched)
        return "" if matched else f"none of its {len(self.lists)} rows matches an image"

    def as_csv(self) -> str:
        """The lists as ``tags.csv``."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("frame", "tags", "unknown"))
        rows = self.lists | ({} if self.scene is None else {tag_files.SCENE: self.scene})
        for frame, tags in rows.items():
            present = [*tags.present, *(ABSENT + name for name in tags.absent)]
            writer.writerow((frame, ", ".join(present), ", ".join(tags.unknown)))
        return text.getvalue()


def read_report(path: Path, labels: LabelSpace, complete: bool = True) -> TagReport:
    """Read the tags of a scene folder, of a folder of photographs, or of one file.

    Raises BadInput for a folder without tags, and for a file that cannot be read at all.
    """
    faults: list[str] = []
    match: Callable[[str], str | None] = lambda frame: frame  # noqa: E731
    names: list[str] | None = None
    if path.is_file():
        source, content = path, tag_files.fitted(str(path), tag_files.read_file(path, faults), labels)
    elif path.is_dir() and fitting(path):
        found = tag_files.only(path)
        if found is None:
            raise BadInput(f"{path}: a scene without tags; expected one of {', '.join(tag_files.TABLES)}")
        source = found.path
        content = tag_files.fitted(str(source), tag_files.read(path, found, faults), labels)
        names = getattr(open_scene(path, labels), "frame_names", [])
        match = frame_matcher(names)
    else:
        pictures = Pictures(path)
        source, content = read_tags(path, labels, LabelImages(path / LABELS, labels), faults)
        names, match = list(pictures.files), _picture_matcher(pictures)
    if not content.rows and not faults:
        raise BadInput(f"{source}: has no row; expected a frame and its tags in each")
    report = TagReport(source, content.kind, faults=faults, notes=content.notes)
    _read_rows(report, content, labels, match, names)
    report.counts = _counts(report.lists, labels, complete if content.complete is None else content.complete)
    return report


def _picture_matcher(pictures: Pictures) -> Callable[[str], str | None]:
    """A function from the frame of a row to the name of its picture, None for none. It raises BadInput for several."""

    def match(frame: str) -> str | None:
        try:
            return pictures.find(frame)[0]
        except NoPicture:
            return None

    return match


def _read_rows(
    report: TagReport,
    content: tag_files.Content,
    labels: LabelSpace,
    match: Callable[[str], str | None],
    names: list[str] | None,
) -> None:
    matched: dict[str, str] = {}
    for row in content.rows:
        try:
            tags = labels.tag_list(row.names)
            is_scene = row.frame.strip().lower() == tag_files.SCENE
            name = None if is_scene else match(row.frame)
        except BadInput as error:
            report.faults.append(f"{report.source}, {row.where}: {error}")
            continue
        if is_scene:
            report.scene = tags
            continue
        if name is None:
            report.unmatched.append(row.frame)
        elif name in matched:
            report.faults.append(f"{report.source}, {row.where}: '{row.frame}' and '{matched[name]}' are one image")
            continue
        else:
            matched[name] = row.frame
        report.lists[row.frame if name is None else name] = tags
    report.without = None if names is None else [name for name in names if name not in matched]


def _counts(lists: dict[str, TagList], labels: LabelSpace, complete: bool) -> dict[str, tuple[int, int, int]]:
    present = dict.fromkeys(labels.names, 0)
    unknown = dict.fromkeys(labels.names, 0)
    for tags in lists.values():
        for name in tags.present:
            present[name] += 1
        for name in labels.unknown(tags, complete):
            unknown[name] += name not in tags.present and name not in tags.absent
    return {name: (present[name], len(lists) - present[name] - unknown[name], unknown[name]) for name in labels.names}
