"""Procedural rooms in ScanNet's layout, for every machine that has no ScanNet.

A scene is planned (``room_layout``: what stands where; ``furniture``: its shapes; ``room_style``: its looks), walked
through (``room_walk``), seen by ray casting (``room_render``) and written by ``scannet.write_scene``. Everything
follows from the seed: the same seed gives the same bytes, in whichever process and beside however many others.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int32, Int64, UInt8

from wsss_ros.labels import UNLABELLED, scannet20
from wsss_ros.rooms.layout import KINDS, Room, plan
from wsss_ros.rooms.missing import generate_missing
from wsss_ros.rooms.render import Light, Sensor, View, World, exposure_gain, shade
from wsss_ros.rooms.style import Kit, Style, style_named
from wsss_ros.rooms.walk import walk
from wsss_ros.scenes.scannet import EXCERPT_CAMERA, write_scene
from wsss_ros.types import BadInput, Camera, Frame

FRAMES = (60, 120)  # of a scene, unless told
FEW, WALK = 40, 240  # fewer views than FEW are the most telling ones of a walk of WALK views
STRIDE = 10  # every so many frames of a 30 Hz recording is kept
SPACING_M = 0.02  # of the cloud's points
CLOUD_RANGE_M = 4.5  # farther surfaces do not get into the cloud
MIN_CLEARANCE_M = 0.1  # between the camera and any surface
# The names by which ScanNet's own .txt files call their scenes.
SCENE_TYPES = {
    "bedroom": "Bedroom / Hotel", "living_room": "Living room / Lounge", "kitchen": "Kitchen", "office": "Office",
    "bathroom": "Bathroom", "library": "Library", "studio": "Apartment", "classroom": "Classroom",
    "meeting_room": "Conference Room", "washroom": "Laundry Room",
}  # fmt: skip


@dataclass(frozen=True)
class Shot:
    """One view with its truth: the frame as measured, the labels, and where the cloud's samples of it lie."""

    frame: Frame
    truth: UInt8[np.ndarray, "H W"]
    points: Float32[np.ndarray, "M 3"]
    colors: UInt8[np.ndarray, "M 3"]
    instances: Int64[np.ndarray, "M"]


def scene_name(seed: int, style: str = "default") -> str:
    return f"{'room' if style == 'default' else style}{seed:04d}_00"


def generate_room(
    out_folder: str | Path,
    seed: int,
    kind: str | None = None,
    frames: int | None = None,
    size: tuple[int, int] = (320, 240),
    style: str = "default",
    kinds: Sequence[str] = (),
) -> Path:
    """Make one room and write it in ScanNet's layout; returns its folder, ``out_folder/room{seed:04d}_00``.

    ``kind`` is one of KINDS, ``frames`` the number of views and ``size`` their (width, height); None lets the seed
    choose: a kind out of ``kinds`` (none: those of the style), 60 to 120 views. ``style`` names the tables of
    ``room_style.STYLES`` from which looks are drawn; any style can furnish any kind. The kind stands in the scene's
    ``.txt`` as ``sceneType``, with the style where it is not the default, which the scene's name starts with, too.
    Raises BadInput for an unknown kind or style, fewer than 2 frames, and where the scene exists already.
    """
    looks = style_named(style)
    _check(seed, (kind, *kinds) if kind else kinds, frames, size)
    folder = Path(out_folder) / scene_name(seed, style)
    random_kind, random_frames = _drawn(seed, looks, kinds)
    labels = scannet20()
    room = plan(kind or random_kind, np.random.default_rng([seed, 1]), looks)
    world = World(room, labels)
    poses, steps = _views(world, frames or random_frames, seed)
    world_from_room = _scan_frame(room, np.random.default_rng([seed, 3]))
    shots = list(_shoot(world, _camera(size), poses, steps, seed))
    xyz, rgb, point_labels, instances = _fuse(shots, world, np.random.default_rng([seed, 6]))
    write_scene(
        folder,
        labels=labels,
        xyz=_move(world_from_room, xyz),
        rgb=rgb,
        point_labels=point_labels,
        instances=instances,
        frames=((_moved(shot.frame, world_from_room), shot.truth) for shot in shots),
        axis_alignment=np.linalg.inv(world_from_room),
        scene_type=SCENE_TYPES[room.kind] + ("" if style == "default" else f" (style {style})"),
    )
    return folder


def _drawn(seed: int, style: Style, kinds: Sequence[str]) -> tuple[str, int]:
    """The kind of room and the number of views that the seed chooses."""
    rng = np.random.default_rng([seed, 0])
    kind, frames = style.kinds[rng.integers(len(style.kinds))], int(rng.integers(FRAMES[0], FRAMES[1] + 1))
    return kinds[rng.integers(len(kinds))] if kinds else kind, frames


def generate_rooms(
    out_folder: str | Path,
    scenes: int,
    seed: int,
    workers: int = 1,
    progress: Callable[[int, int], None] | None = None,
    **options,
) -> list[Path]:
    """Rooms of the seeds ``seed .. seed + scenes - 1``; those that exist already are kept.

    ``progress(done, total)`` is called after every room; ``options`` go to ``generate_room``. With several ``workers``
    the rooms are made in processes of their own; what they make is the same.
    """
    style = options.get("style", "default")
    folders = {s: Path(out_folder) / scene_name(s, style) for s in range(seed, seed + scenes)}
    return generate_missing(generate_room, out_folder, folders, workers, progress, **options)


def _check(seed: int, kinds: Sequence[str], frames: int | None, size: tuple[int, int]) -> None:
    if seed < 0:
        raise BadInput(f"seed {seed} of a room; wanted 0 or more")
    for kind in kinds:
        if kind not in KINDS:
            raise BadInput(f"no room of kind '{kind}'; there are: {', '.join(KINDS)}")
    if frames is not None and frames < 2:
        raise BadInput(f"{frames} frames of a room; wanted at least 2")
    if min(size) < 32:
        raise BadInput(f"frames of {size[0]}x{size[1]}; wanted at least 32x32")


def _camera(size: tuple[int, int]) -> Camera:
    """ScanNet's depth camera at another size, by the rule of its 320x240 excerpt (FACTS 3)."""
    full, (width, height) = EXCERPT_CAMERA, size
    return Camera(
        full.fx * width / full.width,
        full.fy * height / full.height,
        full.cx * (width - 1) / (full.width - 1),
        full.cy * (height - 1) / (full.height - 1),
        width,
        height,
    )


def _views(
    world: World, frames: int, seed: int
) -> tuple[Float64[np.ndarray, "F 4 4"], Int64[np.ndarray, "F"]]:
    """Poses of the views, and which step of the walk each is. Few views still see the whole room."""
    if frames >= FEW:
        return _safe_walk(world, frames, seed), np.arange(frames)
    poses = _safe_walk(world, WALK, seed, floor=0.3)
    steps = _most_telling(_cells_seen(world, poses), frames)
    return poses[steps], steps


def _cells_seen(world: World, poses: Float64[np.ndarray, "F 4 4"], cell: float = 0.15) -> Bool[np.ndarray, "F K"]:
    """Which cells of surface, K in all, each pose has in view: by a few rays."""
    camera, frame, cells = _camera((32, 24)), [], []
    for k, pose in enumerate(poses):
        view = world.cast(camera, pose)
        near = (view.depth_m > 0) & (view.depth_m < CLOUD_RANGE_M)
        cells.append(np.floor(view.point[near] / cell).astype(np.int64))
        frame.append(np.full(len(cells[-1]), k))
    number = np.unique(np.concatenate(cells), axis=0, return_inverse=True)[1].ravel()
    seen = np.zeros((len(poses), number.max() + 1), bool)
    seen[np.concatenate(frame), number] = True
    return seen


def _most_telling(seen: Bool[np.ndarray, "F K"], count: int) -> Int64[np.ndarray, "V"]:
    """``count`` views, one after another the one that adds most, in the order of the walk.

    A cell counts 1 when it is new, 0.3 on its second view, less and less on further ones.
    """
    worth, hits, left = np.array([1, 0.3, 0.1, 0.03]), np.zeros(seen.shape[1], np.int64), np.ones(len(seen), bool)
    for _ in range(count):
        gain = seen @ worth[np.minimum(hits, 3)]
        best = int(np.argmax(np.where(left, gain, -1)))
        left[best] = False
        hits += seen[best]
    return np.flatnonzero(~left)


def _safe_walk(world: World, frames: int, seed: int, **options) -> Float64[np.ndarray, "F 4 4"]:
    """The first walk that keeps clear of every surface, of a few; else the clearest."""
    walks = []
    for attempt in range(8):
        poses = walk(world.room, frames, np.random.default_rng([seed, 2, attempt]), **options)
        clear = float(world.clearance(poses[:, :3, 3]).min())
        if clear >= MIN_CLEARANCE_M:
            return poses
        walks.append((clear, attempt, poses))
    return max(walks, key=lambda w: w[:2])[2]


def _scan_frame(room: Room, rng: np.random.Generator) -> Float64[np.ndarray, "4 4"]:
    """world_from_room: scans start anywhere and face anywhere, but they know which way is up."""
    yaw = rng.uniform(0, 2 * np.pi)
    c, s = np.cos(yaw), np.sin(yaw)
    moved = np.eye(4)
    moved[:2, :2] = [[c, -s], [s, c]]
    moved[:3, 3] = [*rng.uniform(-2, 4, 2), rng.uniform(-0.1, 0.1)]
    return moved


def _move(transform: np.ndarray, xyz: np.ndarray) -> Float32[np.ndarray, "N 3"]:
    return (xyz @ transform[:3, :3].T + transform[:3, 3]).astype(np.float32)


def _moved(frame: Frame, world_from_room: np.ndarray) -> Frame:
    pose = world_from_room @ frame.world_from_camera
    return Frame(frame.rgb, frame.camera, frame.depth_m, pose, frame.stamp_ns, frame.name)


# ---------------------------------------------------------------- views


def _shoot(
    world: World, camera: Camera, poses: Float64[np.ndarray, "F 4 4"], steps: Int64[np.ndarray, "F"], seed: int
) -> Iterator[Shot]:
    """Render every pose; poses and points are in the room's own frame."""
    kit = Kit(np.random.default_rng([seed, 4]), world.room.kit.style)
    light, sensor = Light.draw(world.room, kit), Sensor.draw(kit)
    gain = None
    for k, pose in enumerate(poses):
        rng = np.random.default_rng([seed, 5, k])
        view, eye = world.cast(camera, pose), pose[:3, 3]
        linear = shade(world, camera, view, light, eye, rng)
        wanted = exposure_gain(linear, sensor.exposure)
        gain = wanted if gain is None else gain**0.65 * wanted**0.35  # automatic exposure lags
        rgb = sensor.expose(linear, camera, gain, rng)
        depth_m = sensor.measure(world, view, camera, eye, rng)
        frame = Frame(rgb, camera, depth_m, pose, _stamp_ns(int(steps[k])), str(k))
        yield _sampled(frame, view, world, every_row=len(poses) < FEW)


def _stamp_ns(index: int) -> int:
    return 1_000_000_000 + index * STRIDE * 1_000_000_000 // 30


def _sampled(frame: Frame, view: View, world: World, every_row: bool) -> Shot:
    shape = frame.rgb.shape[:2]
    label = np.append(world.label, np.uint8(UNLABELLED))[view.part]  # part -1 takes the last
    instance = np.append(world.instance, -1)[view.part]
    seen = (frame.depth_m > 0) & (view.depth_m.reshape(shape) < CLOUD_RANGE_M)
    if not every_row:  # of many views every other row is enough: pixels lie closer than the cloud's points
        seen[1::2] = False
    seen = seen.ravel()
    return Shot(frame, label.reshape(shape), view.point[seen], frame.rgb.reshape(-1, 3)[seen], instance[seen])


# ---------------------------------------------------------------- the cloud


def _fuse(
    shots: list[Shot], world: World, rng: np.random.Generator
) -> tuple[Float32[np.ndarray, "N 3"], UInt8[np.ndarray, "N 3"], UInt8[np.ndarray, "N"], Int32[np.ndarray, "N"]]:
    """One point per voxel that was seen at least twice: the mean place and colour of the object seen most in it.

    Of few views once is enough. Samples are true surface points (a fused scan's surfaces are thin); a mild noise is
    added to the means.
    """
    xyz = np.concatenate([s.points for s in shots])
    rgb = np.concatenate([s.colors for s in shots])
    owner = np.concatenate([s.instances for s in shots]) + 1
    # a grid turned against the walls, so that no wall lies along a border of voxels
    turned = _move(_scan_frame(world.room, np.random.default_rng(7)), xyz)
    cell = np.floor((turned - turned.min(0)) / SPACING_M).astype(np.int64)
    extent = cell.max(0) + 1
    voxel = (cell[:, 0] * extent[1] + cell[:, 1]) * extent[2] + cell[:, 2]
    keys, group, hits = np.unique(voxel * (owner.max() + 1) + owner, return_inverse=True, return_counts=True)
    voxel_of, owner_of = np.divmod(keys, owner.max() + 1)
    order = np.lexsort((-hits, voxel_of))
    winner = order[np.append(True, np.diff(voxel_of[order]) > 0)]
    winner = np.sort(winner[hits[winner] >= (1 if len(shots) < FEW else 2)])

    def mean(values: np.ndarray) -> np.ndarray:
        return np.stack([np.bincount(group, values[:, k], len(keys)) / hits for k in range(3)], 1)[winner]

    points = mean(xyz) + rng.normal(0, 0.0015, (len(winner), 3))
    instances = owner_of[winner] - 1
    label_of = np.full(world.instance.max() + 2, UNLABELLED, np.uint8)
    label_of[world.instance] = world.label  # instance -1 is the last entry, and unlabelled
    return (
        points.astype(np.float32),
        np.round(mean(rgb)).astype(np.uint8),
        label_of[instances],
        instances.astype(np.int32),
    )
