"""PointNet++ for per-point features (Qi et al. 2017, single-scale grouping), in the configuration the paper uses.

Every layer works on rows [points, channels] of all clouds of a batch together. A linear layer on a group,
W [x_j - c, f_j], is applied before the group is gathered, as (W_x x_j + W_f f_j) - W_x c: on N rows and not on
M K rows. In the same way a linear layer on interpolated features is applied before the interpolation. Both are exact,
because nothing nonlinear is in between. In evaluation without gradients, batch normalisation is folded into the linear
layers, and the groups are computed in slices that fit into the CPU's cache.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import cast

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor, nn
from torch.nn.functional import embedding, relu

from wsss_ros.geometry import neighbors
from wsss_ros.networks.backbone import Backbone
from wsss_ros.networks.recompute import recomputed
from wsss_ros.types import BadInput

CENTRES = (2048, 1024, 512, 256)
RADII_M = (0.2, 0.4, 0.8, 1.2)
NEIGHBOURS = (64, 32, 16, 16)
ABSTRACTION = ((64, 64, 128), (128, 128, 256), (128, 128, 256), (128, 128, 256))
PROPAGATION = ((256, 256), (256, 256), (256, 256), (256, 256))  # from the coarsest level down to the points
LIGHT = {"width": 0.5, "centres": (1024, 512, 256, 128), "neighbours": (32, 16, 16, 16)}  # options for CPU training
SLICE = 1 << 20  # elements of one activation in the sliced evaluation: 4 MB, about the caches of two cores


@dataclass(frozen=True)
class Level:
    """One level of a batch of clouds: M centres, chosen among the N points of the level below.

    All indices count within one cloud.

    Attributes:
        centres: indices of the centres among the points of the level below.
        group: the K points of the level below around each centre.
        near: the T = min(3, M) centres from which each point of the level below interpolates.
        weight: the weights of the interpolation.
    """

    centres: Int64[Tensor, "B M"]
    group: Int64[Tensor, "B M K"]
    near: Int64[Tensor, "B N T"]
    weight: Float32[Tensor, "B N T"]


@dataclass(frozen=True)
class Structure:
    """Which points of a batch of clouds are neighbours, level by level: the part of PointNet2 without weights."""

    levels: tuple[Level, ...]

    def to(self, device: torch.device | str) -> "Structure":
        """A copy on the device. The call does not wait for the copy."""
        return self._map(lambda parts: parts[0].to(device, non_blocking=True), [self])

    @staticmethod
    def cat(structures: Sequence["Structure"]) -> "Structure":
        """The structure of a batch from the structures of its clouds, which all have the same number of points."""
        return Structure._map(lambda parts: torch.cat(parts), structures)

    @staticmethod
    def _map(change: Callable[[list[Tensor]], Tensor], structures: Sequence["Structure"]) -> "Structure":
        columns = zip(*(structure.levels for structure in structures), strict=True)
        return Structure(
            tuple(
                Level(*(change([getattr(level, field.name) for level in column]) for field in fields(Level)))
                for column in columns
            )
        )


class PointNet2(Backbone):
    """From clouds to features per point. 941,056 parameters at full width with 7 input features.

    Args:
        in_features: number F of input features per point, in addition to xyz (3 for rgb).
        width: factor on all numbers of channels; 1 is the paper's.
        centres: number of centres of each level, finest first. A cloud with fewer points has fewer centres.
        radii_m: radius of the groups of each level.
        neighbours: points in a group of each level.
        checkpointing: keep only what is passed between the levels for the backward pass (recompute.py).

    Raises:
        BadInput: another number of levels than 4, or centres that increase from level to level.
    """

    def __init__(
        self,
        in_features: int,
        width: float = 1.0,
        centres: Sequence[int] = CENTRES,
        radii_m: Sequence[float] = RADII_M,
        neighbours: Sequence[int] = NEIGHBOURS,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if not len(centres) == len(radii_m) == len(neighbours) == len(ABSTRACTION):
            raise BadInput(f"centres {centres}, radii_m {radii_m}, neighbours {neighbours}; expected 4 of each")
        if sorted(centres, reverse=True) != list(centres):
            raise BadInput(f"centres are {tuple(centres)}; expected in each level at most as many as in the one before")
        self.in_features, self.centres, self.radii_m = in_features, tuple(centres), tuple(radii_m)
        self.neighbours, self.checkpointing = tuple(neighbours), checkpointing
        down = [[max(1, round(width * c)) for c in widths] for widths in ABSTRACTION]
        up = [[max(1, round(width * c)) for c in widths] for widths in PROPAGATION]
        skips = [in_features] + [widths[-1] for widths in down]
        abstraction = [Layers(3 + skip, widths) for skip, widths in zip(skips, down, strict=False)]
        coarse = [skips[-1]] + [widths[-1] for widths in up]
        propagation = [
            Layers(above + skip, widths) for above, skip, widths in zip(coarse, reversed(skips[:-1]), up, strict=False)
        ]
        # A ModuleList does not know the type of its modules.
        self.abstraction = cast(Sequence[Layers], nn.ModuleList(abstraction))
        self.propagation = cast(Sequence[Layers], nn.ModuleList(propagation))
        self.out_channels = up[-1][-1]

    @torch.no_grad()
    def structure(self, xyz: Float32[Tensor, "B N 3"]) -> Structure:
        """Find centres, groups and weights of interpolation. Data-loading workers may call this in advance.

        Args:
            xyz: metres.

        Raises:
            BadInput: a cloud without points or with coordinates that are not finite.
        """
        return Structure.cat([self._structure(cloud) for cloud in xyz])

    def _structure(self, xyz: Tensor) -> Structure:
        tree = neighbors.grow(xyz)
        chosen = neighbors.farthest_point_sample(xyz, min(self.centres[0], len(xyz)), tree=tree)
        levels: list[Level] = []
        for count, radius, k in zip(self.centres, self.radii_m, self.neighbours, strict=True):
            # The farthest points among farthest points are the first of them, so one sampling is enough for all levels.
            chosen = chosen[:count] if not levels else torch.arange(min(count, len(xyz)), device=xyz.device)
            centres = xyz[chosen]
            centre_tree = neighbors.grow(centres)
            group = neighbors.ball_query(xyz, centres, radius, k, tree)
            near, squared = neighbors.knn(centres, xyz, 3, centre_tree, tree)
            parts = chosen, group, near, neighbors.interpolation_weights(squared)
            levels.append(Level(*(part[None] for part in parts)))
            xyz, tree = centres, centre_tree
        return Structure(tuple(levels))

    def forward(
        self, xyz: Float32[Tensor, "B N 3"], features: Float[Tensor, "B N F"], structure: Structure | None = None
    ) -> Float[Tensor, "B N D"]:
        """Features of every point.

        Args:
            xyz: metres.
            features: input features.
            structure: that of ``xyz``, if the caller has it.

        Raises:
            BadInput: no points, coordinates that are not finite, another number of features than the network was built
                for, or one single point in training.
        """
        self._check(features)
        structure = structure or self.structure(xyz)
        fold = not self.training and not torch.is_grad_enabled()
        abstract, propagate = (_abstract_folded, _propagate_folded) if fold else (_abstract, _propagate)
        if self.checkpointing:
            abstract, propagate = partial(recomputed, abstract), partial(recomputed, propagate)
        batch, points = xyz.shape[:2]
        # Only differences of positions matter, and small numbers have more digits. No rounding to 16 bits here.
        places = xyz.to(torch.promote_types(features.dtype, torch.float32))
        places = (places - places.mean(1, keepdim=True)).flatten(0, 1)
        rows, below = features.flatten(0, 1), []
        for layers, level, radius in zip(self.abstraction, structure.levels, self.radii_m, strict=True):
            chosen, group, near, weight = _packed(level)
            below.append((rows, near, weight))
            centres = places[chosen]
            rows = abstract(layers, places, rows, centres, group, radius)
            places = centres
        for layers, (skip, near, weight) in zip(self.propagation, reversed(below), strict=True):
            rows = propagate(layers, rows, skip, near, weight)
        return rows.unflatten(0, (batch, points))

    def _check(self, features: Tensor) -> None:
        batch, points, channels = features.shape
        if channels != self.in_features:
            raise BadInput(
                f"{channels} features per point, but this network was built for {self.in_features}; "
                "give it the features it was trained with"
            )
        if not batch * points:
            raise BadInput(f"{batch} clouds of {points} points: no points or no clouds; expected one or more of each")
        if self.training and batch * points < 2:
            raise BadInput("training on one single point; batch normalisation needs 2 or more")


class Layers(nn.Module):
    """Linear layer, batch normalisation and ReLU, repeated; without biases."""

    def __init__(self, in_channels: int, widths: Sequence[int]) -> None:
        super().__init__()
        pairs = list(zip([in_channels, *widths], widths, strict=False))
        self.linear = cast(Sequence[nn.Linear], nn.ModuleList(nn.Linear(a, b, bias=False) for a, b in pairs))
        self.norm = cast(Sequence[nn.BatchNorm1d], nn.ModuleList(nn.BatchNorm1d(b) for _, b in pairs))
        for linear in self.linear:
            nn.init.kaiming_normal_(linear.weight)

    def rest(self, rows: Tensor, group: int = 1) -> Tensor:
        """Apply all layers after the first linear layer, and take the maximum over each ``group`` rows."""
        rows = self.norm[0](rows)
        for linear, norm in zip(self.linear[1:], self.norm[1:], strict=True):
            rows = norm(linear(relu(rows)))
        if group > 1:  # before the last ReLU, which keeps the order and then has fewer rows
            rows = rows.unflatten(0, (-1, group)).max(1).values
        return relu(rows)

    def folded(self) -> list[tuple[Tensor, Tensor]]:
        """Weight and bias of each layer with the running statistics of batch normalisation folded in."""
        pairs = []
        for linear, norm in zip(self.linear, self.norm, strict=True):
            mean, variance = norm.running_mean, norm.running_var
            assert mean is not None, "batch normalisation without running statistics"
            assert variance is not None, "batch normalisation without running statistics"
            scale = norm.weight * torch.rsqrt(variance + norm.eps)
            pairs.append((linear.weight * scale[:, None], norm.bias - mean * scale))
        return pairs


def _packed(level: Level) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The level with indices into the rows of all clouds together: no batch dimension."""
    batch, points = level.near.shape[:2]
    cloud = torch.arange(batch, device=level.near.device)[:, None]
    centres = level.centres + cloud * points
    group = level.group + cloud[..., None] * points
    near = level.near + cloud[..., None] * level.centres.shape[1]
    return centres.flatten(), group.flatten(0, 1), near.flatten(0, 1), level.weight.flatten(0, 1)


def _abstract(layers: Layers, places: Tensor, rows: Tensor, centres: Tensor, group: Tensor, radius: float) -> Tensor:
    """Set abstraction: one feature vector for each centre from its group; positions relative to it, in radii."""
    points, offset = _first_of_group(layers.linear[0].weight, places, rows, centres, radius)
    grouped = embedding(group, points) - offset[:, None]
    return layers.rest(grouped.flatten(0, 1), group.shape[1])


def _propagate(layers: Layers, rows: Tensor, skip: Tensor, near: Tensor, weight: Tensor) -> Tensor:
    """Feature propagation: interpolate from the level above, and combine with the level's own features."""
    from_above, from_skip = layers.linear[0].weight.split([rows.shape[1], skip.shape[1]], 1)
    return layers.rest(neighbors.interpolate(rows @ from_above.T, near, weight) + skip @ from_skip.T)


def _first_of_group(
    matrix: Tensor, places: Tensor, rows: Tensor, centres: Tensor, radius: float
) -> tuple[Tensor, Tensor]:
    """The first linear layer of the groups: a term of each point, and a term of each centre, to be subtracted.

    The two terms nearly cancel each other, so neither may be rounded to 16 bits. Autocast is off here.
    """
    with torch.autocast(places.device.type, enabled=False):
        by_place, by_feature = matrix.to(places.dtype).split([3, rows.shape[1]], 1)
        by_place = by_place.T / radius
        return rows.to(places.dtype) @ by_feature.T + places @ by_place, centres @ by_place


def _abstract_folded(
    layers: Layers, places: Tensor, rows: Tensor, centres: Tensor, group: Tensor, radius: float
) -> Tensor:
    (first, bias), *rest = layers.folded()
    points, offset = _first_of_group(first, places, rows, centres, radius)
    offset -= bias
    fill = 1 + (group[:, 1:] != group[:, :1]).sum(1)  # points of each group before the row repeats its first point
    order = fill.argsort()
    dtype = _working_dtype(rows)
    rest = [(weight.T.to(dtype), bias.to(dtype)) for weight, bias in rest]
    out = rows.new_empty(len(group), len(rest[-1][1]), dtype=dtype)
    for chosen in order.split(_slice(group.shape[1] * out.shape[1])):
        index = group[chosen, : int(fill[chosen[-1]])]
        grouped = points.index_select(0, index.flatten()).view(*index.shape, -1)
        grouped = grouped.sub_(offset[chosen][:, None]).relu_().flatten(0, 1).to(dtype)
        with torch.autocast(rows.device.type, enabled=False):
            for weight, bias in rest[:-1]:
                grouped = torch.mm(grouped, weight).add_(bias).relu_()
            # Bias and ReLU keep the order, so they may come after the maximum.
            best = torch.mm(grouped, rest[-1][0]).view(*index.shape, -1).amax(1)
        out[chosen] = best.add_(rest[-1][1]).relu_()
    return out


def _propagate_folded(layers: Layers, rows: Tensor, skip: Tensor, near: Tensor, weight: Tensor) -> Tensor:
    dtype = _working_dtype(rows)
    (first, bias), *rest = ((matrix.to(dtype), bias.to(dtype)) for matrix, bias in layers.folded())
    from_above, from_skip = first.split([rows.shape[1], skip.shape[1]], 1)
    out = rows.new_empty(len(near), len(rest[-1][1]), dtype=dtype)
    size = _slice(out.shape[1])
    with torch.autocast(rows.device.type, enabled=False):
        above = torch.mm(rows.to(dtype), from_above.T)
        slices = (rows_of_all.split(size) for rows_of_all in (out, skip, near, weight))
        for part, own, *links in zip(*slices, strict=True):
            row = neighbors.interpolate(above, *links).addmm_(own.to(dtype), from_skip.T).add_(bias).relu_()
            for matrix, shift in rest[:-1]:
                row = torch.mm(row, matrix.T).add_(shift).relu_()
            torch.mm(row, rest[-1][0].T, out=part).add_(rest[-1][1]).relu_()
    return out


def _working_dtype(rows: Tensor) -> torch.dtype:
    kind = rows.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else rows.dtype


def _slice(elements_per_row: int) -> int:
    return max(1, SLICE // elements_per_row)
