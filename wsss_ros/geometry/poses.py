"""Rigid motions and quaternions.

A pose is ``world_from_camera``: a 4x4 matrix in metres that carries points from the camera frame to the world frame.
"""

import numpy as np
from jaxtyping import Float, Float64
from scipy.spatial.transform import Rotation

from wsss_ros.types import BadInput


def invert(pose: Float[np.ndarray, "4 4"]) -> Float64[np.ndarray, "4 4"]:
    """The general inverse of the matrix.

    The poses of files are rounded, so their transposed rotation is not their exact inverse.
    """
    return np.linalg.inv(pose.astype(np.float64))


def transform(pose: Float[np.ndarray, "4 4"], xyz: Float[np.ndarray, "N 3"]) -> Float64[np.ndarray, "N 3"]:
    """The points ``R xyz + t``: with ``world_from_camera``, points of the camera frame in the world frame."""
    return xyz.astype(np.float64) @ pose[:3, :3].T.astype(np.float64) + pose[:3, 3]


def check_pose(pose: np.ndarray, tolerance: float = 1e-2) -> None:
    """Check that the pose is a rigid motion.

    Args:
        pose: a matrix of any shape.
        tolerance: bound on each element of ``|R Rᵀ - 1|``.

    Raises:
        BadInput: not a 4x4 matrix, NaN or infinite values, scale, shear or mirror, a last row other than 0 0 0 1.
    """
    pose = np.asarray(pose)
    if pose.shape != (4, 4):
        raise BadInput(f"pose of shape {pose.shape}; expected a 4x4 matrix world_from_camera")
    if not np.isfinite(pose).all():
        raise BadInput("pose with NaN or infinite values, which usually mark lost tracking; leave this frame out")
    rotation = pose[:3, :3].astype(np.float64)
    off = np.abs(rotation @ rotation.T - np.eye(3)).max()
    if off > tolerance or np.linalg.det(rotation) < 0:
        raise BadInput(
            f"pose is not rigid: R Rᵀ is off the identity by {off:.3g} and det R is {np.linalg.det(rotation):.3g}; "
            "expected rotation and translation only, no scale, shear or mirror"
        )
    if np.abs(pose[3] - (0, 0, 0, 1)).max() > 1e-6:
        raise BadInput(f"pose with last row {pose[3].tolist()}; expected 0 0 0 1 (is the matrix transposed?)")


def quaternion_to_matrix(xyzw: np.ndarray, tolerance: float = 0.01) -> Float64[np.ndarray, "3 3"]:
    """The rotation matrix of a quaternion ``x y z w``. Arguments and BadInput are those of ``unit_quaternion``."""
    return Rotation.from_quat(_checked_quaternion(xyzw, tolerance)).as_matrix()


def unit_quaternion(xyzw: np.ndarray, tolerance: float = 0.01) -> Float64[np.ndarray, "4"]:
    """The quaternion ``x y z w`` with a length of 1.

    Args:
        xyzw: four numbers.
        tolerance: a length that differs from 1 by at most this is normalised.

    Raises:
        BadInput: NaN, another number of values, another length; also the zero quaternion of a message that was not
            filled in.
    """
    checked = _checked_quaternion(xyzw, tolerance)
    return checked / np.linalg.norm(checked)


def _checked_quaternion(xyzw: np.ndarray, tolerance: float) -> Float64[np.ndarray, "4"]:
    xyzw = np.asarray(xyzw, np.float64)
    if xyzw.shape != (4,) or not np.isfinite(xyzw).all():
        raise BadInput(f"quaternion {xyzw.tolist()}; expected four finite numbers x y z w")
    length = np.linalg.norm(xyzw)
    if length < 1e-6:
        raise BadInput("quaternion 0 0 0 0: the orientation was never set; the identity is x y z w = 0 0 0 1")
    if abs(length - 1) > tolerance:
        raise BadInput(f"quaternion {xyzw.tolist()} of length {length:.4g}; expected length 1: normalise at the source")
    return xyzw


def matrix_to_quaternion(rotation: Float[np.ndarray, "3 3"]) -> Float64[np.ndarray, "4"]:
    """The unit quaternion ``x y z w`` with ``w >= 0`` of the rotation that is nearest to the matrix."""
    return Rotation.from_matrix(rotation).as_quat(canonical=True)
