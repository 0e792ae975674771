"""Depth in every kind of file, in metres; missing depth; files that cannot be depth."""

import sys

import numpy as np
import pytest
from PIL import Image

from wsss_ros.scenes.depth_files import depth_size, implausible, read_depth_m
from wsss_ros.types import BadInput

METRES = np.array([[0, 0.5, 1.25, 2], [3, 4, 5.5, 0]], np.float32)


def _pfm(values: np.ndarray, order: str) -> bytes:
    return f"Pf\n4 2\n{'-1.0' if order == '<' else '1.0'}\n".encode() + values[::-1].astype(f"{order}f4").tobytes()


def _write(path, name: str):
    path = path / name.split(":")[0]
    exact = {"png16": np.uint16, "tif16": np.uint16, "png8": np.uint8}
    kind = name.split(":")[1]
    if kind in exact:
        per_metre = {"png8": 40}.get(kind, 1000)
        Image.fromarray((METRES * per_metre).astype(exact[kind])).save(path)
    elif kind == "tif32":
        Image.fromarray(METRES).save(path)
    elif kind.startswith("npy"):
        np.save(path, (METRES * 1000).astype(np.uint16) if kind == "npy16" else METRES[:, :, None])
    elif kind == "npz":
        np.savez_compressed(path, depth=METRES.astype(np.float64), other=np.zeros(3))
    else:
        path.write_bytes(_pfm(METRES, kind[-1]))
    return path


@pytest.mark.parametrize(
    "name",
    [
        "d.png:png16",
        "d.tif:tif16",
        "d.tiff:tif32",
        "d.npy:npy16",
        "d.npy:npyf",
        "d.npz:npz",
        "d.pfm:pfm<",
        "d.pfm:pfm>",
    ],
)
def test_depth_comes_back_from_every_kind_of_file(tmp_path, name):
    path = _write(tmp_path, name)
    depth_m = read_depth_m(path)
    assert depth_m.dtype == np.float32
    np.testing.assert_allclose(depth_m, METRES, atol=1e-6)
    assert depth_size(path) == (4, 2)


def test_the_scale_of_a_person_is_for_all_and_that_of_a_layout_for_whole_numbers(tmp_path):
    whole, floats = _write(tmp_path, "d.png:png16"), _write(tmp_path, "d.tiff:tif32")
    np.testing.assert_allclose(read_depth_m(whole, integers_per_metre=5000), METRES / 5, atol=1e-6)
    np.testing.assert_allclose(read_depth_m(floats, integers_per_metre=5000), METRES, atol=1e-6)
    np.testing.assert_allclose(read_depth_m(whole, 500), METRES * 2, atol=1e-6)
    np.testing.assert_allclose(read_depth_m(floats, 0.5), METRES * 2, atol=1e-6)


def test_eight_bits_need_a_scale(tmp_path):
    path = _write(tmp_path, "d.png:png8")
    with pytest.raises(BadInput, match="8-bit image; expected depth in 16 bits or floats, or depth_scale"):
        read_depth_m(path)
    np.testing.assert_allclose(read_depth_m(path, 40), METRES, atol=1e-6)


def test_missing_depth_is_zero(tmp_path):
    np.save(tmp_path / "f.npy", np.array([[np.nan, np.inf, -1, 2]], np.float32))
    np.testing.assert_array_equal(read_depth_m(tmp_path / "f.npy"), [[0, 0, 0, 2]])
    Image.fromarray(np.array([[0, 65535, 1000]], np.uint16)).save(tmp_path / "w.png")
    np.testing.assert_array_equal(read_depth_m(tmp_path / "w.png"), [[0, 0, 1]])


def test_what_is_not_depth(tmp_path):
    Image.fromarray(np.zeros((2, 4, 3), np.uint8)).save(tmp_path / "rgb.png")
    Image.fromarray(np.zeros((2, 4), np.uint8)).convert("P").save(tmp_path / "p.png")
    (tmp_path / "cut.png").write_bytes(_write(tmp_path, "d.png:png16").read_bytes()[:40])
    (tmp_path / "cut.pfm").write_bytes(_pfm(METRES, "<")[:-3])
    (tmp_path / "bad.pfm").write_bytes(b"P5 1 1")
    (tmp_path / "bad.npy").write_bytes(b"no")
    np.save(tmp_path / "o.npy", np.array([{}]), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=METRES, b=METRES)
    reasons = {
        "rgb.png": "one channel",
        "p.png": "colour indices",
        "cut.png": "cannot be decoded",
        "o.npy": "of object",
    }
    reasons |= {"cut.pfm": "29 bytes of numbers; expected 32", "bad.pfm": "PFM header", "bad.npy": "cannot be read"}
    reasons |= {"two.npz": "arrays a, b; expected one", "none.png": "cannot be read"}
    for name, reason in reasons.items():
        with pytest.raises(BadInput, match=f"{name}.*{reason}"):
            read_depth_m(tmp_path / name)


def test_sizes_are_checked_before_memory_is_taken(tmp_path):
    with open(tmp_path / "d.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (2, 1 << 40)})
    (tmp_path / "header.npy").write_bytes(b"\x93NUMPY\2\0\xff\xff\xff\xff" + bytes(64))
    (tmp_path / "d.pfm").write_bytes(b"Pf\n" + b"9" * 5000 + b" 2\n-1.0\n")
    for name in ("d.npy", "header.npy", "d.pfm"):
        with pytest.raises(BadInput, match=name):
            read_depth_m(tmp_path / name)


def test_damaged_archives(tmp_path):
    np.savez(tmp_path / "d.npz", depth=METRES)
    whole = (tmp_path / "d.npz").read_bytes()
    for data in (whole[:-30], b"x" + whole[1:], whole[:60] + b"?" + whole[61:], b""):
        (tmp_path / "d.npz").write_bytes(data)
        with pytest.raises(BadInput, match="d.npz: .*"):
            read_depth_m(tmp_path / "d.npz")


def test_exr(tmp_path, monkeypatch):
    open_exr = pytest.importorskip("OpenEXR", reason="the extra exr is not installed")
    header = {"compression": open_exr.ZIP_COMPRESSION, "type": open_exr.scanlineimage}
    for channels in ({"Z": METRES}, {"R": METRES, "G": METRES, "B": METRES}, {"V": METRES.astype(np.float16)}):
        with open_exr.File(header, {name: open_exr.Channel(values) for name, values in channels.items()}) as file:
            file.write(str(tmp_path / "d.exr"))
        np.testing.assert_allclose(read_depth_m(tmp_path / "d.exr"), METRES, atol=1e-6)
    (tmp_path / "d.exr").write_bytes(b"no")
    with pytest.raises(BadInput, match="d.exr: cannot be read"):
        read_depth_m(tmp_path / "d.exr")


def test_exr_without_its_package(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    (tmp_path / "d.exr").write_bytes(b"")
    with pytest.raises(BadInput, match="d.exr: EXR files need the package OpenEXR, .*pip install"):
        read_depth_m(tmp_path / "d.exr")


@pytest.mark.parametrize(("depth_m", "told"), [(0.1, True), (0.2, False), (14, False), (16, True), (0, False)])
def test_a_median_that_no_room_has(depth_m, told):
    text = implausible(np.full((3, 4), depth_m, np.float32), "1000 values per metre")
    assert bool(text) == told and (not told or "read with 1000 values per metre" in text)
