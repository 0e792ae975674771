"""The steps of a fusion with torch, for a GPU: the same discs, tests and votes as the numba kernels of kernels.py."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float32, Float64, UInt8
from torch import Tensor

from wsss_ros.fusion.kernels import Limits, View
from wsss_ros.geometry.surfels import Surfels

_PAIRS = 1 << 24  # of discs and pixels at a time: about 1 GB


class TorchSteps:
    """Points, surfels and votes of one fusion on a device; the arguments and methods are those of ``KernelSteps``."""

    def __init__(
        self,
        points: Float64[np.ndarray, "N 3"],
        discs: Callable[[], Surfels],
        front: Float64[np.ndarray, "N 3"],
        stamps_ns: Any,
        device: str,
    ) -> None:
        self.device = torch.device(device)
        self.points, self.front, self.stamps_ns = self._there(points), self._there(front), self._there(stamps_ns)
        self._discs = discs
        self._votes = torch.zeros((len(points), 0), device=self.device)

    def _there(self, array: Any) -> Tensor:
        return torch.from_numpy(np.array(array)).to(self.device)

    @property
    def votes(self) -> Float32[np.ndarray, "N C"]:
        """A copy of the votes."""
        votes: Float32[np.ndarray, "N C"] = self._votes.cpu().numpy().copy()
        return votes

    @votes.setter
    def votes(self, votes: Float32[np.ndarray, "N C"]) -> None:
        self._votes = self._there(votes)

    @cached_property
    def _sides(self) -> tuple[Tensor, Tensor, Tensor]:
        """Tangents, bitangents and both radii of the discs."""
        discs = self._discs()
        return self._there(discs.tangent), self._there(discs.bitangent), self._there(discs.radius_m)

    def draw(self, view: View, limits: Limits, stamp_ns: int) -> Float64[np.ndarray, "h w"]:
        """The depth image of the discs, one over metres."""
        _, _, (fx, fy, cx, cy), (left, top, width, height) = view
        discs = self._in_view(view, limits, stamp_ns)
        a, b, c = (torch.stack([fx * d[:, 0] + cx * d[:, 2], fy * d[:, 1] + cy * d[:, 2], d[:, 2]], 1) for d in discs)
        behind = a[:, 2] ** 2 + b[:, 2] ** 2 - c[:, 2] ** 2
        kept = behind < 0
        a, b, c, behind = a[kept], b[kept], c[kept], behind[kept]
        middle = torch.floor(c[:, :2] / c[:, 2:] + 0.5).long() - torch.tensor([left, top], device=self.device)
        low, high = _box(a, b, c, behind, middle, (left, top), (width, height))
        kept = (low <= high).all(1)
        a, b, c, middle, low, high = (each[kept] for each in (a, b, c, middle, low, high))
        image = torch.zeros(height * width, dtype=torch.float64, device=self.device)
        inside = ((middle >= 0) & (middle < torch.tensor([width, height], device=self.device))).all(1)
        place = middle[inside, 1] * width + middle[inside, 0]
        image.scatter_reduce_(0, place, 1 / c[inside, 2], "amax")
        _fill(image, _lines(a, b, c, left, top), low, high, width)
        found: Float64[np.ndarray, "h w"] = image.reshape(height, width).cpu().numpy()
        return found

    def _in_view(self, view: View, limits: Limits, stamp_ns: int) -> tuple[Tensor, Tensor, Tensor]:
        """Both radii as vectors, and the centre, of each disc that may be in the image, in the frame of the camera."""
        dilation, farthest, longest = limits
        tangent, bitangent, radius = self._sides
        pose = torch.tensor(np.array(view[0]), device=self.device)
        place = self.points @ pose[:3, :3].T + pose[:3, 3]
        near = (place[:, 2] > 0) & (place.norm(dim=1) < farthest)
        if len(self.stamps_ns):
            near &= ((self.stamps_ns - stamp_ns) * 1e-9).abs() <= longest
        sides, (fx, fy, cx, cy), (left, top, width, height) = radius.amax(1) * dilation, view[2], view[3]
        for axis, focal, centre, size in ((0, fx, cx - left, width), (1, fy, cy - top, height)):
            for sign, edge in ((-1, (-0.5 - centre) / focal), (1, (size - 0.5 - centre) / focal)):
                near &= sign * (place[:, axis] - edge * place[:, 2]) / (1 + edge * edge) ** 0.5 <= sides
        rotation = pose[:3, :3].T
        along = (tangent[near] * (radius[near, :1] * dilation)) @ rotation
        across = (bitangent[near] * (radius[near, 1:] * dilation)) @ rotation
        return along, across, place[near]

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
        """Add the votes of one frame; returns their number."""
        farthest, longest, tolerance = limits
        pose, centre, (fx, fy, cx, cy), (left, top, width, height) = view
        there = torch.tensor(np.array(pose), device=self.device)
        towards = torch.tensor(np.array(centre), device=self.device) - self.points
        distance = towards.norm(dim=1)
        dt_s = ((self.stamps_ns - stamp_ns) * 1e-9).abs() if len(self.stamps_ns) else torch.zeros_like(distance)
        x, y, z = (self.points @ there[:3, :3].T + there[:3, 3]).unbind(1)
        kept = (dt_s < longest) & ~((self.front * towards).sum(1) < 0) & (z > 0) & (distance < farthest)
        ahead = torch.where(z > 0, z, 1.0)
        uv = torch.stack([x / ahead * fx + cx, y / ahead * fy + cy], 1)
        shown = self._there(lens) if len(lens) else uv
        column, row, inside = _pixel(shown, 0, 0, labels.shape[1], labels.shape[0])
        u, v, drawn = (column, row, inside) if on_lens else _pixel(uv, left, top, width, height)
        kept &= inside & drawn
        inverse = self._there(image)[v, u]
        kept &= ~((z * inverse - 1.0).abs() > tolerance)
        label = self._there(labels)[row, column].long()
        index = torch.nonzero(kept & (label != 255))[:, 0]
        weight = (1.0 - distance[index] / farthest) * (1.0 - dt_s[index] / longest)
        self._votes[index, label[index]] += weight.float()
        return len(index)


def _pixel(uv: Tensor, left: int, top: int, width: int, height: int) -> tuple[Tensor, Tensor, Bool[Tensor, "N"]]:
    """Column and row of the nearest pixel, 0 outside the image, and whether it is inside."""
    nearest = torch.floor(torch.nan_to_num(uv, nan=-1e6, posinf=1e6, neginf=-1e6).clamp(-1e6, 1e6) + 0.5).long()
    u, v = nearest[:, 0] - left, nearest[:, 1] - top
    inside = (u >= 0) & (u < width) & (v >= 0) & (v < height)
    return torch.where(inside, u, 0), torch.where(inside, v, 0), inside


def _box(
    a: Tensor, b: Tensor, c: Tensor, behind: Tensor, middle: Tensor, corner: tuple[int, int], size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """First and last column and row of each disc (``kernels._project_disc``)."""
    low, high = torch.empty_like(middle), torch.empty_like(middle)
    for axis in range(2):
        far = a[:, axis] * a[:, 2] + b[:, axis] * b[:, 2] - c[:, axis] * c[:, 2]
        extent = a[:, axis] ** 2 + b[:, axis] ** 2 - c[:, axis] ** 2
        half = (far * far - extent * behind).clamp(min=0).sqrt()
        ends = (far + half) / behind, (far - half) / behind
        first = torch.ceil(ends[0].clamp(-1e9, 1e9) - 1e-6).long() - corner[axis]
        last = torch.floor(ends[1].clamp(-1e9, 1e9) + 1e-6).long() - corner[axis]
        low[:, axis] = torch.minimum(first, middle[:, axis]).clamp(min=0)
        high[:, axis] = torch.maximum(last, middle[:, axis]).clamp(max=size[axis] - 1)
    return low, high


def _lines(a: Tensor, b: Tensor, c: Tensor, left: int, top: int) -> tuple[Tensor, Tensor, Tensor]:
    """The three linear functions of each disc (``kernels.prepare``)."""
    volume = (a * torch.linalg.cross(b, c)).sum(1, keepdim=True)
    scale = torch.where(volume == 0, 0.0, 1.0 / volume)
    first, second, third = (torch.linalg.cross(p, q) * scale for p, q in ((b, c), (c, a), (a, b)))
    for line in (first, second, third):
        line[:, 2] += line[:, 0] * left + line[:, 1] * top
    return first, second, third


def _fill(
    image: Float64[Tensor, "P"], lines: tuple[Tensor, Tensor, Tensor], low: Tensor, high: Tensor, width: int
) -> None:
    """Draw all discs: pairs of a disc and a pixel of its box, some at a time."""
    across = high[:, 0] - low[:, 0] + 1
    area = across * (high[:, 1] - low[:, 1] + 1)
    until = torch.cumsum(area, 0).cpu().numpy()
    start = 0
    while start < len(area):
        before = until[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(until, before + _PAIRS, side="right")))
        disc = torch.repeat_interleave(torch.arange(start, stop, device=image.device), area[start:stop])
        offset = (
            torch.arange(len(disc), device=image.device)
            - (torch.cumsum(area[start:stop], 0) - area[start:stop])[disc - start]
        )
        u, v = low[disc, 0] + offset % across[disc], low[disc, 1] + offset // across[disc]
        a, b, w = (line[disc, 0] * u + (line[disc, 1] * v + line[disc, 2]) for line in lines)
        kept = a * a + b * b <= w * w
        image.scatter_reduce_(0, (v * width + u)[kept], w[kept], "amax")
        start = stop
