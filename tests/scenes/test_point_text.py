"""Point clouds as text: broken lines, and the same numbers as numpy reads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wsss_ros.scenes.point_text import read_points


@pytest.mark.parametrize(
    ("line", "row"),
    [
        (b"22.350 6.692 3.048 185\x00187 182", [22.350, 6.692, 3.048, 185, 187, 182]),  # Area_5/hallway_6, as it is
        (b"0.5 -12.4 2.604 167.\x1000000 175.000000 177.0", [0.5, -12.4, 2.604, 167, 175, 177]),  # Area_2/auditorium_1
        (b"19.302 -9.1\x160 1.785 146 137 106", [19.302, -9.10, 1.785, 146, 137, 106]),  # Area_3/hallway_2
        (b"1e1 2.5E-1 +3 4 5 6", [10, 0.25, 3, 4, 5, 6]),
        (b"1.00000000000000000000001 2 3 4 5 6", [1, 2, 3, 4, 5, 6]),
        (b"22.350 6.692 3.048 185187 182", None),
        (b"1 2 3 4 5", None),
        (b"1 2 3 4 5 6 7", None),
        (b"1 2 3 4 5 256", None),
        (b"1 2 3 -1 5 6", None),
        (b"nan 2 3 4 5 6", None),
        (b"1 2 - 4 5 6", None),
        (b"1 2 3 4 5 6.7.8", None),
        (b"x y z r g b", None),
    ],
)
def test_a_broken_line_is_repaired_or_dropped(tmp_path, caplog, line, row):
    path = tmp_path / "ceiling_1.txt"
    path.write_bytes(b"1 2 3 4 5 6\r\n\n" + line + b"\n-7.5 8 9 10 11 12")
    xyz, rgb = read_points(path)
    expected = np.array([[1, 2, 3, 4, 5, 6], *([row] if row else []), [-7.5, 8, 9, 10, 11, 12]])
    assert np.array_equal(xyz, expected[:, :3].astype(np.float32)) and np.array_equal(rgb, expected[:, 3:])
    assert f"{path}: line 3 {'repaired' if row else 'dropped'}" in caplog.text


def test_text_cut_off_in_a_line(tmp_path, caplog):
    (tmp_path / "wall_1.txt").write_bytes(b"1 2 3 4 5 6\n4 5 6 7")
    assert len(read_points(tmp_path / "wall_1.txt")[0]) == 1 and "line 2 dropped" in caplog.text


def test_many_broken_lines_are_one_warning(tmp_path, caplog):
    (tmp_path / "wall_1.txt").write_bytes(b"1 2 3 4 5 6\n" + b"oh\n" * 1000)
    assert len(read_points(tmp_path / "wall_1.txt")[0]) == 1
    assert "line 2, 3, 4, 5, 6 and 995 more dropped" in caplog.text and len(caplog.records) == 1


@settings(max_examples=40)
@given(arrays(np.float64, (5, 3), elements=st.floats(-1e4, 1e4)), arrays(np.uint8, (5, 3)), st.sampled_from("fgr"))
def test_text_reads_as_numpy_reads_it(tmp_path_factory, xyz, rgb, style):
    path = tmp_path_factory.mktemp("text") / "wall_1.txt"
    write = {"f": "{:.6f}".format, "g": "{:g}".format, "r": repr}[style]
    rows = [[write(float(value)) for value in (*point, *color)] for point, color in zip(xyz, rgb, strict=True)]
    path.write_text("".join(f"{' '.join(row)}\n" for row in rows))
    got_xyz, got_rgb = read_points(path)
    expected = np.loadtxt(path)
    assert np.array_equal(got_xyz, expected[:, :3].astype(np.float32)) and np.array_equal(got_rgb, expected[:, 3:])
