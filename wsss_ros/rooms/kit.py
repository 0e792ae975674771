"""The kit of a room draws random lengths, materials and shapes from a style."""

import colorsys

import numpy as np

from wsss_ros.rooms.materials import FAMILIES, Color, Material, shaded
from wsss_ros.rooms.styles.tables import Style


class Kit:
    """A random generator together with a style."""

    def __init__(self, rng: np.random.Generator, style: Style) -> None:
        self.rng, self.style = rng, style

    def size(self, what: str) -> float:
        """A length in metres within the style's range for ``what``, such as "chair.w"."""
        return float(self.rng.uniform(*self.style.sizes[what]))

    def between(self, low: float, high: float) -> float:
        """A number in low..high."""
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        """True with this ``probability``, else False."""
        return bool(self.rng.random() < probability)

    def material(self, what: str) -> Material:
        """A material of one of the families that the style allows for ``what``, such as "chair legs"."""
        families, weights = zip(*self.style.materials[what], strict=True)
        return self.family(families[self.rng.choice(len(families), p=np.array(weights) / sum(weights))])

    def family(self, name: str, emission: float = 0.0) -> Material:
        """A material of a family of ``FAMILIES``."""
        first, second, texture, scale, gloss, dropout = FAMILIES[name]
        color, accent = self.color(first), self.color(second)
        if texture in ("wood", "planks", "stone"):  # the second colour is a shade of the first
            accent = shaded(color, self.between(0.72, 0.95))
        seed = int(self.rng.integers(1 << 16))
        return Material(color, accent, texture, self.between(*scale), self.between(*gloss), emission, dropout, seed)

    def color(self, palette: str) -> Color:
        """A colour near one of a palette; sRGB in 0..1."""
        colors = self.style.palettes[palette]
        rgb = np.array(colors[self.rng.integers(len(colors))]) / 255
        h, s, v = colorsys.rgb_to_hsv(*np.clip(rgb, 0, 1))
        h = (h + self.rng.normal(0, 0.012)) % 1
        s = np.clip(s * self.rng.uniform(0.75, 1.25), 0, 1)
        v = np.clip(v * self.rng.uniform(0.82, 1.12), 0, 0.97)
        r, g, b = colorsys.hsv_to_rgb(h, s, v)
        return float(r), float(g), float(b)

    def shape(self, what: str) -> str:
        """One of the shapes in which the style allows a class (or group of shapes)."""
        names = self.style.shapes[what]
        return names[self.rng.integers(len(names))]
