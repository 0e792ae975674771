"""Folders of posed RGB-D frames without a cloud, in every layout that has a ``Listing``."""

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss_ros.labels import LabelSpace
from wsss_ros.scenes import plain_frames
from wsss_ros.scenes.agreement import View, distant_doubts, doubts
from wsss_ros.scenes.depth_files import implausible, read_depth_m
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.scenes.frame_truth import FrameTruth
from wsss_ros.scenes.listing import Listing
from wsss_ros.scenes.posed_frames import PosedFrames
from wsss_ros.scenes.reading import Reading, reading_of, refuse_others
from wsss_ros.scenes.rig import labels_on_depth
from wsss_ros.scenes.sens import SensReader
from wsss_ros.scenes.tags import TagFile
from wsss_ros.types import BadInput, Cloud, Frame

_PROBED = 3  # pairs of depth images that are decoded when a folder is opened, to tell a wrong scale or wrong poses
_OF_FRAMES = set(Reading.model_fields) - {"unit", "columns"}
_DISTANT = (10, 20)  # parts of a recording by which compared frames are apart, the farther ones first
_log = logging.getLogger("wsss_ros")


class RgbdFolder:
    """Posed RGB-D frames without a cloud. Implements ``types.Scene``.

    ``listed`` reads the layout, by default that of ``plain_frames``; ``reading`` completes what the files do not say,
    before ``meta.yaml`` of the folder. That of ``plain_frames`` includes a folder with one ``.sens`` file, which
    contains everything: of ``reading`` only ``label_ids`` applies to it.
    Label images in ``label/``, ``labels/`` or ``semantic/`` are the truth of their frames (``FrameTruth``).
    ``tags.csv`` or ``tags.json`` is optional; ``complete`` is that of ``TagFile``. The world may be tilted, so
    ``world_up`` is None, unless the layout knows it. Stamps are the times of the files, or the frame numbers at 30 Hz,
    plus 1 s. Depth that no room has, and poses that it does not agree with, are reported as a warning.

    Raises BadInput, naming the file: here for a folder without frames, missing intrinsics, broken poses, and for a
    ``reading`` that does not apply; in ``frame`` for images that cannot be read and for colour and depth of different
    sizes; in ``frame_truth`` for label images whose meaning is not clear.
    """

    cloud: Cloud | None = None

    def __init__(
        self,
        folder: str | Path,
        labels: LabelSpace,
        complete: bool = True,
        reading: Reading | None = None,
        listed: Callable[[Path, Reading], Listing] = plain_frames.read,
    ) -> None:
        self.folder, self.labels, self.complete = Path(folder), labels, complete
        self.name = self.folder.resolve().name
        self.reading = reading_of(self.folder, reading)
        self.world_up: tuple[float, float, float] | None = None
        recording = sens_file(self.folder) if listed is plain_frames.read else None
        self._frames: SensReader | PosedFrames = self._recorded(recording) if recording else self._listed(listed)

    def _recorded(self, path: Path) -> SensReader:
        frames = SensReader(path)
        takes = {"label_ids"} | ({"depth_scale"} if self.reading.depth_scale == frames.depth_shift else set())
        has = f"the recording has its own cameras, poses and times, and {frames.depth_shift:g} depth values per metre"
        refuse_others(
            self.reading, takes, path, f"{has}; export it to the folders color, depth and pose to change them"
        )
        return frames

    def _listed(self, listed: Callable[[Path, Reading], Listing]) -> PosedFrames:
        why = "they are those of a cloud file; a folder of frames has depth_scale and, in meta.yaml, pose_scale"
        refuse_others(self.reading, _OF_FRAMES, self.folder, why)
        found = listed(self.folder, self.reading)
        if not found.files:
            causes = ", ".join(f"{count} {cause}" for cause, count in found.missing.items()) or "the lists are empty"
            raise BadInput(f"{self.folder}: no frame with colour, depth and pose ({causes})")
        self.world_up = found.world_up
        scale = self.reading.depth_scale
        read = partial(read_depth_m, scale=scale, integers_per_metre=found.integers_per_metre)
        frames = PosedFrames(str(self.folder), found.files, found.missing, found.rig, read)
        self._check(frames, scale or found.integers_per_metre)
        return frames

    def _check(self, frames: PosedFrames, per_metre: float) -> None:
        """Warn of depth that no room has, and of poses that it does not agree with.

        A broken image is left out: it is reported when it is read.
        """
        views: dict[int, View] = {}
        chosen = spread(len(frames), _PROBED) if len(frames) else []
        for at in sorted({near for index in chosen for near in (index, index + 1) if near < len(frames)}):
            with suppress(BadInput):
                views[at] = frames.view(at)
        faults = [implausible(view.depth_m, f"{per_metre:g} values per metre") for view in views.values()]
        if faults and all(faults):
            _log.warning("%s: %s", self.folder, faults[0])
        elif doubt := self._doubt(frames, views, chosen, per_metre):
            _log.warning("%s: %s", self.folder, doubt)

    @staticmethod
    def _doubt(frames: PosedFrames, views: dict[int, View], chosen: Sequence[int], per_metre: float) -> str:
        """What is wrong with the poses: in frames some way apart, else in neighbours."""
        for step in (len(frames) // share for share in _DISTANT if len(frames) >= 2 * share):
            pairs = []
            for at in sorted({min(at, len(frames) - 1 - step) for at in chosen}):
                with suppress(BadInput):
                    pairs.append((views.get(at) or frames.view(at), frames.view(at + step)))
            if (doubt := distant_doubts(pairs, per_metre)) is not None:
                return doubt
        return doubts([(views[at], views[at + 1]) for at in chosen if {at, at + 1} <= views.keys()], per_metre)

    @property
    def sources(self) -> tuple[Path, ...]:
        """The folders on which the scene's content depends."""
        return (self.folder,)

    def __len__(self) -> int:
        """Number of frames with a usable pose."""
        return len(self._frames)

    @property
    def skipped(self) -> Counter[str]:
        """Number of frames left out, by cause."""
        return self._frames.skipped

    def frame(self, index: int) -> Frame:
        """One frame. Raises BadInput naming the file that is missing, broken or of the wrong size."""
        return self._frames.frame(index)

    @property
    def frame_names(self) -> list[str]:
        """The names of the frames, as rows of a tag file call them."""
        return [self._frames.name(index) for index in range(len(self))]

    @cached_property
    def tag_file(self) -> TagFile | None:
        """The tags that a person gave, or None without a tag file. Raises BadInput for a broken file."""
        tags = TagFile.of(self.folder, self.labels, self.complete)
        if tags is not None:
            tags.report_unmatched(self.frame_names)
        return tags

    @property
    def tags(self) -> tuple[str, ...] | None:
        """Tags of the scene, or None without a tag file."""
        return self.tag_file.scene if self.tag_file else None

    def image_tags(self, index: int) -> tuple[str, ...] | None:
        """Tags of a frame, or None if it has none."""
        return self.tag_file.image(self._frames.name(index)) if self.tag_file else None

    @property
    def unknown(self) -> tuple[str, ...]:
        """Classes that the tag file does not judge in the scene."""
        return self.tag_file.unknown if self.tag_file else ()

    def image_unknown(self, index: int) -> tuple[str, ...]:
        """Classes that the tag file does not judge in a frame."""
        return self.tag_file.image_unknown(self._frames.name(index)) if self.tag_file else ()

    @cached_property
    def _truth(self) -> FrameTruth:
        return FrameTruth(self.folder, self.frame_names, self.labels, self.reading.label_ids)

    def frame_truth(self, index: int) -> UInt8[np.ndarray, "H W"] | None:
        """The labels of a frame's pixels, None without a label image.

        A label image has the pixels of the colour image, or fewer of them in equal proportions. Raises BadInput for one
        of other proportions, for a broken one, and where the meaning of its numbers is not clear.
        """
        found = self._truth.read(self._frames.name(index))
        if found is None:
            return None
        rig = self._frames.rig_of(index)
        depth = rig.depth.resized(*self._frames.depth_size(index))
        color, (height, width) = rig.color or depth, found.shape
        if abs(width * color.height - height * color.width) > max(color.width, color.height):
            raise BadInput(
                f"{self._truth.file(self._frames.name(index))}: {width}x{height}; expected the size of the colour "
                f"image, {color.width}x{color.height}, or its proportions"
            )
        return labels_on_depth(found, color, depth)

    def cloud_truth(self) -> UInt8[np.ndarray, "N"] | None:
        """None: these folders have no labelled cloud."""
        return None


def find(folder: Path) -> str:
    """What of this layout a folder has: images, or a ``.sens`` file; empty if it does not fit."""
    recording = sens_file(folder)
    return plain_frames.find(folder) or (recording.name if recording else "")


def sens_file(folder: Path) -> Path | None:
    """The ``.sens`` file of a folder without images, or None. Raises BadInput when there are several."""
    found = [] if not folder.is_dir() or plain_frames.find(folder) else sorted(folder.glob("*.sens"))
    if len(found) > 1:
        raise BadInput(f"{folder}: {len(found)} recordings, {found[0].name} the first; expected one scene in a folder")
    return found[0] if found else None
