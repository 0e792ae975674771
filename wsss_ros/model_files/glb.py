"""Models in GLB files (glTF 2.0 in one binary file): meshes, plain colours and images; numpy and json suffice."""

import base64
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64
from scipy.spatial.transform import Rotation

from wsss_ros.files import parse_json
from wsss_ros.model_files.pictures import Picture, decode_picture, read_picture
from wsss_ros.model_files.surfaces import Surface, without_holes
from wsss_ros.scenes.images import read_bytes
from wsss_ros.types import BadInput

_TYPES = {5120: np.int8, 5121: np.uint8, 5122: np.int16, 5123: np.uint16, 5125: np.uint32, 5126: np.float32}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_BROKEN = (KeyError, IndexError, ValueError, TypeError, AttributeError, OverflowError, struct.error)


def read_glb(path: Path) -> list[Surface]:
    """The surfaces of the model, in the order of the file. Vertices of one surface at the same place are joined.

    Raises BadInput that names the file when it is missing, not GLB, broken, or uses compression or sparse arrays.
    """
    data = read_bytes(path, "a GLB model")
    try:
        header, binary = _chunks(data)
        return list(_surfaces(header, binary, path))
    except BadInput:  # of an image, which it names
        raise
    except _BROKEN as error:
        raise BadInput(
            f"{path}: cannot be read as a GLB model ({error!r}); export it as uncompressed glTF 2.0 (.glb)"
        ) from error


def read_bounds(path: Path) -> Float64[np.ndarray, "2 3"]:
    """The lowest and the highest corner of the model's box, in the file's axes; from the header where it says so.

    Raises BadInput as ``read_glb`` does.
    """
    try:
        with path.open("rb") as stream:
            start = stream.read(20)
            header, _ = _chunks(start + stream.read(struct.unpack_from("<I", start, 12)[0]))
        if not any("matrix" in n or {"rotation", "scale", "translation"} & set(n) for n in header["nodes"]):
            primitives = [p for mesh in header["meshes"] for p in mesh["primitives"]]
            places = [header["accessors"][p["attributes"]["POSITION"]] for p in primitives]
            low, high = (np.array([p[end] for p in places], np.float64) for end in ("min", "max"))
            return np.stack([low.min(0), high.max(0)])
    except (OSError, *_BROKEN):
        pass  # the complete reader finds out what is wrong
    vertices = np.concatenate([s.vertices for s in read_glb(path)])
    return np.stack([vertices.min(0), vertices.max(0)])


def _chunks(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The JSON header and the binary chunk, which may be absent."""
    magic, version, _, length, kind = struct.unpack_from("<4sIII4s", data)
    if magic != b"glTF" or version != 2 or kind != b"JSON":
        raise ValueError("it does not begin as a file of glTF 2.0")
    header = parse_json(data[20 : 20 + length])
    if unread := set(header.get("extensionsRequired", ())) - {"KHR_materials_unlit"}:
        raise ValueError(f"it needs the extensions {sorted(unread)}")
    return header, data[20 + length + 8 :]


def _surfaces(header: dict[str, Any], binary: bytes, path: Path) -> Iterator[Surface]:
    pictures: dict[int, Picture] = {}
    for mesh, transform in _meshes(header):
        for primitive in header["meshes"][mesh]["primitives"]:
            mode = primitive.get("mode", 4)
            if mode < 4:  # points and lines have no surface
                continue
            if mode > 4:
                raise ValueError("it has strips or fans of triangles, not a list")
            surface = _surface(header, binary, primitive, transform, pictures, path)
            if surface is not None:
                yield surface


def _meshes(header: dict[str, Any]) -> Iterator[tuple[int, Float64[np.ndarray, "4 4"]]]:
    """The meshes of the scene with the transform of each."""
    scene = header["scenes"][header.get("scene", 0)]
    seen: set[int] = set()
    left = [(node, np.eye(4)) for node in reversed(scene["nodes"])]
    while left:
        number, above = left.pop()
        if number in seen:
            raise ValueError(f"its node {number} is in two places; expected a tree")
        seen.add(number)
        node = header["nodes"][number]
        here = above @ _local(node)
        if "mesh" in node:
            yield node["mesh"], here
        left += [(child, here) for child in reversed(node.get("children", ()))]


def _local(node: dict[str, Any]) -> Float64[np.ndarray, "4 4"]:
    if "matrix" in node:
        return np.array(node["matrix"], np.float64).reshape(4, 4).T
    local = np.eye(4)
    local[:3, :3] = Rotation.from_quat(node.get("rotation", (0, 0, 0, 1))).as_matrix() * node.get("scale", (1, 1, 1))
    local[:3, 3] = node.get("translation", (0, 0, 0))
    return local


def _surface(
    header: dict[str, Any],
    binary: bytes,
    primitive: dict[str, Any],
    transform: Float64[np.ndarray, "4 4"],
    pictures: dict[int, Picture],
    path: Path,
) -> Surface | None:
    attributes = primitive["attributes"]
    points = _array(header, binary, attributes["POSITION"]).astype(np.float64)
    if "indices" in primitive:
        corners = _array(header, binary, primitive["indices"]).astype(np.int64).reshape(-1, 3)
    else:
        corners = np.arange(len(points), dtype=np.int64).reshape(-1, 3)
    material = header["materials"][primitive["material"]] if "material" in primitive else {}
    look = material.get("pbrMetallicRoughness", {})
    picture, uv = None, None
    if "baseColorTexture" in look:
        texture = look["baseColorTexture"]
        picture = _picture(header, binary, header["textures"][texture["index"]]["source"], pictures, path)
        name = f"TEXCOORD_{texture.get('texCoord', 0)}"
        if name in attributes:
            uv = _unit(_array(header, binary, attributes[name]))[corners]
    r, g, b, a = map(float, look.get("baseColorFactor", (1, 1, 1, 1)))
    vertices, joined = np.unique(points, axis=0, return_inverse=True)
    vertices = vertices @ transform[:3, :3].T + transform[:3, 3]
    surface = Surface(vertices, joined.ravel()[corners], uv, (r, g, b, a), picture, material.get("extras") or {})
    return surface if material.get("alphaMode", "OPAQUE") == "OPAQUE" else without_holes(surface)


def _unit(uv: np.ndarray) -> Float32[np.ndarray, "N 2"]:
    """Whole numbers stand for 0..1 of their range."""
    return uv.astype(np.float32) / (1 if uv.dtype == np.float32 else np.iinfo(uv.dtype).max)


def _array(header: dict[str, Any], binary: bytes, index: int) -> np.ndarray:
    """The values of an accessor, one row for each."""
    accessor = header["accessors"][index]
    if "sparse" in accessor:
        raise ValueError("it has sparse arrays")
    view = header["bufferViews"][accessor["bufferView"]]
    if "uri" in header["buffers"][view["buffer"]]:
        raise ValueError("its arrays are in another file")
    kind, width = np.dtype(_TYPES[accessor["componentType"]]), _WIDTHS[accessor["type"]]
    step = view.get("byteStride", kind.itemsize * width)
    start = view.get("byteOffset", 0) + accessor.get("byteOffset", 0)
    shape = (accessor["count"], width)
    values: np.ndarray = np.ndarray(shape, kind, binary, start, (step, kind.itemsize))
    return values[:, 0] if width == 1 else values


def _picture(header: dict[str, Any], binary: bytes, source: int, pictures: dict[int, Picture], path: Path) -> Picture:
    """An image of the file, from the file next to it, or from text in it; each is read once."""
    if source not in pictures:
        image, name = header["images"][source], f"{path}, image {source}"
        if "bufferView" in image:
            view = header["bufferViews"][image["bufferView"]]
            start = view.get("byteOffset", 0)
            pictures[source] = decode_picture(binary[start : start + view["byteLength"]], name)
        elif image["uri"].startswith("data:"):
            pictures[source] = decode_picture(base64.b64decode(image["uri"].split(",", 1)[1]), name)
        else:
            pictures[source] = read_picture(path.parent / image["uri"])
    return pictures[source]
