"""Pieces of furniture stay in their boxes, carry known labels and vary."""

import numpy as np
import pytest

from wsss_ros.rooms.furniture import BUILDERS, build
from wsss_ros.rooms.furniture.piece import NOTHING
from wsss_ros.rooms.kit import Kit
from wsss_ros.rooms.layout.recipes import KINDS, RECIPES
from wsss_ros.rooms.styles import DEFAULT, OTHER, STYLES, style_named


@pytest.mark.parametrize("style", sorted(STYLES))
@pytest.mark.parametrize("name", sorted(BUILDERS))
def test_pieces_stay_in_their_box_and_stand_on_the_floor(name, style, labels):
    kit = Kit(np.random.default_rng(0), style_named(style))
    for _ in range(4):
        piece = BUILDERS[name](kit)
        own = np.concatenate([part.mesh.vertices for part in piece.parts if part.label])
        half = np.array(piece.size[:2]) / 2
        assert (np.abs(own[:, :2]).max(0) < half + 0.06).all()
        assert -1e-9 <= own[:, 2].min() < 0.35
        assert own[:, 2].max() < piece.size[2] + 0.07
        assert {part.label for part in piece.parts} <= {*labels.names, NOTHING}
        for part in piece.parts:
            assert part.mesh.triangles.max() < len(part.mesh.vertices)


def test_several_shapes_per_class_and_proportions_that_vary():
    assert set(DEFAULT.rooms) == set(RECIPES) == set(KINDS) == {*DEFAULT.kinds, *OTHER.kinds}
    assert len(DEFAULT.kinds) == 6
    assert not {*DEFAULT.kinds} & {*OTHER.kinds}
    for what in ("chair", "table", "desk", "sofa", "bed", "cabinet", "bookshelf", "refrigerator", "toilet", "bathtub"):
        assert len(set(DEFAULT.shapes[what])) >= 2, what
    kit = Kit(np.random.default_rng(0), DEFAULT)
    heights = [build(kit, "bookshelf").size[2] for _ in range(20)]
    assert max(heights) > 1.5 * min(heights)
