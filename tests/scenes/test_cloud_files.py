"""Clouds in files of many programs: what was put in comes out, or the error says what to do."""

import logging
import re
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from support import cloud_writers

from wsss_ros.scenes import ply
from wsss_ros.scenes.cloud_files import SUFFIXES, CloudFile, is_cloud_file, open_cloud
from wsss_ros.scenes.cloud_files.columns import cloud_of_columns, role_of, to_bytes
from wsss_ros.types import BadInput

XYZ = np.array([[0.5, -1.25, 2], [3, 4.5, -0.75], [7, 0, 1]])
RGB = np.array([[255, 0, 51], [0, 102, 255], [1, 2, 3]], np.uint8)
IDS = np.array([3, 40, 255])
STYLES = ("ascii", "binary_little_endian", "binary_big_endian")


def opened(tmp_path, name: str, data: bytes | str, **options) -> CloudFile:
    path = tmp_path / name
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return open_cloud(path, **options)


def check(found: CloudFile, ids: bool = True, rgb: bool = True) -> None:
    np.testing.assert_allclose(found.cloud.xyz, XYZ, rtol=1e-6)
    assert (found.cloud.rgb is not None) == rgb and (found.ids is not None) == ids
    if rgb:
        np.testing.assert_array_equal(found.cloud.rgb, RGB)
    if ids:
        np.testing.assert_array_equal(found.ids, IDS)


def rows(**columns: np.ndarray) -> np.ndarray:
    found = np.empty(len(XYZ), [(name, column.dtype) for name, column in columns.items()])
    for name, column in columns.items():
        found[name] = column
    return found


def axes(code: str = "f4") -> dict[str, np.ndarray]:
    return {axis: XYZ[:, at].astype(code) for at, axis in enumerate("xyz")}


def colors(names: str = "red green blue", code: str = "u1", factor: float = 1) -> dict[str, np.ndarray]:
    return {name: (RGB[:, at].astype(float) * factor).astype(code) for at, name in enumerate(names.split())}


# --- PLY ---


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("code", ["f4", "f8"])
@pytest.mark.parametrize(
    "of_color",
    [("red green blue", "u1", 1), ("diffuse_red diffuse_green diffuse_blue", "u2", 257), ("r g b", "f4", 1 / 255)]
    + [("Red Green Blue", "f8", 1), ("red green blue", "i4", 1), ("scalar_R scalar_G scalar_B", "u2", 1)],
)  # fmt: skip
def test_ply_of_any_type_and_name(tmp_path, style, code, of_color):
    vertices = rows(**colors(*of_color), **axes(code), label=IDS.astype("u2"))
    check(opened(tmp_path, "a.ply", cloud_writers.ply(vertices, style, comment="made elsewhere")))


@pytest.mark.parametrize("code", ["u1", "i2", "u2", "i4", "u4", "f4", "f8"])
@pytest.mark.parametrize("name", ["label", "scalar_Label", "class", "semantic", "Classification"])
def test_ply_labels_of_any_type(tmp_path, code, name):
    check(
        opened(tmp_path, "a.ply", cloud_writers.ply(rows(**axes(), **{name: IDS.astype(code)}), STYLES[1])), rgb=False
    )


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("lengths", [(3, 3), (3, 5), (5, 3)])
def test_ply_lists_before_the_vertices(tmp_path, style, lengths):
    before = "element camera 1\nproperty double f\nelement face 2\n"
    before += "property list uchar int vertex_indices\nproperty uchar flag"
    if style == "ascii":
        data = b"1.5\n" + b"".join(b" ".join(map(b"%d".__mod__, (n, *range(n), 9))) + b"\n" for n in lengths)
    else:
        order = "<" if "little" in style else ">"
        data = struct.pack(f"{order}d", 1.5) + b"".join(struct.pack(f"{order}B{n}iB", n, *range(n), 9) for n in lengths)
    vertices = rows(**axes(), **colors())
    check(opened(tmp_path, "a.ply", cloud_writers.ply(vertices, style, before, data)), ids=False)
    with pytest.raises(BadInput, match="b.ply.*cut short"):
        opened(tmp_path, "b.ply", cloud_writers.ply(vertices, style, before, data)[:-1].rstrip(b"\n0123456789. "))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("lengths", [(2, 2, 2), (0, 3, 1)])
def test_ply_lists_within_the_vertices(tmp_path, style, lengths):
    header = f"ply\nformat {style} 1.0\nelement vertex 3\nproperty float x\nproperty list uchar short near\n"
    header += "property float y\nproperty float z\nproperty int label\nend_header\n"
    order = ">" if "big" in style else "<"
    parts = []
    for (x, y, z), length, number in zip(XYZ.tolist(), lengths, IDS.tolist(), strict=True):
        near = range(5, 5 + length)
        plain = f"{x} {length} {' '.join(map(str, near))} {y} {z} {number}\n".encode()
        parts.append(
            plain if style == "ascii" else struct.pack(f"{order}fB{length}hffi", x, length, *near, y, z, number)
        )
    check(opened(tmp_path, "a.ply", header.encode() + b"".join(parts)), rgb=False)
    with pytest.raises(BadInput, match="cut short"):
        opened(tmp_path, "a.ply", header.encode() + b"".join(parts[:2]))


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ply_line_ends(tmp_path, end):
    for style in STYLES:
        check(opened(tmp_path, "a.ply", cloud_writers.ply(rows(**axes(), **colors()), style, end=end)), ids=False)


def test_ply_numbers_that_their_type_cannot_hold(tmp_path):
    header = "ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nproperty float y\nproperty float z\n"
    header += "property uchar label\nend_header\n"
    assert opened(tmp_path, "a.ply", header + "1 2 3 -1\n").ids.tolist() == [255]
    for text in ("0.5", "256", "nan"):
        with pytest.raises(BadInput, match=f"a.ply: property 'label' is {text} at vertex 0; a uchar cannot be that"):
            opened(tmp_path, "a.ply", header + f"1 2 3 {text}\n")


def test_ply_sizes_are_checked_before_memory_is_taken(tmp_path):
    for style in STYLES:
        for extra in ("", "property list uchar int near\n"):
            header = (
                f"ply\nformat {style} 1.0\nelement vertex 4000000000000\nproperty float x\n{extra}end_header\n1 0\n"
            )
            with pytest.raises(BadInput, match="cut short"):
                opened(tmp_path, "a.ply", header)


# --- PCD ---


@pytest.mark.parametrize("style", ["ascii", "binary", "binary_compressed"])
@pytest.mark.parametrize("code", ["f4", "f8"])
@pytest.mark.parametrize("color", ["float", "uint", "rgba", "channels"])
def test_pcd(tmp_path, style, code, color):
    packed = (RGB.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)).astype(np.uint32)
    of_color = {
        "float": [("rgb", packed.view(np.float32))],
        "uint": [("rgb", packed)],
        "rgba": [("rgba", packed | np.uint32(0xFF000000))],
        "channels": list(colors("r g b").items()),
    }[color]
    columns = [("_", np.zeros((3, 4), np.uint8)), *axes(code).items(), *of_color, ("fpfh", np.ones((3, 5), np.float32))]
    columns.append(("label", IDS.astype(np.uint32)))
    check(opened(tmp_path, "a.pcd", cloud_writers.pcd(columns, style)))


def test_pcd_packed_colours_as_a_plain_number_in_text(tmp_path):
    head = "VERSION .7\nFIELDS x y z rgb\nSIZE 4 4 4 4\nTYPE F F F F\nCOUNT 1 1 1 1\n"
    head += "WIDTH 2\nHEIGHT 1\nPOINTS 2\nDATA ascii\n"
    bits = repr(float(np.array(4210752, np.uint32).view(np.float32)))
    for written in ("4.210752e+06", "4210752", bits):
        found = opened(tmp_path, "a.pcd", f"{head}1 2 nan {written}\n0 0 0 0\n")
        assert found.cloud.rgb.tolist() == [[64, 64, 64], [0, 0, 0]]
        assert np.isnan(found.cloud.xyz[0, 2]) and len(found.cloud) == 2


@given(st.binary(max_size=3000) | st.integers(1, 40).map(lambda n: b"abcdefg\0" * n + b"x" * 300 * n))
@settings(max_examples=50, deadline=None)
def test_lzf_round_trip(tmp_path_factory, data):
    from wsss_ros.scenes.cloud_files import pcd

    packed = np.frombuffer(cloud_writers.lzf(data), np.uint8)
    unpacked = np.empty(len(data), np.uint8)
    assert pcd._lzf(pcd.readonly(packed), unpacked) == len(data) and unpacked.tobytes() == data
    if len(data) > 1:
        assert pcd._lzf(pcd.readonly(packed), unpacked[:-1]) == -1


@pytest.mark.parametrize("style", ["ascii", "binary", "binary_compressed"])
def test_pcd_cut_short_or_broken(tmp_path, style):
    whole = cloud_writers.pcd([*axes().items(), ("label", IDS.astype(np.uint8))], style)
    start = whole.index(b"DATA")
    for size in (0, 10, start - 5, start + 3, len(whole) - 9, len(whole) - 12):
        with pytest.raises(BadInput, match="a.pcd"):
            opened(tmp_path, "a.pcd", whole[:size])
    for change in (
        (b"POINTS 3", b"POINTS 4"),
        (b"WIDTH 3", b"WIDTH 9"),
        (b"TYPE F", b"TYPE Q"),
        (b"SIZE 4", b"SIZE 3"),
    ):
        with pytest.raises(BadInput, match="a.pcd"):
            opened(tmp_path, "a.pcd", whole.replace(*change))
    huge = whole.replace(b"POINTS 3", b"POINTS 3000000000").replace(b"WIDTH 3", b"WIDTH 3000000000")
    with pytest.raises(BadInput, match="a.pcd"):
        opened(tmp_path, "a.pcd", huge)


# --- arrays and text ---


def table(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate([np.asarray(part, np.float64).reshape(3, -1) for part in parts], axis=1)


def text_of(values: np.ndarray, separator: str = " ", head: str = "") -> str:
    return head + "".join(separator.join(f"{value:.10g}" for value in row) + "\n" for row in values)


def test_arrays(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, points=XYZ, colors=RGB / 255, labels=IDS)
    check(open_cloud(path))
    np.savez_compressed(path, xyz=XYZ.astype(np.float32), rgb=RGB, semantic=IDS.astype(np.uint8)[:, None])
    check(open_cloud(path))
    np.savez(path, **axes(), **colors(), label=IDS)
    check(open_cloud(path))
    np.savez(path, table(XYZ, RGB))
    check(open_cloud(path), ids=False)
    np.save(tmp_path / "a.npy", table(RGB, XYZ, IDS).astype(np.float32))
    check(open_cloud(tmp_path / "a.npy", columns="r g b x y z label"))
    np.save(tmp_path / "a.npy", rows(**axes("f8"), **colors(), label=IDS))
    check(open_cloud(tmp_path / "a.npy"))
    np.save(tmp_path / "a.npy", XYZ.T.copy(order="F").T)
    check(open_cloud(tmp_path / "a.npy"), rgb=False, ids=False)


def test_broken_arrays(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, np.array([{}, 1], object))
    with pytest.raises(BadInput, match="a.npy.*expected numbers"):
        open_cloud(path)
    np.save(path, XYZ)
    whole = path.read_bytes()
    for data in (
        whole[:-1],
        b"",
        whole[:20],
        whole.replace(b"(3, 3)", b"(9, 9)"),
        whole.replace(b"<f8", b"<q8"),
        whole.replace(b"}", b"("),
    ):
        path.write_bytes(data)
        with pytest.raises(BadInput, match="a.npy"):
            open_cloud(path)
    np.savez(tmp_path / "a.npz", points=XYZ, labels=IDS[:2])
    with pytest.raises(BadInput, match="'labels' is \\(2,\\), and there are 3 points"):
        open_cloud(tmp_path / "a.npz")
    np.savez(tmp_path / "a.npz", mean=XYZ, var=XYZ)
    with pytest.raises(BadInput, match=r"has mean \(3, 3\), var \(3, 3\); expected points"):
        open_cloud(tmp_path / "a.npz")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-8-sig"])
@pytest.mark.parametrize(
    ("name", "text", "options"),
    [
        ("a.xyz", text_of(table(XYZ, RGB, IDS)), {"columns": "x,y,z,r,g,b,label"}),
        ("a.txt", text_of(table(IDS, XYZ[:, ::-1], RGB)), {"columns": "label z y x r g b"}),
        ("a.txt", text_of(table(XYZ, IDS, RGB), head="//X Y Z Scalar_label R G B\n"), {}),
        ("a.txt", text_of(table(XYZ, RGB, IDS), "\t", "# made by hand\n# x\ty\tz\tr\tg\tb\tclass\n"), {}),
        ("a.csv", text_of(table(RGB / 255, [0, 1, 2], XYZ, IDS), ",", '"R","G","B","time","X","Y","Z","Label"\n'), {}),
        ("a.csv", text_of(table(XYZ, RGB, IDS), ";", "x;y;z;red;green;blue;label\n").replace(".", ","), {}),
        ("a.csv", text_of(table(XYZ, RGB, IDS), ", ", "x, y, z, red, green, blue, label\n").replace("\n", "\r\n"), {}),
    ],
)  # fmt: skip
def test_text(tmp_path, name, text, options, encoding):
    check(opened(tmp_path, name, text.encode(encoding), **options))


def test_columns_without_names_are_found_by_their_values(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    normals = np.array([[0.6, 0.8, 0], [0, 0.6, -0.8], [0.6, 0, 0.8]])
    check(opened(tmp_path, "a.xyz", text_of(XYZ)), rgb=False, ids=False)
    check(opened(tmp_path, "a.txt", text_of(table(XYZ, RGB))), ids=False)
    check(opened(tmp_path, "a.txt", text_of(table(XYZ, RGB / 255))), ids=False)
    check(opened(tmp_path, "a.txt", text_of(table(XYZ, normals))), rgb=False, ids=False)
    check(opened(tmp_path, "a.txt", text_of(table(XYZ, normals, RGB))), ids=False)
    check(opened(tmp_path, "a.txt", text_of(table(XYZ, [-7, 0.5, 3], RGB))), ids=False)
    check(opened(tmp_path, "a.pts", text_of(table(XYZ, IDS, RGB), head="3\n")), ids=False)
    assert "columns are taken as 'x y z - red green blue'" in caplog.text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            text_of(table(XYZ, RGB, IDS)),
            "7 columns without names, and 'x y z r g b -' and 'x y z - r g b' both fit; say",
        ),
        (text_of(table(XYZ, [[0, 0, 1]] * 3)), "'x y z r g b' and 'x y z nx ny nz' both fit"),
        (text_of(table(XYZ, -RGB.astype(float))), "no usual order fits"),
        ("1 2\n3 4\n", "2 columns without names, and no usual order fits"),
        ("1 2 3\n4 five 6\n", "line 2: '4 five 6'; expected 3 numbers"),
        ("1 2 3\n\n4 5\n", "line 3: '4 5'; expected 3 numbers"),
        ("9\n1 2 3\n4 5 6\n", "2 rows, and its first line says 9"),
        ("a b c\n1 2 3\n", "the heading is 'a b c'; expected x, y and z"),
        ("", "has no rows"),
        ("# x y z\n", "has no rows"),
        ("x y z\n", "has no rows after its heading"),
        ("a x y z\n1 2 3\n4 5 6\n", "line 2: '1 2 3'; expected 4 numbers"),
        ("nan nan nan\n", "none of its 1 points is finite"),
    ],
)
def test_text_that_is_refused(tmp_path, text, words):
    with pytest.raises(BadInput, match="a.txt.*"):
        opened(tmp_path, "a.txt", text)
    with pytest.raises(BadInput) as error:
        opened(tmp_path, "a.txt", text)
    assert words in str(error.value)


@pytest.mark.parametrize("columns", ["x y z", "x y z r g b label -", "x y z r g b x", "a b c d e f g"])
def test_columns_that_do_not_fit(tmp_path, columns):
    with pytest.raises(BadInput, match="a.txt"):
        opened(tmp_path, "a.txt", text_of(table(XYZ, RGB, IDS)), columns=columns)


def test_columns_are_for_formats_without_names(tmp_path):
    ply.write(tmp_path / "a.ply", rows(**axes()))
    with pytest.raises(BadInput, match="its columns have names"):
        open_cloud(tmp_path / "a.ply", columns="x y z")


# --- units, colours, roles ---


def test_the_unit_is_told_by_the_size(tmp_path, caplog):
    caplog.set_level(logging.INFO)
    room = np.random.default_rng(0).uniform(0, (4, 5, 2.6), (500, 3))
    check_room = lambda found: np.testing.assert_allclose(found.cloud.xyz, room, rtol=1e-5, atol=1e-6)  # noqa: E731
    size = r"3\.9\d x 4\.\d+ x 2\.5\d m with --unit"
    for unit, factor in (("mm", 1000), ("cm", 100)):
        text = text_of(room * factor)
        with pytest.raises(BadInput, match=f"a.xyz: spans .* if its coordinates are metres.* it is {size} {unit}"):
            opened(tmp_path, "a.xyz", text)
        check_room(opened(tmp_path, "a.xyz", text, unit=unit))
    check_room(opened(tmp_path, "a.xyz", text_of(room)))
    assert "500 points, spans 3.9" in caplog.text
    room[:, 2] *= 2.4 / 2.6
    for unit, factor in (("in", 1 / 0.0254), ("ft", 1 / 0.3048), ("dm", 10)):
        caplog.clear()
        text = text_of(room * factor)
        check_room(opened(tmp_path, "a.xyz", text, unit=unit))
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
        opened(tmp_path, "a.xyz", text)
        assert re.search(rf"it is a room of .*3.9\d x 4.8\d x 2.3\d m with --unit {unit}(, or|; say)", caplog.text)
    opened(tmp_path, "a.xyz", text_of(room / 1000))
    assert "spans only" in caplog.text
    with pytest.raises(BadInput, match="unit 'yards'; expected auto or one of m,"):
        opened(tmp_path, "a.xyz", text_of(room), unit="yards")
    assert opened(tmp_path, "a.xyz", text_of(1000 * room), unit="m").cloud.xyz.max() > 4000


def test_a_cloud_far_from_the_origin_keeps_its_digits(tmp_path):
    far = XYZ + [500_000, 4_649_776, 213]
    found = opened(tmp_path, "a.ply", cloud_writers.ply(rows(x=far[:, 0], y=far[:, 1], z=far[:, 2]), STYLES[2]))
    np.testing.assert_array_equal(found.cloud.xyz, far)


@given(hnp.arrays(np.uint8, (7, 3)), st.sampled_from(["f4", "f8", "u2", "i4"]))
def test_colours_of_any_type_round_trip(rgb, code):
    assert (to_bytes("a", rgb.astype(code)) == rgb).all() or rgb.max() <= 1
    if rgb.max() > 0:
        np.testing.assert_array_equal(to_bytes("a", (rgb / 255).astype("f8")), rgb)
    if rgb.max() > 1:
        np.testing.assert_array_equal(to_bytes("a", rgb.astype(np.uint16) * 257), rgb)


def test_odd_columns(caplog):
    caplog.set_level(logging.INFO)
    assert [role_of(name) for name in ("Scalar_Label", "POS-X", "nx", "intensity")] == ["label", "x", None, None]
    with pytest.raises(BadInput, match="a: no column z; it has x, y"):
        cloud_of_columns("a", {"x": XYZ[0], "y": XYZ[1]})
    with pytest.raises(BadInput, match="of the colours it has only red, blue"):
        cloud_of_columns("a", {**axes(), "red": RGB[:, 0], "blue": RGB[:, 1]})
    with pytest.raises(BadInput, match="colours of -1 to 5; expected 0..1, 0..255 or 0..65535"):
        to_bytes("a", np.array([[-1.0, 5, 0]]))
    found = cloud_of_columns("a", {**axes(), "class": IDS, "label": IDS / 2, "semantic": IDS})
    assert found.ids is None and "'label' is not read as classes: 1.5" in caplog.text
    assert "'label' is taken for the label; also there: semantic, class" in caplog.text
    assert cloud_of_columns("a", {**axes(), "label": np.array([1, np.nan, 3])}).ids.tolist() == [1, -1, 3]


def test_paths(tmp_path):
    assert not is_cloud_file(tmp_path) and not is_cloud_file(tmp_path / "a.ply")
    with pytest.raises(BadInput, match="no such file; expected a cloud, a file with one of .ply, .pcd"):
        open_cloud(tmp_path / "a.ply")
    with pytest.raises(BadInput, match="a folder; expected"):
        open_cloud(tmp_path)
    (tmp_path / "a.e57").write_bytes(b"")
    with pytest.raises(BadInput, match="not a known kind of cloud"):
        open_cloud(tmp_path / "a.e57")
    for suffix in SUFFIXES:
        for data in (b"", b"\0" * 50, bytes(range(256)), b"\xff\xfe\x00"):
            (tmp_path / f"b{suffix}").write_bytes(data)
            with pytest.raises(BadInput, match=f"b{suffix}"):
                open_cloud(tmp_path / f"b{suffix}")


# --- LAS ---


@pytest.mark.parametrize("suffix", ["las", "laz"])
@pytest.mark.parametrize("eight_bits", [False, True])
def test_las(tmp_path, suffix, eight_bits):
    laspy = pytest.importorskip("laspy", reason="laspy is not installed: pip install wsss_ros[las]")
    file = laspy.create(point_format=7, file_version="1.4")
    file.header.scales, file.header.offsets = [0.001] * 3, [0, 0, 0]
    file.add_extra_dim(laspy.ExtraBytesParams(name="label", type=np.uint16))
    file.x, file.y, file.z = XYZ.T
    file.red, file.green, file.blue = RGB.T.astype(np.uint16) * (1 if eight_bits else 257)
    file.label = IDS
    file.classification[:] = 6
    path = tmp_path / f"a.{suffix}"
    file.write(path)
    check(open_cloud(path))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(BadInput, match="a.la"):
        open_cloud(path)


def test_las_without_laspy_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "laspy", None)
    with pytest.raises(BadInput, match="a.laz: LAS files need laspy; install it: pip install"):
        opened(tmp_path, "a.laz", b"LASF")


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.pts", b"9" * 5000 + b"\n1 2 3 0 255 0 7\n1 2 3 0 255 0 7\n"),
        ("a.npy", b"\x93NUMPY\1\0\x78\x1e" + b"(" * 7800),
        ("a.npy", b"\x93NUMPY\1\0\x76\0" + b"{'descr': '<f4'" + b" " * 103),
        ("a.csv", b"a,x,y,z\n1,2\n3,4\n"),
    ],
)
def test_damage_at_the_start_is_refused(tmp_path, name, data):
    with pytest.raises(BadInput, match=name):
        opened(tmp_path, name, data)
