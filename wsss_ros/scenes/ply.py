"""PLY files as structured numpy arrays: one record per vertex, one field per property."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int32, Shaped, UInt8

from wsss_ros.files import replace
from wsss_ros.scenes import ply_lists
from wsss_ros.types import BadInput

_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2"},
    **{"int": "i4", "uint": "u4", "float": "f4", "double": "f8"},
    **{"int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2", "int32": "i4", "uint32": "u4"},
    **{"float32": "f4", "float64": "f8"},
}
_NAMES = {np.dtype(code): name for name, code in list(_TYPES.items())[:8]}
_BYTE_ORDERS = {"ascii": "=", "binary_little_endian": "<", "binary_big_endian": ">"}
_FACE = np.dtype([("count", "u1"), ("vertices", "<i4", 3)])


@dataclass
class _Element:
    name: str
    count: int
    fields: list[tuple[str, str]]  # name and type of the properties that are one number
    layout: list[tuple[str, str, str]]  # name, type, and for a list the type of its length, of all properties
    list_bytes: int = 0  # smallest size of the list properties of a row; 0 without list properties

    def least_bytes(self) -> int:
        """The smallest size of all rows; lists of variable length count with their smallest size."""
        return self.count * (np.dtype(self.fields).itemsize + self.list_bytes)


def read(path: str | Path) -> np.ndarray:
    """Read the vertices of an ascii or binary PLY file, with the names, types and order of its properties.

    Other elements (faces) and properties that are lists are not returned. Raises BadInput naming the file when it is
    not a PLY file, has no vertices, has a number that its property's type cannot hold, or is cut short: within the
    vertices or, in a binary mesh of triangles, anywhere.
    """
    path = Path(path)
    data = _bytes_of(path)
    style, elements, start = _read_header(path, data)
    names = [element.name for element in elements]
    if "vertex" not in names:
        raise BadInput(f"{path}: this PLY has elements {names}; expected 'vertex'")
    before, vertex = elements[: names.index("vertex")], elements[names.index("vertex")]
    if style == "ascii":
        return _read_ascii(path, data[start:], before, vertex)
    return _read_binary(path, data, start, elements, vertex, _BYTE_ORDERS[style])


def count(path: str | Path) -> int:
    """The number of vertices, read from the header only. Raises BadInput naming the file when it is not a PLY file."""
    try:
        with open(path, "rb") as file:
            head = file.read(1 << 16)
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); expected a PLY file") from error
    return sum(element.count for element in _read_header(Path(path), head)[1] if element.name == "vertex")


def colored_vertices(
    xyz: Float[np.ndarray, "N 3"], rgb: UInt8[np.ndarray, "N 3"], **columns: Shaped[np.ndarray, "N"]
) -> np.ndarray:
    """Vertices for ``write``: x y z of the type of ``xyz``, red green blue, and ``columns`` of their own types."""
    parts = dict(zip(("x", "y", "z"), xyz.T, strict=True))
    parts |= dict(zip(("red", "green", "blue"), rgb.T, strict=True)) | columns
    vertices = np.empty(len(xyz), [(name, column.dtype) for name, column in parts.items()])
    for name, column in parts.items():
        vertices[name] = column
    return vertices


def write(
    path: str | Path, vertices: np.ndarray, faces: Int32[np.ndarray, "F 3"] | None = None, ascii: bool = False
) -> None:
    """Write a structured array [N] as the vertices of a PLY file, atomically, and ``faces`` as its triangles.

    Raises BadInput when a field has a type that PLY does not have (64-bit integers, booleans, sub-arrays).
    """
    faces = np.zeros((0, 3), np.int32) if faces is None else faces
    names = vertices.dtype.names or ()
    header = ["ply", f"format {'ascii' if ascii else 'binary_little_endian'} 1.0", f"element vertex {len(vertices)}"]
    header += [f"property {_ply_type(name, vertices.dtype[name])} {name}" for name in names]
    header += [f"element face {len(faces)}", "property list uchar int vertex_indices", "end_header"]
    parts = [("\n".join(header) + "\n").encode("ascii")]
    if ascii:
        parts.append("".join(" ".join(map(repr, row)) + "\n" for row in vertices.tolist()).encode("ascii"))
        parts.append("".join(f"3 {a} {b} {c}\n" for a, b, c in faces).encode("ascii"))
    else:
        packed = [(name, vertices.dtype[name].newbyteorder("<")) for name in names]
        records = np.empty(len(faces), _FACE)
        records["count"], records["vertices"] = 3, faces
        parts += [vertices.astype(packed).tobytes(), records.tobytes()]
    replace(Path(path), lambda file: file.writelines(parts), sum(map(len, parts)))


def _ply_type(name: str, dtype: np.dtype) -> str:
    known = _NAMES.get(dtype.newbyteorder("="))
    if known is None:
        raise BadInput(f"PLY property '{name}' is {dtype}; expected one of {', '.join(map(str, _NAMES))}")
    return known


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise BadInput(f"{path}: cannot be read ({error.strerror}); expected a PLY file") from error


def _read_header(path: Path, data: bytes) -> tuple[str, list[_Element], int]:
    """Format, elements, and the offset of the first byte after the header."""
    if not data.startswith((b"ply\n", b"ply\r", b"ply ")):
        found = f"it starts with {data[:8]!r}" if data else "it is empty"
        raise BadInput(f"{path}: not a PLY file, {found}; expected 'ply'")
    end = b"\r" if data[3:4] == b"\r" and data[4:5] != b"\n" else b"\n"
    mark = data.find(end + b"end_header")
    newline = data.find(end, mark + 1)
    if mark < 0 or newline < 0:
        raise BadInput(f"{path}: cut short within the header ({len(data)} bytes, no 'end_header'); get the file again")
    style, elements = "", list[_Element]()
    for line in data[:mark].decode("latin-1").splitlines()[1:]:
        try:
            style = _header_line(line.split(), elements) or style
        except (ValueError, KeyError, IndexError) as error:
            raise BadInput(f"{path}: the PLY header line '{line}' is not understood") from error
    if style not in _BYTE_ORDERS:
        raise BadInput(f"{path}: PLY format '{style}'; expected one of {', '.join(_BYTE_ORDERS)}")
    return style, elements, newline + 1


def _header_line(words: list[str], elements: list[_Element]) -> str | None:
    match words:
        case ["format", style, _]:
            return style
        case ["element", name, count] if int(count) >= 0:
            elements.append(_Element(name, int(count), [], []))
        case ["property", "list", count_type, item_type, name]:
            elements[-1].layout.append((name, _TYPES[item_type], _TYPES[count_type]))
            corners = 3 if elements[-1].name == "face" else 0
            count_bytes, item_bytes = (np.dtype(_TYPES[kind]).itemsize for kind in (count_type, item_type))
            elements[-1].list_bytes += count_bytes + corners * item_bytes
        case ["property", kind, name] if name not in dict(elements[-1].fields):
            elements[-1].fields.append((name, _TYPES[kind]))
            elements[-1].layout.append((name, _TYPES[kind], ""))
        case ["comment" | "obj_info", *_] | []:
            pass
        case _:
            raise ValueError(words)
    return None


def _read_binary(
    path: Path, data: bytes, start: int, elements: list[_Element], vertex: _Element, order: str
) -> np.ndarray:
    least = start + sum(element.least_bytes() for element in elements)
    if len(data) < least:
        raise BadInput(f"{path}: cut short, {len(data)} bytes of at least {least}; get the file again")
    for element in elements[: elements.index(vertex)]:
        start = ply_lists.end_of(path, data, start, element.layout, element.count, order)
    if vertex.list_bytes:
        return ply_lists.read_binary(path, data, start, vertex.layout, vertex.count, order)
    dtype = np.dtype([(name, order + code) for name, code in vertex.fields])
    if len(data) < start + vertex.least_bytes():
        raise BadInput(f"{path}: cut short within the vertices; get the file again")
    return np.frombuffer(data, dtype, vertex.count, start).astype(dtype.newbyteorder("="))


def _read_ascii(path: Path, data: bytes, before: list[_Element], vertex: _Element) -> np.ndarray:
    dtype = np.dtype(vertex.fields)
    words, at, width = data.split(), 0, len(vertex.fields)
    for element in before:
        at = ply_lists.end_of_words(path, words, at, element.layout, element.count)
    if vertex.list_bytes:
        words = ply_lists.plain_words(path, words, at, vertex.layout, vertex.count)
    else:
        words = words[at : at + vertex.count * width]
    if len(words) < vertex.count * width:
        raise BadInput(f"{path}: cut short, {len(words)} numbers of {vertex.count * width}; get the file again")
    try:
        table = np.array(words, np.float64).reshape(vertex.count, width)
    except ValueError as error:
        raise BadInput(f"{path}: a vertex that is not a number ({error})") from error
    vertices = np.empty(vertex.count, dtype)
    for column, name in zip(table.T, dtype.names or (), strict=True):
        vertices[name] = _fitting(path, name, column, dtype[name])
    return vertices


def _fitting(path: Path, name: str, column: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The numbers of a property, if they fit its type. -1 in an unsigned property is its largest number, as in C."""
    if dtype.kind == "f":
        return column
    limits = np.iinfo(dtype)
    if dtype.kind == "u":
        column = np.where(column == -1, limits.max, column)
    wrong = np.flatnonzero(~((column == np.floor(column)) & (column >= limits.min) & (column <= limits.max)))
    if len(wrong):
        kind = _ply_type(name, dtype)
        value = f"{column[wrong[0]]:g} at vertex {wrong[0]}"
        raise BadInput(f"{path}: property '{name}' is {value}; a {kind} cannot be that")
    return column
