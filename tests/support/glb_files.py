"""Small GLB models, and folders of them as furniture libraries."""

import json
import struct
from pathlib import Path

import numpy as np
from PIL import Image


def write_glb(path: Path, surfaces: list[dict], node: dict | None = None, **further) -> Path:
    """Write surfaces: dicts of ``points`` [N 3], ``triangles`` [M 3], and what else a surface has.

    That is: ``uv`` [N 2], ``image`` (the uri of a file), ``color`` (RGBA), ``nyu40``. The header has ``further`` keys.
    """
    binary, header = b"", dict(bufferViews=[], accessors=[], materials=[], images=[], textures=[])

    def array(values: np.ndarray, kind: str) -> int:
        nonlocal binary
        header["bufferViews"].append(dict(buffer=0, byteOffset=len(binary), byteLength=values.nbytes))
        row = dict(bufferView=len(header["bufferViews"]) - 1, count=len(values), type=kind)
        row["componentType"] = {"f": 5126, "u": 5125}[values.dtype.kind]
        if kind == "VEC3":
            row |= dict(min=values.min(0).tolist(), max=values.max(0).tolist())
        header["accessors"].append(row)
        binary += values.tobytes()
        return len(header["accessors"]) - 1

    primitives = []
    for surface in surfaces:
        attributes = dict(POSITION=array(np.array(surface["points"], np.float32), "VEC3"))
        if "uv" in surface:
            attributes["TEXCOORD_0"] = array(np.array(surface["uv"], np.float32), "VEC2")
        look: dict = dict(baseColorFactor=list(surface.get("color", (1, 1, 1, 1))))
        if "image" in surface:
            look["baseColorTexture"] = dict(index=len(header["textures"]))
            header["textures"].append(dict(source=len(header["images"])))
            header["images"].append(dict(uri=surface["image"]))
        extras = dict(extras=dict(nyu40=surface["nyu40"])) if "nyu40" in surface else {}
        header["materials"].append(dict(pbrMetallicRoughness=look) | extras)
        indices = array(np.array(surface["triangles"], np.uint32).ravel(), "SCALAR")
        primitives.append(dict(attributes=attributes, indices=indices, material=len(header["materials"]) - 1))
    header |= further | dict(asset=dict(version="2.0"))
    header |= dict(scene=0, scenes=[dict(nodes=[0])], nodes=[dict(mesh=0) | (node or {})])
    header |= dict(meshes=[dict(primitives=primitives)], buffers=[dict(byteLength=len(binary))])
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    path.parent.mkdir(parents=True, exist_ok=True)
    length = 28 + len(text) + len(binary)
    start = struct.pack("<4sIII4s", b"glTF", 2, length, len(text), b"JSON")
    path.write_bytes(start + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary)
    return path


# A square of 1 x 2 metres with the upper side at y = 2, each corner with its place in the picture (v = 0: top row).
SQUARE = dict(
    points=[(0, 0, 0), (1, 0, 0), (1, 2, 0), (0, 2, 0)],
    triangles=[(0, 1, 2), (0, 2, 3)],
    uv=[(0, 1), (1, 1), (1, 0), (0, 0)],
)
CUBE = dict(
    points=[(x, y, z) for x in (0, 0.4) for y in (0, 0.6) for z in (0, 0.9)],
    triangles=[
        *[(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)],
        *[(2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)],
    ],
)
BACKREST = dict(points=[(0, 0, 1), (0.4, 0, 1), (0.2, 0, 1.2)], triangles=[(0, 1, 2)], color=(0.1, 0.1, 0.1, 1))


def write_image(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, np.uint8)).save(path)
    return path


def write_library(folder: Path) -> Path:
    """A chair whose back is at y = 0, with its front towards +y; a sink in a cabinet; a plant; two surface images."""
    write_glb(folder / "chair__plain" / "mesh.glb", [CUBE | dict(color=(0.8, 0.2, 0.1, 1)), BACKREST])
    vanity = [CUBE | dict(nyu40=3), BACKREST | dict(nyu40=34), BACKREST | dict(nyu40=25, color=(1, 1, 1, 0.5))]
    write_glb(folder / "sink__vanity" / "mesh.glb", vanity)
    write_glb(folder / "other__plant" / "mesh.glb", [SQUARE | dict(image="leaf.png")])
    write_image(folder / "other__plant" / "leaf.png", np.full((4, 4, 3), (20, 160, 40)))
    write_glb(folder / "showercurtain__x" / "mesh.glb", [CUBE])
    write_image(folder / "textures" / "floor_wood.png", np.full((4, 8, 3), 120))
    write_image(folder / "textures" / "wall1.png", np.full((4, 4, 3), 200))
    (folder / "licences").mkdir()
    return folder
