"""Styles: palettes within a style and apart from another style, and further styles."""

import itertools

import numpy as np
import pytest
from scipy.spatial import cKDTree

from wsss_ros.rooms.furniture.piece import NOTHING
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.styles import DEFAULT, OTHER, style_named


def test_palettes_are_shared_between_classes():
    families = {what: {name for name, _ in rows} for what, rows in DEFAULT.materials.items()}
    for what in ("table", "desk", "cabinet", "bookshelf", "door", "counter"):
        assert "wood" in families[what]
    for what in ("wall", "refrigerator", "window", "table", "shower curtain"):
        assert "white" in families[what]


def _lab(rgb) -> np.ndarray:
    """Convert sRGB in 0..255 to CIELAB (D65), in which distances are about as large as they look."""
    c = np.asarray(rgb, float) / 255
    c = np.where(c > 0.04045, ((c + 0.055) / 1.055) ** 2.4, c / 12.92)
    xyz = c @ np.array([[0.4124, 0.2126, 0.0193], [0.3576, 0.7152, 0.1192], [0.1805, 0.0722, 0.9505]])
    f = np.cbrt(xyz / (0.9505, 1, 1.089))
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


def test_lab_of_known_colours():
    known = {(255, 255, 255): (100, 0, 0), (255, 0, 0): (53.24, 80.09, 67.20), (0, 0, 255): (32.30, 79.19, -107.86)}
    assert np.allclose(_lab(list(known)), list(known.values()), atol=0.1)


@pytest.mark.parametrize("family", sorted(DEFAULT.palettes))
def test_palettes_of_the_styles_lie_apart(family):
    default, other = _lab(DEFAULT.palettes[family]), _lab(OTHER.palettes[family])
    assert cKDTree(default).query(other)[0].min() > 12  # about 2 can just be seen
    drawn = [Kit(np.random.default_rng(0), style) for style in (DEFAULT, OTHER)]
    default, other = (_lab([np.multiply(kit.color(family), 255) for _ in range(1500)]) for kit in drawn)
    assert (cKDTree(default).query(other)[0] < 5).mean() < 0.08


@pytest.mark.slow
def test_the_other_style_has_all_classes_and_other_proportions(plans, other_plans, labels):
    tags = {k: [{p.label for s in room.placed for p in s.piece.parts} for room in v] for k, v in other_plans.items()}
    assert set().union(*itertools.chain(*tags.values())) == {*labels.names, NOTHING}
    typical = dict(
        studio={"bed", "counter", "sink", "refrigerator"}, classroom={"desk", "chair"}, meeting_room={"table", "chair"},
        washroom={"toilet", "sink"},
    )  # fmt: skip
    for kind, names in typical.items():
        assert np.mean([names <= found for found in tags[kind]]) > 0.5, kind
    seats = [sum(s.piece.kind == "chair" for s in room.placed) for room in other_plans["classroom"]]
    assert np.median(seats) >= 6
    high = [[room.height for room in itertools.chain(*p.values())] for p in (plans, other_plans)]
    assert np.mean(high[1]) > np.mean(high[0]) + 0.3


def test_plain_rooms_keep_a_class_to_few_colours():
    plain = Kit(np.random.default_rng(0), style_named("plain"))
    default = Kit(np.random.default_rng(0), DEFAULT)
    for what in ("wall", "floor", "cabinet", "bedding", "chair", "sofa", "table", "desk", "door", "bookshelf"):
        few, many = (np.array([kit.material(what).color for _ in range(100)]) for kit in (plain, default))
        assert few.std(axis=0).sum() < 0.7 * many.std(axis=0).sum(), what
