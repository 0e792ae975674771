"""Geometry against its slow twins, hand-computed cases, round trips, and gravity on made and real rooms."""

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from reference import geometry as reference
from scipy.spatial.transform import Rotation

from wsss_ros import geometry
from wsss_ros.types import BadInput, Camera, Cloud, Frame

SEEDS = st.integers(0, 2**32 - 1)
SMALL = Camera(fx=9.0, fy=8.0, cx=3.3, cy=2.6, width=8, height=6)


def random_pose(rng: np.random.Generator) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, :3] = Rotation.random(random_state=int(rng.integers(2**31))).as_matrix()
    pose[:3, 3] = rng.normal(scale=3, size=3)
    return pose


def random_depth(rng: np.random.Generator, camera: Camera = SMALL) -> np.ndarray:
    """Depth with every kind of missing pixel."""
    depth = rng.uniform(0.3, 6, (camera.height, camera.width)).astype(np.float32)
    kinds = rng.integers(0, 12, depth.shape)
    for kind, value in enumerate((0, np.nan, np.inf, -1)):
        depth[kinds == kind] = value
    return depth


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))))


# --- rigid motions ---


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_invert_and_transform_undo_each_other(seed):
    rng = np.random.default_rng(seed)
    pose, xyz = random_pose(rng), rng.normal(size=(7, 3))
    there = geometry.transform(pose, xyz)
    assert np.allclose(there, [(pose @ [*p, 1])[:3] for p in xyz], atol=1e-12)
    assert np.allclose(geometry.transform(geometry.invert(pose), there), xyz, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_quaternions_round_trip_and_match_the_formula(seed):
    xyzw = Rotation.random(random_state=seed).as_quat()
    rotation = geometry.quaternion_to_matrix(xyzw)
    assert np.allclose(rotation, reference.quaternion_to_matrix(*xyzw), atol=1e-12)
    back = geometry.matrix_to_quaternion(rotation)
    assert back[3] >= 0
    assert np.allclose(back, xyzw * np.sign(xyzw[3]), atol=1e-12)


def test_quaternion_near_unit_length_is_normalised_and_others_are_refused():
    rotation = geometry.quaternion_to_matrix(np.array([0, 0, 0.7074, 0.7074]))
    assert np.allclose(rotation, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
    for bad, why in [
        ([0, 0, 0, 0], "never set"),
        ([0, 0, 1, 1], "length 1.414"),
        ([np.nan, 0, 0, 1], "finite"),
        ([0, 0, 1], "four"),
    ]:
        with pytest.raises(BadInput, match=why):
            geometry.quaternion_to_matrix(np.array(bad, float))
    assert np.allclose(geometry.quaternion_to_matrix(np.array([0, 0, 0, 2.0]), tolerance=1.0), np.eye(3))


def test_check_pose_accepts_rounded_text_and_names_every_fault():
    geometry.check_pose(np.round(random_pose(np.random.default_rng(0)), 3))
    mirror, scaled, lost = np.diag([1.0, 1, -1, 1]), np.diag([1.1, 1.1, 1.1, 1]), np.full((4, 4), -np.inf)
    moved = np.eye(4)
    moved[:3, 3] = 1, 2, 3
    with_nan = np.eye(4)
    with_nan[0, 3] = np.nan
    for bad, why in [
        (mirror, "not rigid"),
        (scaled, "off the identity by 0.21"),
        (lost, "lost tracking"),
        (with_nan, "NaN"),
        (moved.T, "transposed"),
        (np.eye(3), r"shape \(3, 3\)"),
    ]:
        with pytest.raises(BadInput, match=why):
            geometry.check_pose(bad)


def test_check_pose_accepts_real_poses(kitchen):
    paths = sorted(kitchen.glob("*.pose.txt"))
    assert len(paths) == 100
    for path in paths:
        geometry.check_pose(np.loadtxt(path))


# --- cameras ---


def test_project_by_hand():
    camera = Camera(100.0, 200.0, 50.0, 60.0, 101, 121)
    pose = np.eye(4)
    pose[2, 3] = -1  # the camera stands one metre behind the origin
    uv, depth = geometry.project(np.array([[0, 0, 1.0], [0.2, -0.1, 3], [0, 0, -1], [0, 0, -2]]), camera, pose)
    assert np.allclose(depth, [2, 4, 0, -1])
    assert np.allclose(uv[:2], [[50, 60], [55, 55]])
    assert np.isnan(uv[2:]).all()


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_project_matches_its_twin(seed):
    rng = np.random.default_rng(seed)
    pose = random_pose(rng)
    points = (pose[:3, 3] + rng.normal(scale=2, size=(40, 3))).astype(np.float32)
    uv, depth = geometry.project(points, SMALL, pose)
    uv_twin, depth_twin = reference.project(points, SMALL, pose)
    assert np.allclose(depth, depth_twin, atol=1e-12)
    assert np.allclose(uv, uv_twin, rtol=1e-9, atol=1e-9, equal_nan=True)


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_unproject_matches_its_twin_and_projects_back(seed):
    rng = np.random.default_rng(seed)
    pose, depth_m = random_pose(rng), random_depth(rng)
    points, pixel = geometry.unproject(depth_m, SMALL, pose)
    points_twin, pixel_twin = reference.unproject(depth_m, SMALL, pose)
    assert np.array_equal(pixel, pixel_twin)
    assert np.allclose(points, points_twin, atol=1e-12)
    uv, depth = geometry.project(points, SMALL, pose)
    assert np.allclose(uv, np.stack([pixel % 8, pixel // 8], 1), atol=1e-9)
    assert np.allclose(depth, depth_m.ravel()[pixel], atol=1e-12)
    assert geometry.visible(uv, depth, depth_m).all()
    in_camera, _ = geometry.unproject(depth_m, SMALL)
    assert np.allclose(geometry.transform(pose, in_camera), points, atol=1e-12)


def test_cameras_that_do_not_fit_are_refused():
    with pytest.raises(BadInput, match="depth image of 4x4 with a camera of 8x6"):
        geometry.unproject(np.ones((4, 4), np.float32), SMALL)
    for camera in (Camera(0.0, 0.0, 0.0, 0.0, 8, 6), Camera(np.nan, 8.0, 3.0, 3.0, 8, 6)):
        with pytest.raises(BadInput, match="uncalibrated"):
            geometry.unproject(np.ones((6, 8), np.float32), camera)
        with pytest.raises(BadInput, match="uncalibrated"):
            geometry.project(np.ones((1, 3)), camera, np.eye(4))


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.floats(0, 0.5))
def test_visible_matches_its_twin(seed, tolerance):
    rng = np.random.default_rng(seed)
    uv = rng.uniform(-2, 10, (60, 2))
    depth = np.where(rng.random(60) < 0.8, rng.uniform(-1, 6, 60), 0)
    depth_image = np.where(rng.random((6, 8)) < 0.8, np.float32(depth[:48].reshape(6, 8)), random_depth(rng))
    wanted = reference.visible(uv, depth, depth_image, tolerance)
    assert np.array_equal(geometry.visible(uv, depth, depth_image, tolerance), wanted)


@pytest.mark.parametrize(
    ("u", "v", "z", "seen"),
    [
        (0.0, 0.0, 2.0, True),
        (-0.5, -0.5, 2.0, True),  # the outer edge of the first pixel belongs to it
        (-0.51, 0.0, 2.0, False),
        (1.49, 1.49, 2.05, True),
        (1.5, 0.0, 2.0, False),  # right of the image
        (0.0, 0.0, 2.06, False),  # hidden
        (0.0, 0.0, 1.94, False),  # floating before the surface
        (1.0, 0.0, 0.01, False),  # depth missing
        (0.0, 1.0, 2.0, False),  # depth NaN
        (0.0, 0.0, -2.0, False),  # behind the camera
        (np.nan, np.nan, 2.0, False),
    ],
)
def test_visible_by_hand(u, v, z, seen):
    image = np.array([[2, 0], [np.nan, 2]], np.float32)
    assert geometry.visible(np.array([[u, v]]), np.array([z]), image, 0.05 + 1e-9).tolist() == [seen]


def test_link_keeps_what_is_seen_at_sub_pixel_positions():
    pose = random_pose(np.random.default_rng(1))
    in_camera = np.array([[0.1, 0.05, 2], [0.1, 0.05, 2.5], [0, 0, -2], [9, 0, 2]])
    cloud = Cloud(geometry.transform(pose, in_camera).astype(np.float32))
    frame = Frame(np.zeros((6, 8, 3), np.uint8), SMALL, np.full((6, 8), 2, np.float32), pose)
    links = geometry.link(cloud, frame)
    assert links.point.tolist() == [0]
    assert np.allclose(links.uv, [[3.3 + 0.05 * 9, 2.6 + 0.025 * 8]], atol=1e-5)
    assert len(geometry.link(cloud, frame, tolerance=0.6)) == 2


def test_link_names_what_the_frame_lacks():
    rgb, cloud = np.zeros((6, 8, 3), np.uint8), Cloud(np.zeros((1, 3), np.float32))
    with pytest.raises(BadInput, match="no depth and no pose"):
        geometry.link(cloud, Frame(rgb, SMALL))
    with pytest.raises(BadInput, match="no camera"):
        geometry.link(cloud, Frame(rgb, None, np.ones((6, 8), np.float32), np.eye(4)))
    with pytest.raises(BadInput, match="lost tracking"):
        geometry.link(cloud, Frame(rgb, SMALL, np.ones((6, 8), np.float32), np.full((4, 4), -np.inf)))


# --- voxels ---


@settings(max_examples=60, deadline=None)
@given(SEEDS, st.integers(0, 300), st.sampled_from([0.02, 0.5, 3.0]), st.sampled_from([np.float32, np.float64]))
def test_voxels_match_their_twin(seed, count, size, dtype):
    xyz = np.random.default_rng(seed).normal(scale=1.5, size=(count, 3)).astype(dtype)
    first, voxel = geometry.voxel_downsample(xyz, size)
    first_twin, voxel_twin = reference.voxel_downsample(xyz, size)
    assert np.array_equal(first, first_twin)
    assert np.array_equal(voxel, voxel_twin)


def test_voxels_by_hand_and_bad_points():
    xyz = np.array([[-0.1, 0, 0], [0.1, 0, 0], [0.9, 0.9, 0.9], [-0.9, 0.5, 0.5], [1.0, 0, 0]])
    first, voxel = geometry.voxel_downsample(xyz, 1.0)
    assert first.tolist() == [0, 1, 4]
    assert voxel.tolist() == [0, 1, 1, 0, 2]
    for bad in (np.nan, np.inf, -1e9):
        with pytest.raises(BadInput, match="point .* is not finite or more than"):
            geometry.voxel_downsample(np.array([[0, 0, 0], [0, bad, 0]]), 0.02)
    with pytest.raises(BadInput, match="wanted metres above 0"):
        geometry.voxel_downsample(xyz, 0.0)


def test_kernels_compile_where_nothing_can_be_cached(monkeypatch):
    njit = numba.njit

    def without_cache(cache=False, **options):
        if cache:
            raise RuntimeError("cannot cache function: no locator available")
        return njit(**options)

    monkeypatch.setattr(numba, "njit", without_cache)
    assert geometry.compiled(lambda x: x + 1)(2) == 3


def test_readonly_arrays_share_one_compiled_kernel():
    xyz = np.random.default_rng(0).random((5, 3)).astype(np.float32)
    geometry.voxel_downsample(xyz, 0.1)
    kernels = len(geometry._assign_voxels.signatures)
    geometry.voxel_downsample(np.frombuffer(xyz.tobytes(), np.float32).reshape(-1, 3), 0.1)
    assert len(geometry._assign_voxels.signatures) == kernels


# --- gravity ---


@settings(max_examples=60, deadline=None)
@given(SEEDS)
def test_upright_turns_up_to_z(seed):
    up = np.random.default_rng(seed).normal(size=3)
    rotation = geometry.upright(up)
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.isclose(np.linalg.det(rotation), 1)
    assert np.allclose(rotation @ up, [0, 0, np.linalg.norm(up)], atol=1e-12)


@pytest.mark.parametrize("tilt", [0.0, 1e-9, 1e-7, 1e-4])
def test_upright_of_straight_down(tilt):
    up = np.array([np.sin(tilt), 0, -np.cos(tilt)])
    rotation = geometry.upright(up)
    assert np.allclose(rotation @ up, [0, 0, 1], atol=1e-9)
    assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-9)
    assert np.allclose(geometry.upright(np.array([0, 0, 5.0])), np.eye(3))


def test_parse_up():
    assert np.allclose(geometry.parse_up(" 0, -2 ,0"), [0, -1, 0])
    for bad in ("", "0,0,0", "0,1", "a,b,c", "nan,0,1", "inf,0,0", "auto", "0 0 1"):
        with pytest.raises(BadInput, match="wanted three numbers"):
            geometry.parse_up(bad)


def test_camera_up_is_the_mean_of_the_cameras():
    poses = np.stack([np.eye(4), np.eye(4)])
    poses[1, :3, :3] = Rotation.from_rotvec([np.pi / 2, 0, 0]).as_matrix()  # looks straight down, its up is forward
    assert np.allclose(geometry.camera_up(poses), np.array([0, -1, -1]) / np.sqrt(2))
    poses[1, :3, :3] = np.diag([-1, -1, 1])
    with pytest.raises(BadInput, match="cancel out"):
        geometry.camera_up(poses)


def made_room(rng: np.random.Generator, ceiling: bool = False, noise_m: float = 0.005) -> np.ndarray:
    """Points on floor, four walls and furniture of a z-up room, as a depth camera would leave them."""
    width, length, height = rng.uniform(3, 6), rng.uniform(3, 6), 2.6
    boxes = [(0.2, 0.2, 2, 1.5, 0, 0.5), (1.3, length - 1, 1.2, 0.7, 0.7, 0.75), (width - 0.5, 0.4, 0.5, 1.5, 0, 1.8)]
    parts = [_rectangle(rng, (0, 0, 0), (width, 0, 0), (0, length, 0))]
    parts += _sides(rng, 0, 0, width, length, 0, height)
    for x, y, w, d, low, high in boxes:
        parts += [*_sides(rng, x, y, w, d, low, high), _rectangle(rng, (x, y, high), (w, 0, 0), (0, d, 0))]
    if ceiling:
        parts.append(_rectangle(rng, (0, 0, height), (width, 0, 0), (0, length, 0)))
    xyz = np.concatenate(parts)
    return xyz + rng.normal(scale=noise_m, size=xyz.shape)


def _sides(rng, x, y, w, d, low, high):
    up, across, along = (0, 0, high - low), (w, 0, 0), (0, d, 0)
    starts = [((x, y, low), across), ((x, y + d, low), across), ((x, y, low), along), ((x + w, y, low), along)]
    return [_rectangle(rng, start, side, up) for start, side in starts]


def _rectangle(rng, corner, a, b, per_m2=500):
    a, b = np.array(a, float), np.array(b, float)
    count = int(np.linalg.norm(np.cross(a, b)) * per_m2)
    return np.array(corner, float) + rng.random((count, 1)) * a + rng.random((count, 1)) * b


def tilted(up: np.ndarray, rng: np.random.Generator, most_deg: float) -> np.ndarray:
    """``up`` turned by at most so many degrees."""
    axis = np.cross(up, rng.normal(size=3))
    turn = np.radians(rng.uniform(0, most_deg)) * axis / np.linalg.norm(axis)
    return Rotation.from_rotvec(turn).apply(up)


def walk(rng: np.random.Generator) -> np.ndarray:
    """Camera centres of somebody walking about in the middle of the room."""
    turn = np.linspace(0, rng.uniform(3, 6), 15)
    return np.stack([1.5 + 0.5 * np.cos(turn), 1.5 + 0.5 * np.sin(turn), 1.5 + 0.05 * np.sin(3 * turn)], 1)


@settings(max_examples=6, deadline=None)
@given(SEEDS, st.booleans())
def test_up_of_a_turned_room_is_found_from_a_hint(seed, ceiling):
    rng = np.random.default_rng(seed)
    world_from_room = random_pose(rng)
    up = world_from_room[:3, 2]
    xyz = geometry.transform(world_from_room, made_room(rng, ceiling))
    assert angle_deg(geometry.find_up(xyz.astype(np.float32), hint=tilted(up, rng, 35)), up) < 1


@settings(max_examples=6, deadline=None)
@given(SEEDS, st.booleans())
def test_up_of_a_turned_room_is_found_from_the_cameras(seed, ceiling):
    rng = np.random.default_rng(seed)
    world_from_room = random_pose(rng)
    xyz = geometry.transform(world_from_room, made_room(rng, ceiling, noise_m=0.01))
    viewpoints = geometry.transform(world_from_room, walk(rng))
    assert angle_deg(geometry.find_up(xyz, viewpoints), world_from_room[:3, 2]) < 1


@settings(max_examples=4, deadline=None)
@given(SEEDS)
def test_walls_alone_suffice_with_a_hint(seed):
    rng = np.random.default_rng(seed)
    room = made_room(rng)
    room = room[(room[:, 2] > 0.9) & (room[:, 2] < 1.7)]  # neither floor nor table tops, two or more walls
    world_from_room = random_pose(rng)
    up = world_from_room[:3, 2]
    found = geometry.find_up(geometry.transform(world_from_room, room), hint=tilted(up, rng, 30))
    assert angle_deg(found, up) < 1


def test_one_wall_keeps_the_hint_but_for_its_tilt_against_the_wall():
    wall = _rectangle(np.random.default_rng(0), (0, 0, 0), (3, 0, 0), (0, 0, 2.5))
    found = geometry.find_up(wall, hint=np.array([0.1, 0.4, 1.0]))  # leans into the wall by 22 degrees
    assert angle_deg(found, np.array([0.1, 0, 1.0])) < 1


def test_up_that_cannot_be_told_is_refused():
    rng = np.random.default_rng(0)
    cube = np.concatenate(
        [*_sides(rng, 0, 0, 3, 3, 0, 3), *(_rectangle(rng, (0, 0, z), (3, 0, 0), (0, 3, 0)) for z in (0, 3))]
    )
    with pytest.raises(BadInput, match="cannot be told"):
        geometry.find_up(cube)
    with pytest.raises(BadInput, match="0 planar patches in 5 points"):
        geometry.find_up(rng.random((5, 3)))
    with pytest.raises(BadInput, match="0 planar patches in 0 points"):
        geometry.find_up(np.full((40, 3), np.nan)[:0])
    with pytest.raises(BadInput, match="not all 0"):
        geometry.find_up(cube, hint=np.zeros(3))


def kitchen_frame(folder, number: int) -> Frame:
    path = folder / f"frame-{number:06d}"
    depth = np.array(Image.open(f"{path}.depth.png")).astype(np.float32)
    depth[depth == 65535] = 0
    rgb = np.array(Image.open(f"{path}.color.jpg"))
    return Frame(rgb, Camera(585.0, 585.0, 320.0, 240.0, 640, 480), depth / 1000, np.loadtxt(f"{path}.pose.txt"))


def test_up_of_the_kitchen(kitchen):
    """Its world is tilted by about 27 degrees; upright, the floor is level and below everything."""
    frames = [kitchen_frame(kitchen, number) for number in range(0, 600, 30)]
    poses = np.stack([frame.world_from_camera for frame in frames])
    xyz = np.concatenate([geometry.unproject(f.depth_m, f.camera, f.world_from_camera)[0][::16] for f in frames])
    xyz = xyz[geometry.voxel_downsample(xyz, 0.02)[0]]
    from_hint = geometry.find_up(xyz, hint=geometry.camera_up(poses))
    from_cameras = geometry.find_up(xyz, viewpoints=poses[:, :3, 3])
    for up in (from_hint, from_cameras):
        assert abs(angle_deg(up, np.array([0, -1.0, 0])) - 27) < 1.5
        height = (xyz @ geometry.upright(up).T)[:, 2]
        floor = np.percentile(height, 2)
        slab = np.abs(height - floor) < 0.1
        assert slab.mean() > 0.05
        assert 1.1 < (poses[:, :3, 3] @ up).min() - floor < 1.8  # eye height
        sides = (xyz @ geometry.upright(up).T)[slab]
        slope = np.linalg.lstsq(np.c_[sides[:, :2], np.ones(len(sides))], sides[:, 2], rcond=None)[0][:2]
        assert np.degrees(np.abs(slope)).max() < 2
