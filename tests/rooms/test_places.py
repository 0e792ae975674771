"""Whole places: their meshes become objects, and a camera walks where there is floor and looks past no wall."""

import numpy as np
import pytest
from support.glb_files import CUBE, write_glb, write_image
from support.paths import SHARED
from typer.testing import CliRunner

from wsss_ros.cli.main import app
from wsss_ros.model_files.glb import read_glb
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.places import generate_place
from wsss_ros.rooms.places.inside import CELL_M, add_lamps, find_free_floor
from wsss_ros.rooms.places.reading import floor_height, objects_of, read_place
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.rooms.styles import DEFAULT
from wsss_ros.scenes import open_scene
from wsss_ros.types import BadInput

WALL, FLOOR, CHAIR, TABLE = 1, 2, 5, 7


def block(low, high) -> dict:
    """A box between two corners."""
    points = np.array(CUBE["points"]) / (0.4, 0.6, 0.9)
    return dict(points=np.array(low) + points * (np.array(high) - low), triangles=CUBE["triangles"])


def together(*parts: dict) -> dict:
    """Several bodies as one surface."""
    starts = np.cumsum([0] + [len(p["points"]) for p in parts])
    triangles = [np.array(p["triangles"]) + s for p, s in zip(parts, starts, strict=False)]
    return dict(points=np.concatenate([p["points"] for p in parts]), triangles=np.concatenate(triangles))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two rooms side by side without a door; chairs at one wall of the larger one; the floor is a slab of 5 cm."""
    path = tmp_path_factory.mktemp("places") / "scene__two rooms"
    walls = [block((x, 1, 0), (x + 0.1, 5, 2.5)) for x in (1, 4.8, 6.5)]
    walls += [block((1, y, 0), (6.6, y + 0.1, 2.5)) for y in (1, 4.9)]
    chairs = [block((x, 4.3, 0.05), (x + 0.4, 4.8, 0.9)) for x in (1.4, 2.4, 3.2)]
    chairs.append(block((3.3, 4.6, 0.9), (3.5, 4.8, 1.1)))  # the backrest of the third
    table = block((2.0, 1.2, 0.05), (3.0, 1.9, 0.75))
    floor = block((1, 1, 0), (6.6, 5, 0.05))
    surfaces = [together(*walls) | dict(nyu40=WALL), floor | dict(nyu40=FLOOR, color=(0.5, 0.3, 0.2, 1))]
    surfaces += [together(*chairs) | dict(nyu40=CHAIR, color=(0.7, 0.1, 0.1, 1)), table | dict(nyu40=TABLE)]
    write_glb(path / "mesh.glb", surfaces)
    return path


@pytest.fixture
def place(folder, labels):
    return read_place(folder, labels, Kit(np.random.default_rng(0), DEFAULT))


def test_each_object_is_a_piece_where_it_stands(place):
    assert sorted(spot.piece.kind for spot in place.placed) == ["chair"] * 3 + ["floor", "table", "wall"]
    assert (place.width, place.depth, place.height) == pytest.approx((5.6, 4.0, 2.45))
    table = next(spot for spot in place.placed if spot.piece.kind == "table")
    assert (table.x, table.y, table.z) == pytest.approx((1.5, 0.55, 0.0), abs=1e-6)
    assert table.piece.size == pytest.approx((1.0, 0.7, 0.7))
    heights = sorted(spot.span()[1] for spot in place.placed if spot.piece.kind == "chair")
    assert heights == pytest.approx([0.85, 0.85, 1.05])
    floor = next(spot for spot in place.placed if spot.piece.kind == "floor")
    assert floor.span() == pytest.approx((-0.05, 0.0), abs=1e-6)


def test_objects_keep_their_places_in_the_picture(tmp_path):
    square = dict(points=[(0, 0, 0), (1, 0, 0), (1, 1, 0)], triangles=[(0, 1, 2)], uv=[(0, 0), (1, 0), (1, 1)])
    other = dict(points=np.array(square["points"]) + 5, triangles=square["triangles"])
    both = together(square, other) | dict(uv=[*square["uv"], (0, 0.5), (0.5, 0.5), (0.5, 1)], image="a.png")
    write_image(tmp_path / "a.png", np.zeros((2, 2, 3)))
    (first,), (second,) = objects_of(read_glb(write_glb(tmp_path / "a.glb", [both])))
    assert first.uv.max() == 1
    assert second.uv.max() == 1
    assert second.uv.min() == 0
    assert sorted(first.uv.reshape(-1, 2).tolist()) == [[0, 0], [1, 0], [1, 1]]
    assert second.vertices.min() == 5


def test_the_height_of_the_floor_is_that_of_the_upper_side(folder):
    floors = [s for s in read_glb(folder / "mesh.glb") if s.extras["nyu40"] == FLOOR]
    assert floor_height(floors) == pytest.approx(0.05)


def test_a_camera_stays_in_the_larger_room_and_sees_no_further_than_its_walls(place, labels):
    world = World(place, labels)
    find_free_floor(world, "test")
    free, cell = place.free
    rows, columns = np.nonzero(free)
    x, y = (columns + 0.5) * cell, (rows + 0.5) * cell
    assert cell == CELL_M
    assert 0.3 < x.min() < 0.5
    assert 3.4 < x.max() < 3.6  # the wall at 3.8, less the clearance; the second room is smaller
    assert not ((x > 0.9) & (x < 2.1) & (y < 0.95)).any()  # the table
    chair, behind = np.array([0.6, 3.5, 0.5]), np.array([4.9, 2.0, 0.5])
    here = np.array([[1.5, 2.0], [2.0, 1.5]])
    assert place.in_sight(here, chair).all()
    assert not place.in_sight(here, behind).any()
    lamps = add_lamps(place)
    assert 1 <= len(lamps.places) <= 4
    assert (lamps.places[:, 2] < 2.45).all()
    near = lamps.near(np.array([0.5, 2.0, 1.5]), 1)
    away = np.linalg.norm(lamps.places[:, :2] - (0.5, 2.0), axis=1)
    assert np.hypot(*(near.places[0, :2] - (0.5, 2.0))) <= away.min() + 1.0


def test_walks_are_scenes_of_their_own(folder, tmp_path, labels):
    command = ["rooms", str(tmp_path), "--place", str(folder), "--scenes", "1", "--frames", "3", "--size", "64", "48"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    path = tmp_path / "two_rooms0000_00"
    assert path.name in result.output
    scene = open_scene(path, labels)
    assert len(scene) == 3
    assert {"wall", "floor"} < set(scene.tags) <= {"wall", "floor", "chair", "table"}
    aligned = scene.cloud.xyz @ scene.axis_alignment[:3, :3].T + scene.axis_alignment[:3, 3]
    assert np.abs(aligned[scene.cloud_truth() == labels.index("floor"), 2]).max() < 0.02
    again = generate_place(tmp_path / "again", 0, folder, frames=3, size=(64, 48))
    for file in ("color/1.jpg", "depth/2.png", "label-filt/0.png"):
        assert (again / file).read_bytes() == (path / file).read_bytes()
    assert CliRunner().invoke(app, command).exit_code == 0  # existing scenes are kept


def test_a_robot_drives_upright(folder, tmp_path, labels):
    path = generate_place(tmp_path, 1, folder, frames=4, size=(64, 48), views="robot")
    assert path.name == "robot-two_rooms0001_00"
    scene = open_scene(path, labels)
    poses = np.stack([scene.axis_alignment @ scene.frame(k).world_from_camera for k in range(4)])
    assert np.ptp(poses[:, 2, 3]) < 0.05
    assert (np.abs(poses[:, 2, 0]) < np.sin(np.radians(4))).all()  # the image's rows are level


def test_what_is_no_place_is_named(tmp_path, folder):
    write_glb(tmp_path / "bare" / "mesh.glb", [CUBE])
    with pytest.raises(BadInput, match=r"bare.*floor.*nyu40"):
        generate_place(tmp_path, 0, tmp_path / "bare")
    write_glb(tmp_path / "tiny" / "mesh.glb", [CUBE | dict(nyu40=FLOOR)])
    with pytest.raises(BadInput, match=r"tiny.*square metre"):
        generate_place(tmp_path, 0, tmp_path / "tiny")
    with pytest.raises(BadInput, match="absent"):
        generate_place(tmp_path, 0, tmp_path / "absent")
    with pytest.raises(BadInput, match="1 frames of a place"):
        generate_place(tmp_path, 0, folder, frames=1)
    with pytest.raises(BadInput, match="seed -1"):
        generate_place(tmp_path, -1, folder)
    result = CliRunner().invoke(app, ["rooms", str(tmp_path), "--place", str(folder), "--style", "plain"])
    assert result.exit_code != 0
    assert "--style does not apply" in result.output + str(result.exception)


@pytest.mark.skipif(not (SHARED / "models" / "scenes").is_dir(), reason=f"no places: {SHARED / 'models'} is absent")
def test_a_real_place_has_its_objects(labels):
    folder = SHARED / "models" / "scenes" / "scene__aws_small_house"
    room = read_place(folder, labels, Kit(np.random.default_rng(0), DEFAULT))
    kinds = [spot.piece.kind for spot in room.placed]
    assert kinds.count("bed") == kinds.count("sofa") == kinds.count("refrigerator") == 1
    assert kinds.count("chair") == 8
    assert (room.width, room.depth) == pytest.approx((19, 11.4), abs=0.01)
