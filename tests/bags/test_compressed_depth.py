"""Compressed depth against a slow encoder of the same formats."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from reference import encodings as reference
from support.messages import FAMILIES, of_family

from wsss_ros.bags import cdr, codec
from wsss_ros.types import BadInput

RANDOM_SETTINGS = bytes(range(12))  # 16UC1 leaves these bytes unset


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    return request.param


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Picture.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def tiff(pixels: np.ndarray, **options) -> bytes:
    file = io.BytesIO()
    Picture.fromarray(pixels).save(file, "TIFF", **options)
    return file.getvalue()


def message(text: str, data: bytes) -> object:
    return cdr.make(cdr.JPEG, header=cdr.header(5, "camera"), format=text, data=np.frombuffer(data, np.uint8))


def millimetres(seed: int = 0) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(1, 9000, (11, 13)).astype(np.uint16)
    pixels[2:5, 3:9] = 0
    return pixels


@pytest.mark.parametrize(
    "text, data",
    [
        ("16UC1; compressedDepth png", RANDOM_SETTINGS + png(millimetres())),
        ("16UC1; compressedDepth", RANDOM_SETTINGS + png(millimetres())),
        ("16UC1", RANDOM_SETTINGS + png(millimetres())),
        ("mono16; compressedDepth png", RANDOM_SETTINGS + png(millimetres())),
        ("16UC1; compressedDepth rvl", RANDOM_SETTINGS + reference.rvl(millimetres())),
        ("16UC1; png compressed ", png(millimetres())),
        ("png", png(millimetres())),
        ("16UC1; tiff compressed ", tiff(millimetres())),
        ("tiff", tiff(millimetres(), compression="tiff_lzw")),
    ],
)
def test_millimetres_are_what_the_raw_image_gives(text, data, family):
    raw = cdr.image_message(cdr.header(5, "camera"), millimetres(), "16UC1")
    for as_on_disk in (False, True):
        read = codec.depth_to_m(of_family(message(text, data), family), as_on_disk)
        np.testing.assert_array_equal(read, codec.image_to_depth_m(raw, as_on_disk))
    np.testing.assert_array_equal(codec.depth_to_m(of_family(raw, family)), codec.image_to_depth_m(raw))


@pytest.mark.parametrize("kind", ["png", "rvl"])
def test_inverse_depth_is_metres(kind, family):
    depth_m = np.random.default_rng(1).uniform(0.3, 9.0, (9, 7))
    depth_m[1, 2:5] = np.nan
    settings_bytes, stored = reference.inverse_depth(depth_m, 100.0, 10.0)
    picture = png(stored) if kind == "png" else reference.rvl(stored)
    text = f"32FC1; compressedDepth {kind}"
    read = codec.depth_to_m(of_family(message(text, settings_bytes + picture), family))
    known = np.isfinite(depth_m)
    assert read.dtype == np.float32 and (read[~known] == 0).all()
    # A step of the picture is a change of depth² / A.
    assert (np.abs(read - depth_m)[known] <= depth_m[known] ** 2 / 10_000 + 1e-6).all()


def test_a_tiff_of_floats_is_metres(family):
    depth_m = np.linspace(0.5, 3, 20, dtype=np.float32).reshape(4, 5)
    depth_m[0, :3] = np.nan, np.inf, -1
    for options in ({}, {"compression": "tiff_lzw"}):
        read = codec.depth_to_m(of_family(message("32FC1; tiff compressed ", tiff(depth_m, **options)), family))
        np.testing.assert_array_equal(read, np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, 0))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 65535) | st.just(0), min_size=1, max_size=60))
def test_rvl_of_any_run(values):
    pixels = np.array([values], np.uint16)
    read = codec.depth_to_m(message("16UC1; compressedDepth rvl", bytes(12) + reference.rvl(pixels)), as_on_disk=True)
    np.testing.assert_array_equal(read, pixels.astype(np.float32) / np.float32(1000))


def test_rvl_by_hand():
    """Two zeros, two values 5 and 4: nibbles 2, 2, a 1 (10 for +5), 1 (for -1); the highest of a word comes first."""
    data = bytes(12) + b"\x04\0\0\0\x01\0\0\0" + bytes.fromhex("0010a122")
    read = codec.depth_to_m(message("16UC1; compressedDepth rvl", data))
    np.testing.assert_allclose(read, [[0, 0, 0.005, 0.004]], rtol=1e-6)


@pytest.mark.parametrize(
    "text, data, reason",
    [
        ("16UC1; compressedDepth png", b"", "of 0 bytes is not depth; expected '16UC1; compressedDepth png'"),
        ("16UC1; compressedDepth png", bytes(40), "cannot be decoded"),
        ("16UC1; compressedDepth png", bytes(12) + png(millimetres())[:60], "cannot be decoded"),
        ("16UC1; compressedDepth png", bytes(12) + png(np.zeros((4, 4), np.uint8)), "a PNG of 8 bits"),
        ("rgb8; jpeg compressed bgr8", bytes(50), "is not depth"),
        ("16UC1; jpeg compressed mono8", bytes(50), "is not depth"),
        ("16UC1; tiff compressed ", b"II*\0" + bytes(50), "a TIFF that cannot be decoded"),
        ("rgb8; tiff compressed ", tiff(np.zeros((4, 4, 3), np.uint8)), "a TIFF of uint8 .*, which is not depth"),
        ("32FC1; png compressed ", png(millimetres()), "with a plain PNG"),
        ("32FC1; compressedDepth png", bytes(12) + png(millimetres()), "parameters A 0.0 and B 0.0"),
        ("16UC1; compressedDepth rvl", bytes(12) + reference.rvl(millimetres())[:60], "ends early"),
        ("16UC1; compressedDepth rvl", bytes(12) + b"\xff" * 40, "it is damaged"),
        ("16UC1; compressedDepth rvl", bytes(14), "RVL of 0 x 0 pixels"),
    ],
)
def test_what_is_not_depth_says_why(text, data, reason, family):
    with pytest.raises(BadInput, match=f"^compressed depth: .*{reason}"):
        codec.depth_to_m(of_family(message(text, data), family))


def test_any_damage_is_told():
    """Every byte changed or left out: depth or a reason, never another error."""
    random = np.random.default_rng(3)
    for text, picture in (("png", png(millimetres())), ("rvl", reference.rvl(millimetres()))):
        whole = bytes(12) + picture
        for _ in range(60):
            data = bytearray(whole[: random.integers(0, len(whole))] if random.random() < 0.3 else whole)
            for _ in range(3 if data else 0):
                data[random.integers(0, len(data))] = random.integers(0, 256)
            assert outcome(f"16UC1; compressedDepth {text}", bytes(data)) in ("depth", "compressed depth")


def outcome(text: str, data: bytes) -> str:
    try:
        codec.depth_to_m(message(text, data))
    except BadInput as error:
        return str(error).partition(":")[0]
    return "depth"


@pytest.mark.parametrize("encoding, kind", [("64FC1", "f8"), ("32FC1", "f4")])
@pytest.mark.parametrize("order", ["<", ">"])
def test_float_depth(encoding, kind, order, family):
    metres = np.array([[1.5, np.nan, -2.0], [np.inf, 0.0, 0.25]]).astype(order + kind)
    raw = cdr.image_message(cdr.header(5, "camera"), metres, encoding)
    raw.is_bigendian = int(order == ">")
    read = codec.depth_to_m(of_family(raw, family))
    np.testing.assert_array_equal(read, [[1.5, 0, 0], [0, 0, 0.25]])
    assert read.dtype == np.float32
