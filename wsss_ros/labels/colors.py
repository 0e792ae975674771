"""Colours of classes in label files: their notations, a palette for classes without one, and clashes."""

import itertools
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float64
from PIL import ImageColor

from wsss_ros.types import BadInput

Color = tuple[int, int, int]
NOTATIONS = "[255, 0, 0], [1.0, 0.0, 0.0], '#ff0000' (with quotes), 'red' or another name of CSS"
_SPLIT = re.compile(r"[\s,;]+")
_HEX = re.compile(r"(?:#|0[xX])?([0-9a-fA-F]{6}|[0-9a-fA-F]{8})")
_UNLABELLED: tuple[Color, ...] = ((0, 0, 0), (128, 128, 128))  # in pictures, and in the 3D viewer
_NEAR = 4.0  # distance in CIELAB below which two colours are hardly told apart
_LEVELS = np.linspace(0, 255, 8).round()


def read_colors(values: Sequence[Any]) -> list[Color | None]:
    """RGB of 0..255 from the colours of a label file, each in one of ``NOTATIONS``; None for a class without colour.

    A fourth value (alpha) is ignored. Numbers are of 0..1 if no number of the file is above 1 and one is written with a
    point. Raises BadInput naming the colour that is not understood.
    """
    parts = [_numbers(value) if not isinstance(value, str) else _of_text(value) for value in values]
    listed = [part for part, value in zip(parts, values, strict=True) if part is not None and not _is_named(value)]
    of_one = bool(listed) and max(max(part) for part in listed) <= 1 and any(_has_point(part) for part in listed)
    return [
        None if part is None else _to_bytes(part, value, of_one and not _is_named(value))
        for part, value in zip(parts, values, strict=True)
    ]


def _is_named(value: Any) -> bool:
    """Whether a colour is a text that says itself what its numbers mean."""
    return isinstance(value, str) and not _SPLIT.split(value.strip("[]() "))[0].replace(".", "").isdecimal()


def _has_point(numbers: Sequence[float]) -> bool:
    return any(isinstance(number, float) for number in numbers)


def _numbers(value: Any) -> list[float] | None:
    if value is None:
        return None
    if isinstance(value, dict):
        value = [value.get(channel) for channel in "rgb"]
    plain = isinstance(value, Sequence) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
    if not plain or len(value) not in (3, 4):
        raise BadInput(f"colour {value!r} is not understood; expected {NOTATIONS}")
    return list(value[:3])


def _of_text(text: str) -> list[float]:
    words = _SPLIT.split(text.strip("[]() "))
    try:
        if len(words) in (3, 4) and not text.strip()[:1].isalpha():
            return _numbers([float(word) if "." in word else int(word) for word in words]) or []
        if found := _HEX.fullmatch(words[0]):
            return [int(found[1][start : start + 2], 16) for start in (0, 2, 4)]
        return list(ImageColor.getrgb(text.strip().lower().replace(" ", ""))[:3])
    except ValueError as error:
        raise BadInput(f"colour '{text}' is not understood; expected {NOTATIONS}") from error


def _to_bytes(numbers: Sequence[float], given: Any, of_one: bool) -> Color:
    if of_one:
        numbers = [round(255 * number) for number in numbers]
    if not all(0 <= number <= 255 and number == round(number) for number in numbers):
        raise BadInput(f"colour {given!r}: numbers are whole, of 0..255, or all of 0..1 in the file; {NOTATIONS}")
    red, green, blue = map(int, numbers)
    return red, green, blue


def palette(count: int, taken: Sequence[Color] = ()) -> list[Color]:
    """``count`` colours that are far from each other, from those ``taken``, and from black and grey (unlabelled).

    Each next colour is the one of a grid whose smallest distance in CIELAB to the colours before is largest.
    """
    grid = np.stack(np.meshgrid(_LEVELS, _LEVELS, _LEVELS, indexing="ij"), axis=-1).reshape(-1, 3)
    lab, before = _lab(grid), _lab(np.array([*_UNLABELLED, *taken], np.float64))
    nearest = np.linalg.norm(lab[:, None] - before, axis=-1).min(axis=1)
    chosen: list[Color] = []
    for _ in range(count):
        best = int(nearest.argmax())
        red, green, blue = map(int, grid[best])
        chosen.append((red, green, blue))
        nearest = np.minimum(nearest, np.linalg.norm(lab - lab[best], axis=1))
    return chosen


def clashes(names: Sequence[str], colors: Sequence[Color]) -> list[str]:
    """A sentence for each pair of classes whose colours are equal or hardly told apart, and for each black class."""
    lab = _lab(np.array(colors, np.float64))
    dark = np.linalg.norm(lab, axis=1) < _NEAR
    found = [
        f"'{name}' {list(color)} is black, as unlabelled is"
        for name, color, is_dark in zip(names, colors, dark, strict=True)
        if is_dark
    ]
    for i, j in itertools.combinations(range(len(names)), 2):
        if colors[i] == colors[j]:
            found.append(f"'{names[i]}' and '{names[j]}' both have {list(colors[i])}")
        elif np.linalg.norm(lab[i] - lab[j]) < _NEAR:
            found.append(f"'{names[i]}' {list(colors[i])} and '{names[j]}' {list(colors[j])} look alike")
    return found


def _lab(rgb: Float64[np.ndarray, "N 3"]) -> Float64[np.ndarray, "N 3"]:
    """CIELAB (D65) of sRGB of 0..255."""
    linear = rgb / 255
    linear = np.where(linear > 0.04045, ((linear + 0.055) / 1.055) ** 2.4, linear / 12.92)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    xyz = linear @ to_xyz.T / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)
