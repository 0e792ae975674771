"""Geometry in float64 numpy: poses, projection, visibility, links, voxels and gravity; neighbours in torch.

Poses are ``world_from_camera`` (4x4, metres). Pixels are ``(u, v)`` with the centre of the top-left pixel at (0, 0).
Missing depth is 0.
"""

from wsss_ros.geometry.gravity import (
    Up,
    camera_up,
    estimate_up,
    find_up,
    parse_up,
    up_as_text,
    up_in_frame,
    upright,
)
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
from wsss_ros.geometry.tiles import tiles
from wsss_ros.geometry.turns import mounted_turns, parse_turns, quarter_turns
from wsss_ros.geometry.voxels import compact, local_origin, voxel_downsample

__all__ = [
    "Up",
    "camera_up",
    "check_camera",
    "check_pose",
    "compact",
    "depth_on_color",
    "estimate_up",
    "find_up",
    "invert",
    "link",
    "local_origin",
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
    "tiles",
    "transform",
    "unit_quaternion",
    "unproject",
    "up_as_text",
    "up_in_frame",
    "upright",
    "visible",
    "voxel_downsample",
]
