"""The .sens reader against files written field by field, cut anywhere, and broken on purpose."""

import dataclasses
import logging
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import sens_files
from support.sens_files import JPEG, PNG, RAW, ZLIB

from wsss_ros.scenes.frame_choice import spread
from wsss_ros.scenes.sens import SensReader
from wsss_ros.types import BadInput, Camera

CAMERA = Camera(30.0, 31.0, 15.5, 11.5, 32, 24)
NATIVE_COLOR = Camera(1170.187988, 1170.187988, 647.75, 483.75, 1296, 968)
NATIVE_DEPTH = Camera(577.870605, 577.870605, 319.5, 239.5, 640, 480)
LOST = np.full((4, 4), -np.inf)


def _pose(number: int) -> np.ndarray:
    pose = np.eye(4)
    pose[:3, 3] = number, 0.5, -2
    return pose


def _view(number: int, camera: Camera = CAMERA) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pose, smooth colours and depth steps that tell the frames apart."""
    v, u = np.mgrid[: camera.height, : camera.width]
    rgb = np.stack([u * 6, v * 8, np.full_like(u, 9 * number)], axis=2).astype(np.uint8)
    return _pose(number), rgb, (1000 + 10 * number + u + v).astype(np.uint16)


def _write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.fixture
def five(tmp_path) -> Path:
    """Five frames; tracking was lost in 1 and 3."""
    views = [_view(number) for number in range(5)]
    views = [(LOST, *view[1:]) if number in (1, 3) else view for number, view in enumerate(views)]
    return _write(tmp_path / "room.sens", sens_files.recording(CAMERA, CAMERA, views))


# --- what is written is read -----------------------------------------------------------------------


@settings(max_examples=40)
@given(
    st.sampled_from([RAW, PNG, JPEG]),
    st.sampled_from([0, ZLIB]),
    st.sampled_from([500.0, 1000.0, 5000.0]),
    st.lists(st.booleans(), min_size=0, max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_round_trip(tmp_path_factory, color_type, depth_type, shift, tracked, seed):
    rng = np.random.default_rng(seed)
    camera = Camera(20.25, 21.5, 9.5, 6.25, int(rng.integers(12, 40)), int(rng.integers(9, 30)))
    views = []
    for number, good in enumerate(tracked):
        pose, rgb, steps = _view(number, camera)
        steps[rng.random(steps.shape) < 0.1] = rng.choice([0, 65535])
        views.append((pose if good else LOST, rgb, steps))
    data = sens_files.recording(camera, camera, views, color_type, depth_type, shift)
    reader = SensReader(_write(tmp_path_factory.mktemp("sens") / "a.sens", data))
    numbers = [number for number, good in enumerate(tracked) if good]
    assert len(reader) == len(numbers) and reader.skipped["lost pose"] == len(tracked) - len(numbers)
    assert (reader.sensor, reader.depth_shift) == ("StructureSensor", shift)
    assert reader.rig.depth == reader.rig.color == camera
    for index, number in enumerate(numbers):
        frame, (pose, rgb, steps) = reader.frame(index), views[number]
        depth_m = np.where(steps == 65535, 0, steps) / shift
        np.testing.assert_allclose(frame.depth_m, depth_m, rtol=1e-6)
        np.testing.assert_array_equal(frame.world_from_camera, pose)
        assert frame.camera == camera and frame.name == reader.name(index) == str(number)
        assert frame.stamp_ns == reader.stamp_ns(index) == 1_000_000_000 + 33_000_000 * number
        assert np.abs(frame.rgb.astype(int) - rgb).max() <= (6 if color_type == JPEG else 0)
        assert frame.rgb.flags.writeable and frame.depth_m.flags.writeable


def test_native_sizes_come_on_the_depth_pixels(tmp_path):
    """1296x968 colour, 640x480 depth, as ScanNet's: the colour along each depth pixel's ray."""
    ramp = np.linspace(0, 250, 1296).round().astype(np.uint8)[None, :, None].repeat(968, 0).repeat(3, 2)
    steps = np.full((480, 640), 2000, np.uint16)
    data = sens_files.recording(NATIVE_COLOR, NATIVE_DEPTH, [(_pose(0), ramp, steps)])
    reader = SensReader(_write(tmp_path / "a.sens", data))
    frame, f32 = reader.frame(0), np.float32(577.870605)
    assert (frame.camera.width, frame.camera.height, frame.camera.fx) == (640, 480, f32)
    u = (np.arange(640) - NATIVE_DEPTH.cx) * NATIVE_COLOR.fx / NATIVE_DEPTH.fx + NATIVE_COLOR.cx
    np.testing.assert_allclose(frame.rgb[240, 2:-2, 1], u[2:-2] * 250 / 1295, atol=1.5)
    unseen = frame.depth_m == 0  # the depth camera sees two rows more than the colour camera
    assert unseen[[0, -1]].all() and not unseen[1:-1].any() and reader.depth_size(0) == (640, 480)


def test_lost_poses_are_left_out_counted_and_reported_once(five, caplog):
    reader = SensReader(five)
    assert len(reader) == 3 and reader.skipped == {"lost pose": 2}
    assert [reader.frame(i).name for i in range(3)] == ["0", "2", "4"]
    assert [record.getMessage() for record in caplog.records] == [f"{five}: 2 of 5 frames left out: lost pose"]


@pytest.mark.parametrize("times", [[0, 0, 0], [5, 7, 7], [7, 5, 9], [1, 2, 2**63]])
def test_times_that_do_not_rise_are_replaced(tmp_path, times):
    images = sens_files.encode_color(_view(0)[1], PNG), sens_files.encode_depth(_view(0)[2], ZLIB)
    frames = [sens_files.frame(_pose(i), us, us, *images) for i, us in enumerate(times)]
    data = sens_files.head(CAMERA, CAMERA, 3, PNG) + b"".join(frames)
    reader = SensReader(_write(tmp_path / "a.sens", data))
    assert [reader.stamp_ns(i) for i in range(3)] == [1_000_000_000, 1_033_333_333, 1_066_666_666]


def test_only_what_is_asked_for_is_decoded(tmp_path):
    """17 of 2,000 frames: the images of all others are bytes that no decoder accepts."""
    chosen = spread(2000, 17)
    parts = [sens_files.head(CAMERA, CAMERA, 2000, JPEG)]
    for number in range(2000):
        images = (b"no", b"image")
        if number in chosen:
            _, rgb, steps = _view(number % 28)
            images = (sens_files.encode_color(rgb, JPEG), sens_files.encode_depth(steps, ZLIB))
        parts.append(sens_files.frame(np.eye(4), 0, 0, *images))
    reader = SensReader(_write(tmp_path / "a.sens", b"".join(parts)))
    assert len(reader) == 2000
    for number in chosen:
        assert reader.frame(number).depth_m[0, 0] == np.float32((1000 + 10 * (number % 28)) / 1000)
    with pytest.raises(BadInput, match="a.sens, frame 1: depth cannot be unpacked"):
        reader.frame(1)


def test_readers_travel_to_other_processes(five):
    reader = SensReader(five)
    for again in (pickle.loads(pickle.dumps(reader)), pickle.loads(pickle.dumps(SensReader(five)))):
        assert len(again) == 3 and again.frame(1).name == "2"
    np.testing.assert_array_equal(again.frame(2).depth_m, reader.frame(2).depth_m)


# --- files that end too early ----------------------------------------------------------------------


def test_a_file_cut_anywhere_gives_its_complete_frames(tmp_path, caplog):
    """Every length around the borders of head, frames and motion data, and many between."""
    views = [_view(number) for number in range(3)]
    parts = [sens_files.head(CAMERA, CAMERA, 3, PNG)]
    for pose, rgb, steps in views:
        images = sens_files.encode_color(rgb, PNG), sens_files.encode_depth(steps, ZLIB)
        parts.append(sens_files.frame(pose, 0, 0, *images))
    ends, data = np.cumsum([len(part) for part in parts]), b"".join([*parts, sens_files.imu(2)])
    lengths = {int(end) + step for end in ends for step in (-1, 0, 1, 50, 97)} | set(range(0, len(data), 211))
    for length in sorted(lengths):
        path = _write(tmp_path / "cut.sens", data[:length])
        if length < ends[0]:
            with pytest.raises(BadInput, match="cut.sens: (cut off within its header|starts with)"):
                SensReader(path)
            continue
        caplog.clear()
        reader, left = SensReader(path), int((ends[1:] <= length).sum())
        assert len(reader) == left and reader.skipped == ({"cut off": 3 - left} if left < 3 else {})
        for index in range(left):
            np.testing.assert_array_equal(reader.frame(index).rgb, views[index][1])
        messages = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
        message = f"{path}: cut off in the middle, {3 - left} of 3 frames are lost; get the file again"
        assert messages == ([message] if left < 3 else [])


def test_a_file_that_shrinks_or_goes_while_it_is_read(five):
    reader = SensReader(five)
    assert len(reader) == 3
    five.write_bytes(five.read_bytes()[:1000])
    with pytest.raises(BadInput, match="room.sens, frame 4: the file is shorter"):
        reader.frame(2)
    five.unlink()
    with pytest.raises(BadInput, match="room.sens: cannot be read .No such file"):
        reader.frame(0)


def test_sizes_of_frames_that_are_nonsense_end_the_file(five):
    data = bytearray(five.read_bytes())
    at = len(sens_files.head(CAMERA, CAMERA, 5)) + 64 + 16
    data[at : at + 8] = struct.pack("<Q", 2**63)
    five.write_bytes(data)
    assert len(SensReader(five)) == 0 and SensReader(five).skipped == {"cut off": 5}


# --- files that are wrong --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 3}, r"starts with b'\\x03.*version 4"),
        ({"sensor": b"x" * 5000}, "version 4"),
        ({"color_type": -1}, r"colour is unknown \(-1\); expected raw \(0\), png \(1\) or jpeg \(2\)"),
        ({"color_type": 7}, r"colour is of no known type \(7\)"),
        ({"depth_type": 2}, r"depth is occi u16 \(2\); expected raw u16.*export it"),
        ({"depth_type": -1}, r"depth is unknown \(-1\)"),
        ({"shift": 0.0}, "depth shift 0"),
        ({"shift": float("nan")}, "depth shift nan"),
        ({"depth": dataclasses.replace(CAMERA, fx=0.0)}, "fx 0, .* is not a depth camera"),
        ({"color": dataclasses.replace(CAMERA, cx=320.0)}, "cx 320, .*32x24 is not a colour camera"),
        ({"color": dataclasses.replace(CAMERA, fx=float("inf"))}, "is not a colour camera"),
        ({"depth": dataclasses.replace(CAMERA, width=2**31)}, "is not a depth camera"),
    ],
)
def test_heads_that_cannot_be_used(tmp_path, changes, reason):
    arguments = {"color": CAMERA, "depth": CAMERA, "frames": 1} | changes
    path = _write(tmp_path / "a.sens", sens_files.head(**arguments) + bytes(5000))
    with pytest.raises(BadInput, match=f"a.sens: .*{reason}") as raised:
        SensReader(path)
    assert "\n" not in str(raised.value)


def test_files_of_another_kind(tmp_path):
    with pytest.raises(BadInput, match="a.sens: cannot be read"):
        SensReader(tmp_path / "a.sens")
    with pytest.raises(BadInput, match="version 4"):
        SensReader(_write(tmp_path / "a.sens", b"ply\nformat ascii 1.0\n" * 99))


@pytest.mark.parametrize(
    ("color_type", "depth_type", "color", "depth", "reason"),
    [
        (JPEG, ZLIB, b"", None, "frame 0, colour: cannot be decoded"),
        (JPEG, ZLIB, b"\xff\xd8\xff rubbish", None, "frame 0, colour: cannot be decoded"),
        (PNG, ZLIB, "small", None, "frame 0: colour is 16x20; expected 32x24, as in the header"),
        (RAW, ZLIB, bytes(100), None, "frame 0: colour of 100 bytes; expected 2304 for 32x24"),
        (PNG, ZLIB, None, b"rubbish", "frame 0: depth cannot be unpacked"),
        (PNG, ZLIB, None, sens_files.encode_depth(np.zeros(99), ZLIB), "frame 0: depth of 198 bytes; expected 1536"),
        (PNG, ZLIB, None, sens_files.encode_depth(np.zeros(10**7), ZLIB), "frame 0: depth of 1537 bytes"),
        (PNG, 0, None, bytes(99), "frame 0: depth of 99 bytes"),
    ],
)
def test_broken_images_are_named(tmp_path, color_type, depth_type, color, depth, reason):
    pose, rgb, steps = _view(0)
    if color == "small":
        color = sens_files.encode_color(rgb[:20, :16], color_type)
    color = sens_files.encode_color(rgb, color_type) if color is None else color
    depth = sens_files.encode_depth(steps, depth_type) if depth is None else depth
    data = sens_files.head(CAMERA, CAMERA, 1, color_type, depth_type) + sens_files.frame(pose, 0, 0, color, depth)
    with pytest.raises(BadInput, match=f"a.sens, {reason}") as raised:
        SensReader(_write(tmp_path / "a.sens", data)).frame(0)
    assert "\n" not in str(raised.value)


def test_poses_that_are_not_rigid(tmp_path):
    views = [_view(0), (2 * np.eye(4), *_view(1)[1:])]
    reader = SensReader(_write(tmp_path / "a.sens", sens_files.recording(CAMERA, CAMERA, views)))
    with pytest.raises(BadInput, match="a.sens, frame 1: pose is not rigid"):
        len(reader)
