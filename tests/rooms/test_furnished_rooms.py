"""Rooms with models of furniture libraries: where models stand, what lies about, names, equal seeds, robots' views."""

import itertools
import json

import numpy as np
import pytest
from PIL import Image
from support.glb_files import write_glb
from support.paths import SHARED
from typer.testing import CliRunner

from wsss_ros.cli.main import app
from wsss_ros.config import build
from wsss_ros.rooms.furniture.piece import NOTHING, Piece
from wsss_ros.rooms.furniture.small import SMALL
from wsss_ros.rooms.generator import RoomsConfig, generate_room, generate_rooms, scene_name
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.layout.plan import MIN_FREE_M2, free_area, plan
from wsss_ros.rooms.layout.room import WET, overlap
from wsss_ros.rooms.layout.supports import supports
from wsss_ros.rooms.materials import Material
from wsss_ros.rooms.meshes import box
from wsss_ros.rooms.render.surfaces import World
from wsss_ros.rooms.stock import Stock, open_stock
from wsss_ros.rooms.styles import DEFAULT
from wsss_ros.rooms.uses import LOOSE, USES, Use
from wsss_ros.rooms.views import choose_views, interest
from wsss_ros.types import BadInput

MODELS = SHARED / "models"
needs_models = pytest.mark.skipif(not MODELS.is_dir(), reason=f"no furniture library at {MODELS}")
SIZES = {
    "chair__office": (0.5, 0.5, 0.9),
    "chair__plain": (0.45, 0.5, 0.85),
    "desk__plain": (1.4, 0.7, 0.74),
    "table__plain": (1.2, 0.8, 0.75),
    "bed__plain": (1.5, 2.0, 0.6),
    "sofa__plain": (1.9, 0.9, 0.8),
    "cabinet__plain": (1.0, 0.45, 0.9),
    "bookshelf__plain": (0.9, 0.35, 1.8),
    "door__plain": (0.9, 0.1, 2.0),
    "picture__plain": (0.6, 0.03, 0.4),
    "other__vase_plain": (0.12, 0.12, 0.25),
    "other__box_plain": (0.4, 0.3, 0.3),
}


def _box_model(size):
    mesh = box(0, 0, 0, *size)
    return dict(points=mesh.vertices, triangles=mesh.triangles, color=(0.9, 0.2, 0.1, 1))


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """A library in which each model is a red box, with one image of wood. It hangs the picture 1.5 m high."""
    folder = tmp_path_factory.mktemp("shop")
    for name, size in SIZES.items():
        write_glb(folder / name / "mesh.glb", [_box_model(size)])
    (folder / "manifest.json").write_text(json.dumps([dict(dir="picture__plain", elevation_m=1.5)]))
    (folder / "textures").mkdir()
    Image.new("RGB", (8, 8), (120, 80, 40)).save(folder / "textures" / "wood_plain.jpg")
    return folder


@pytest.fixture(scope="module")
def stock(library) -> Stock:
    return open_stock((str(library),))


def _red(piece: Piece) -> bool:
    return any(np.allclose(part.material.color, (0.9, 0.2, 0.1), atol=0.02) for part in piece.parts)


def test_uses_are_told_by_class_words_and_size():
    use = Use(("table",), ("coffee",), ("child",), h=(0.3, 0.6))
    assert use.serves("table__sc_Coffee-table", (1.0, 0.5, 0.45))
    assert not use.serves("table__sc_coffee-table", (1.0, 0.5, 0.75))
    assert not use.serves("table__child_coffee-table", (1.0, 0.5, 0.45))
    assert not use.serves("coffee__black-table", (1.0, 0.5, 0.45))  # the class is not part of the name


def test_models_are_drawn_by_use_near_their_size(stock):
    kit = Kit(np.random.default_rng(0), DEFAULT)
    for _ in range(5):
        piece = stock.draw(kit, "desk chair")
        assert piece.kind == "chair"
        assert np.abs(np.array(piece.size) / SIZES["chair__office"] - 1).max() < 0.1
        vertices = np.concatenate([part.mesh.vertices for part in piece.parts])
        assert np.allclose(np.ptp(vertices, axis=0), piece.size, atol=1e-6)
    assert stock.draw(kit, "bathtub") is None
    assert stock.draw(kit, "desk", lambda size: size[0] < 1) is None


def _lowest(piece: Piece) -> float:
    return min(part.mesh.vertices[:, 2].min() for part in piece.parts)


def test_a_model_hangs_where_its_library_or_the_room_says(stock):
    kit = Kit(np.random.default_rng(0), DEFAULT)
    assert _lowest(stock.draw(kit, "picture")) == pytest.approx(1.5)
    assert _lowest(stock.draw(kit, "picture", hung=False)) == pytest.approx(0)
    rooms = [plan("living_room", np.random.default_rng([seed, 1]), DEFAULT, stock) for seed in range(3)]
    pictures = [s for room in rooms for s in room.placed if s.piece.kind == "picture" and _red(s.piece)]
    assert pictures
    assert all(s.z > 1 and _lowest(s.piece) == pytest.approx(0) for s in pictures)


def test_places_on_a_table_and_in_a_shelf_by_hand():
    material = Material((0.5, 0.5, 0.5))
    table = Piece("table", (1.0, 0.6, 0.7)).add(box(0, 0, 0.66, 1.0, 0.6, 0.04), material)
    table.add(box(0.3, 0, 0.7, 0.4, 0.6, 0.5), material)  # a hutch on its right part
    table.size = (1.0, 0.6, 1.2)
    rng = np.random.default_rng(0)
    found = list(supports(table, inside=False).places(rng, (0.1, 0.1, 0.2), 0.5, 1.0, tries=40))
    assert len(found) > 5
    assert all(np.isclose(z, 0.7, atol=1e-5) and x + 0.05 < 0.1 + 0.031 for x, y, z in found)
    assert not list(supports(table, inside=False).places(rng, (0.7, 0.1, 0.2), 0.5, 1.0, tries=40))
    shelf = Piece("bookshelf", (0.9, 0.3, 1.0))
    for z in (0.0, 0.4, 0.98):
        shelf.add(box(0, 0, z, 0.9, 0.3, 0.02), material)
    heights = {round(z, 2) for _, _, z in supports(shelf, inside=True).places(rng, (0.2, 0.2, 0.3), 0, 2, tries=60)}
    assert heights == {0.02, 0.42, 1.0}
    heights = {round(z, 2) for _, _, z in supports(shelf, inside=True).places(rng, (0.2, 0.2, 0.45), 0, 2, tries=60)}
    assert heights == {0.42, 1.0}
    assert {round(z, 2) for *_, z in supports(shelf, inside=False).places(rng, (0.2, 0.2, 0.3), 0, 2)} == {1.0}


@pytest.mark.parametrize("name", sorted(SMALL))
def test_small_things_stay_in_their_box(name):
    kit = Kit(np.random.default_rng(0), DEFAULT)
    for _ in range(4):
        piece = SMALL[name](kit)
        vertices = np.concatenate([part.mesh.vertices for part in piece.parts])
        assert (np.abs(vertices[:, :2]).max(0) <= np.array(piece.size[:2]) / 2 + 0.05).all()
        assert -1e-9 <= vertices[:, 2].min() < 0.01
        assert vertices[:, 2].max() < piece.size[2] + 0.04
        assert {part.label for part in piece.parts} == {"bookshelf" if name == "book_row" else NOTHING}


def test_a_room_takes_models_and_pictures_and_things_lie_on_furniture(stock):
    shown, models, loose = [], [], []
    for kind, seed in itertools.product(("bedroom", "office"), range(3)):
        room = plan(kind, np.random.default_rng([seed, 1]), DEFAULT, stock)
        models += [s for s in room.placed if _red(s.piece)]
        loose += [s for s in room.placed if not s.solid and 0.2 < s.z < 2 and s.piece.kind == NOTHING]
        shown += [p.material.picture for s in room.placed for p in s.piece.parts if p.material.picture is not None]
    kinds = {s.piece.kind for s in models}
    assert {"bed", "desk", "chair", "cabinet", "bookshelf", "door"} <= kinds
    assert len(shown) > 10
    assert len(loose) > 20


@needs_models
@pytest.mark.parametrize(("kind", "seed"), [("living_room", 2), ("kitchen", 3), ("bathroom", 5), ("studio", 1)])
def test_real_models_fit_into_the_room(kind, seed, labels):
    room = plan(kind, np.random.default_rng([seed, 1]), DEFAULT, open_stock((str(MODELS),)))
    standing = [s for s in room.placed if s.solid and s.piece.kind not in ("window", "door")]
    for spot in standing:
        assert room.inside(spot, -0.01), spot.piece.kind
    for a, b in itertools.combinations(standing, 2):
        cloth = "shower curtain" in (a.piece.kind, b.piece.kind)
        assert cloth or not overlap(a, b, -0.01), (a.piece.kind, b.piece.kind)
    assert free_area(room) >= (0.6 if kind in WET else 1.0) * MIN_FREE_M2 - 1e-9
    for thing in (s for s in room.placed if not s.solid and 0.2 < s.z < 2 and s.piece.kind == NOTHING):
        below = [s for s in standing if _above(thing, s)]
        assert below, "a thing that lies on nothing"
    assert len(World(room, labels).part_of_triangle) < 400_000


def _above(thing, spot) -> bool:
    local = np.array(spot.corners(0.02))
    low, high = local.min(0), local.max(0)
    inside = (low <= (thing.x, thing.y)).all() and ((thing.x, thing.y) <= high).all()
    return bool(inside and thing.z <= spot.span()[1] + 0.02)


@needs_models
def test_each_use_has_a_model_in_the_library():
    stock = open_stock((str(MODELS),))
    assert not [use for use in USES if not stock.names(USES[use])]
    assert not [use for use in LOOSE if not stock.names(LOOSE[use])]


def test_names_tell_libraries_views_and_style(library):
    assert scene_name(1) == "room0001_00"
    assert scene_name(1, furniture=("/x/models",)) == "models-room0001_00"
    both = scene_name(1, "other", ("a/BlendSwap-CC-BY.sh3f", "models"), "robot")
    assert both == "blendswapccby-models-robot-other0001_00"
    config = build(RoomsConfig, {"scenes": 1, "seed": 4, "furniture": [str(library)], "views": "robot"})
    assert config.scene_name(4) == f"{scene_name(4, furniture=[library])[:-12]}-robot-room0004_00"


def test_equal_seeds_give_equal_furnished_rooms_in_any_process(library, tmp_path):
    options = dict(frames=2, size=(64, 48), furniture=(str(library),), views="robot")
    alone = generate_room(tmp_path / "a", 8, **options)
    pooled = generate_rooms(tmp_path / "b", 2, seed=7, workers=2, **options)[1]
    assert alone.name == pooled.name
    files = sorted(f.relative_to(alone) for f in alone.rglob("*") if f.is_file())
    assert len(files) > 8
    assert all((alone / f).read_bytes() == (pooled / f).read_bytes() for f in files)


def test_bad_furniture_and_views_are_named(tmp_path):
    with pytest.raises(BadInput, match="nowhere"):
        generate_room(tmp_path, 1, frames=2, furniture=(str(tmp_path / "nowhere"),))
    result = CliRunner().invoke(app, ["rooms", str(tmp_path), "--scenes", "1", "--views", "drone"])
    assert result.exit_code == 2


@pytest.mark.parametrize("frames", [12, 44])
def test_a_robot_looks_upright_from_one_height_at_what_there_is(plans, labels, frames):
    for kind in ("office", "living_room"):
        world = World(plans[kind][1], labels)
        poses, steps = choose_views(world, frames, 3, "robot")
        assert len(poses) == len(steps) == frames
        assert (np.diff(steps) > 0).all()
        eye = poses[:, :3, 3]
        assert 0.25 < eye[:, 2].min() <= eye[:, 2].max() < 1.65
        assert np.ptp(eye[:, 2]) < 0.05
        assert np.degrees(np.abs(np.arcsin(poses[:, 2, 0]))).max() < 4  # roll
        pitch = np.degrees(np.arcsin(poses[:, 2, 2]))
        assert np.abs(pitch).max() < 20
        assert np.ptp(pitch) < 8
        walk = choose_views(world, 44, 3)[0]
        assert np.mean(interest(world, poses)) > np.mean(interest(world, walk))
