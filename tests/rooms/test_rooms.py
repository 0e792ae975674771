import hashlib
import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reference import rooms as reference
from scipy.spatial import cKDTree
from typer.testing import CliRunner

from wsss_ros.cli.main import app
from wsss_ros.geometry import link, project
from wsss_ros.rooms import furniture, generator
from wsss_ros.rooms.furniture import BUILDERS, build
from wsss_ros.rooms.generator import generate_room, generate_rooms
from wsss_ros.rooms.layout import KINDS, RECIPES, free_floor, plan
from wsss_ros.rooms.render import Light, Sensor, World, exposure_gain, shade
from wsss_ros.rooms.style import STYLES, Kit, style_named
from wsss_ros.rooms.walk import walk
from wsss_ros.scenes import open_scene
from wsss_ros.types import BadInput

DEFAULT, OTHER = style_named("default"), style_named("other")
SMALL = (160, 120)
LARGE = ("bed", "sofa", "table", "desk", "bookshelf", "refrigerator", "counter")


@pytest.fixture(scope="module")
def plans():
    """A few rooms of each kind of the default style, furnished but not rendered."""
    return {k: [plan(k, np.random.default_rng([seed, 1]), DEFAULT) for seed in range(4)] for k in DEFAULT.kinds}


@pytest.fixture(scope="module")
def other_plans():
    return {k: [plan(k, np.random.default_rng([seed, 1]), OTHER) for seed in range(6)] for k in OTHER.kinds}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return generate_room(tmp_path_factory.mktemp("rooms"), seed=3, kind="living_room", frames=24)


@pytest.fixture(scope="module")
def scene(folder, labels):
    return open_scene(folder, labels)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


# ---------------------------------------------------------------- furniture and plans


@pytest.mark.parametrize("style", sorted(STYLES))
@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_pieces_stay_in_their_box_and_stand_on_the_floor(name, style, labels):
    kit = Kit(np.random.default_rng(0), style_named(style))
    for _ in range(4):
        piece = BUILDERS[name](kit)
        own = np.concatenate([part.mesh.vertices for part in piece.parts if part.label])
        half = np.array(piece.size[:2]) / 2
        assert (np.abs(own[:, :2]).max(0) < half + 0.06).all()
        assert -1e-9 <= own[:, 2].min() < 0.35 and own[:, 2].max() < piece.size[2] + 0.07
        assert {part.label for part in piece.parts} <= {*labels.names, furniture.NOTHING}
        for part in piece.parts:
            assert part.mesh.triangles.max() < len(part.mesh.vertices)


def test_several_shapes_per_class_and_proportions_that_vary():
    assert set(DEFAULT.rooms) == set(RECIPES) == set(KINDS) == {*DEFAULT.kinds, *OTHER.kinds}
    assert len(DEFAULT.kinds) == 6 and not {*DEFAULT.kinds} & {*OTHER.kinds}
    for what in ("chair", "table", "desk", "sofa", "bed", "cabinet", "bookshelf", "refrigerator", "toilet", "bathtub"):
        assert len(set(DEFAULT.shapes[what])) >= 2, what
    kit = Kit(np.random.default_rng(0), DEFAULT)
    heights = [build(kit, "bookshelf").size[2] for _ in range(20)]
    assert max(heights) > 1.5 * min(heights)


def test_palettes_are_shared_between_classes():
    families = {what: {name for name, _ in rows} for what, rows in DEFAULT.materials.items()}
    for what in ("table", "desk", "cabinet", "bookshelf", "door", "counter"):
        assert "wood" in families[what]
    for what in ("wall", "refrigerator", "window", "table", "shower curtain"):
        assert "white" in families[what]


def test_all_classes_are_reachable_and_kinds_differ(plans, labels):
    tags = {k: [frozenset(p.label for s in room.placed for p in s.piece.parts) for room in v] for k, v in plans.items()}
    everything = list(itertools.chain(*tags.values()))
    assert set().union(*everything) == {*labels.names, furniture.NOTHING}
    assert all({"wall", "floor"} <= found for found in everything)
    assert len(set(everything)) > len(everything) / 2
    typical = dict(
        bedroom="bed", living_room="sofa", kitchen="refrigerator", office="desk", bathroom="toilet", library="bookshelf"
    )
    for kind, name in typical.items():
        share = {k: np.mean([name in found for found in v]) for k, v in tags.items()}
        assert share[kind] == max(share.values()) > np.mean(list(share.values())) + 0.2, (kind, share)


def test_furniture_does_not_interpenetrate_and_stays_in_the_room(plans, other_plans):
    for room in itertools.chain(*plans.values(), *other_plans.values()):
        standing = [s for s in room.placed if s.solid and s.piece.kind not in ("window", "door")]
        for spot in standing:
            low, high = spot.corners().min(0), spot.corners().max(0)
            assert (low > -1e-3).all() and high[0] < room.width + 1e-3 and high[1] < room.depth + 1e-3, spot.piece.kind
        for a, b in itertools.combinations(standing, 2):
            if np.hypot(a.x - b.x, a.y - b.y) < a.radius() + b.radius():
                cloth = "shower curtain" in (a.piece.kind, b.piece.kind)  # may brush against what stands there
                assert cloth or reference.shared_floor(a, b) < 0.002, (room.kind, a.piece.kind, b.piece.kind)


def test_walks_are_smooth_and_keep_clear(plans, other_plans, labels):
    for k, room in enumerate(rooms_of_kind[0] for rooms_of_kind in (plans | other_plans).values()):
        world = World(room, labels)
        assert len(world.part_of_triangle) < 40_000  # a bound on the time of a frame
        poses = generator._safe_walk(world, 60, seed=k)
        eye, forward = poses[:, :3, 3], poses[:, :3, 2]
        assert world.clearance(eye).min() >= generator.MIN_CLEARANCE_M
        assert (eye[:, 2] >= 1.3).all() and (eye[:, 2] <= 1.8).all()
        assert np.allclose(poses[:, :3, :3] @ poses[:, :3, :3].transpose(0, 2, 1), np.eye(3), atol=1e-9)
        free, cell = free_floor(room)
        column, row = (eye[:, :2] / cell).astype(int).T
        assert free[np.clip(row, 0, free.shape[0] - 1), np.clip(column, 0, free.shape[1] - 1)].mean() > 0.8
        assert np.linalg.norm(np.diff(eye, axis=0), axis=1).max() < 0.8
        turn = np.degrees(np.arccos(np.clip((forward[1:] * forward[:-1]).sum(1), -1, 1)))
        assert turn.max() < 35 and turn.mean() > 1
        assert poses[:, 2, 1].max() < 0  # the image's down is down
        roll = np.degrees(np.arcsin(poses[:, 2, 0]))
        assert 0.2 < np.abs(roll).max() < 20


# ---------------------------------------------------------------- the style that no training sees


def _lab(rgb) -> np.ndarray:
    """sRGB in 0..255 to CIELAB (D65), in which distances are about as large as they look."""
    c = np.asarray(rgb, float) / 255
    c = np.where(c > 0.04045, ((c + 0.055) / 1.055) ** 2.4, c / 12.92)
    xyz = c @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    f = np.cbrt(xyz / (0.9505, 1, 1.089))
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def test_lab_of_known_colours():
    known = {(255, 255, 255): (100, 0, 0), (255, 0, 0): (53.24, 80.09, 67.20), (0, 0, 255): (32.30, 79.19, -107.86)}
    assert np.allclose(_lab(list(known)), list(known.values()), atol=0.1)


@pytest.mark.parametrize("family", sorted(DEFAULT.palettes))
def test_palettes_of_the_styles_lie_apart(family):
    default, other = _lab(DEFAULT.palettes[family]), _lab(OTHER.palettes[family])
    assert cKDTree(default).query(other)[0].min() > 12  # about 2 can just be seen
    drawn = [Kit(np.random.default_rng(0), style) for style in (DEFAULT, OTHER)]
    default, other = (_lab([np.multiply(kit._color(family), 255) for _ in range(1500)]) for kit in drawn)
    assert (cKDTree(default).query(other)[0] < 5).mean() < 0.08


def test_the_other_style_has_all_classes_and_other_proportions(plans, other_plans, labels):
    tags = {k: [{p.label for s in room.placed for p in s.piece.parts} for room in v] for k, v in other_plans.items()}
    assert set().union(*itertools.chain(*tags.values())) == {*labels.names, furniture.NOTHING}
    typical = dict(
        studio={"bed", "counter", "sink", "refrigerator"}, classroom={"desk", "chair"}, meeting_room={"table", "chair"},
        washroom={"toilet", "sink"},
    )  # fmt: skip
    for kind, names in typical.items():
        assert np.mean([names <= found for found in tags[kind]]) > 0.5, kind
    seats = [sum(s.piece.kind == "chair" for s in room.placed) for room in other_plans["classroom"]]
    assert np.median(seats) >= 6
    high = [[room.height for room in itertools.chain(*p.values())] for p in (plans, other_plans)]
    assert np.mean(high[1]) > np.mean(high[0]) + 0.3


def test_pupils_face_the_board(other_plans):
    for room in other_plans["classroom"]:
        boards = [s for s in room.placed if not s.piece.kind and s.piece.size[0] >= 1 and 0.85 < s.z < 0.95]
        (size, count), *_ = Counter(s.piece.size for s in room.placed if s.piece.kind == "desk").most_common()
        rows = [s for s in room.placed if s.piece.size == size]
        assert count >= 2 and any(all(np.isclose(s.yaw, b.yaw) for s in rows) for b in boards)


def test_kinds_and_style_are_chosen_and_named(tmp_path):
    options = dict(frames=2, size=(64, 48))
    scenes = generate_rooms(tmp_path, 2, seed=0, style="other", **options)
    scenes += generate_rooms(tmp_path, 3, seed=0, kinds=("office", "studio"), **options)
    assert [f.name for f in scenes][:3] == ["other0000_00", "other0001_00", "room0000_00"]
    types = [next(x for x in (f / f"{f.name}.txt").read_text().splitlines() if "sceneType" in x) for f in scenes]
    assert all(t.endswith(" (style other)") for t in types[:2]) and not any("style" in t for t in types[2:])
    assert set(types[2:]) == {"sceneType = Office", "sceneType = Apartment"}
    again = generate_room(tmp_path / "again", 1, style="other", **options)
    assert _bytes(again) == _bytes(scenes[1])
    with pytest.raises(BadInput, match="cellar.*studio"):
        generate_room(tmp_path, 9, kinds=("office", "cellar"))


def test_plain_rooms_keep_a_class_to_few_colours(tmp_path):
    plain = Kit(np.random.default_rng(0), style_named("plain"))
    default = Kit(np.random.default_rng(0), DEFAULT)
    for what in ("wall", "floor", "cabinet", "bedding", "chair", "sofa", "table", "desk", "door", "bookshelf"):
        few, many = (np.array([kit.material(what).color for _ in range(100)]) for kit in (plain, default))
        assert few.std(axis=0).sum() < 0.7 * many.std(axis=0).sum(), what
    folder = generate_room(tmp_path, 3, frames=2, size=(64, 48), style="plain")
    told = (folder / f"{folder.name}.txt").read_text()
    assert folder.name == "plain0003_00" and "(style plain)" in told
    assert any(f"sceneType = {generator.SCENE_TYPES[kind]}" in told for kind in ("bedroom", "living_room", "office"))


def test_default_rooms_are_the_same_for_ever(tmp_path):
    """What was trained on and what ships was measured on these: plans draw the same numbers as they always did."""
    digest = hashlib.sha256()
    for kind in DEFAULT.kinds:
        for seed in range(3):
            for spot in plan(kind, np.random.default_rng([seed, 1]), DEFAULT).placed:
                place = np.array([spot.x, spot.y, spot.z, spot.yaw, *spot.piece.size])
                looks = [(p.label, np.round(p.material.color, 6).tolist(), p.material.seed) for p in spot.piece.parts]
                digest.update(repr((np.round(place, 6).tolist(), looks)).encode())
    assert digest.hexdigest()[:16] == "12f97ee2b41dcb15"
    drawn = [generator._drawn(seed, DEFAULT, ()) for seed in (0, 1000, 9000)]
    assert drawn == [("library", 98), ("living_room", 91), ("office", 74)]


# ---------------------------------------------------------------- few views


@pytest.mark.parametrize("kind, style", [("library", "default"), ("studio", "other")])
def test_few_views_see_the_whole_room(kind, style, labels):
    world = World(plan(kind, np.random.default_rng([4, 1]), style_named(style)), labels)
    poses, steps = generator._views(world, 20, 4)
    assert len(poses) == len(steps) == 20 and (np.diff(steps) > 0).all()
    few = generator._cells_seen(world, poses)
    hurried, patient = (generator._cells_seen(world, generator._safe_walk(world, n, 4)).shape[1] for n in (20, 90))
    assert few.shape[1] > 0.85 * patient and few.shape[1] > 1.25 * hurried, (few.shape, patient, hurried)
    assert (few.sum(0) >= 2).mean() > 0.3
    parts = set().union(*(world.cast(generator._camera((64, 48)), pose).part.tolist() for pose in poses)) - {-1}
    owner = [spot for spot in world.room.placed for _ in spot.piece.parts]
    missed = {id(s) for s in owner} - {id(owner[k]) for k in parts}
    assert not [s.piece.kind for s in world.room.placed if id(s) in missed and s.piece.kind in LARGE]


def test_the_most_telling_views_by_hand():
    seen = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 0], [0, 0, 0, 1, 1]], bool)
    assert generator._most_telling(seen, 1).tolist() == [1]
    assert generator._most_telling(seen, 2).tolist() == [1, 3]
    assert generator._most_telling(seen, 3).tolist() == [0, 1, 3]  # 0.6 of cells seen before against 0.3


# ---------------------------------------------------------------- rendering


@pytest.fixture(scope="module")
def world(plans, labels):
    return World(plans["office"][1], labels)


def test_cast_agrees_with_every_triangle_tested(world):
    camera = generator._camera((64, 48))
    triangles, owner = reference.triangles_of(world.room)
    for pose in walk(world.room, 20, np.random.default_rng(0))[::6]:
        view = world.cast(camera, pose)
        for u, v in np.random.default_rng(1).integers(0, (64, 48), (12, 2)):
            depth, triangle = reference.first_hit(triangles, camera, pose, int(u), int(v))
            k = v * 64 + u
            assert view.depth_m[k] == pytest.approx(depth, abs=1e-4)
            same_plane = triangles[view.part[k] == owner].size
            assert same_plane and (view.part[k] == owner[triangle] or abs(view.depth_m[k] - depth) < 1e-4)
            face = np.cross(*(np.diff(triangles[triangle], axis=0)))
            assert abs(face @ view.flat_normal[k]) == pytest.approx(np.linalg.norm(face), rel=1e-3)
            hit = pose[:3, :3] @ (np.array([(u - camera.cx) / camera.fx, (v - camera.cy) / camera.fy, 1]) * depth)
            assert np.allclose(view.point[k], hit + pose[:3, 3], atol=1e-3)
            assert (view.normal[k] * (pose[:3, 3] - view.point[k])).sum() > -0.2


def test_light_and_camera_vary_and_images_are_neither_black_nor_burnt(world):
    camera = generator._camera(SMALL)
    pose = walk(world.room, 20, np.random.default_rng(2))[10]
    view, means = world.cast(camera, pose), []
    for seed in range(5):
        kit, rng = Kit(np.random.default_rng(seed), DEFAULT), np.random.default_rng(seed)
        light, sensor = Light.draw(world.room, kit), Sensor.draw(kit)
        linear = shade(world, camera, view, light, pose[:3, 3], rng)
        assert np.isfinite(linear).all() and linear.min() >= 0
        rgb = sensor.expose(linear, camera, exposure_gain(linear, sensor.exposure), rng)
        means.append(rgb.mean((0, 1)))
        assert 40 < rgb.mean() < 215 and rgb.std() > 8
    assert np.std(means, axis=0).max() > 4


def test_depth_is_noisier_farther_away_and_missing_where_it_should_be(world):
    camera = generator._camera((320, 240))
    sensor = Sensor.draw(Kit(np.random.default_rng(0), DEFAULT))
    near, far, missing = [], [], []
    for k, pose in enumerate(walk(world.room, 40, np.random.default_rng(3))[::5]):
        view = world.cast(camera, pose)
        depth = sensor.measure(world, view, camera, pose[:3, 3], np.random.default_rng(k)).ravel()
        assert np.array_equal(depth, (np.round(depth * 1000) / np.float32(1000)).astype(np.float32))
        assert depth[depth > 0].min() >= sensor.depth_range[0] and depth.max() <= sensor.depth_range[1]
        seen = depth > 0
        error = depth - view.depth_m
        near.append(error[seen & (view.depth_m < 1.2)])
        far.append(error[seen & (view.depth_m > 2.2)])
        missing.append(1 - seen.mean())
        back = pose[:3, 3] - view.point
        slant = np.abs((view.flat_normal * back).sum(1)) / np.linalg.norm(back, axis=1)
        assert seen[slant < 0.04].mean() < 0.3 if (slant < 0.04).sum() > 50 else True
    assert np.concatenate(far).std() > 1.5 * np.concatenate(near).std() > 0
    assert abs(np.concatenate(far).mean()) < 0.002
    assert 0.005 < np.mean(missing) < 0.5


# ---------------------------------------------------------------- whole scenes


def test_scene_is_read_back_in_scannets_layout(scene, folder, labels):
    assert folder.name == scene.name == "room0003_00"
    assert len(scene) == 24 and {"wall", "floor", "sofa"} <= set(scene.tags)
    assert "sceneType = Living room / Lounge" in (folder / f"{folder.name}.txt").read_text()
    camera = scene.frame(0).camera
    assert (camera.width, camera.height) == (320, 240)
    assert camera.fx == pytest.approx(577.870605 / 2) and camera.cx == pytest.approx(319.5 * 319 / 639)
    stamps = np.array([scene.frame(k).stamp_ns for k in range(3)])
    steps = np.diff(stamps) / (generator.STRIDE / 30 * 1e9)  # of a longer walk, for these are few views
    assert (steps > 0.9).all() and np.allclose(steps, np.round(steps), atol=1e-6)
    assert len({scene.image_tags(k) for k in range(len(scene))}) >= 5
    aligned = scene.cloud.xyz @ scene.axis_alignment[:3, :3].T + scene.axis_alignment[:3, 3]
    assert not np.allclose(scene.axis_alignment, np.eye(4), atol=0.1)
    floor = aligned[scene.cloud_truth() == labels.index("floor")]
    assert np.abs(floor[:, 2]).max() < 0.02
    wall = aligned[scene.cloud_truth() == labels.index("wall"), :2]
    near_a_wall = (np.abs(wall) < 0.03).any(1) | (np.abs(wall - wall.max(0)) < 0.03).any(1)
    assert near_a_wall.mean() > 0.5  # the rest: other walls, window reveals, the hall


def test_cloud_is_about_two_centimetres_apart(scene):
    xyz = scene.cloud.xyz
    apart = cKDTree(xyz).query(xyz, k=2)[0][:, 1]
    assert 0.012 < np.median(apart) < 0.022
    assert 20_000 < len(xyz) < 250_000


def test_cloud_depth_pose_and_labels_agree(scene):
    cloud, truth = scene.cloud, scene.cloud_truth()
    seen = np.zeros(len(cloud), bool)
    same, residuals, colors = [], [], []
    for k in range(len(scene)):
        frame = scene.frame(k)
        links = link(cloud, frame, tolerance=0.06)
        seen[links.point] = True
        u, v = np.round(links.uv).astype(int).T
        same.append(scene.frame_truth(k)[v, u] == truth[links.point])
        _, depth = project(cloud.xyz[links.point].astype(np.float64), frame.camera, frame.world_from_camera)
        residuals.append(depth - frame.depth_m[v, u])
        colors.append(np.abs(frame.rgb[v, u].astype(int) - cloud.rgb[links.point]).mean())
    assert np.concatenate(same).mean() > 0.97
    assert np.abs(np.median(np.concatenate(residuals))) < 0.002 and np.concatenate(residuals).std() < 0.02
    assert seen.mean() > 0.97  # nothing in the cloud that no camera saw
    assert np.mean(colors) < 25


def test_same_seed_same_bytes_in_any_process(tmp_path):
    options = dict(frames=3, size=SMALL)
    alone = [generate_room(tmp_path / "a", seed, **options) for seed in (7, 8)]
    calls = []
    pool = generate_rooms(tmp_path / "b", 2, seed=7, workers=2, progress=lambda *c: calls.append(c), **options)
    assert [f.name for f in pool] == ["room0007_00", "room0008_00"] and calls == [(1, 2), (2, 2)]
    for a, b in zip(alone, pool, strict=True):
        assert _bytes(a) == _bytes(b)
    first, second = (_bytes(f) for f in alone)
    assert first["color/0.jpg"] != second["color/0.jpg"]


def test_set_keeps_what_is_there(tmp_path):
    options = dict(frames=2, size=(64, 48))
    (kept,) = generate_rooms(tmp_path, 1, seed=5, **options)
    before = kept.stat().st_mtime_ns
    calls = []
    again = generate_rooms(tmp_path, 1, seed=5, progress=lambda *c: calls.append(c), **options)
    assert again == [kept] and kept.stat().st_mtime_ns == before and calls == [(1, 1)]
    with pytest.raises(BadInput, match="exists already"):
        generate_room(tmp_path, 5, **options)


@pytest.mark.parametrize(
    "options, message",
    [
        (dict(kind="attic"), "attic.*bedroom"),
        (dict(style="baroque"), "baroque.*default"),
        (dict(frames=1), "1 frames"),
        (dict(size=(8, 8)), "8x8"),
        (dict(seed=-1), "seed -1"),
    ],
)
def test_bad_wishes_are_named(tmp_path, options, message):
    with pytest.raises(BadInput, match=message):
        generate_room(tmp_path, **{"seed": 0} | options)
    assert not list(tmp_path.iterdir())


def test_a_further_style_is_a_further_table(tmp_path, monkeypatch):
    from dataclasses import replace

    style = replace(DEFAULT, materials={**DEFAULT.materials, "wall": (("vivid", 1),), "wet wall": (("vivid", 1),)})
    monkeypatch.setitem(STYLES, "loud", style)
    options = dict(frames=2, size=(64, 48))
    loud, plain = (generate_room(tmp_path / name, 4, style=name, **options) for name in ("loud", "default"))
    assert _bytes(loud)["color/0.jpg"] != _bytes(plain)["color/0.jpg"]


def test_command_line(tmp_path):
    result = CliRunner().invoke(
        app, ["rooms", str(tmp_path), "--scenes", "1", "--seed", "2", "--kind", "bathroom", "--frames", "2"]
    )
    assert result.exit_code == 0, result.output
    assert (tmp_path / "room0002_00" / "color" / "1.jpg").exists() and "room0002_00" in result.output
    options = ["--scenes", "1", "--frames", "2", "--style", "other", "--kind", "studio", "--kind", "washroom"]
    result = CliRunner().invoke(app, ["rooms", str(tmp_path), *options, "--size", "64", "48"])
    assert result.exit_code == 0 and "other0000_00" in result.output, result.output
    with Image.open(tmp_path / "other0000_00" / "color" / "0.jpg") as image:
        assert image.size == (64, 48)
    wrong = CliRunner().invoke(app, ["rooms", str(tmp_path), "--scenes", "1", "--seed", "3", "--kind", "cellar"])
    assert wrong.exit_code == 2 and "cellar" in wrong.output
