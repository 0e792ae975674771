"""Rendered views of a room with their truth."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from wsss_ros.labels import UNLABELLED
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.render.light import Light, shade
from wsss_ros.rooms.render.sensor import Sensor, exposure_gain
from wsss_ros.rooms.render.surfaces import View, World
from wsss_ros.rooms.views import CLOUD_RANGE_M, FEW
from wsss_ros.types import Camera, Frame

STRIDE = 10  # stamps are those of every tenth frame of a 30 Hz recording


@dataclass(frozen=True)
class Shot:
    """One view with its truth: the measured frame, its labels, and surface samples for the cloud."""

    frame: Frame
    truth: UInt8[np.ndarray, "H W"]
    points: Float32[np.ndarray, "M 3"]
    colors: UInt8[np.ndarray, "M 3"]
    instances: Int64[np.ndarray, "M"]


def take_shots(
    world: World,
    camera: Camera,
    poses: Float64[np.ndarray, "F 4 4"],
    steps: Int64[np.ndarray, "F"],
    seed: int,
    lamps: Light | None = None,
) -> Iterator[Shot]:
    """Render a view for each pose. Poses and points are in the frame of the room.

    The light is random, unless there are ``lamps``: then each view has those that are near it.
    """
    kit = Kit(np.random.default_rng([seed, 4]), world.room.kit.style)
    light = Light.draw(world.room, kit) if lamps is None else lamps
    sensor = Sensor.draw(kit)
    gain = None
    for k, pose in enumerate(poses):
        rng = np.random.default_rng([seed, 5, k])
        view, eye = world.cast(camera, pose), pose[:3, 3]
        linear = shade(world, camera, view, light if lamps is None else lamps.near(eye), eye, rng)
        now = exposure_gain(linear, sensor.exposure)
        gain = now if gain is None else gain**0.65 * now**0.35  # automatic exposure reacts with a delay
        rgb = sensor.expose(linear, camera, gain, rng)
        depth_m = sensor.measure(world, view, camera, eye, rng)
        frame = Frame(rgb, camera, depth_m, pose, _stamp_ns(int(steps[k])), str(k))
        yield _sampled(frame, view, world, every_row=len(poses) < FEW)


def _stamp_ns(index: int) -> int:
    return 1_000_000_000 + index * STRIDE * 1_000_000_000 // 30


def _sampled(frame: Frame, view: View, world: World, every_row: bool) -> Shot:
    shape = frame.rgb.shape[:2]
    label = np.append(world.label, np.uint8(UNLABELLED))[view.part]  # part -1 gets the last entry
    instance = np.append(world.instance, -1)[view.part]
    seen = (frame.depth_m > 0) & (view.depth_m.reshape(shape) < CLOUD_RANGE_M)
    if not every_row:  # with many views every other row is enough: pixels are denser than the cloud's points
        seen[1::2] = False
    seen = seen.ravel()
    return Shot(frame, label.reshape(shape), view.point[seen], frame.rgb.reshape(-1, 3)[seen], instance[seen])
