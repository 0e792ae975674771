"""Transparent parts of pictures are cut out of the mesh."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.glb_files import SQUARE as SQUARE_IN_GLB
from support.glb_files import write_glb

from wsss_ros.model_files.glb import read_glb
from wsss_ros.model_files.pictures import Picture, decode_picture
from wsss_ros.model_files.surfaces import Surface, without_holes
from wsss_ros.scenes.images import read_bytes
from wsss_ros.types import BadInput

SQUARE = np.array([(0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0.0)])
UV = np.array([(0, 1), (1, 1), (1, 0), (0, 0)], np.float32)
TRIANGLES = np.array([(0, 1, 2), (0, 2, 3)])


def leaf(alpha: np.ndarray, repeats: float = 1.0) -> Surface | None:
    picture = Picture("leaf", np.zeros((*alpha.shape, 3), np.uint8), alpha.astype(np.uint8))
    uv = UV[TRIANGLES] * np.float32(repeats)
    return without_holes(Surface(SQUARE, TRIANGLES, uv, (1, 1, 1, 1), picture, {}))


def area(surface: Surface) -> float:
    a, b, c = surface.vertices[surface.triangles].transpose(1, 0, 2)
    return float(np.linalg.norm(np.cross(b - a, c - a), axis=1).sum() / 2)


@given(st.lists(st.booleans(), min_size=16, max_size=16))
def test_what_stays_is_what_the_picture_shows(cells):
    """The picture is 4 x 4 pixels, opaque or transparent; the areas of what stays and of the opaque pixels agree."""
    alpha = np.array(cells).reshape(4, 4) * 255
    surface = leaf(alpha)
    if not any(cells):
        assert surface is None
        return
    assert area(surface) == pytest.approx(np.mean(cells), abs=0.04)
    middle = surface.vertices[surface.triangles].mean(1)
    shown = alpha[np.minimum(((1 - middle[:, 1]) * 4).astype(int), 3), (middle[:, 0] * 4).astype(int)]
    assert (shown == 255).mean() > 0.9
    assert np.allclose(surface.uv.mean(1), np.column_stack([middle[:, 0], 1 - middle[:, 1]]), atol=1e-6)


def test_a_repeated_picture_has_repeated_holes():
    assert area(leaf(np.array([[255, 0]]), repeats=3)) == pytest.approx(0.5, abs=0.05)


def test_an_opaque_surface_stays_as_it_is():
    surface = Surface(SQUARE, TRIANGLES, None, (1, 1, 1, 1), None, {})
    assert without_holes(surface) is surface
    assert len(leaf(np.full((4, 4), 255)).triangles) == 2


def test_alpha_is_read_and_hidden_colours_are_not_seen(tmp_path):
    from PIL import Image

    pixels = np.array([[(200, 100, 0, 255), (0, 0, 255, 0)]], np.uint8)
    Image.fromarray(pixels, "RGBA").save(tmp_path / "a.png")
    Image.fromarray(pixels[:, :1, :3]).save(tmp_path / "b.png")
    picture = decode_picture(read_bytes(tmp_path / "a.png", "an image"), "a")
    assert picture.alpha.tolist() == [[255, 0]]
    assert picture.pixels[0].tolist() == [[200, 100, 0]] * 2
    assert decode_picture(read_bytes(tmp_path / "b.png", "an image"), "b").alpha is None


def test_a_node_inside_itself_is_refused(tmp_path):
    path = write_glb(tmp_path / "a.glb", [SQUARE_IN_GLB], {"children": [0, 0]})
    with pytest.raises(BadInput, match="a.glb: .* node 0 is in two places"):
        read_glb(path)
