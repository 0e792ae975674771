"""Plain folders of posed RGB-D frames: ``frame-000000.color.jpg`` and similar, ``color/ depth/ pose/``, ``.sens``."""

from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from wsss_ros.labels import LabelSpace
from wsss_ros.scenes.images import image_size
from wsss_ros.scenes.posed_frames import PosedFrames, list_frames, read_intrinsics
from wsss_ros.scenes.rig import Rig
from wsss_ros.scenes.sens import SensReader
from wsss_ros.scenes.tags import TagFile
from wsss_ros.types import BadInput, Camera, Cloud, Frame

_IMAGES = (".jpg", ".jpeg", ".png")
# Files with the intrinsics, in order of preference; relative to the scene's folder.
_DEPTH_INTRINSICS = ("camera-intrinsics.txt", "intrinsic/intrinsic_depth.txt", "intrinsics_depth.txt")
_COLOR_INTRINSICS = ("intrinsic/intrinsic_color.txt", "intrinsics_color.txt")


class RgbdFolder:
    """Posed RGB-D frames without a cloud and without truth. Implements ``types.Scene``.

    Three layouts: ``frame-N.color.jpg|png``, ``frame-N.depth.png`` and ``frame-N.pose.txt`` in one folder;
    ``color/N.jpg|png``, ``depth/N.png`` and ``pose/N.txt``; one ``.sens`` file. Depth is a 16-bit PNG in millimetres,
    poses are world_from_camera in metres. ``camera-intrinsics.txt`` (3x3) or ``intrinsic/intrinsic_depth.txt`` (4x4)
    holds the intrinsics of the depth image. Colour must be registered to it, unless ``intrinsic/intrinsic_color.txt``
    exists as well. A ``.sens`` file contains all of that. ``tags.csv`` or ``tags.json`` is optional; ``complete`` is
    that of ``TagFile``. The world may be tilted, so ``world_up`` is None. Stamps are the frame numbers at 30 Hz, plus
    1 s.

    Raises BadInput, naming the file: here for a folder without frames, missing intrinsics and broken poses; in
    ``frame`` for images that cannot be read and for colour and depth of different sizes.
    """

    world_up: tuple[float, float, float] | None = None
    cloud: Cloud | None = None

    def __init__(self, folder: str | Path, labels: LabelSpace, complete: bool = True) -> None:
        self.folder, self.labels, self.complete = Path(folder), labels, complete
        self.name = self.folder.resolve().name
        recording = _recording(self.folder)
        self._frames: SensReader | PosedFrames = SensReader(recording) if recording else self._listed()

    def _listed(self) -> PosedFrames:
        files, incomplete = list_frames(*_find_files(self.folder))
        if not files:
            raise BadInput(
                f"{self.folder}: no frame with colour, depth and pose ({incomplete} incomplete); expected "
                "frame-N.color.jpg, frame-N.depth.png, frame-N.pose.txt, or color/N.jpg, depth/N.png, pose/N.txt"
            )
        rig = _read_rig(self.folder, image_size(files[0].color), image_size(files[0].depth))
        return PosedFrames(str(self.folder), files, incomplete, rig, {})

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

    @cached_property
    def tag_file(self) -> TagFile | None:
        """The tags that a person gave, or None without a tag file. Raises BadInput for a broken file."""
        return TagFile.of(self.folder, self.labels, self.complete)

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

    def frame_truth(self, index: int) -> UInt8[np.ndarray, "H W"] | None:
        """None: these folders have no labels."""
        return None

    def cloud_truth(self) -> UInt8[np.ndarray, "N"] | None:
        """None: these folders have no labels."""
        return None


def has_frames(folder: Path) -> bool:
    """Whether the folder has one of the layouts of ``RgbdFolder``."""
    return _has_images(folder) or _recording(folder) is not None


def _has_images(folder: Path) -> bool:
    return any(folder.glob("frame-*.color.*")) or all((folder / kind).is_dir() for kind in ("color", "depth", "pose"))


def _recording(folder: Path) -> Path | None:
    """The ``.sens`` file of a folder without images, or None. Raises BadInput when there are several."""
    found = [] if _has_images(folder) else sorted(folder.glob("*.sens"))
    if len(found) > 1:
        raise BadInput(f"{folder}: {len(found)} recordings, {found[0].name} the first; expected one scene in a folder")
    return found[0] if found else None


def _find_files(folder: Path) -> tuple[Iterable[Path], Iterable[Path], Iterable[Path]]:
    """Colour, depth and pose files of both layouts."""
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; expected posed RGB-D frames")
    if (folder / "color").is_dir():
        colors, depths, poses = ((folder / kind).glob("*.*") for kind in ("color", "depth", "pose"))
    else:
        colors, depths, poses = (folder.glob(f"frame-*.{kind}.*") for kind in ("color", "depth", "pose"))
    return [path for path in colors if path.suffix.lower() in _IMAGES], depths, poses


def _read_rig(folder: Path, color_size: tuple[int, int], depth_size: tuple[int, int]) -> Rig:
    depth_path = _first(folder, _DEPTH_INTRINSICS)
    if depth_path is None:
        raise BadInput(f"{folder}: no intrinsics; expected one of {', '.join(_DEPTH_INTRINSICS)}")
    color_path = _first(folder, _COLOR_INTRINSICS)
    color = None if color_path is None else _camera(color_path, color_size)
    return Rig(_camera(depth_path, depth_size), color)


def _first(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _camera(path: Path, size: tuple[int, int]) -> Camera:
    fx, fy, cx, cy = read_intrinsics(path)
    if cx >= size[0] or cy >= size[1]:
        raise BadInput(
            f"{path}: centre ({cx:g}, {cy:g}) is outside the {size[0]}x{size[1]} images; "
            "expected intrinsics of images of this size"
        )
    return Camera(fx, fy, cx, cy, *size)
