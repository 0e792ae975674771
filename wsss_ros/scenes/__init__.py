"""Scenes on disk, one reader for each data set: ``open_scene`` opens one scene, ``open_scenes`` a folder of scenes.

All readers implement ``types.Scene``. A folder of photographs without poses is not a scene: ``scenes.photos``.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from wsss_ros.labels import LabelSpace
from wsss_ros.scenes.photos import has_photo_tags, loose_pictures
from wsss_ros.scenes.rgbd_folder import RgbdFolder, has_frames
from wsss_ros.scenes.s3dis import ANNOTATIONS, S3disRoom, is_room
from wsss_ros.scenes.scannet import ScanNetScene, is_scan
from wsss_ros.scenes.scannet_write import POINTS
from wsss_ros.types import BadInput, Scene

# For each data set: the test for its folders, its reader, and the files it expects. The first test that passes decides.
_READERS: tuple[tuple[Callable[[Path], bool], Callable[[Path, LabelSpace, bool], Scene], str], ...] = (
    (is_scan, ScanNetScene, f"'*{POINTS}' (ScanNet)"),
    (has_frames, RgbdFolder, "'frame-*.color.*', the folders color, depth and pose or '*.sens' (posed RGB-D frames)"),
    (is_room, S3disRoom, f"'{ANNOTATIONS}' (a room of S3DIS)"),
)
_LAYOUTS = ", or ".join(expected for _, _, expected in _READERS)


def open_scene(path: str | Path, labels: LabelSpace, complete: bool = True) -> Scene:
    """Open the scene in a folder of any known layout.

    ``complete``: whether classes that a person did not list in ``tags.csv`` or ``tags.json`` are absent, else they are
    unknown. Raises BadInput, which lists the layouts, for a folder of no known layout.
    """
    path = Path(path)
    if not path.is_dir():
        what = "a file" if path.exists() else "no such folder"
        raise BadInput(f"{path}: {what}; expected a scene folder with {_LAYOUTS}")
    for fits, reader, _ in _READERS:
        if fits(path):
            return reader(path, labels, complete)
    if has_photo_tags(path):
        raise BadInput(f"{path}: photographs with tags.csv and no poses; expected one scene folder with {_LAYOUTS}")
    inside = sorted(entry.name for entry in path.iterdir())
    content = f"holds {', '.join(inside[:5])}{' and more' if len(inside) > 5 else ''}" if inside else "is empty"
    raise BadInput(f"{path} {content}; expected one scene folder with {_LAYOUTS}")


def is_photo_folder(path: str | Path) -> bool:
    """Whether a folder holds photographs for ``scenes.photos.PhotoFolder``, and not a scene."""
    return has_photo_tags(Path(path)) and not any(fits(Path(path)) for fits, _, _ in _READERS)


def pictures_without_poses(path: str | Path) -> list[Path]:
    """The pictures that a path names: a picture file, or those directly in a folder that is not a scene; else none."""
    path = Path(path)
    is_scene = path.is_dir() and any(fits(path) for fits, _, _ in _READERS)
    return [] if is_scene else loose_pictures(path)


def open_scenes(
    folder: str | Path, labels: LabelSpace, listed: str | Path | None = None, complete: bool = True
) -> tuple[list[Scene], list[tuple[str, str]]]:
    """Open the scenes of a folder; returns the scenes, and (name, reason) of each that cannot be opened.

    The scenes are those of ``scene_names``, in its order; ``complete`` is that of ``open_scene``. A fault inside a
    scene, such as a broken image, is not reported here but when the image is read. Raises BadInput for a folder or a
    list that does not exist, and when no scene is left.
    """
    folder, names = Path(folder), scene_names(folder, listed)
    if not names:
        raise BadInput(
            f"{listed}: names no scene; expected a scene name per line"
            if listed
            else f"{folder}: has no scene folder; generate some with 'wsss rooms {folder} --scenes 100'"
        )
    scenes: list[Scene] = []
    left_out: list[tuple[str, str]] = []
    for name in names:
        try:
            scenes.append(open_scene(folder / name, labels, complete))
        except (BadInput, OSError) as error:
            left_out.append((name, str(error)))
    if not scenes:
        more = f" and {len(left_out) - 3} more" if len(left_out) > 3 else ""
        reasons = "; ".join(f"{name}: {reason}" for name, reason in left_out[:3])
        raise BadInput(f"{folder}: none of its {len(left_out)} scenes can be used: {reasons}{more}")
    return scenes, left_out


def open_all(
    folders: Sequence[Path], labels: LabelSpace, listed: Path | None = None, complete: bool = True
) -> tuple[list[Scene], list[tuple[str, str]]]:
    """Open folders that are scenes or folders of scenes; returns the scenes, and (name, reason) of each that fails.

    With ``listed``, a text file with scene names, all ``folders`` must be folders of scenes. ``complete`` is that of
    ``open_scene``. Raises BadInput for a folder that is not a scene and contains none.
    """
    opened: list[Scene] = []
    left_out: list[tuple[str, str]] = []
    for folder in folders:
        if listed is None:
            try:
                opened.append(open_scene(folder, labels, complete))
                continue
            except BadInput as error:
                alone = error
        try:
            found, missed = open_scenes(folder, labels, listed, complete)
        except BadInput as error:
            if listed is not None or not folder.is_dir():
                raise
            raise BadInput(f"{alone}; it is not a folder of scenes either ({error})") from error
        opened, left_out = opened + found, left_out + missed
    return opened, left_out


def scene_names(folder: str | Path, listed: str | Path | None = None) -> list[str]:
    """The names of the scenes in a folder that contains one folder per scene, such as ScanNet's ``scans``.

    ``listed`` is a text file with one name per line. The result has its order; a name that appears twice counts once;
    lines that start with # are comments. Without ``listed`` the result is all folders except hidden ones, sorted.
    Raises BadInput for a folder or a list that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; expected a folder of scene folders, as 'wsss rooms {folder}' makes")
    if not listed:
        return sorted(path.name for path in folder.iterdir() if path.is_dir() and path.name[0] != ".")
    try:
        lines = [line.strip() for line in Path(listed).read_text().splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{listed}: cannot be read ({error}); expected a text file, a scene name per line") from error
    return [name for name in dict.fromkeys(lines) if name and not name.startswith("#")]
