"""Slow, obvious float64 twins of lens distortion and registration, one point or pixel at a time."""

import math

import numpy as np


def tilt(tau_x, tau_y):
    about_x = np.array([[1, 0, 0], [0, math.cos(tau_x), math.sin(tau_x)], [0, -math.sin(tau_x), math.cos(tau_x)]])
    about_y = np.array([[math.cos(tau_y), 0, -math.sin(tau_y)], [0, 1, 0], [math.sin(tau_y), 0, math.cos(tau_y)]])
    turn = about_y @ about_x
    return np.array([[turn[2, 2], 0, -turn[0, 2]], [0, turn[2, 2], -turn[1, 2]], [0, 0, 1]]) @ turn


def distort(distortion, x, y):
    """OpenCV's formulas, without a limit."""
    r = math.hypot(x, y)
    if distortion.model == "equidistant":
        k = [*distortion.coefficients, 0, 0, 0, 0]
        angle = math.atan(r)
        bent = angle * (1 + k[0] * angle**2 + k[1] * angle**4 + k[2] * angle**6 + k[3] * angle**8)
        return (x * bent / r, y * bent / r) if r else (x, y)
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4, tx, ty = [*distortion.coefficients, *[0] * 14][:14]
    radial = (1 + k1 * r**2 + k2 * r**4 + k3 * r**6) / (1 + k4 * r**2 + k5 * r**4 + k6 * r**6)
    a = x * radial + 2 * p1 * x * y + p2 * (r**2 + 2 * x**2) + s1 * r**2 + s2 * r**4
    b = y * radial + p1 * (r**2 + 2 * y**2) + 2 * p2 * x * y + s3 * r**2 + s4 * r**4
    a, b, w = tilt(tx, ty) @ (a, b, 1)
    return a / w, b / w


def derivatives(distortion, x, y, step=1e-6):
    right, left = np.array(distort(distortion, x + step, y)), np.array(distort(distortion, x - step, y))
    below, above = np.array(distort(distortion, x, y + step)), np.array(distort(distortion, x, y - step))
    return np.column_stack([right - left, below - above]) / (2 * step)


def extent(depth_rays, row, column):
    """Width and height at depth 1 of what a pixel shows, from its neighbours."""
    height, width, _ = depth_rays.shape
    total = 0
    for down, right in ((1, 0), (0, 1)):
        after = min(row + down, height - 1), min(column + right, width - 1)
        before = max(row - down, 0), max(column - right, 0)
        steps = after[0] - before[0] + after[1] - before[1]
        total = total + np.abs(depth_rays[after] - depth_rays[before]) / steps
    return total


def register(depth_m, depth_rays, color_camera, color_from_depth, fill_holes, margin):
    """``depth_rays`` [H W 2]: the points at depth 1. The lens of the colour camera has no limit in reach."""
    found = np.zeros((color_camera.height, color_camera.width))
    lens = color_camera.distortion
    for row in range(depth_m.shape[0]):
        for column in range(depth_m.shape[1]):
            z = float(depth_m[row, column])
            if not (z > 0 and math.isfinite(z)):
                continue
            a, b = depth_rays[row, column]
            p, q, far, _ = color_from_depth @ (a * z, b * z, z, 1)
            if far <= 0:
                continue
            x, y = p / far, q / far
            bend = np.eye(2) if lens is None else derivatives(lens, x, y)
            u, v = (x, y) if lens is None else distort(lens, x, y)
            u, v = u * color_camera.fx + color_camera.cx, v * color_camera.fy + color_camera.cy
            reach = 0
            for axis in (0, 1):  # half a depth pixel to each side
                moved = color_from_depth[:3, axis] * z * extent(depth_rays, row, column)[axis] / 2
                slope = np.array([moved[0] - x * moved[2], moved[1] - y * moved[2]]) / far
                reach = reach + np.abs(slope)
            reach = np.abs(bend) @ reach * (color_camera.fx, color_camera.fy) + margin
            for n in range(color_camera.height):
                for m in range(color_camera.width):
                    inside = abs(m - u) <= reach[0] and abs(n - v) <= reach[1]
                    nearest = m == math.floor(u + 0.5) and n == math.floor(v + 0.5)
                    if (inside if fill_holes else nearest) and (found[n, m] == 0 or far < found[n, m]):
                        found[n, m] = far
    return found
