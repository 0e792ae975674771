"""Models in OBJ files with MTL materials, read from an archive or any other set of files."""

from collections.abc import Callable
from dataclasses import dataclass
from posixpath import basename, dirname, join, normpath

import numpy as np
from jaxtyping import Float64, Int64

from wsss_ros.model_files.pictures import Picture, decode_picture
from wsss_ros.model_files.surfaces import Surface, without_holes
from wsss_ros.types import BadInput

_BROKEN = (IndexError, ValueError, KeyError, TypeError, OverflowError)
_OPTIONS = {"-blendu": 1, "-blendv": 1, "-bm": 1, "-boost": 1, "-cc": 1, "-clamp": 1, "-imfchan": 1, "-mm": 2,
            "-o": 3, "-s": 3, "-t": 3, "-texres": 1, "-type": 1}  # fmt: skip
_GREY = (0.85, 0.85, 0.85)  # of surfaces without a material


@dataclass
class _Material:
    color: tuple[float, float, float] = _GREY
    alpha: float = 1.0
    picture: Picture | None = None


def read_obj(read: Callable[[str], bytes], path: str, source: str) -> list[Surface]:
    """The surfaces of an OBJ model, one for each material, in the file's axes and units.

    ``read(path)`` returns the bytes of a file, with / between folders; it raises KeyError when there is no such file.
    Raises BadInput that names ``source`` and the path when the model cannot be read.
    """
    try:
        return _surfaces(read, path, source)
    except BadInput:
        raise
    except _BROKEN as error:
        raise BadInput(f"{source}: cannot read the OBJ model {path} ({error!r})") from error


def _surfaces(read: Callable[[str], bytes], path: str, source: str) -> list[Surface]:
    places, uvs, faces, libraries = _parse(read(path).decode("latin1"))
    materials: dict[str, _Material] = {}
    for library in libraries:
        materials |= _materials(read, join(dirname(path), library), source)
    surfaces = []
    for name, (at, corners) in faces.items():
        look = materials.get(name, _Material())
        used, triangles = np.unique(at, return_inverse=True)
        vertices, joined = np.unique(places[used], axis=0, return_inverse=True)
        uv = None
        if look.picture is not None and (corners >= 0).all():
            uv = (uvs[corners] * (1, -1) + (0, 1)).astype(np.float32)  # in OBJ files v = 0 is the bottom row
        picture = look.picture if uv is not None else None
        color = (1.0, 1.0, 1.0) if picture is not None else look.color
        triangles = joined.ravel()[triangles.reshape(-1, 3)]
        surface = without_holes(Surface(vertices, triangles, uv, (*color, look.alpha), picture, {}))
        if surface is not None:
            surfaces.append(surface)
    if not surfaces:
        raise ValueError("it has no faces")
    return surfaces


_Faces = tuple[Int64[np.ndarray, "M 3"], Int64[np.ndarray, "M 3"]]


def _parse(
    text: str,
) -> tuple[Float64[np.ndarray, "N 3"], Float64[np.ndarray, "K 2"], dict[str, _Faces], list[str]]:
    """Places, uv, the triangles by material (indices of places and of uv, -1: none), and names of material files."""
    places: list[str] = []
    uvs: list[str] = []
    polygons: dict[tuple[str, int, int], list[str]] = {}  # of one material, number of corners and indices for each
    libraries: list[str] = []
    material = ""
    for line in text.replace("\\\n", " ").splitlines():
        key, _, rest = line.strip().partition(" ")
        if key == "v":
            places.append(rest)
        elif key == "vt":
            uvs.append(rest)
        elif key == "f":
            corners = rest.split()
            if "-" in rest:
                corners = [_from_start(c, len(places), len(uvs)) for c in corners]
            form = (material, len(corners), corners[0].count("/") + 1)
            polygons.setdefault(form, []).append(" ".join(corners))
        elif key == "usemtl":
            material = rest.strip()
        elif key == "mtllib":
            libraries.append(rest.strip())
    faces: dict[str, list[_Faces]] = {}
    for form, lines in polygons.items():
        faces.setdefault(form[0], []).append(_triangles(lines, *form[1:]))
    joined = {m: (np.concatenate([f[0] for f in of]), np.concatenate([f[1] for f in of])) for m, of in faces.items()}
    return _numbers(places, 3), _numbers(uvs or ["0 0"], 2), joined, libraries


def _numbers(lines: list[str], count: int) -> Float64[np.ndarray, "N count"]:
    """The first ``count`` numbers of each line."""
    words = len(lines[0].split())
    table = np.array(" ".join(lines).split(), np.float64)
    if table.size == words * len(lines):
        return table.reshape(len(lines), words)[:, :count]
    return np.array([line.split()[:count] for line in lines], np.float64)


def _from_start(corner: str, places: int, uvs: int) -> str:
    """A corner ``place/uv/normal`` whose indices below 0 count back from the latest, with indices from the start."""
    numbers = corner.split("/")
    counts = (places, uvs, 0)
    return "/".join(n if not n.startswith("-") else str(c + 1 + int(n)) for n, c in zip(numbers, counts, strict=False))


def _triangles(lines: list[str], corners: int, indices: int) -> _Faces:
    """Polygons as fans of triangles, with indices from 0."""
    text = " ".join(lines).replace("//", "/0/").replace("/", " ")
    table = np.array(text.split(), np.int64).reshape(len(lines), corners, indices)
    uv = table[..., 1] - 1 if indices > 1 else np.full(table.shape[:2], -1)
    fan = [[0, k, k + 1] for k in range(1, corners - 1)]
    return table[:, fan, 0].reshape(-1, 3) - 1, uv[:, fan].reshape(-1, 3)


def _materials(read: Callable[[str], bytes], path: str, source: str) -> dict[str, _Material]:
    """The materials of an MTL file; none when it is missing, as Sweet Home 3D then shows its own."""
    try:
        text = read(normpath(path)).decode("latin1")
    except KeyError:
        return {}
    found: dict[str, _Material] = {}
    look = _Material()
    pictures: dict[str, Picture | None] = {}
    for line in text.splitlines():
        words = line.split()
        if len(words) < 2:
            continue
        key = words[0].lower()
        if key == "newmtl":
            look = found[line.split(None, 1)[1].strip()] = _Material()
        elif key == "kd" and len(words) >= 4:
            look.color = (float(words[1]), float(words[2]), float(words[3]))
        elif key == "d":
            look.alpha = float(words[-1])
        elif key == "tr":
            look.alpha = 1 - float(words[1])
        elif key == "map_kd":
            image = _file_of(line)
            if image not in pictures:
                pictures[image] = _picture(read, dirname(path), image, source)
            look.picture = pictures[image]
    return found


def _picture(read: Callable[[str], bytes], folder: str, image: str, source: str) -> Picture | None:
    """An image, also where the path to it is one of its author's machine; None when it is not there."""
    for path in (image, basename(image)):
        path = normpath(join(folder, path))
        try:
            return decode_picture(read(path), f"{source}, {path}")
        except KeyError:
            continue
    return None


def _file_of(line: str) -> str:
    """The file of a map: what follows the options; its name may contain spaces."""
    words = line.split(None, 1)[1].strip()
    while words.startswith("-"):
        option = words.split()[0]
        words = words.split(None, 1 + _OPTIONS.get(option, 1))[-1]
    return words.replace("\\", "/")
