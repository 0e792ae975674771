"""Which way is up: by hand, in made rooms of any orientation, and in the real kitchen."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from support import ray_rooms
from support.random_views import kitchen_frame, random_pose
from support.ray_rooms import lidar_scan, walked_cloud

from wsss_ros import geometry
from wsss_ros.geometry import gravity
from wsss_ros.geometry.patches import planar_patches
from wsss_ros.types import BadInput

SEEDS = st.integers(0, 2**32 - 1)


def angle_deg(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b / np.linalg.norm(a) / np.linalg.norm(b), -1, 1))))


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
        with pytest.raises(BadInput, match="expected three numbers"):
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
    """``up`` turned by at most this many degrees."""
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


def test_up_that_cannot_be_determined_is_refused():
    rng = np.random.default_rng(0)
    cube = np.concatenate(
        [*_sides(rng, 0, 0, 3, 3, 0, 3), *(_rectangle(rng, (0, 0, z), (3, 0, 0), (0, 3, 0)) for z in (0, 3))]
    )
    with pytest.raises(BadInput, match="cannot be determined"):
        geometry.find_up(cube)
    with pytest.raises(BadInput, match="fewer than 10 planar patches in 5 points"):
        geometry.find_up(rng.random((5, 3)))
    with pytest.raises(BadInput, match="fewer than 10 planar patches in 0 points"):
        geometry.find_up(np.full((40, 3), np.nan)[:0])
    with pytest.raises(BadInput, match="not all 0"):
        geometry.find_up(cube, hint=np.zeros(3))


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
        assert angle_deg(up, plane_normal(xyz, up, floor)) < 0.4


def plane_normal(xyz: np.ndarray, normal: np.ndarray, height: float) -> np.ndarray:
    """The normal of the points within 3 cm of a plane, from the plane ``xyz @ normal = height`` near it."""
    for _ in range(5):
        near = xyz[np.abs(xyz @ normal - height) < 0.03]
        turned = np.linalg.eigh(np.cov(near.T))[1][:, 0]
        normal = turned * np.sign(turned @ normal)
        height = near.mean(axis=0) @ normal
    return normal


# --- with the name of the frame alone --------------------------------------------------------------

ROOMS = [("bedroom", 0), ("living_room", 0), ("kitchen", 0), ("bathroom", 0), ("library", 1)]


@pytest.fixture(scope="module")
def walked() -> list[np.ndarray]:
    """Clouds of generated rooms with z up, as a camera that is carried through them sees them."""
    return [walked_cloud(ray_rooms.world(kind, seed), frames=60, seed=seed, size=(64, 48)) for kind, seed in ROOMS]


def test_up_is_as_exact_as_the_floor_is_flat(walked):
    """The normal of a floor of some metres is known to a fraction of a degree, that of small patches is not."""
    turns = Rotation.random(len(walked), random_state=1).as_matrix()
    for xyz, turn in zip(walked, turns, strict=True):
        found = geometry.find_up(xyz @ turn.T, hint=tilted(turn[:, 2], np.random.default_rng(0), 20))
        assert angle_deg(found, turn[:, 2]) < 0.2


@pytest.mark.slow
def test_up_of_generated_rooms_in_200_orientations(walked):
    """Nothing but the points is known; also upside down, and tilted by any angle."""
    turns = Rotation.random(200, random_state=0).as_matrix()
    found = [geometry.estimate_up(walked[n % len(walked)] @ turn.T) for n, turn in enumerate(turns)]
    off = np.array([angle_deg(up.direction, turn[:, 2]) for up, turn in zip(found, turns, strict=True)])
    sure = np.array([up.certainty for up in found]) >= gravity.SURE
    assert np.mean(off < 3) >= 0.95
    assert sure.mean() > 0.8 and (off[sure] < 3).all(), "where it is sure it is right"


@pytest.mark.parametrize("frame_id", ["map", "odom", "base_link", "os_sensor", "", "camera_depth_optical_frame"])
def test_a_frame_that_is_named_right_keeps_its_up_exactly(walked, frame_id):
    upright = np.eye(3)
    if "optical" in frame_id:
        upright = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])  # y down, z ahead
    for xyz in walked:
        up, problem = geometry.up_in_frame(xyz @ upright.T, frame_id)
        assert up.direction.tolist() == geometry.gravity.expected_up(frame_id).direction.tolist() and not problem


def test_a_lidar_scan_of_a_closed_room_is_upright_in_its_frame():
    xyz, _ = lidar_scan(ray_rooms.world("office"))
    up, problem = geometry.up_in_frame(xyz.reshape(-1, 3), "os_sensor")
    assert up.direction.tolist() == [0, 0, 1] and not problem


@pytest.mark.parametrize("name", ["map", "camera_optical_frame"])
def test_a_cloud_is_upright_that_its_frame_names_wrong(walked, name):
    """Some SLAM programs publish maps with y down in `map`, or z-up clouds in a camera's frame."""
    y_down = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
    turn = y_down if name == "map" else np.eye(3)
    up, problem = geometry.up_in_frame(walked[0] @ turn.T, name)
    assert angle_deg(up.direction, turn[:, 2]) < 1 and not problem


@pytest.mark.parametrize("name", ["map", ""])
def test_what_the_cloud_refutes_is_not_taken_although_the_best_is_unsure(walked, name, monkeypatch):
    """A cloud with y up: z is one of its walls, whatever the frame is called."""
    monkeypatch.setattr(gravity, "SURE", 1.1)
    y_up = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    up, problem = geometry.up_in_frame(walked[2] @ y_up.T, name)
    assert angle_deg(up.direction, y_up[:, 2]) < 1
    assert f"what the frame '{name}' suggests does not fit" in problem and " certainty; " in problem


def test_another_direction_that_may_be_right_is_told():
    z, y, tilted = np.eye(3)[2], np.eye(3)[1], np.array([0, np.sin(0.05), np.cos(0.05)])
    said = gravity._doubt([z, tilted, y, -y], np.array([0.5, 0.25, 0.2, 0.05]), gravity.Up(z, 0.75))
    assert said == "up direction uncertain: 0,0,1 is taken, 0,1,0 fits with 20%; set 'up' to 'x,y,z' if that is wrong"
    assert gravity._doubt([z, tilted, y], np.array([0.55, 0.3, 0.15]), gravity.Up(z, 0.85)) == ""


def test_unsure_is_said_and_the_name_of_the_frame_is_taken():
    rng = np.random.default_rng(0)
    wall = _rectangle(rng, (0, 0, 0), (3, 0, 0), (0, 0, 2.5))
    lying = wall @ Rotation.from_euler("x", 40, degrees=True).as_matrix().T
    up, problem = geometry.up_in_frame(lying, "map")
    assert up.direction.tolist() == [0, 0, 1] and up.certainty < 0.8
    assert problem.startswith("up direction uncertain: ") and "which the frame 'map' suggests; set 'up' to" in problem
    few, problem = geometry.up_in_frame(rng.random((5, 3)), "camera_optical", known=np.array([0, 1.0, 0]))
    assert few.direction.tolist() == [0, 1, 0] and few.certainty == 0
    assert problem == (
        "up direction uncertain: too few planes; 0,1,0 is taken, which clouds before had; "
        "set 'up' to 'x,y,z' if that is wrong"
    )


def test_up_does_not_depend_on_where_the_origin_is(walked):
    far = walked[1] + np.array([500_000.0, 4_649_776.0, 213.0])
    assert angle_deg(geometry.estimate_up(far).direction, np.array([0, 0, 1.0])) < 1


def test_up_of_the_kitchen_from_its_points_alone(kitchen):
    """Its world is tilted by 27 degrees and has y down. A frame of it, in the camera's axes, is upright as well."""
    frames = [kitchen_frame(kitchen, number) for number in range(0, 600, 30)]
    poses = np.stack([frame.world_from_camera for frame in frames])
    xyz = np.concatenate([geometry.unproject(f.depth_m, f.camera, f.world_from_camera)[0][::8] for f in frames])
    known = geometry.find_up(xyz, poses[:, :3, 3], geometry.camera_up(poses))
    for name in ("map", "camera_color_optical_frame"):
        up, problem = geometry.up_in_frame(xyz.astype(np.float32), name)
        assert angle_deg(up.direction, known) < 1 and not problem
    for frame in frames[::4]:
        own = geometry.unproject(frame.depth_m, frame.camera)[0].astype(np.float32)
        up, _ = geometry.up_in_frame(own, "camera_color_optical_frame", np.zeros((1, 3)))
        assert angle_deg(up.direction, frame.world_from_camera[:3, :3].T @ known) < 5


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.floats(0.001, 0.01))
def test_patches_lie_on_their_plane(seed, noise_m):
    """Centres, normals and the whole area of a noisy rectangle in any pose."""
    rng = np.random.default_rng(seed)
    pose = random_pose(rng)
    flat = _rectangle(rng, (0, 0, 0), (4, 0, 0), (0, 3, 0)) + rng.normal(scale=noise_m, size=(6_000, 3)) * [0, 0, 1]
    found = planar_patches(geometry.transform(pose, flat))
    inside = found.areas > 0.02
    assert inside.sum() > 50
    across = (found.centres + found.origin - pose[:3, 3]) @ pose[:3, 2]
    assert np.abs(across[inside]).max() < 0.02
    assert np.degrees(np.arccos(np.abs(found.normals[inside] @ pose[:3, 2]).clip(0, 1))).max() < 20
    assert 0.65 < found.areas.sum() / 12 < 1.1
