"""PLY files: round trips, foreign property orders, files cut short."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from wsss_ros.scenes import ply
from wsss_ros.types import BadInput

CODES = ["i1", "u1", "i2", "u2", "i4", "u4", "f4", "f8"]


@st.composite
def vertices(draw) -> np.ndarray:
    names = draw(st.lists(st.from_regex(r"[a-z_]{1,8}", fullmatch=True), min_size=1, max_size=6, unique=True))
    dtype = np.dtype([(name, draw(st.sampled_from(CODES))) for name in names])
    count = draw(st.integers(0, 20))
    array = np.empty(count, dtype)
    for name in names:
        array[name] = draw(hnp.arrays(dtype[name], count))
    return array


@settings(max_examples=60, deadline=None)
@given(vertices=vertices(), faces=st.integers(0, 3), ascii=st.booleans())
def test_what_is_written_is_read(tmp_path_factory, vertices, faces, ascii):
    path = tmp_path_factory.mktemp("ply") / "a.ply"
    ply.write(path, vertices, np.arange(3 * faces, dtype=np.int32).reshape(-1, 3), ascii=ascii)
    back = ply.read(path)
    assert back.dtype == vertices.dtype and len(back) == len(vertices)
    for name in vertices.dtype.names:
        np.testing.assert_array_equal(back[name], vertices[name])


def test_open3d_reads_the_same(tmp_path):
    open3d = pytest.importorskip("open3d")
    dtype = [("x", "f4"), ("y", "f4"), ("z", "f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("alpha", "u1")]
    points = np.array([(0.5, -1, 2, 255, 0, 51, 255), (3, 4, 5, 0, 102, 255, 255), (7, 7, 8, 1, 2, 3, 255)], dtype)
    ply.write(tmp_path / "a.ply", points, np.array([[0, 1, 2]], np.int32))
    mesh = open3d.io.read_triangle_mesh(str(tmp_path / "a.ply"))
    np.testing.assert_array_equal(np.asarray(mesh.vertices), [[0.5, -1, 2], [3, 4, 5], [7, 7, 8]])
    np.testing.assert_allclose(np.asarray(mesh.vertex_colors)[0] * 255, [255, 0, 51])
    np.testing.assert_array_equal(np.asarray(mesh.triangles), [[0, 1, 2]])


def test_files_of_other_programs(tmp_path):
    """Other property order and type names, comments, big endian, an element before the vertices, CRLF."""
    rows = np.array([(7, 1.5), (9, -2.0)], [("label", ">u2"), ("x", ">f8")])
    header = (
        "ply\r\nformat binary_big_endian 1.0\r\ncomment made elsewhere\r\nelement camera 1\r\nproperty int id\r\n"
        "element vertex 2\r\nproperty uint16 label\r\nproperty float64 x\r\nend_header\r\n"
    )
    (tmp_path / "a.ply").write_bytes(header.encode() + b"\0\0\0\1" + rows.tobytes())
    back = ply.read(tmp_path / "a.ply")
    assert back.dtype.names == ("label", "x")
    assert back["label"].tolist() == [7, 9] and back["x"].tolist() == [1.5, -2.0]


def test_elements_before_the_vertices_are_passed_over_in_ascii(tmp_path):
    header = "ply\nformat ascii 1.0\nelement camera 2\nproperty int n\nelement vertex 2\nproperty int x\nend_header\n"
    (tmp_path / "a.ply").write_text(header + "8\n9\n15\n25\n")
    assert ply.read(tmp_path / "a.ply")["x"].tolist() == [15, 25]


@pytest.mark.parametrize("ascii", [False, True])
def test_every_cut_is_noticed(tmp_path, ascii):
    ply.write(tmp_path / "a.ply", np.ones(3, [("x", "f4"), ("label", "u2")]), ascii=ascii)
    complete = (tmp_path / "a.ply").read_bytes()
    for size in range(len(complete) - 1):
        (tmp_path / "b.ply").write_bytes(complete[:size])
        with pytest.raises(BadInput, match="b.ply"):
            ply.read(tmp_path / "b.ply")


def test_cut_within_the_faces_is_noticed(tmp_path):
    ply.write(tmp_path / "a.ply", np.zeros(3, [("x", "f4")]), np.array([[0, 1, 2]] * 50, np.int32))
    complete = (tmp_path / "a.ply").read_bytes()
    (tmp_path / "a.ply").write_bytes(complete[:-1])
    with pytest.raises(BadInput, match="cut short"):
        ply.read(tmp_path / "a.ply")


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ("png", "expected 'ply'"),
        ("ply\nformat binary_middle_endian 1.0\nelement vertex 0\nend_header\n", "binary_middle_endian"),
        ("ply\nformat ascii 1.0\nelement face 0\nend_header\n", "expected 'vertex'"),
        ("ply\nformat ascii 1.0\nelement vertex 1\nproperty quaternion q\nend_header\n1\n", "property quaternion q"),
        ("ply\nformat ascii 1.0\nelement vertex 1\nproperty list uchar int i\nend_header\n2 1\n", "cut short"),
        ("ply\nformat ascii 1.0\nelement vertex -1\nend_header\n", "element vertex -1"),
        ("ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\nhello\n", "not a number"),
        ("ply\nformat ascii 1.0\nelement vertex 1\nproperty int x\nproperty int x\nend_header\n", "property int x"),
    ],
)
def test_broken_headers(tmp_path, header, reason):
    (tmp_path / "a.ply").write_text(header)
    with pytest.raises(BadInput, match=reason):
        ply.read(tmp_path / "a.ply")


def test_missing_file_and_odd_types(tmp_path):
    with pytest.raises(BadInput, match="no.ply: cannot be read"):
        ply.read(tmp_path / "no.ply")
    with pytest.raises(BadInput, match="'n' is int64"):
        ply.write(tmp_path / "a.ply", np.zeros(1, [("n", "i8")]))


def test_coloured_vertices_keep_the_type_of_their_positions(tmp_path):
    xyz = np.random.default_rng(0).normal(size=(5, 3)) + [500_000, 4_649_776, 213]
    rgb = np.zeros((5, 3), np.uint8)
    ply.write(tmp_path / "far.ply", ply.colored_vertices(xyz, rgb))
    back = ply.read(tmp_path / "far.ply")
    np.testing.assert_array_equal(np.stack([back[name] for name in "xyz"], 1), xyz)
    assert ply.colored_vertices(xyz.astype(np.float32), rgb).dtype["x"] == np.float32
