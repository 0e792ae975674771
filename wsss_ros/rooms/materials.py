"""Materials of surfaces, and the families of materials from which styles choose."""

from dataclasses import dataclass

from wsss_ros.model_files.pictures import Picture

Color = tuple[float, float, float]  # sRGB in 0..1


@dataclass(frozen=True)
class Material:
    """The look of a surface, and how well a depth camera sees it.

    Colours are sRGB in 0..1, lengths in metres. ``dropout`` is the share of missing depth. Glass
    has an ``alpha`` below 1: the share of its own colour; the rest is what is behind it.

    With a ``picture`` the surface shows it, multiplied by ``color``: where the mesh says (``Mesh.uv``), and on a mesh
    without uv by box projection, one picture every ``tile`` = (width, height) metres. Box projection lays the grain of
    a picture along the part when ``texture`` is "wood".
    """

    color: Color
    accent: Color = (0.5, 0.5, 0.5)
    texture: str = "plain"
    scale: float = 0.1
    gloss: float = 0.0
    emission: float = 0.0
    dropout: float = 0.0
    seed: int = 0
    alpha: float = 1.0
    picture: Picture | None = None
    tile: tuple[float, float] = (1.0, 1.0)


def shaded(color: Color, share: float) -> Color:
    """The colour with its brightness multiplied by ``share``."""
    r, g, b = color
    return r * share, g * share, b * share


# family -> (palette of the colour, palette of the second colour, texture, scale range, gloss range, dropout)
# fmt: off
FAMILIES = {
    "wood": ("wood", "wood", "wood", (0.03, 0.09), (0.02, 0.25), 0.02),
    "planks": ("wood", "wood", "planks", (0.08, 0.19), (0.02, 0.3), 0.03),
    "panel": ("wood", "wood", "planks", (0.1, 0.25), (0.02, 0.15), 0.02),
    "white": ("white", "white", "plain", (0.3, 0.9), (0.0, 0.2), 0.02),
    "paint": ("paint", "paint", "plain", (0.3, 0.9), (0.0, 0.1), 0.01),
    "wallpaper": ("paint", "white", "stripes", (0.06, 0.3), (0.0, 0.02), 0.01),
    "brick": ("carpet", "paint", "brick", (0.18, 0.24), (0.0, 0.02), 0.01),
    "fabric": ("fabric", "fabric", "fabric", (0.01, 0.03), (0.0, 0.02), 0.02),
    "linen": ("linen", "linen", "fabric", (0.01, 0.03), (0.0, 0.02), 0.01),
    "pattern": ("linen", "fabric", "pattern", (0.06, 0.3), (0.0, 0.02), 0.02),
    "leather": ("leather", "leather", "plain", (0.1, 0.3), (0.15, 0.45), 0.15),
    "dark": ("dark", "dark", "plain", (0.1, 0.3), (0.1, 0.5), 0.3),
    "metal": ("metal", "metal", "plain", (0.3, 0.9), (0.3, 0.8), 0.25),
    "stone": ("stone", "stone", "stone", (0.03, 0.12), (0.1, 0.5), 0.08),
    "tiling": ("tile", "stone", "tile", (0.08, 0.45), (0.1, 0.5), 0.06),
    "carpet": ("carpet", "carpet", "fabric", (0.015, 0.04), (0.0, 0.0), 0.02),
    "ceramic": ("ceramic", "ceramic", "plain", (0.3, 0.9), (0.3, 0.7), 0.12),
    "vivid": ("vivid", "vivid", "plain", (0.1, 0.4), (0.0, 0.3), 0.03),
    "card": ("card", "card", "plain", (0.1, 0.4), (0.0, 0.05), 0.0),
    "glass": ("sky", "sky", "outside", (0.5, 1.5), (0.0, 0.0), 0.7),
    "books": ("vivid", "fabric", "books", (0.018, 0.045), (0.0, 0.1), 0.04),
    "art": ("vivid", "paint", "art", (0.15, 0.5), (0.0, 0.3), 0.05),
    "screen": ("dark", "vivid", "plain", (0.1, 0.4), (0.4, 0.8), 0.6),
}
# fmt: on
