"""Image files: depth in millimetres, JPEGs that are reduced, Pillow in place of simplejpeg."""

import struct
import zlib

import numpy as np
import pytest
from support.scannet_room import room_frames

from wsss_ros.scenes import images
from wsss_ros.types import BadInput


def test_depth_that_millimetres_cannot_hold_is_written_as_missing(tmp_path):
    depth_m = np.array([[np.nan, np.inf, -1, 0, 0.0004, 65.5346, 65.534, 0.0006]], np.float32)
    images.write_depth(tmp_path / "d.png", depth_m)
    expected = np.array([[0, 0, 0, 0, 0, 0, 65.534, 0.001]], np.float32)
    np.testing.assert_array_equal(images.read_depth(tmp_path / "d.png"), expected)


def test_jpegs_shrink_only_where_pixels_stay_aligned(tmp_path):
    images.write_rgb(tmp_path / "a.jpg", np.zeros((96, 128, 3), np.uint8))
    assert images.read_rgb(tmp_path / "a.jpg", at_least=(32, 20)).shape == (24, 32, 3)
    assert images.read_rgb(tmp_path / "a.jpg", at_least=(65, 20)).shape == (96, 128, 3)
    images.write_rgb(tmp_path / "odd.jpg", np.zeros((97, 128, 3), np.uint8))
    assert images.read_rgb(tmp_path / "odd.jpg", at_least=(32, 20)).shape == (97, 128, 3)


def test_pillow_replaces_simplejpeg(tmp_path, monkeypatch):
    rgb = next(room_frames(1))[0].rgb
    images.write_rgb(tmp_path / "a.jpg", rgb)
    fast = images.read_rgb(tmp_path / "a.jpg")
    monkeypatch.setattr(images, "simplejpeg", None)
    assert np.abs(images.read_rgb(tmp_path / "a.jpg").astype(int) - fast).max() <= 2
    images.write_rgb(tmp_path / "b.jpg", rgb)
    assert np.abs(images.read_rgb(tmp_path / "b.jpg").astype(int) - rgb).max() <= 4


def test_the_size_of_an_image_is_checked_before_memory_is_taken(tmp_path):
    """Headers that say 65,500 x 65,500 pixels; the sums of the PNG are right."""
    images.write_rgb(tmp_path / "a.jpg", np.zeros((8, 8, 3), np.uint8))
    jpeg = bytearray((tmp_path / "a.jpg").read_bytes())
    at = jpeg.index(b"\xff\xc0") + 5
    jpeg[at : at + 4] = struct.pack(">2H", 65500, 65500)
    images.write_uint16(tmp_path / "a.png", np.zeros((8, 8), np.uint16))
    png = (tmp_path / "a.png").read_bytes()
    head = b"IHDR" + struct.pack(">2I", 65500, 65500) + png[24:29]
    large = png[:12] + head + struct.pack(">I", zlib.crc32(head)) + png[33:]
    (tmp_path / "a.jpg").write_bytes(jpeg)
    (tmp_path / "a.png").write_bytes(large)
    for read in (
        lambda: images.read_rgb(tmp_path / "a.jpg"),
        lambda: images.read_rgb(tmp_path / "a.png"),
        lambda: images.read_uint16(tmp_path / "a.png"),
        lambda: images.image_size(tmp_path / "a.png"),
    ):
        with pytest.raises(BadInput, match="a.(jpg|png): cannot be decoded .*(pixels|size)"):
            read()


@pytest.mark.parametrize("head", [b"P5 4 nan 255\n", b"P5 " + b"9" * 5000, b"P5 4 2 {}\n"])
def test_a_broken_head_of_any_format_is_refused(tmp_path, head):
    (tmp_path / "a.pgm").write_bytes(head)
    with pytest.raises(BadInput, match="a.pgm"):
        images.image_size(tmp_path / "a.pgm")
