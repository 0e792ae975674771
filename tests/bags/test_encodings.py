"""Colour of every encoding of the table, raw and compressed, against readers that take one pixel at a time."""

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Picture
from reference import encodings as reference
from support.messages import FAMILIES, of_family

from wsss_ros.bags import cdr, codec
from wsss_ros.bags.raw_colors import demosaic, to_8_bit
from wsss_ros.types import BadInput


@pytest.fixture(params=FAMILIES)
def family(request) -> str:
    return request.param


def image(rows: np.ndarray, encoding: str, height: int, width: int, big_endian: bool = False) -> object:
    """An Image whose bytes are these rows, padding included."""
    made = cdr.image_message(cdr.header(7, "camera"), np.zeros((height, width), np.uint8), "mono8")
    made.encoding, made.step, made.data = encoding, rows.shape[1] * rows.itemsize, rows.reshape(-1).view(np.uint8)
    made.is_bigendian = int(big_endian)
    return made


def noise(*shape: int, seed: int = 0, kind: type = np.uint8) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, np.iinfo(kind).max + 1, shape, dtype=kind)


def test_the_table_has_what_drivers_publish():
    colors = {name for name, each in codec.ENCODINGS.items() if each.color}
    bayer = {f"bayer_{pattern}{bits}" for pattern in reference.BAYER for bits in (8, 16)}
    plain = {"rgb8", "bgr8", "rgba8", "bgra8", "mono8", "mono16", "8UC1", "8UC3", "8UC4"}
    assert colors >= plain | bayer | set(reference.PACKED) | set(reference.PAIRS)
    depths = {name for name, each in codec.ENCODINGS.items() if each.steps_per_metre}
    assert depths == {"16UC1", "mono16", "32FC1", "64FC1"}


# --- YUV -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", reference.PACKED)
def test_packed_yuv(encoding, padding, family):
    rows = noise(5, 2 * 8 + padding)
    read = codec.image_to_rgb(of_family(image(rows, encoding, 5, 8), family))
    expected = reference.packed(rows.tobytes(), encoding, 5, 8, rows.shape[1])
    np.testing.assert_allclose(read.astype(int), expected, atol=1)


@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", reference.PAIRS)
def test_planar_yuv(encoding, padding, family):
    rows = noise(6 * 3 // reference.PAIRS[encoding][1], 8 + padding)
    read = codec.image_to_rgb(of_family(image(rows, encoding, 6, 8), family))
    expected = reference.planar(rows.tobytes(), encoding, 6, 8, rows.shape[1])
    np.testing.assert_allclose(read.astype(int), expected, atol=1)


@pytest.mark.parametrize("encoding", reference.PAIRS)
def test_a_height_that_counts_both_planes_and_a_step_that_counts_both(encoding):
    rows = noise(6 * 3 // reference.PAIRS[encoding][1], 8)
    usual = codec.image_to_rgb(image(rows, encoding, 6, 8))
    np.testing.assert_array_equal(codec.image_to_rgb(image(rows, encoding, len(rows), 8)), usual)
    wide = image(rows, encoding, 6, 8)
    wide.step = 16
    np.testing.assert_array_equal(codec.image_to_rgb(wide), usual)


def test_white_grey_black_and_red_of_yuv():
    for y, u, v, rgb in ((235, 128, 128, (255, 255, 255)), (16, 128, 128, (0, 0, 0)), (81, 90, 240, (254, 0, 0))):
        pixels = np.full((2, 2, 2), y, np.uint8)
        pixels[..., 0] = u, v
        read = codec.image_to_rgb(image(pixels.reshape(2, 4), "uyvy", 2, 2))
        np.testing.assert_allclose(read.astype(int), np.broadcast_to(rgb, (2, 2, 3)), atol=1)


# --- Bayer and 16 bits -----------------------------------------------------------------------------


@pytest.mark.parametrize("pattern", reference.BAYER)
def test_bayer_in_a_grey_jpeg(pattern, family):
    """image_transport compresses the mosaic as it is, and names it in the format."""
    file = io.BytesIO()
    Picture.fromarray(np.tile(noise(2, 2), (8, 8))).save(file, "JPEG", quality=95)
    data, text = np.frombuffer(file.getvalue(), np.uint8), f"bayer_{pattern}8; jpeg compressed "
    message = cdr.make(cdr.JPEG, header=cdr.header(5, "camera"), format=text, data=data)
    mosaic = np.asarray(Picture.open(file))
    np.testing.assert_array_equal(codec.color_to_rgb(of_family(message, family)), reference.bayer(mosaic, pattern))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", reference.BAYER)
def test_bayer(pattern, bits, family):
    raw = noise(7, 6, kind=np.uint8 if bits == 8 else np.uint16)
    expected = reference.bayer(raw, pattern)
    np.testing.assert_array_equal(demosaic(raw, codec.ENCODINGS[f"bayer_{pattern}8"].red_at), expected)
    for order in "<>":
        rows = np.zeros((7, 9), raw.dtype.newbyteorder(order))
        rows[:, :6] = raw
        message = of_family(image(rows, f"bayer_{pattern}{bits}", 7, 6, order == ">"), family)
        in_8_bit = expected if bits == 8 else np.rint(expected / 257)
        np.testing.assert_array_equal(codec.image_to_rgb(message), in_8_bit)


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 9), st.integers(2, 9), st.sampled_from(sorted(reference.BAYER)), st.integers(0, 2**32 - 1))
def test_bayer_of_any_size(height, width, pattern, seed):
    raw = noise(height, width, seed=seed)
    got = demosaic(raw, codec.ENCODINGS[f"bayer_{pattern}8"].red_at)
    np.testing.assert_array_equal(got, reference.bayer(raw, pattern))


def test_a_mosaic_of_one_colour_is_that_colour():
    rgb = np.broadcast_to(np.array([200, 90, 30], np.uint8), (6, 8, 3))
    for pattern, letters in reference.BAYER.items():
        channel = np.array(["RGB".index(letter) for letter in letters]).reshape(2, 2)
        raw = np.take_along_axis(rgb, np.tile(channel, (3, 4))[..., None], axis=2)[..., 0]
        np.testing.assert_array_equal(codec.image_to_rgb(image(raw, f"bayer_{pattern}8", 6, 8)), rgb)


def test_every_16_bit_sample_goes_to_the_nearest_8_bit_one():
    samples = np.arange(65536, dtype=np.uint16)
    np.testing.assert_array_equal(to_8_bit(samples), np.rint(samples / 257))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("encoding", ["mono16", "rgb16", "bgr16", "rgba16", "bgra16"])
def test_colour_of_16_bits(encoding, order, family):
    channels = codec.ENCODINGS[encoding].channels
    rows = noise(3, 4 * channels + 2, kind=np.uint16).astype(f"{order}u2")
    stored = np.rint(rows[:, : 4 * channels].reshape(3, 4, channels) / 257)
    places = [0, 0, 0] if channels == 1 else [2, 1, 0] if encoding.startswith("bgr") else [0, 1, 2]
    message = of_family(image(rows, encoding, 3, 4, order == ">"), family)
    np.testing.assert_array_equal(codec.image_to_rgb(message), stored[..., places])


@pytest.mark.parametrize("encoding", ["8UC1", "8UC3", "8UC4"])
def test_numbers_of_opencv_are_blue_green_red(encoding, family):
    channels = int(encoding[-1])
    rows = noise(3, 4 * channels + 5)
    stored = rows[:, : 4 * channels].reshape(3, 4, channels)
    expected = stored[..., [0, 0, 0] if channels == 1 else [2, 1, 0]]
    np.testing.assert_array_equal(codec.image_to_rgb(of_family(image(rows, encoding, 3, 4), family)), expected)


@pytest.mark.parametrize(
    "rows, encoding, height, width, text",
    [
        (noise(3, 10), "uyvy", 3, 5, "^YUV size: a width of 5"),
        (noise(3, 6), "uyvy", 3, 4, "^image size: 18 bytes with step 6"),
        (noise(6, 4), "nv12", 5, 4, "^YUV size: 24 bytes with step 4 for 4 x 5 pixels 'nv12'; expected even sides"),
        (noise(9, 5), "nv21", 6, 5, "^YUV size"),
        (noise(8, 4), "nv12", 6, 4, "^YUV size: .*and 36 bytes"),
        (noise(8, 4), "nv24", 4, 4, "^YUV size: .*and 48 bytes"),
        (noise(1, 8), "bayer_rggb8", 1, 8, "^Bayer size: 8 x 1"),
        (noise(4, 8), "16UC1", 4, 4, "^color encoding: got '16UC1'"),
    ],
)
def test_sizes_that_do_not_fit_say_why(rows, encoding, height, width, text, family):
    with pytest.raises(BadInput, match=text):
        codec.image_to_rgb(of_family(image(rows, encoding, height, width), family))


# --- compressed ------------------------------------------------------------------------------------


def compressed(pixels: np.ndarray, text: str, kind: str = "PNG") -> object:
    file = io.BytesIO()
    Picture.fromarray(pixels).save(file, kind, **({"quality": 95} if kind == "JPEG" else {}))
    data = np.frombuffer(file.getvalue(), np.uint8)
    return cdr.make(cdr.JPEG, header=cdr.header(5, "camera"), format=text, data=data)


@pytest.mark.parametrize(
    "text, kind",
    [
        ("rgb8; jpeg compressed bgr8", "JPEG"),
        ("bgr8; jpeg compressed bgr8", "JPEG"),
        ("yuv422_yuy2; jpeg compressed bgr8", "JPEG"),
        ("jpeg", "JPEG"),
        ("", "JPEG"),
        ("rgb8; png compressed bgr8", "PNG"),
        ("bgr8; png compressed ", "PNG"),
        ("png", "PNG"),
    ],
)
def test_colours_are_those_of_the_file_for_every_format_string(text, kind, family):
    rgb = np.full((16, 16, 3), (240, 20, 60), np.uint8)
    read = codec.color_to_rgb(of_family(compressed(rgb, text, kind), family))
    assert np.abs(read.astype(int) - rgb).max() <= (8 if kind == "JPEG" else 0)


def test_a_grey_picture_is_what_its_format_says(family):
    raw = noise(6, 8)
    grey = raw[..., None].repeat(3, axis=2)
    for text, expected in (
        ("mono8; png compressed ", grey),
        ("mono8; jpeg compressed mono8", None),
        ("png", grey),
        ("bayer_grbg8; png compressed ", reference.bayer(raw, "grbg")),
    ):
        message = of_family(compressed(raw, text, "JPEG" if "jpeg" in text else "PNG"), family)
        read = codec.compressed_to_rgb(message)
        if expected is None:
            assert (np.ptp(read, axis=2) == 0).all()
        else:
            np.testing.assert_array_equal(read, expected)


def test_a_grey_png_of_16_bits_is_colour_only_where_its_format_says_so(family):
    raw = noise(6, 8, kind=np.uint16)
    read = codec.compressed_to_rgb(of_family(compressed(raw, "mono16; png compressed "), family))
    np.testing.assert_array_equal(read, np.rint(raw / 257)[..., None].repeat(3, axis=2))
    mosaic = codec.compressed_to_rgb(of_family(compressed(raw, "bayer_rggb16; png compressed "), family))
    np.testing.assert_array_equal(mosaic, np.rint(reference.bayer(raw, "rggb") / 257))
    for text in ("16UC1; png compressed ", "png", ""):
        with pytest.raises(BadInput, match="^compressed image: a PNG of 16 bit samples, which is a depth image"):
            codec.compressed_to_rgb(of_family(compressed(raw, text), family))
