"""Images on surfaces: each point shows its place in the picture, far ones a mean of texels; glass is transparent."""

import numpy as np
import pytest
from reference import rooms as reference

from wsss_ros.model_files.pictures import Picture
from wsss_ros.rooms.furniture.piece import Piece
from wsss_ros.rooms.generator import generate_room
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.layout.room import Placed, Room
from wsss_ros.rooms.materials import Material
from wsss_ros.rooms.meshes import Mesh, box
from wsss_ros.rooms.render.images import lay_images
from wsss_ros.rooms.render.light import Light, shade
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.rooms.styles import DEFAULT
from wsss_ros.rooms.walk import pose
from wsss_ros.scenes import open_scene
from wsss_ros.types import Camera

CAMERA = Camera(120.0, 120.0, 39.5, 29.5, 80, 60)
NOISE = Picture("noise", np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8))
WHITE = (1.0, 1.0, 1.0)


def world_of(*pieces: tuple[Piece, float, float], labels, yaw: float = 0.0) -> World:
    """A room with pieces at (1, y, z), their own frames turned by ``yaw``; no walls."""
    room = Room("office", 2.0, 4.0, 2.5, Kit(np.random.default_rng(0), DEFAULT))
    room.placed += [Placed(piece, 1.0, y, z, yaw) for piece, y, z in pieces]
    return World(room, labels)


def facing(distance: float) -> np.ndarray:
    """A camera at (1, 2 - distance, 1) that looks along +y."""
    return pose(np.array([1.0, 2 - distance, 1.0]), np.pi / 2, 0.0, 0.0)


def colors(world: World, eye_pose: np.ndarray) -> np.ndarray:
    view = world.cast(CAMERA, eye_pose)
    base = np.zeros((len(view.part), 3), np.float32)
    lay_images(base, world.images, view, world, eye_pose[:3, 3], 1 / CAMERA.fx)
    return base.reshape(60, 80, 3)


def screen(picture: Picture, repeats: float = 1.0, tint=WHITE) -> Piece:
    """An upright square of 2 x 2 m around the origin that faces -y; the top row of the picture is its upper edge."""
    corners = np.array([(-1, 0, -1), (1, 0, -1), (1, 0, 1), (-1, 0, 1.0)])
    uv = np.array([(0, 1), (1, 1), (1, 0), (0, 0)], np.float32) * np.float32(repeats)
    triangles = np.array([(0, 1, 2), (0, 2, 3)])
    return Piece("picture", (2, 0, 2)).add(Mesh(corners, triangles, uv[triangles]), Material(tint, picture=picture))


@pytest.mark.parametrize("repeats", [1.0, 3.0])
def test_a_mapped_picture_is_where_its_uv_say(labels, repeats):
    world = world_of((screen(NOISE, repeats), 2.0, 1.0), labels=labels)
    got = colors(world, facing(0.9))  # near: a pixel is smaller than a texel
    for row, column in np.random.default_rng(1).integers(0, (60, 80), (40, 2)):
        x, z = (column - CAMERA.cx) / CAMERA.fx * 0.9, -(row - CAMERA.cy) / CAMERA.fy * 0.9
        expected = reference.picture_at(NOISE.pixels, (x + 1) / 2 * repeats, (1 - z) / 2 * repeats)
        assert np.allclose(got[row, column], expected, atol=2e-3), (row, column)


def test_both_sides_show_the_picture(labels):
    world = world_of((screen(NOISE), 2.0, 1.0), labels=labels)
    front, back = colors(world, facing(0.9)), colors(world, pose(np.array([1, 2.9, 1.0]), -np.pi / 2, 0.0, 0.0))
    assert np.allclose(front, back[:, ::-1], atol=2e-3)


def test_a_box_shows_the_picture_upright_every_tile(labels):
    """The picture is 0.5 m wide and 0.25 m high; its columns go along x, its rows down."""
    plain = Piece("wall", (2, 0.2, 2)).add(box(0, 0.1, -1, 2, 0.2, 2), Material(WHITE, picture=NOISE, tile=(0.5, 0.25)))
    got = colors(world_of((plain, 2.0, 1.0), labels=labels), facing(0.3))
    for row, column in np.random.default_rng(2).integers(0, (60, 80), (40, 2)):
        x, z = (column - CAMERA.cx) / CAMERA.fx * 0.3, -(row - CAMERA.cy) / CAMERA.fy * 0.3
        expected = reference.picture_at(NOISE.pixels, x / 0.5, -z / 0.25)
        assert np.allclose(got[row, column], expected, atol=2e-3), (row, column)


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize(("size", "along"), [((1.8, 0.5), 1), ((0.5, 1.8), 0)])
def test_the_grain_of_wood_runs_along_the_part(labels, upright, size, along):
    stripes = np.repeat(np.arange(0, 240, 30, dtype=np.uint8)[:, None], 8, 1)
    wood = Picture("wood", np.repeat((stripes.T if upright else stripes)[..., None], 3, 2))
    assert wood.upright == upright
    board = Piece("table", (size[0], 0.1, size[1])).add(
        box(0, 0, -size[1] / 2, size[0], 0.1, size[1]), Material(WHITE, texture="wood", picture=wood, tile=(0.4, 0.4))
    )
    seen = colors(world_of((board, 2.0, 1.0), labels=labels), facing(0.5))[20:40, 30:50, 0]
    changes = [np.abs(np.diff(seen, axis=axis)).mean() for axis in (0, 1)]
    assert changes[along] < 0.05 * changes[1 - along]


def test_from_far_away_a_fine_pattern_is_its_mean_light(labels):
    """The mean of black and white is half the light; a texel for each pixel would be black or white."""
    black_and_white = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    checks = Picture("checks", np.stack([black_and_white] * 3, 2))
    far = colors(world_of((screen(checks, 8.0), 2.0, 1.0), labels=labels), facing(2.0))
    assert np.allclose(far[15:45, 25:55], 0.5, atol=0.03)
    assert checks.mean == pytest.approx((0.5 ** (1 / 2.2),) * 3, abs=0.01)


def test_the_color_of_the_material_tints_the_picture(labels):
    white, red = (
        colors(world_of((screen(NOISE, tint=tint), 2.0, 1.0), labels=labels), facing(0.9))
        for tint in (WHITE, (0.5, 1.0, 0.0))
    )
    assert np.allclose(red, white * (0.5**2.2, 1, 0), atol=1e-5)


def test_glass_shows_what_is_behind_it_and_the_sky_where_nothing_is(labels):
    pane = Piece("window", (2, 0, 2)).add(
        screen(NOISE).parts[0].mesh, Material((0.0, 0.0, 0.0), alpha=0.25, dropout=0.6)
    )
    light = Light(np.array([[1.0, 0.0, 1.0]]), np.array([[0.0, 0.0, 0.0]]), np.array([1.0, 1.0, 1.0]), 0.1)
    wall = Piece("wall", (2, 0.2, 2)).add(box(0, 0.1, -1, 2, 0.2, 2), Material((0.8, 0.8, 0.8)))

    def light_of(*pieces):
        world, eye = world_of(*pieces, labels=labels), facing(0.9)
        view = world.cast(CAMERA, eye)
        return view, shade(world, CAMERA, view, light, eye[:3, 3], np.random.default_rng(0))

    _, behind = light_of((wall, 2.5, 1.0))
    view, through = light_of((wall, 2.5, 1.0), (pane, 2.0, 1.0))
    assert np.allclose(through, 0.75 * behind, rtol=1e-4)
    assert np.allclose(view.depth_m, 0.9, atol=1e-4)  # the pane is what the label and the depth are of
    small = Piece("window", (0.4, 0, 0.4)).add(
        Mesh(pane.parts[0].mesh.vertices * 0.2, pane.parts[0].mesh.triangles), pane.parts[0].material
    )
    view, through = light_of((wall, 2.5, 1.0), (small, 2.0, 1.0), (small, 2.1, 1.0))
    glass = view.depth_m < 1.2
    both = glass & (np.abs(view.point[:, [0, 2]] - (1.0, 1.0)) < 0.17).all(1)
    assert 0.1 < both.mean() < glass.mean() < 0.7
    assert np.allclose(through[both], 0.75**2 * behind[both], rtol=1e-4)
    assert np.allclose(through[~glass], behind[~glass])
    _, sky = light_of((pane, 2.0, 1.0))
    assert (sky > 0.3).all()


def test_rooms_without_images_look_as_they_always_did(tmp_path, labels):
    """Mean colours and depths of two views, in 8-bit steps and metres; measured before images were added."""
    scene = open_scene(generate_room(tmp_path, 1, frames=2, size=(80, 60)), labels)
    frames = [scene.frame(k) for k in range(2)]
    assert [np.round(f.rgb.mean((0, 1)), 1).tolist() for f in frames] == [[160.5, 140.2, 115.9], [176.4, 150.2, 122.5]]
    assert [round(float(f.depth_m.mean()), 3) for f in frames] == [2.261, 2.016]
