"""Scenes on disk, one reader for each data set: ``open_scene`` opens one scene, ``open_scenes`` a folder of scenes.

All readers implement ``types.Scene``. A folder of photographs without poses is not a scene: ``scenes.photos``.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from wsss_ros.files import decode, visible
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes import (
    arkit_scenes,
    bundle_fusion,
    colmap,
    icl_nuim,
    nerfstudio,
    plain_frames,
    redwood,
    replica,
    rgbd_folder,
    seven_scenes,
    tum,
)
from wsss_ros.scenes.advice import advice
from wsss_ros.scenes.cloud_files import SUFFIXES, is_cloud_file
from wsss_ros.scenes.cloud_scene import CloudScene
from wsss_ros.scenes.images import read_bytes
from wsss_ros.scenes.photos import has_photo_tags, loose_pictures
from wsss_ros.scenes.reading import Reading, reading_of, refuse_others, scene_file
from wsss_ros.scenes.rgbd_folder import RgbdFolder
from wsss_ros.scenes.s3dis import ANNOTATIONS, S3disRoom, is_room
from wsss_ros.scenes.scannet import EXPORTS, ScanNetScene, is_scan
from wsss_ros.scenes.scannet_write import POINTS
from wsss_ros.types import BadInput, Scene, few_of

_OF_SCANNET = {"depth_scale": (1000.0,), "label_ids": ("dataset", "auto")}  # what its files have, given or not


class Layout(NamedTuple):
    """A layout of folders.

    ``find`` returns what of the layout a folder has, or an empty text. ``expects`` are its files, for messages.
    ``instead_of`` are layouts whose files it has as well, and which it replaces where both fit.
    """

    find: Callable[[Path], str]
    open: Callable[[Path, LabelSpace, bool, Reading | None], Scene]
    expects: str
    instead_of: tuple[str, ...] = ()


def _rgbd(module, instead_of: tuple[str, ...] = ()) -> Layout:
    """A layout of posed RGB-D frames, whose module has ``find``, ``read`` and ``EXPECTS``."""
    return Layout(module.find, partial(_open_rgbd, module.read), module.EXPECTS, instead_of)


def _open_scannet(path: Path, labels: LabelSpace, complete: bool, reading: Reading | None) -> ScanNetScene:
    given = reading_of(path, reading)
    takes = {name for name, own in _OF_SCANNET.items() if getattr(given, name) in own}
    why = "a scan has its own cameras, poses and ids of classes, and depth in millimetres"
    instead = f"; '--layout frames' reads its folders {', '.join(EXPORTS)} alone, in which they can be"
    refuse_others(given, takes, path, why + (instead if plain_frames.find(path) else ""))
    return ScanNetScene(path, labels, complete)


def _open_s3dis(path: Path, labels: LabelSpace, complete: bool, reading: Reading | None) -> S3disRoom:
    given = reading_of(path, reading)
    refuse_others(given, ("label_ids",) if given.label_ids == "auto" else (), path, "a room of S3DIS has its own")
    return S3disRoom(path, labels, complete)


def _open_rgbd(listed, path: Path, labels: LabelSpace, complete: bool, reading: Reading | None) -> Scene:
    return RgbdFolder(path, labels, complete, reading, listed)


LAYOUTS: dict[str, Layout] = {
    "scannet": Layout(
        lambda path: POINTS if is_scan(path) else "",
        _open_scannet,
        f"'*{POINTS}' (ScanNet)",
        ("frames", "s3dis"),
    ),
    "frames": Layout(rgbd_folder.find, partial(_open_rgbd, plain_frames.read), plain_frames.EXPECTS),
    "s3dis": Layout(
        lambda path: ANNOTATIONS if is_room(path) else "",
        _open_s3dis,
        f"'{ANNOTATIONS}' (a room of S3DIS)",
    ),
    "tum": _rgbd(tum),
    "icl_nuim": _rgbd(icl_nuim, ("tum",)),
    "redwood": _rgbd(redwood),
    "7scenes": _rgbd(seven_scenes, ("frames",)),
    "bundlefusion": _rgbd(bundle_fusion, ("frames",)),
    "replica": _rgbd(replica),
    "arkitscenes": _rgbd(arkit_scenes),
    "nerfstudio": _rgbd(nerfstudio),
    "colmap": _rgbd(colmap),
}
_LAYOUTS = ", or ".join(layout.expects for layout in LAYOUTS.values())


def open_scene(path: str | Path, labels: LabelSpace, complete: bool = True, reading: Reading | None = None) -> Scene:
    """Open the scene in a folder of any known layout, of a YAML file that names it (``scenes.reading``), or a cloud.

    ``complete``: whether classes that a person did not list in ``tags.csv`` or ``tags.json`` are absent, else they are
    unknown. ``reading``: what the files do not say; it completes ``meta.yaml`` in the folder and comes before it.
    Raises BadInput, which lists the layouts and what the folder has, for a folder of no layout or of several.
    """
    path = Path(path)
    if (named := scene_file(path)) is not None:
        path, noted = named
        reading = noted if reading is None else reading.over(noted)
    if is_cloud_file(path):
        return CloudScene(path, labels, reading)
    if not path.is_dir():
        what = (advice(path) or "a file") if path.exists() else "no such folder"
        raise BadInput(f"{path}: {what}; expected a scene folder with {_LAYOUTS}; or a cloud ({', '.join(SUFFIXES)})")
    return LAYOUTS[layout_of(path, reading)].open(path, labels, complete, reading)


def layout_of(path: Path, reading: Reading | None = None) -> str:
    """The name of the layout of a folder, found by its files unless ``reading`` or ``meta.yaml`` names it.

    Raises BadInput as ``open_scene`` does.
    """
    asked = reading_of(path, reading).layout
    if asked and asked not in LAYOUTS:
        raise BadInput(f"{path}: layout '{asked}'; expected one of {', '.join(LAYOUTS)}")
    if asked:
        if not LAYOUTS[asked].find(path):
            raise BadInput(f"{path} {_content(path)}; layout '{asked}' expects {LAYOUTS[asked].expects}")
        return asked
    found = fitting(path)
    if len(found) > 1:
        each = "; ".join(f"'{name}', because of {what}" for name, what in found.items())
        raise BadInput(
            f"{path}: fits {len(found)} layouts: {each}; choose one: --layout NAME, or 'layout: NAME' in meta.yaml"
        )
    if found:
        return next(iter(found))
    if has_photo_tags(path):
        raise BadInput(f"{path}: photographs with tags.csv and no poses; expected one scene folder with {_LAYOUTS}")
    known = f": {text}" if (text := advice(path)) else ""
    raise BadInput(f"{path} {_content(path)}{known}; expected one scene folder with {_LAYOUTS}")


def fitting(path: Path) -> dict[str, str]:
    """The layouts that a folder fits, each with what it has of them; without those that another one replaces."""
    if not path.is_dir():
        return {}
    found = {name: what for name, layout in LAYOUTS.items() if (what := layout.find(path))}
    replaced = {name for chosen in found for name in LAYOUTS[chosen].instead_of}
    return {name: what for name, what in found.items() if name not in replaced}


def _content(path: Path) -> str:
    inside = sorted(entry.name for entry in path.iterdir() if visible(entry))
    return f"holds {few_of(inside)}" if inside else "is empty"


def is_photo_folder(path: str | Path) -> bool:
    """Whether a folder holds photographs for ``scenes.photos.PhotoFolder``, and not a scene."""
    path = Path(path)
    return path.is_dir() and not fitting(path) and has_photo_tags(path)


def pictures_without_poses(path: str | Path) -> list[Path]:
    """The pictures that a path names: a picture file, or those directly in a folder that is not a scene; else none."""
    path = Path(path)
    return [] if path.is_dir() and fitting(path) else loose_pictures(path)


def open_scenes(
    folder: str | Path,
    labels: LabelSpace,
    listed: str | Path | None = None,
    complete: bool = True,
    reading: Reading | None = None,
) -> tuple[list[Scene], list[tuple[str, str]]]:
    """Open the scenes of a folder; returns the scenes, and (name, reason) of each that cannot be opened.

    The scenes are those of ``scene_names``, in its order; ``complete`` and ``reading`` are those of ``open_scene``. A
    fault inside a scene, such as a broken image, is not reported here but when the image is read. Raises BadInput for a
    folder or a list that does not exist, and when no scene is left.
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
            scenes.append(open_scene(folder / name, labels, complete, reading))
        except (BadInput, OSError) as error:
            left_out.append((name, str(error)))
    if not scenes:
        reasons = few_of((f"{name}: {reason}" for name, reason in left_out), 3, "; ")
        raise BadInput(f"{folder}: none of its {len(left_out)} scenes can be used: {reasons}")
    return scenes, left_out


def open_all(
    folders: Sequence[Path],
    labels: LabelSpace,
    listed: Path | None = None,
    complete: bool = True,
    reading: Reading | None = None,
) -> tuple[list[Scene], list[tuple[str, str]]]:
    """Open folders that are scenes or folders of scenes; returns the scenes, and (name, reason) of each that fails.

    With ``listed``, a text file with scene names, all ``folders`` must be folders of scenes. ``complete`` and
    ``reading`` are those of ``open_scene``. Raises BadInput for a folder that is not a scene and contains none.
    """
    opened: list[Scene] = []
    left_out: list[tuple[str, str]] = []
    for folder in folders:
        if listed is None:
            try:
                opened.append(open_scene(folder, labels, complete, reading))
                continue
            except BadInput as error:
                if is_cloud_file(folder):
                    raise
                alone = error
        try:
            found, missed = open_scenes(folder, labels, listed, complete, reading)
        except BadInput as error:
            if listed is not None or not folder.is_dir():
                raise
            raise BadInput(f"{alone}; it is not a folder of scenes either ({error})") from error
        opened, left_out = opened + found, left_out + missed
    return opened, left_out


def scene_names(folder: str | Path, listed: str | Path | None = None) -> list[str]:
    """The names of the scenes in a folder that contains one folder per scene, such as ScanNet's ``scans``.

    ``listed`` is a text file with one name per line. The result has its order; a name that appears twice counts once;
    lines that start with # are comments. Without ``listed`` the result is all visible folders, sorted.
    Raises BadInput for a folder or a list that cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise BadInput(f"{folder}: no such folder; expected a folder of scene folders, as 'wsss rooms {folder}' makes")
    if not listed:
        return sorted(path.name for path in folder.iterdir() if path.is_dir() and visible(path))
    text = decode(read_bytes(listed, "a text file, a scene name per line"))
    lines = [line.strip() for line in text.splitlines()]
    return [name for name in dict.fromkeys(lines) if name and not name.startswith("#")]
