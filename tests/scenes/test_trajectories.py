"""Poses in text files: every kind of row, interpolation, and errors that name the line."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from wsss_ros.scenes.trajectories import Trajectory, read_trajectory
from wsss_ros.types import BadInput

S = 10**9


def _poses(count: int = 4) -> np.ndarray:
    rng = np.random.default_rng(3)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.random(count, rng).as_matrix()
    poses[:, :3, 3] = rng.normal(size=(count, 3))
    return poses


def _text(poses: np.ndarray, kind: str) -> str:
    quaternions = Rotation.from_matrix(poses[:, :3, :3]).as_quat()
    lines = {
        "tum": [[f"1305031102.{i}", *p[:3, 3], *q] for i, (p, q) in enumerate(zip(poses, quaternions, strict=True))],
        "euroc": [
            [f"{1305031102 * S + i}", *p[:3, 3], q[3], *q[:3]]
            for i, (p, q) in enumerate(zip(poses, quaternions, strict=True))
        ],
        "kitti": [p[:3].ravel() for p in poses],
        "replica": [p.ravel() for p in poses],
        "numbered": [[i, *p.ravel()] for i, p in enumerate(poses)],
        "blocks": [row for p in poses for row in p],
        "log": [row for i, p in enumerate(poses) for row in ([i, i, i + 1], *p)],
    }[kind]
    separator = "," if kind == "euroc" else " "
    head = "#timestamp, p_x, p_y, p_z, q_RS_w [], q_RS_x [], q_RS_y [], q_RS_z []\n" if kind == "euroc" else "# a\n\n"
    return head + "\n".join(separator.join(map(str, line)) for line in lines) + "\r\n"


@pytest.mark.parametrize("kind", ["tum", "euroc", "kitti", "replica", "numbered", "blocks", "log"])
def test_poses_come_back_from_every_kind_of_row(tmp_path, kind):
    poses, path = _poses(), tmp_path / "poses.txt"
    path.write_text("\ufeff" + _text(poses, kind), encoding="utf-8")
    found = read_trajectory(path)
    np.testing.assert_allclose(found.poses, poses, atol=1e-12)
    assert found.is_time == (kind in ("tum", "euroc")) and (found.keys is None) == (
        kind not in ("tum", "euroc", "numbered")
    )


def test_interpolation_is_linear_and_slerp():
    poses, stamps = _poses(3), [10 * S, 10 * S + 50_000_000, 10 * S + 90_000_000]
    path = Trajectory("t", list(poses), [(stamp,) for stamp in stamps], True)
    turn = Slerp(stamps, Rotation.from_matrix(poses[:, :3, :3]))
    for time in (stamps[0] + 1, stamps[0] + 20_000_000, stamps[1] + 39_000_000):
        found = path.at(time, max_dt_ns=20_000_000)
        np.testing.assert_allclose(found[:3, :3], turn(time).as_matrix(), atol=1e-9)
        expected = [np.interp(time - stamps[0], np.subtract(stamps, stamps[0]), poses[:, axis, 3]) for axis in range(3)]
        np.testing.assert_allclose(found[:3, 3], expected, atol=1e-9)
    np.testing.assert_array_equal(path.at(stamps[1], 0), poses[1])


def test_no_pose_far_from_all():
    poses, times = _poses(2), [(10 * S,), (12 * S,)]
    path = Trajectory("t", list(poses), times, True)
    assert path.at(11 * S, 20_000_000) is None and path.at(9 * S, 20_000_000) is None
    np.testing.assert_array_equal(path.at(12 * S + 4_000_000, 20_000_000), poses[1])  # no extrapolation
    assert path.at(10 * S + 4_000_000, 20_000_000) is not None


def test_unsorted_lost_and_repeated_poses(tmp_path):
    poses, path = _poses(2), tmp_path / "t.txt"
    rows = _text(poses, "tum").splitlines()[2:]
    path.write_text("\n".join([rows[1], rows[0], "1305031102.5 nan nan nan nan nan nan nan", rows[0]]))
    found = read_trajectory(path)
    assert [key[0] % S for key in found.by_key] == [0, 100_000_000] and found.poses[2] is None
    path.write_text("\n".join([rows[0], rows[1].replace("1305031102.1", "1305031102.0")]))
    with pytest.raises(BadInput, match="two different poses at 1305031102.0"):
        _ = read_trajectory(path).by_key


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "has no rows"),
        ("# only\n", "has no rows"),
        ("1 2 3 4 5 6 7", r"line 1: 7 numbers .*expected rows 'time tx"),
        ("1 0 0 0 0 0 0 1\n2 0 0 0 0 0 1\n", "line 2: 7 numbers"),
        ("1 0 0 0 0 0 0 2", "line 1: quaternion .* of length 2"),
        ("1 0 0 0 0 0 0 x", "line 1: could not convert"),
        ("2 0 0 0 0 2 0 0 0 0 2 0", "line 1: pose is not rigid"),
        ("0 0 1\n1 0 0 0\n0 1 0 0\n0 0 1 0\n", "blocks of four rows"),
    ],
)
def test_broken_files_are_named_with_the_line(tmp_path, text, reason):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(BadInput, match=rf"t\.txt.*{reason}"):
        read_trajectory(tmp_path / "t.txt")
