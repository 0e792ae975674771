"""The kit of a room draws random lengths, materials and shapes from a style."""

import colorsys
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from wsss_ros.rooms.materials import FAMILIES, Color, Material, shaded
from wsss_ros.rooms.styles.tables import Style
from wsss_ros.rooms.uses import LOOKS

# A material that shows a picture of a kind, such as "wood"; its longer edge is some metres. None without a picture.
Surfaces = Callable[[np.random.Generator, str, float], Material | None]


class Kit:
    """A random generator together with a style, and with pictures of surfaces where a furniture library has some."""

    def __init__(self, rng: np.random.Generator, style: Style, surfaces: Surfaces | None = None) -> None:
        self.rng, self.style, self.surfaces = rng, style, surfaces

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
        family = families[self.rng.choice(len(families), p=np.array(weights) / sum(weights))]
        plain = self._plain(family)
        return self._shown(f"{what} {family}" if f"{what} {family}" in LOOKS else family, plain)

    def family(self, name: str, emission: float = 0.0) -> Material:
        """A material of a family of ``FAMILIES``."""
        return self._shown(name, self._plain(name, emission))

    def _shown(self, look: str, plain: Material) -> Material:
        """The material with a picture of its ``LOOKS``, by chance, where there are pictures."""
        if self.surfaces is None or look not in LOOKS or not self.chance(LOOKS[look].chance):
            return plain
        row = LOOKS[look]
        kind = row.kinds[self.rng.integers(len(row.kinds))]
        shown = self.surfaces(self.rng, kind, self.between(*row.extent_m))
        if shown is None or shown.picture is None:
            return plain
        tint, light = self.between(*row.tint), self.between(0.85, 1.05)
        own = np.array(plain.color) / np.maximum(shown.picture.mean, 0.05)
        r, g, b = (float(c) for c in np.clip((1 - tint) * light + tint * own, 0.1, 1.5))
        return replace(
            shown, color=(r, g, b), gloss=plain.gloss, dropout=plain.dropout, emission=plain.emission, seed=plain.seed
        )

    def _plain(self, name: str, emission: float = 0.0) -> Material:
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
