"""Libraries of furniture models: read in the generator's frame, with the labels and looks of their files."""

import json

import numpy as np
import pytest
from support.glb_files import BACKREST, CUBE, SQUARE, write_glb, write_image, write_library
from support.paths import SHARED

from wsss_ros.model_files.glb import read_bounds, read_glb
from wsss_ros.rooms.furniture.piece import NOTHING
from wsss_ros.rooms.library import OTHER, FurnitureLibrary
from wsss_ros.types import BadInput


@pytest.fixture
def folder(tmp_path):
    return write_library(tmp_path / "models")


def test_models_by_kind(folder, labels):
    library = FurnitureLibrary.open(folder)
    assert list(library.models) == ["chair__plain", "other__plant", "showercurtain__x", "sink__vanity"]
    assert library.pieces("chair") == ("chair__plain",)
    assert library.pieces("shower curtain") == ("showercurtain__x",)
    assert library.pieces(OTHER) == ("other__plant",)
    assert library.pieces("bed") == library.pieces("otherfurniture") == ()
    assert library.size("chair__plain") == pytest.approx((0.4, 0.6, 1.2))
    assert library.elevation("chair__plain") == 0
    assert library.textures("floor") == library.textures("floor_wood") == ("floor_wood",)
    assert library.textures("wall") == ("wall1",)


def test_a_piece_stands_on_the_floor_with_its_back_at_plus_y(folder):
    piece = FurnitureLibrary.open(folder).piece("chair__plain")
    seat, back = (part.mesh.vertices for part in piece.parts)
    assert piece.kind == "chair"
    assert {part.label for part in piece.parts} == {"chair"}
    assert np.allclose([seat.min(0), seat.max(0)], [(-0.2, -0.3, 0), (0.2, 0.3, 0.9)])
    assert np.allclose(back[:, 1], 0.3)
    assert piece.parts[0].material.color == pytest.approx((0.8, 0.2, 0.1))
    assert piece.parts[1].material.dropout > piece.parts[0].material.dropout  # black


def test_surfaces_have_their_own_classes_and_images(folder):
    library = FurnitureLibrary.open(folder)
    vanity, plant = library.piece("sink__vanity"), library.piece("other__plant")
    assert [part.label for part in vanity.parts] == ["cabinet", "sink", NOTHING]
    assert vanity.parts[2].material.dropout > 0.3  # glass
    (leaf,) = plant.parts
    assert plant.kind == leaf.label == NOTHING
    assert leaf.material.picture.pixels[0, 0].tolist() == [20, 160, 40]
    corner = dict(zip(map(tuple, np.round(leaf.mesh.vertices[leaf.mesh.triangles].reshape(-1, 3), 3).tolist()),
                      leaf.mesh.uv.reshape(-1, 2).tolist(), strict=True))  # fmt: skip
    assert corner[-0.5, -1.0, 0.0] == [1, 0]  # x = 1, y = 2 before the half turn


def test_the_manifest_names_labels_and_heights(folder):
    rows = [dict(dir="other__plant", nyu40=39, elevation_m=1.5, title="A plant"), dict(dir="chair__plain", nyu40=7)]
    (folder / "manifest.json").write_text(json.dumps(rows))
    library = FurnitureLibrary.open(folder)
    assert library.pieces(OTHER) == library.pieces("otherfurniture") == ("other__plant",)
    assert library.elevation("other__plant") == 1.5
    assert library.model("other__plant").title == "A plant"
    assert library.piece("chair__plain").parts[0].label == "table"
    (folder / "manifest.json").write_text("[{}]")
    with pytest.raises(BadInput, match="manifest.json"):
        FurnitureLibrary.open(folder)


def test_surface_images_become_materials(folder):
    library = FurnitureLibrary.open(folder)
    floor = library.surface("floor_wood", extent_m=2.0)
    assert floor.tile == (2.0, 1.0)
    assert floor.picture is library.surface("floor_wood").picture
    with pytest.raises(BadInput, match="ceiling"):
        library.surface("ceiling")


def test_what_cannot_be_read_is_named(folder, tmp_path):
    with pytest.raises(BadInput, match="no model 'sofa'"):
        FurnitureLibrary.open(folder).piece("sofa")
    (folder / "other__plant" / "leaf.png").unlink()
    with pytest.raises(BadInput, match="leaf.png"):
        FurnitureLibrary.open(folder).piece("other__plant")
    (folder / "chair__plain" / "mesh.glb").write_bytes(b"glTF but no more")
    with pytest.raises(BadInput, match="chair__plain"):
        FurnitureLibrary.open(folder)
    write_glb(folder / "chair__plain" / "mesh.glb", [CUBE])
    write_glb(folder / "throne__x" / "mesh.glb", [CUBE])
    with pytest.raises(BadInput, match="throne.*chair"):
        FurnitureLibrary.open(folder)
    with pytest.raises(BadInput, match="no models"):
        FurnitureLibrary.open(write_image(tmp_path / "empty" / "x.png", np.zeros((2, 2, 3))).parent)
    with pytest.raises(BadInput, match="absent"):
        FurnitureLibrary.open(tmp_path / "absent")


def test_glb_with_a_turned_and_scaled_node(tmp_path):
    """A quarter turn about x brings y up to z up; the box is then read from the mesh."""
    node = dict(rotation=(np.sqrt(0.5), 0, 0, np.sqrt(0.5)), scale=(2, 2, 2), translation=(0, 0, 1))
    path = write_glb(tmp_path / "a.glb", [SQUARE], node)
    assert np.allclose(read_bounds(path), [(0, 0, 1), (2, 0, 5)], atol=1e-6)


def test_a_model_in_the_axes_of_gltf(folder, labels):
    """Y is up and z to the front; colours are linear."""
    points = np.array(CUBE["points"]) * (1, -1, 1)
    backrest = BACKREST | dict(points=np.array(BACKREST["points"])[:, [0, 2, 1]], color=(0.5**2.2, 0, 0, 1))
    write_glb(folder / "sofa__own" / "model.glb", [CUBE | dict(points=points[:, [0, 2, 1]] * (1, 1, -1)), backrest])
    library = FurnitureLibrary.open(folder)
    piece = library.piece("sofa__own")
    assert piece.size == pytest.approx(library.size("sofa__own"))
    assert piece.size == pytest.approx((0.4, 0.6, 1.2))
    assert np.allclose(piece.parts[1].mesh.vertices[:, 1], 0.3)  # its back
    assert piece.parts[1].material.color == pytest.approx((0.5, 0, 0))


def test_an_extension_that_is_not_applied_is_named(tmp_path):
    path = write_glb(tmp_path / "a.glb", [SQUARE], extensionsRequired=["KHR_texture_transform"])
    with pytest.raises(BadInput, match=r"a\.glb.*KHR_texture_transform"):
        read_glb(path)


def test_vertices_at_one_place_are_joined(tmp_path):
    apart = dict(points=[*BACKREST["points"], *BACKREST["points"]], triangles=[(0, 1, 2), (3, 5, 4)])
    (surface,) = read_glb(write_glb(tmp_path / "a.glb", [apart]))
    assert len(surface.vertices) == 3
    assert sorted(surface.triangles[0]) == sorted(surface.triangles[1])
    assert surface.uv is None


@pytest.mark.skipif(not (SHARED / "models").is_dir(), reason=f"no models: {SHARED / 'models'} is absent")
def test_real_models_have_their_fronts_towards_minus_y(labels):
    library = FurnitureLibrary.open(SHARED / "models")
    assert all(library.pieces(kind) for kind in labels.names if kind not in ("wall", "floor"))
    for name in ("chair__aws_chaira", "sofa__bs0_sofa", "bed__aws_bed"):
        piece = library.piece(name)
        assert piece.size == pytest.approx(library.size(name))
        vertices = np.concatenate([part.mesh.vertices for part in piece.parts])
        high = vertices[vertices[:, 2] > 0.85 * piece.size[2]]
        assert high[:, 1].mean() > 0.15 * piece.size[1], name  # the backrest, the head of the bed
