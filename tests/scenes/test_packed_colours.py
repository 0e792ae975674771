"""Colours packed into one number: exact ones are read to the bit in silence, ones that lost digits are told."""

import logging

import numpy as np
import pytest

from wsss_ros.scenes.cloud_files import open_cloud

XYZ = np.random.default_rng(0).uniform(0, (4, 3, 2.5), (300, 3))
RGB = np.random.default_rng(1).integers(0, 256, (300, 3)).astype(np.uint8)
GREY = np.repeat(np.arange(300, dtype=np.uint8)[:, None], 3, axis=1)
PALETTE = np.array([(174, 199, 232), (152, 223, 138), (255, 0, 0)], np.uint8)[np.arange(300) % 3]


def warnings(caplog) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def bits(rgb, alpha: int) -> np.ndarray:
    return (np.uint32(alpha << 24) | (rgb.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32))).astype(
        np.uint32
    )


def write(path, numbers, code: str, form: str):
    """A text file of points with one packed number: PCD, PLY or plain columns with a heading."""
    head = {
        ".pcd": "VERSION .7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F {code}\nCOUNT 1 1 1 1\nWIDTH {n}\nHEIGHT 1\n"
        "POINTS {n}\nDATA ascii\n",
        ".ply": "ply\nformat ascii 1.0\nelement vertex {n}\nproperty float x\nproperty float y\nproperty float z\n"
        "property {name} rgb\nend_header\n",
        ".txt": "x y z rgb\n",
    }[path.suffix].format(n=len(numbers), code=code, name={"F": "float", "U": "uint"}[code])
    rows = (f"{x:.4f} {y:.4f} {z:.4f} {form % number}\n" for (x, y, z), number in zip(XYZ, numbers, strict=True))
    path.write_text(head + "".join(rows))
    return path


@pytest.mark.parametrize("rgb", [RGB, GREY, PALETTE], ids=["any", "grey", "palette"])
@pytest.mark.parametrize("form", ["%.9g", "%.8e"])
@pytest.mark.parametrize("suffix", [".pcd", ".ply", ".txt"])
def test_floats_with_all_their_digits(tmp_path, caplog, rgb, form, suffix):
    numbers = bits(rgb, 0).view(np.float32).astype(np.float64)
    found = open_cloud(write(tmp_path / f"a{suffix}", numbers, "F", form)).cloud
    np.testing.assert_array_equal(found.rgb, rgb)
    assert not warnings(caplog)


@pytest.mark.parametrize("alpha", [0, 255])
@pytest.mark.parametrize("suffix", [".pcd", ".ply", ".txt"])
def test_whole_numbers(tmp_path, caplog, alpha, suffix):
    for rgb in (RGB, GREY, PALETTE, np.full_like(RGB, (255, 0, 0)), np.full_like(RGB, (0, 255, 0)), np.zeros_like(RGB)):
        found = open_cloud(write(tmp_path / f"a{suffix}", bits(rgb, alpha), "U", "%d")).cloud
        np.testing.assert_array_equal(found.rgb, rgb)
    assert not warnings(caplog)


@pytest.mark.parametrize("rgb", [RGB, GREY, PALETTE, np.full_like(RGB, (200, 17, 3))])
@pytest.mark.parametrize("form, digits", [("%g", 6), ("%.5g", 5)])
@pytest.mark.parametrize("suffix", [".pcd", ".ply", ".txt"])
def test_floats_with_few_digits_are_told(tmp_path, caplog, rgb, form, digits, suffix):
    numbers = bits(rgb, 0).view(np.float32).astype(np.float64)
    found = open_cloud(write(tmp_path / f"a{suffix}", numbers, "F", form)).cloud
    red = (found.rgb[:, 0] - rgb[:, 0]).astype(np.int8)  # 255 and more becomes 0
    assert (found.rgb[:, 2] != rgb[:, 2]).mean() > 0.5 and np.abs(red).max() <= 1
    (text,) = warnings(caplog)
    assert f"written with {digits} digits, which do not tell colours apart: blue" in text
    assert "write rgb as whole numbers (TYPE U)" in text


def test_how_far_blue_may_be_off(tmp_path, caplog):
    numbers = bits(RGB, 0).view(np.float32).astype(np.float64)
    found = open_cloud(write(tmp_path / "a.pcd", numbers, "F", "%g")).cloud
    whole = bits(found.rgb, 0).astype(int) - bits(RGB, 0).astype(int)
    stated = int(caplog.text.split("blue may be wrong by up to ")[1].split(" ")[0])
    assert 0.5 * stated < np.abs(whole).max() <= 1.1 * stated


def test_whole_numbers_with_few_digits_and_lost_ones_are_told(tmp_path, caplog):
    open_cloud(write(tmp_path / "a.pcd", bits(RGB, 255).astype(float), "F", "%g"))
    assert "written with 6 digits, which do not tell colours apart: blue and green may be wrong in all" in caplog.text
    caplog.clear()
    with np.errstate(invalid="ignore"):
        numbers = bits(RGB, 255).view(np.float32).astype(np.float64)
    lost = np.isnan(numbers)  # alpha 255 and red from 128 on are the bits of no number
    found = open_cloud(write(tmp_path / "b.pcd", numbers, "F", "%.9g")).cloud
    assert 0 < lost.sum() < 300 and not found.rgb[lost].any()
    np.testing.assert_array_equal(found.rgb[~lost], RGB[~lost])
    assert f"{lost.sum()} of 300 packed colours are written as 'nan' and are lost" in caplog.text
