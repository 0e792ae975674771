"""Geometry in float64 numpy: poses, projection, visibility, links, voxels and gravity; neighbours in torch.

Poses are ``world_from_camera`` (4x4, metres). Pixels are ``(u, v)`` with the centre of the top-left pixel at (0, 0).
Missing depth is 0.
"""

from wsss_ros.geometry.gravity import camera_up, find_up, parse_up, upright
from wsss_ros.geometry.poses import (
    check_pose,
    invert,
    matrix_to_quaternion,
    quaternion_to_matrix,
    transform,
    unit_quaternion,
)
from wsss_ros.geometry.projection import check_camera, link, posed_depth, project, unproject, visible
from wsss_ros.geometry.rectify import rectified
from wsss_ros.geometry.registration import depth_on_color, register
from wsss_ros.geometry.turns import mounted_turns, parse_turns, quarter_turns
from wsss_ros.geometry.voxels import voxel_downsample

__all__ = [
    "camera_up",
    "check_camera",
    "check_pose",
    "depth_on_color",
    "find_up",
    "invert",
    "link",
    "matrix_to_quaternion",
    "mounted_turns",
    "parse_turns",
    "parse_up",
    "posed_depth",
    "project",
    "quarter_turns",
    "quaternion_to_matrix",
    "rectified",
    "register",
    "transform",
    "unit_quaternion",
    "unproject",
    "upright",
    "visible",
    "voxel_downsample",
]
