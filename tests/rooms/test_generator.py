"""Complete scenes: read back in ScanNet's layout, the same for the same seed, with the kind and style asked for."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.spatial import cKDTree
from typer.testing import CliRunner

from wsss_ros.cli.main import app
from wsss_ros.geometry.projection import link, project
from wsss_ros.rooms.generator import SCENE_TYPES, generate_room, generate_rooms
from wsss_ros.rooms.shots import STRIDE
from wsss_ros.rooms.styles import DEFAULT, STYLES
from wsss_ros.scenes import open_scene
from wsss_ros.types import BadInput

SMALL = (160, 120)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return generate_room(tmp_path_factory.mktemp("rooms"), seed=3, kind="living_room", frames=24)


@pytest.fixture(scope="module")
def scene(folder, labels):
    return open_scene(folder, labels)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_scene_is_read_back_in_scannets_layout(scene, folder, labels):
    assert folder.name == scene.name == "room0003_00"
    assert len(scene) == 24
    assert {"wall", "floor", "sofa"} <= set(scene.tags)
    assert "sceneType = Living room / Lounge" in (folder / f"{folder.name}.txt").read_text()
    camera = scene.frame(0).camera
    assert (camera.width, camera.height) == (320, 240)
    assert camera.fx == pytest.approx(577.870605 / 2)
    assert camera.cx == pytest.approx(319.5 * 319 / 639)
    stamps = np.array([scene.frame(k).stamp_ns for k in range(3)])
    steps = np.diff(stamps) / (STRIDE / 30 * 1e9)  # of a longer walk, for these are few views
    assert (steps > 0.9).all()
    assert np.allclose(steps, np.round(steps), atol=1e-6)
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
    assert np.abs(np.median(np.concatenate(residuals))) < 0.002
    assert np.concatenate(residuals).std() < 0.02
    assert seen.mean() > 0.97  # nothing in the cloud that no camera saw
    assert np.mean(colors) < 25


def test_same_seed_same_bytes_in_any_process(tmp_path):
    options = dict(frames=3, size=SMALL)
    alone = [generate_room(tmp_path / "a", seed, **options) for seed in (7, 8)]
    calls = []
    pool = generate_rooms(tmp_path / "b", 2, seed=7, workers=2, progress=lambda *c: calls.append(c), **options)
    assert [f.name for f in pool] == ["room0007_00", "room0008_00"]
    assert calls == [(1, 2), (2, 2)]
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
    assert again == [kept]
    assert kept.stat().st_mtime_ns == before
    assert calls == [(1, 1)]
    with pytest.raises(BadInput, match="exists already"):
        generate_room(tmp_path, 5, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(kind="attic"), "attic.*bedroom"),
        (dict(style="baroque"), "baroque.*default"),
        (dict(frames=1), "1 frames"),
        (dict(size=(8, 8)), "8x8"),
        (dict(seed=-1), "seed -1"),
    ],
)
def test_bad_options_are_named(tmp_path, options, message):
    with pytest.raises(BadInput, match=message):
        generate_room(tmp_path, **{"seed": 0} | options)
    assert not list(tmp_path.iterdir())


def test_kinds_and_style_are_chosen_and_named(tmp_path):
    options = dict(frames=2, size=(64, 48))
    scenes = generate_rooms(tmp_path, 2, seed=0, style="other", **options)
    scenes += generate_rooms(tmp_path, 3, seed=0, kinds=("office", "studio"), **options)
    assert [f.name for f in scenes][:3] == ["other0000_00", "other0001_00", "room0000_00"]
    types = [next(x for x in (f / f"{f.name}.txt").read_text().splitlines() if "sceneType" in x) for f in scenes]
    assert all(t.endswith(" (style other)") for t in types[:2])
    assert not any("style" in t for t in types[2:])
    assert set(types[2:]) == {"sceneType = Office", "sceneType = Apartment"}
    again = generate_room(tmp_path / "again", 1, style="other", **options)
    assert _bytes(again) == _bytes(scenes[1])
    with pytest.raises(BadInput, match="cellar.*studio"):
        generate_room(tmp_path, 9, kinds=("office", "cellar"))


def test_plain_rooms_are_named_and_typed(tmp_path):
    folder = generate_room(tmp_path, 3, frames=2, size=(64, 48), style="plain")
    text = (folder / f"{folder.name}.txt").read_text()
    assert folder.name == "plain0003_00"
    assert "(style plain)" in text
    assert any(f"sceneType = {SCENE_TYPES[kind]}" in text for kind in ("bedroom", "living_room", "office"))


def test_a_further_style_is_a_further_table(tmp_path, monkeypatch):
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
    assert (tmp_path / "room0002_00" / "color" / "1.jpg").exists()
    assert "room0002_00" in result.output
    options = ["--scenes", "1", "--frames", "2", "--style", "other", "--kind", "studio", "--kind", "washroom"]
    result = CliRunner().invoke(app, ["rooms", str(tmp_path), *options, "--size", "64", "48"])
    assert result.exit_code == 0, result.output
    assert "other0000_00" in result.output
    with Image.open(tmp_path / "other0000_00" / "color" / "0.jpg") as image:
        assert image.size == (64, 48)
    wrong = CliRunner().invoke(app, ["rooms", str(tmp_path), "--scenes", "1", "--seed", "3", "--kind", "cellar"])
    assert wrong.exit_code == 1
    assert "cellar" in wrong.output
