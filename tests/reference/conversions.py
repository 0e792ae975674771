"""Slow, obvious readers of ROS messages: one value at a time with struct."""

import struct

import numpy as np

SIZES = {1: ("b", 1), 2: ("B", 1), 3: ("h", 2), 4: ("H", 2), 5: ("i", 4), 6: ("I", 4), 7: ("f", 4), 8: ("d", 8)}


def points(message) -> list[dict[str, float]]:
    """Every point as {field: value}, row by row, whatever the layout."""
    order = ">" if message.is_bigendian else "<"
    data = bytes(message.data)
    found = []
    for row in range(message.height):
        for column in range(message.width):
            at = row * message.row_step + column * message.point_step
            values = {}
            for field in message.fields:
                code, size = SIZES[field.datatype]
                raw = data[at + field.offset : at + field.offset + size]
                if field.name in ("rgb", "rgba"):
                    code = "I"  # the bits, whatever type they are declared to be
                values[field.name] = struct.unpack(order + code, raw)[0]
            found.append(values)
    return found


def finite_xyz_rgb(message) -> tuple[np.ndarray, np.ndarray]:
    kept = [p for p in points(message) if all(np.isfinite(p[axis]) for axis in "xyz")]
    empty = [p for p in kept if p["x"] == p["y"] == p["z"] == 0]
    kept = [p for p in kept if p not in empty] if len(empty) > 1 else kept
    wide = any(field.name in ("x", "y", "z") and field.datatype == 8 for field in message.fields)
    xyz = np.array([[p["x"], p["y"], p["z"]] for p in kept], np.float64 if wide else np.float32).reshape(-1, 3)
    color = [p.get("rgb", p.get("rgba", 0)) for p in kept]
    rgb = np.array([[c >> 16 & 255, c >> 8 & 255, c & 255] for c in color], np.uint8).reshape(-1, 3)
    return xyz, rgb


def depth_m(message) -> np.ndarray:
    code, size, unit = {"16UC1": ("H", 2, 1e-3), "mono16": ("H", 2, 1e-3), "32FC1": ("f", 4, 1.0)}[message.encoding]
    order, data = ">" if message.is_bigendian else "<", bytes(message.data)
    depth = np.zeros((message.height, message.width))
    for v in range(message.height):
        for u in range(message.width):
            at = v * message.step + u * size
            value = struct.unpack(order + code, data[at : at + size])[0] * unit
            depth[v, u] = value if np.isfinite(value) and value > 0 else 0
    return depth
