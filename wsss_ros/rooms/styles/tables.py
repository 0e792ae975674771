"""The tables of a style."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """The tables from which all random choices about looks are drawn.

    palettes: family -> sRGB colours 0..255. materials: what -> ((family, weight), ...). sizes: what -> (low, high)
    in metres. shapes: class or group -> names of furniture builders. rooms: kind -> (width, depth) ranges in metres.
    kinds: the kinds of rooms from which a seed chooses, unless the caller names some.
    """

    palettes: Mapping[str, tuple[tuple[int, int, int], ...]]
    materials: Mapping[str, tuple[tuple[str, float], ...]]
    sizes: Mapping[str, tuple[float, float]]
    shapes: Mapping[str, tuple[str, ...]]
    rooms: Mapping[str, tuple[tuple[float, float], tuple[float, float]]]
    kinds: tuple[str, ...]
