"""Libraries of Sweet Home 3D: a catalog and OBJ models in an archive."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from wsss_ros.model_files.obj import read_obj
from wsss_ros.rooms.library import FurnitureLibrary
from wsss_ros.rooms.library.titles import class_of_title
from wsss_ros.types import BadInput

INSTALLED = Path("/usr/share/sweethome3d/furniture")  # by the Debian package sweethome3d-furniture
# A chair of 1 x 2 x 1 units (x, y up, z to the front) with a backrest at its back (z = 0).
OBJ = """
mtllib chair.mtl
v 0 0 0
v 1 0 0
v 1 0 1
v 0 0 1
v 1 2 0
v 0 2 0
vt 0 0
vt 1 0
vt 1 1
vt 0 1
usemtl back
f 1/1 2/2 5/3 6/4
usemtl seat
f 1 2 3
f -6 -4 -3
"""
MTL = """
newmtl back
Kd 0.2 0.2 0.2
map_Kd -s 1 1 1 C:\\Users\\me\\red wood.png
newmtl seat
Kd 0.1 0.5 0.9
d 0.4
"""
CATALOG = r"""
# a comment
name=Tiny
name#1=Armchair
category#1=Living room
id#1=Me#chair1
model#1=/me/chair.obj
width#1=60
depth#1=80.0
height#1=100
name#2=Wall cabinet \u00e9
category#2=Kitchen
model#2=/me/inner.zip
width#2 = 40
depth#2: 30
height#2=20
elevation#2=140
modelRotation#2=1 0 0 0 0 1 \
    0 -1 0
name#3=Bus
category#3=Vehicles
model#3=/me/chair.obj
width#3=1
depth#3=1
height#3=1
name#4=Lamp
category#4=Lights
model#4=/me/lamp.dae
"""


@pytest.fixture
def file(tmp_path):
    picture, nested, path = io.BytesIO(), io.BytesIO(), tmp_path / "tiny.sh3f"
    Image.fromarray(np.array([[(200, 0, 0)] * 2, [(0, 200, 0)] * 2], np.uint8)).save(picture, "PNG")
    with zipfile.ZipFile(nested, "w") as inner:
        inner.writestr("deep/model.obj", OBJ)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", CATALOG)
        archive.writestr("me/chair.obj", OBJ)
        archive.writestr("me/chair.mtl", MTL)
        archive.writestr("me/red wood.png", picture.getvalue())
        archive.writestr("me/inner.zip", nested.getvalue())
    return path


def test_the_catalog_names_classes_and_sizes(file):
    library = FurnitureLibrary.open(file)
    assert list(library.models) == ["cabinet__wall-cabinet_me-inner-zip", "chair__armchair_chair1"]
    assert library.size("chair__armchair_chair1") == pytest.approx((0.6, 0.8, 1.0))
    assert library.model("cabinet__wall-cabinet_me-inner-zip").title == "Wall cabinet é"
    assert library.elevation("cabinet__wall-cabinet_me-inner-zip") == pytest.approx(1.4)
    assert library.textures("wall") == ()
    assert list(FurnitureLibrary.open(file.parent).models) == list(library.models)  # a folder of such files


def test_a_model_is_scaled_and_turned_into_the_frame_of_pieces(file):
    piece = FurnitureLibrary.open(file).piece("chair__armchair_chair1")
    back, seat = piece.parts
    assert piece.size == pytest.approx((0.6, 0.8, 1.0))
    assert np.allclose(back.mesh.vertices[:, 1], 0.4)
    assert back.mesh.vertices[:, 2].max() == pytest.approx(1.0)
    assert np.allclose(seat.mesh.vertices[:, 2], 0)
    assert len(back.mesh.triangles) == len(seat.mesh.triangles) == 2
    assert seat.material.color == pytest.approx((0.1, 0.5, 0.9))
    assert seat.material.alpha == pytest.approx(0.4)
    assert seat.mesh.uv is None
    top = back.mesh.vertices[back.mesh.triangles][..., 2] > 0.5
    assert np.array_equal(back.mesh.uv[..., 1] == 0, top)  # the top row of the picture is at the top
    assert back.material.picture.pixels[0, 0].tolist() == [200, 0, 0]
    left = back.mesh.vertices[back.mesh.triangles][..., 0] < 0  # as seen from the front, which is towards -y
    assert np.array_equal(back.mesh.uv[..., 0] == 0, left)


def test_a_nested_archive_and_a_rotation(file):
    """The rotation lays the backrest down: y up becomes -z, to the back."""
    piece = FurnitureLibrary.open(file).piece("cabinet__wall-cabinet_me-inner-zip")
    assert piece.size == pytest.approx((0.4, 0.3, 0.2))
    back, seat = (part.mesh.vertices for part in piece.parts)
    assert np.allclose(back[:, 2], 0)
    assert np.allclose(seat[:, 1], -0.15)
    assert piece.parts[0].material.picture is None  # the nested archive has no materials


@pytest.mark.parametrize(
    ("title", "category", "kind", "label"),
    [
        ("Armchair", "Living room", "chair", "chair"),
        ("Bedside table", "Bedroom", "other", ""),
        ("Coffee table", "Living room", "table", "table"),
        ("Wooden desk", "Office", "desk", "desk"),
        ("Desk lamp", "Lights", "other", ""),
        ("Desk table", "Office", "desk", "desk"),
        ("Table tennis", "Miscellaneous", "other", "otherfurniture"),
        ("Lower corner cabinet", "Kitchen", "counter", "counter"),
        ("Upper cabinet", "Kitchen", "cabinet", "cabinet"),
        ("Sink cabinet", "Kitchen", "sink", "sink"),
        ("Opened convertible sofa BZ", "Bedroom", "bed", "bed"),
        ("Shower curtain", "Bathroom", "shower curtain", "shower curtain"),
        ("Window blind", "Miscellaneous", "other", ""),
        ("Double French window 3 panes", "Doors and windows", "window", "window"),
        ("Rattan sofa", "Exterior", "sofa", "sofa"),
        ("Wardrobe", "Bedroom", "other", "otherfurniture"),
    ],
)
def test_titles(title, category, kind, label):
    found = class_of_title(title, category)
    assert (found.kind, found.label) == (kind, label)


@pytest.mark.parametrize(("title", "category"), [("Truck", "Vehicles"), ("Palm tree", "Exterior"), ("Garage door", "")])
def test_titles_of_what_rooms_do_not_have(title, category):
    assert class_of_title(title, category) is None


def test_indices_and_polygons_of_obj():
    """Indices from the end, a polygon of five corners, normals without uv, and faces of several forms."""
    text = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0.5 2 0\nv 0 1 0\nf 1//1 2//1 3//1 4//1 5//1\nf -5/-1 \\\n -4/-1 -3/-1\nvt 0 0"
    (surface,) = read_obj({"a.obj": text.encode()}.__getitem__, "a.obj", "test")
    areas = np.cross(*np.diff(surface.vertices[surface.triangles], axis=1).transpose(1, 0, 2))[:, 2] / 2
    assert len(areas) == 4
    assert areas[:3].sum() == pytest.approx(1.5)
    assert areas[3] == pytest.approx(0.5)


def test_what_cannot_be_read_is_named(file, tmp_path):
    (tmp_path / "text.sh3f").write_text("not an archive")
    with pytest.raises(BadInput, match="text.sh3f"):
        FurnitureLibrary.open(tmp_path / "text.sh3f")
    with zipfile.ZipFile(tmp_path / "empty.sh3f", "w") as archive:
        archive.writestr("x", "")
    with pytest.raises(BadInput, match="PluginFurnitureCatalog"):
        FurnitureLibrary.open(tmp_path / "empty.sh3f")
    with zipfile.ZipFile(tmp_path / "broken.sh3f", "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", CATALOG)
        archive.writestr("me/chair.obj", "v 0 0 0\nf 1 2 3")
    library = FurnitureLibrary.open(tmp_path / "broken.sh3f")
    with pytest.raises(BadInput, match=r"broken.sh3f.*me/chair.obj"):
        library.piece("chair__armchair_chair1")
    with pytest.raises(BadInput, match=r"inner.zip"):
        library.piece("cabinet__wall-cabinet_me-inner-zip")


@pytest.mark.parametrize(("was", "now"), [("width#1=60", "width#1=wide"), ("0 -1 0", "0 -1")])
def test_a_catalog_with_a_broken_size_or_rotation_is_named(tmp_path, was, now):
    with zipfile.ZipFile(tmp_path / "odd.sh3f", "w") as archive:
        archive.writestr("PluginFurnitureCatalog.properties", CATALOG.replace(was, now))
    with pytest.raises(BadInput, match=r"odd.sh3f: the size or rotation of '(Armchair|Wall cabinet)"):
        FurnitureLibrary.open(tmp_path / "odd.sh3f")


@pytest.mark.skipif(not INSTALLED.is_dir(), reason=f"no Debian package sweethome3d-furniture: {INSTALLED} is absent")
def test_the_installed_libraries(labels):
    library = FurnitureLibrary.open(INSTALLED)
    assert all(library.pieces(kind) for kind in labels.names if kind not in ("wall", "floor"))
    for kind in ("chair", "sofa", "bed", "table"):
        for name in library.pieces(kind)[::4]:
            assert library.piece(name).size == pytest.approx(library.size(name), abs=0.01), name
    piece = library.piece("bed__bed_bed1")
    vertices = np.concatenate([part.mesh.vertices for part in piece.parts])
    assert vertices[vertices[:, 2] > 0.85 * piece.size[2], 1].mean() > 0.3 * piece.size[1]  # its head
