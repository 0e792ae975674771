"""The numba kernels of the fusion: discs drawn into a depth image, and votes of the points that it does not hide.

Each works on a range, ``start`` to ``stop``, of points or of rows, so that several threads can share them. A depth
image has one over the depth, 0 where there is nothing: over a plane, this is a linear function of the pixel.
"""

import math
from collections.abc import Callable
from typing import NamedTuple, no_type_check

import numpy as np
from jaxtyping import Float32, Float64, Int64, UInt8

from wsss_ros.geometry import neighbors
from wsss_ros.geometry.compiled import compiled, inlined, readonly
from wsss_ros.geometry.surfels import Surfels

Limits = tuple[float, float, float]


class View(NamedTuple):
    """A posed camera at the size of the labels, without its lens: what the kernels take.

    ``camera_from_world`` and ``centre`` are relative to the origin of the points. ``intrinsics`` are fx, fy, cx, cy in
    pixels. ``canvas`` is the image that the pinhole needs to show all that the lens shows: column and row of its
    top-left pixel, width and height.
    """

    camera_from_world: Float64[np.ndarray, "4 4"]
    centre: Float64[np.ndarray, "3"]
    intrinsics: tuple[float, float, float, float]
    canvas: tuple[int, int, int, int]


class KernelSteps:
    """The steps of a fusion on the CPU: points, their surfels, the sides that are their fronts, times, and votes.

    All are relative to one origin. ``discs`` is called only where discs are drawn. ``front`` is 0 for a point without
    a front, ``stamps_ns`` is empty without times.
    """

    votes: Float32[np.ndarray, "N C"]

    def __init__(
        self,
        points: Float64[np.ndarray, "N 3"],
        discs: Callable[[], Surfels],
        front: Float64[np.ndarray, "N 3"],
        stamps_ns: Int64[np.ndarray, "_"],
    ) -> None:
        self._points, self._front, self._stamps_ns = readonly(points), readonly(front), readonly(stamps_ns)
        self._discs, count = discs, len(points)
        self._lines, self._boxes = np.empty((count, 11)), np.empty((count, 4), np.int32)
        self._depth = np.empty(count)
        self.votes = np.zeros((count, 0), np.float32)

    def draw(self, view: View, limits: Limits, stamp_ns: int) -> Float64[np.ndarray, "h w"]:
        """The depth image of the discs, one over metres; ``limits`` are those of ``prepare``."""
        places = self._points, *self._discs(), self._stamps_ns
        neighbors.share(
            prepare, len(self._points), *places, view, limits, stamp_ns, self._lines, self._boxes, self._depth
        )
        drawn = np.flatnonzero(self._boxes[:, 0] <= self._boxes[:, 1])
        order = drawn[self._depth[drawn].argsort()]
        image = np.zeros((view.canvas[3], view.canvas[2]))
        floor = np.zeros(tuple(-(-side // 8) for side in image.shape))
        neighbors.share(draw, len(floor), order, self._lines, self._boxes, self._depth, image, floor, least=4)
        return image

    def vote(
        self,
        view: View,
        lens: Float64[np.ndarray, "M 2"],
        image: Float64[np.ndarray, "h w"],
        on_lens: bool,
        labels: UInt8[np.ndarray, "H W"],
        limits: Limits,
        stamp_ns: int,
    ) -> int:
        """Add the votes of one frame; returns their number. The arguments are those of the kernel ``vote``."""
        given = np.zeros(len(self._points) + 1, np.int64)
        places = self._points, self._front, self._stamps_ns
        seen = view, lens, image, on_lens, readonly(labels)
        neighbors.share(vote, len(self._points), *places, *seen, limits, stamp_ns, self.votes, given)
        return int(given.sum())


@compiled
@no_type_check
def prepare(start, stop, points, normal, tangent, bitangent, radius, stamps, view, limits, stamp, lines, boxes, depth):
    """Which pixels the disc of each point may cover, and the linear functions that say which it does.

    ``limits`` are the dilation, the largest distance (metres) and the largest difference of times (seconds). ``lines``
    has three functions of (u, v, 1): the place on the disc along both radii, each multiplied by the inverse depth, and
    the inverse depth. ``boxes`` has the first and last column and row, the first after the last for a disc that is not
    drawn. ``depth`` is that of the point.
    """
    pose, centre, (fx, fy, cx, cy), (left, top, width, height) = view
    dilation, farthest, longest = limits
    sides = _sides(fx, fy, cx - left, cy - top, width, height)
    for i in range(start, stop):
        boxes[i, 0], boxes[i, 1] = 0, -1
        if len(stamps) and abs((stamps[i] - stamp) * 1e-9) > longest:
            continue
        x, y, z = _moved(pose, points[i, 0], points[i, 1], points[i, 2], 1.0)
        if z <= 0.0 or x * x + y * y + z * z >= farthest * farthest:
            continue
        along, across = radius[i, 0] * dilation, radius[i, 1] * dilation
        reach = max(along, across)
        if (
            sides[0] * x + sides[1] * z > reach
            or sides[2] * x + sides[3] * z > reach
            or sides[4] * y + sides[5] * z > reach
            or sides[6] * y + sides[7] * z > reach
        ):
            continue
        tx, ty, tz = _moved(pose, tangent[i, 0] * along, tangent[i, 1] * along, tangent[i, 2] * along, 0.0)
        bx, by, bz = _moved(pose, bitangent[i, 0] * across, bitangent[i, 1] * across, bitangent[i, 2] * across, 0.0)
        drawn = _project_disc(
            (fx * tx + cx * tz, fy * ty + cy * tz, tz),
            (fx * bx + cx * bz, fy * by + cy * bz, bz),
            (fx * x + cx * z, fy * y + cy * z, z),
            lines[i],
            boxes[i],
            left,
            top,
            width,
            height,
        )
        if drawn:
            depth[i] = z


@inlined
@no_type_check
def _moved(pose, x, y, z, one):
    """A point (``one`` is 1) or a direction (0) in the frame of the camera."""
    return (
        pose[0, 0] * x + pose[0, 1] * y + pose[0, 2] * z + pose[0, 3] * one,
        pose[1, 0] * x + pose[1, 1] * y + pose[1, 2] * z + pose[1, 3] * one,
        pose[2, 0] * x + pose[2, 1] * y + pose[2, 2] * z + pose[2, 3] * one,
    )


@compiled
@no_type_check
def _sides(fx, fy, cx, cy, width, height):
    """The planes of the four sides of the view: outward normals, as (x or y, z) each."""
    left, right = (-0.5 - cx) / fx, (width - 0.5 - cx) / fx
    top, bottom = (-0.5 - cy) / fy, (height - 0.5 - cy) / fy
    a, b = math.sqrt(1 + left * left), math.sqrt(1 + right * right)
    c, d = math.sqrt(1 + top * top), math.sqrt(1 + bottom * bottom)
    return -1 / a, left / a, 1 / b, -right / b, -1 / c, top / c, 1 / d, -bottom / d


@compiled
@no_type_check
def _project_disc(a, b, c, lines, box, left, top, width, height):
    """The lines and the box of a disc ``c + a s + b t`` with s² + t² <= 1 in homogeneous pixels; whether it is drawn.

    The box is that of its outline, an ellipse, from the dual conic ``a aᵀ + b bᵀ - c cᵀ``. A disc that reaches behind
    the camera is not drawn. The pixel of the centre always is, also for a disc that is seen from its edge.
    """
    behind = a[2] * a[2] + b[2] * b[2] - c[2] * c[2]
    if behind >= 0.0:
        return False
    u, v = int(math.floor(c[0] / c[2] + 0.5)) - left, int(math.floor(c[1] / c[2] + 0.5)) - top
    for axis in range(2):
        far = a[axis] * a[2] + b[axis] * b[2] - c[axis] * c[2]
        size = a[axis] * a[axis] + b[axis] * b[axis] - c[axis] * c[axis]
        half = math.sqrt(max(far * far - size * behind, 0.0))
        low, high = (far + half) / behind, (far - half) / behind
        corner, middle, edge = (left, u, width - 1) if axis == 0 else (top, v, height - 1)
        first = min(int(math.ceil(low - 1e-6)) - corner, middle)
        last = max(int(math.floor(high + 1e-6)) - corner, middle)
        box[2 * axis], box[2 * axis + 1] = max(first, 0), min(last, edge)
        if box[2 * axis] > box[2 * axis + 1]:
            box[0], box[1] = 0, -1
            return False
    volume = (
        a[0] * (b[1] * c[2] - b[2] * c[1]) - a[1] * (b[0] * c[2] - b[2] * c[0]) + a[2] * (b[0] * c[1] - b[1] * c[0])
    )
    scale = 0.0 if volume == 0.0 else 1.0 / volume
    for line, p, q in ((0, b, c), (3, c, a), (6, a, b)):
        lines[line] = (p[1] * q[2] - p[2] * q[1]) * scale
        lines[line + 1] = (p[2] * q[0] - p[0] * q[2]) * scale
        lines[line + 2] = (p[0] * q[1] - p[1] * q[0]) * scale
        lines[line + 2] += lines[line] * left + lines[line + 1] * top
    lines[9], lines[10] = u, v
    return True


@compiled
@no_type_check
def draw(start, stop, order, lines, boxes, depth, image, floor):
    """Draw discs into the rows of blocks ``start`` to ``stop`` of a depth image: the nearest one wins at each pixel.

    ``floor`` has the smallest value of each block of 8 x 8 pixels, or less. Where a disc is not above it, it changes
    nothing. With the discs in the order of their depth, nearest first, this holds for most parts of large discs.
    """
    height, width = image.shape
    first_row, last_row = 8 * start, min(8 * stop, height) - 1
    for place in range(len(order)):
        i = order[place]
        top, bottom = max(boxes[i, 2], first_row), min(boxes[i, 3], last_row)
        if top > bottom:
            continue
        line, left, right = lines[i], boxes[i, 0], boxes[i, 1]
        u, v = int(line[9]), int(line[10])
        if first_row <= v <= last_row and 0 <= u < width:
            image[v, u] = max(image[v, u], 1.0 / depth[i])
        if (right - left + 1) * (bottom - top + 1) <= 64:
            _fill(line, left, right, top, bottom, image)
            continue
        for block_v in range(top >> 3, (bottom >> 3) + 1):
            low_v, high_v = max(top, 8 * block_v), min(bottom, 8 * block_v + 7)
            for block_u in range(left >> 3, (right >> 3) + 1):
                low_u, high_u = max(left, 8 * block_u), min(right, 8 * block_u + 7)
                nearest_u, nearest_v = high_u if line[6] > 0.0 else low_u, high_v if line[7] > 0.0 else low_v
                if line[6] * nearest_u + line[7] * nearest_v + line[8] <= floor[block_v, block_u]:
                    continue
                if _fill(line, low_u, high_u, low_v, high_v, image):
                    floor[block_v, block_u] = _smallest(image, block_u, block_v)


@inlined
@no_type_check
def _fill(line, left, right, top, bottom, image):
    """Draw the part of a disc that is in a box; whether any pixel has changed."""
    changed = False
    for row in range(top, bottom + 1):
        a0, b0, w0 = line[1] * row + line[2], line[4] * row + line[5], line[7] * row + line[8]
        for column in range(left, right + 1):
            a, b, w = line[0] * column + a0, line[3] * column + b0, line[6] * column + w0
            if a * a + b * b <= w * w and w > image[row, column]:
                image[row, column] = w
                changed = True
    return changed


@compiled
@no_type_check
def _smallest(image, block_u, block_v):
    height, width = image.shape
    least = math.inf
    for row in range(8 * block_v, min(8 * block_v + 8, height)):
        for column in range(8 * block_u, min(8 * block_u + 8, width)):
            least = min(least, image[row, column])
    return least


@compiled
@no_type_check
def vote(start, stop, points, front, stamps, view, lens, image, on_lens, labels, limits, stamp, votes, given):
    """The votes of one frame for the points, after the tests of algorithm 1 in its order.

    ``lens`` has the pixels of the points in an image with distortion, else it is empty. ``image`` is the depth image,
    on the pixels of the labels (``on_lens``) or on the canvas of the view. ``limits`` are the largest distance
    (metres), the largest difference of times (seconds) and the tolerance of the depth. ``given`` counts the votes of
    each range.
    """
    pose, centre, (fx, fy, cx, cy), (left, top, width, height) = view
    farthest, longest, tolerance = limits
    rows, columns = labels.shape
    count = 0
    for i in range(start, stop):
        dt_s = abs((stamps[i] - stamp) * 1e-9) if len(stamps) else 0.0
        if dt_s >= longest:  # the time
            continue
        dx, dy, dz = centre[0] - points[i, 0], centre[1] - points[i, 1], centre[2] - points[i, 2]
        if front[i, 0] * dx + front[i, 1] * dy + front[i, 2] * dz < 0.0:  # the back
            continue
        distance = math.sqrt(dx * dx + dy * dy + dz * dz)
        x, y, z = _moved(pose, points[i, 0], points[i, 1], points[i, 2], 1.0)
        if z <= 0.0 or distance >= farthest:
            continue
        u, v = x / z * fx + cx, y / z * fy + cy
        lens_u, lens_v = (lens[i, 0], lens[i, 1]) if len(lens) else (u, v)
        if not (-0.5 <= lens_u < columns - 0.5 and -0.5 <= lens_v < rows - 0.5):  # inside the image
            continue
        column, row = int(math.floor(lens_u + 0.5)), int(math.floor(lens_v + 0.5))
        if on_lens:
            inverse = image[row, column]
        else:
            canvas_u, canvas_v = int(math.floor(u + 0.5)) - left, int(math.floor(v + 0.5)) - top
            if not (0 <= canvas_u < width and 0 <= canvas_v < height):
                continue
            inverse = image[canvas_v, canvas_u]
        if abs(z * inverse - 1.0) > tolerance:  # the depth
            continue
        label = labels[row, column]
        if label != 255:
            votes[i, label] += (1.0 - distance / farthest) * (1.0 - dt_s / longest)
            count += 1
    given[start] = count
