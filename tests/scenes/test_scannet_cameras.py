"""Cameras of ScanNet's layout: native sizes, shrunk images, intrinsics of several files."""

from pathlib import Path

import numpy as np
import pytest
from support.scannet_room import CAMERA, NATIVE_COLOR, NATIVE_DEPTH, remove_lines, write_matrix

from wsss_ros.scenes import images
from wsss_ros.scenes.scannet import EXCERPT_CAMERA, ScanNetScene
from wsss_ros.types import BadInput, Camera


def _replace_images(folder: Path, color: tuple[int, int], depth: tuple[int, int]) -> None:
    """Give all frames images of these (width, height): a colour ramp, depth 2 m, labels left 0, right 1 (raw ids)."""
    ramp = np.round(np.linspace(0, 250, color[0]))[None, :, None].repeat(color[1], 0).repeat(3, 2).astype(np.uint8)
    ids = np.where(np.arange(color[0]) < color[0] / 2, 1, 2)[None].repeat(color[1], 0).astype(np.uint16)
    for i in range(3):
        images.write_rgb(folder / "color" / f"{i}.jpg", ramp)
        images.write_uint16(folder / "depth" / f"{i}.png", np.full(depth[::-1], 2000, np.uint16))
        images.write_uint16(folder / "label-filt" / f"{i}.png", ids)


def test_native_colour_comes_on_the_depth_pixels(folder, labels):
    """1296x968 colour, 640x480 depth: each depth pixel gets the colour and label seen along its ray."""
    _replace_images(folder, (1296, 968), (640, 480))
    write_matrix(folder / "intrinsic" / "intrinsic_color.txt", NATIVE_COLOR)
    write_matrix(folder / "intrinsic" / "intrinsic_depth.txt", NATIVE_DEPTH)
    scene = ScanNetScene(folder, labels)
    frame = scene.frame(0)
    u = (np.arange(640) - NATIVE_DEPTH.cx) * NATIVE_COLOR.fx / NATIVE_DEPTH.fx + NATIVE_COLOR.cx
    assert frame.camera == NATIVE_DEPTH and frame.rgb.shape == (480, 640, 3)
    np.testing.assert_allclose(frame.rgb[240, 2:-2, 1], u[2:-2] * 250 / 1295, atol=1.5)
    unseen = frame.depth_m == 0  # the depth camera sees two rows more than the colour camera
    assert unseen[[0, -1]].all() and not unseen[1:-1].any()
    np.testing.assert_array_equal(scene.frame_truth(0)[240], np.where(np.rint(u) < 648, 0, 1))


def test_excerpt_without_intrinsics(folder, labels):
    """The 320x240 excerpt: f W'/W and c (W'-1)/(W-1) of the 640x480 numbers."""
    _replace_images(folder, (320, 240), (320, 240))
    for path in (folder / "intrinsic").iterdir():
        path.unlink()
    remove_lines(folder, "fx", "fy", "mx", "my", "colorWidth", "depthWidth", "colorHeight", "depthHeight")
    camera = ScanNetScene(folder, labels).frame(0).camera
    expected = [577.870605 / 2, 577.870605 / 2, 319.5 * 319 / 639, 239.5 * 239 / 479]
    np.testing.assert_allclose([camera.fx, camera.fy, camera.cx, camera.cy], expected, rtol=1e-12)


@pytest.mark.parametrize("noted", [True, False])
def test_shrunk_images_with_full_size_intrinsics(folder, labels, noted):
    _replace_images(folder, (320, 240), (320, 240))
    write_matrix(folder / "intrinsic" / "intrinsic_color.txt", NATIVE_COLOR)
    write_matrix(folder / "intrinsic" / "intrinsic_depth.txt", NATIVE_DEPTH)
    remove_lines(folder, "colorWidth", "depthWidth", "colorHeight", "depthHeight")
    if noted:
        with open(folder / "room.txt", "a") as file:
            file.write("colorWidth = 1296\ncolorHeight = 968\ndepthWidth = 640\ndepthHeight = 480\n")
    assert ScanNetScene(folder, labels).frame(0).camera == NATIVE_DEPTH.resized(320, 240)


def test_shrunk_images_of_a_camera_that_is_not_scannets(folder, labels):
    """The size in the .txt says what the numbers are for."""
    _replace_images(folder, (320, 240), (320, 240))
    own = Camera(1000.0, 1010.0, 999.5, 749.5, 2000, 1500)
    for kind in ("color", "depth"):
        write_matrix(folder / "intrinsic" / f"intrinsic_{kind}.txt", own)
    remove_lines(folder, "colorWidth", "depthWidth", "colorHeight", "depthHeight")
    with open(folder / "room.txt", "a") as file:
        file.write("colorWidth = 2000\ncolorHeight = 1500\ndepthWidth = 2000\ndepthHeight = 1500\n")
    assert ScanNetScene(folder, labels).frame(0).camera == own.resized(320, 240)


def test_intrinsics_of_the_txt(folder, labels):
    for path in (folder / "intrinsic").iterdir():
        path.unlink()
    assert ScanNetScene(folder, labels).frame(0).camera == CAMERA


def test_intrinsics_of_another_camera_are_refused(folder, labels):
    write_matrix(folder / "intrinsic" / "intrinsic_depth.txt", Camera(500.0, 500.0, 2000.0, 2000.0, 32, 24))
    with pytest.raises(BadInput, match="intrinsic_depth.txt: centre"):
        len(ScanNetScene(folder, labels))


def test_excerpt_camera_is_the_native_depth_camera():
    assert EXCERPT_CAMERA == NATIVE_DEPTH
