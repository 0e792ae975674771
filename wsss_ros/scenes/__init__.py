"""Scenes on disk, one reader for each data set: ``open_scene`` opens one scene, ``open_scenes`` a folder of scenes.

Readers follow ``types.Scene``.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from wsss_ros.labels import LabelSpace
from wsss_ros.scenes.rgbd_folder import RgbdFolder, has_frames
from wsss_ros.scenes.s3dis import ANNOTATIONS, S3disRoom, is_room
from wsss_ros.scenes.scannet import ScanNetScene, is_scan
from wsss_ros.scenes.scannet_write import POINTS
from wsss_ros.types import BadInput, Scene

# Whether a folder is a scene of the data set, its reader, and what is looked for; the first that fits opens a folder.
_READERS: tuple[tuple[Callable[[Path], bool], Callable[[Path, LabelSpace], Scene], str], ...] = (
    (is_scan, ScanNetScene, f"'*{POINTS}' (ScanNet)"),
    (has_frames, RgbdFolder, "'frame-*.color.*', the folders color, depth and pose or '*.sens' (posed RGB-D frames)"),
    (is_room, S3disRoom, f"'{ANNOTATIONS}' (a room of S3DIS)"),
)
_LAYOUTS = ", or ".join(looked_for for _, _, looked_for in _READERS)


def open_scene(path: str | Path, labels: LabelSpace) -> Scene:
    """Open the scene in a folder, in any of the layouts. Raises BadInput that lists the layouts when it has none."""
    path = Path(path)
    if not path.is_dir():
        what = "a file" if path.exists() else "no such folder"
        raise BadInput(f"{path}: {what}; expected a scene folder with {_LAYOUTS}")
    for fits, reader, _ in _READERS:
        if fits(path):
            return reader(path, labels)
    inside = sorted(entry.name for entry in path.iterdir())
    content = f"holds {', '.join(inside[:5])}{' and more' if len(inside) > 5 else ''}" if inside else "is empty"
    raise BadInput(f"{path} {content}; expected one scene folder with {_LAYOUTS}")


def open_scenes(
    folder: str | Path, labels: LabelSpace, listed: str | Path | None = None
) -> tuple[list[Scene], list[tuple[str, str]]]:
    """Open the scenes below a folder; also returns (name, reason) of those that do not open.

    The folder holds one folder for each scene, as ScanNet's ``scans`` and ``scans_test`` do. ``listed`` is a text file
    that names one of them in each line, in the order of the result; without it all are opened, sorted.
    Faults inside a scene (a broken image) show when it is read, not here.

    Raises BadInput for a folder or list that does not exist, and when no scene is left.
    """
    folder, scenes, left_out = Path(folder), [], []
    for name in _names(folder, listed):
        try:
            scenes.append(open_scene(folder / name, labels))
        except (BadInput, OSError) as error:
            left_out.append((name, str(error)))
    if not scenes:
        more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out[:3])
        raise BadInput(f"{folder}: none of its {len(left_out)} scenes can be used: {reasons}{more}")
    return scenes, left_out


def open_all(
    folders: Sequence[Path], labels: LabelSpace, listed: Path | None = None
) -> tuple[list[Scene], list[tuple[str, str]]]:
    """The scenes that the folders are or hold, and (name, reason) of those that do not open.

    ``listed`` is a text file that names the scenes to take of the folders. Raises BadInput for a folder that neither is
    a scene nor holds one.
    """
    opened, left_out = [], []
    for folder in folders:
        if listed is None:
            try:
                opened.append(open_scene(folder, labels))
                continue
            except BadInput as error:
                alone = error
        try:
            found, missed = open_scenes(folder, labels, listed)
        except BadInput as error:
            if listed is not None or not folder.is_dir():
                raise
            raise BadInput(f"{alone}; nor is it a folder of scenes ({error})") from error
        opened, left_out = opened + found, left_out + missed
    return opened, left_out


def _names(folder: Path, listed: str | Path | None) -> list[str]:
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; expected a folder of scene folders, as 'wsss rooms {folder}' makes")
    if listed:
        return _read_list(Path(listed))
    names = sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    if not names:
        raise BadInput(f"{folder}: has no scene folder; generate some with 'wsss rooms {folder} --scenes 100'")
    return names


def _read_list(path: Path) -> list[str]:
    """Read the names in a text file, one per line; a name that appears twice counts once."""
    try:
        lines = [line.strip() for line in path.read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{path}: cannot be read ({error}); expected a text file with a scene name per line") from error
    names = [name for name in dict.fromkeys(lines) if name and not name.startswith("#")]
    if not names:
        raise BadInput(f"{path}: names no scene; expected a scene name per line")
    return names
