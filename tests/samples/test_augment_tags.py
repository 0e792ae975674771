"""Structures of a room removed with their tags, and two clouds that become one."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_ros.labels import s3dis, scannet20
from wsss_ros.samples import augment_tags
from wsss_ros.samples.augment_tags import MixSettings, StructureRemoval
from wsss_ros.samples.clouds import union_tags

CLASSES = {"wall": 0, "floor": 1, "ceiling": 3}
ALWAYS = StructureRemoval(floor=1, wall=1, ceiling=1)
FLOOR, WEST, SOUTH, EAST, NORTH, TABLE, TOP = range(7)


def room() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A room of 4 m x 3 m x 2.5 m: each side a region, a table, points without a region at the bottom, and tags."""
    parts, grid = [], np.linspace(0, 1, 12)
    a, b = (axis.ravel() for axis in np.meshgrid(grid, grid))
    for region, (x, y, z) in {
        FLOOR: (4 * a, 3 * b, 0 * a),
        WEST: (0 * a, 3 * a, 2.5 * b),
        SOUTH: (4 * a, 0 * a, 2.5 * b),
        EAST: (0 * a + 4, 3 * a, 2.5 * b),
        NORTH: (4 * a, 0 * a + 3, 2.5 * b),
        TABLE: (1 + a, 1 + b, 0 * a + 0.7),
        TOP: (4 * a, 3 * b, 0 * a + 2.5),
        -1: (1 + a, 1 + b, 0 * a + 0.1),
    }.items():
        parts += [(x[i], y[i], z[i], region) for i in range(len(a))]
    table = np.array(parts)
    return table[:, :3], table[:, 3].astype(np.int64), np.array([1, 1, 1, 1], np.float32)


def removed(xyz, region, tags, view=ALWAYS, seed=0, classes=CLASSES):
    kept, left = augment_tags.remove_structures(xyz, region, tags, classes, view, np.random.default_rng(seed))
    return set(region[~kept].tolist()), left.tolist(), kept


@pytest.mark.parametrize(
    "structure, regions, left",
    [
        ("floor", {FLOOR}, [1, 0, 1, 1]),
        ("wall", {WEST, SOUTH, EAST, NORTH}, [0, 1, 1, 1]),
        ("ceiling", {TOP}, [1, 1, 1, 0]),
    ],
)
def test_a_structure_goes_with_its_whole_region_and_its_tag(structure, regions, left):
    xyz, region, tags = room()
    view = StructureRemoval(**{**dict.fromkeys(augment_tags.STRUCTURES, 0.0), structure: 1.0})
    gone, now, kept = removed(xyz, region, tags, view)
    assert gone == regions and now == left
    assert (kept == ~np.isin(region, list(regions))).all()
    assert tags.all(), "the tags that came are unchanged"


def test_all_structures_leave_the_furniture_and_what_has_no_region():
    gone, left, kept = removed(*room())
    assert gone == {FLOOR, WEST, SOUTH, EAST, NORTH, TOP} and left == [0, 0, 1, 0]
    assert kept.any()


def test_floor_and_walls_go_in_half_of_the_clouds_each_and_ceilings_stay_by_default():
    lost = np.array([removed(*room(), StructureRemoval(), seed)[1] for seed in range(200)]) == 0
    assert (np.abs(lost[:, [0, 1]].mean(axis=0) - 0.5) < 0.1).all()
    assert np.abs((lost[:, 0] & lost[:, 1]).mean() - 0.25) < 0.1, "independently of each other"
    assert not lost[:, [2, 3]].any()


def test_a_structure_that_is_not_tagged_or_no_class_stays():
    xyz, region, tags = room()
    tags[CLASSES["floor"]] = 0
    gone, left, _ = removed(xyz, region, tags, classes={"floor": 1, "ceiling": 3})
    assert gone == {TOP} and left == [1, 0, 1, 0]


def test_tags_stay_where_nothing_can_be_removed():
    xyz, region, tags = room()
    assert removed(xyz, np.full_like(region, -1), tags)[:2] == (set(), tags.tolist())
    one_region = removed(xyz, np.zeros_like(region), tags)
    assert one_region[:2] == (set(), tags.tolist()), "no point would be left"
    nothing = removed(xyz[:0], region[:0], tags)
    assert nothing[:2] == (set(), tags.tolist()) and nothing[2].shape == (0,)
    assert removed(xyz[:1], region[:1], tags)[:2] == (set(), tags.tolist())


def slow_removal(xyz, region, tags, drawn):
    """Point after point: the region with most points in each slab."""
    low, high = xyz.min(axis=0), xyz.max(axis=0)
    inside = {
        "floor": [lambda p: p[2] < low[2] + 0.5],
        "ceiling": [lambda p: p[2] > high[2] - 0.5],
        "wall": [
            lambda p: p[0] < low[0] + 0.5,
            lambda p: p[1] < low[1] + 0.5,
            lambda p: p[0] > high[0] - 0.5,
            lambda p: p[1] > high[1] - 0.5,
        ],
    }
    gone, left = set(), tags.copy()
    for name in drawn:
        chosen = set()
        for test in inside[name]:
            counts = {}
            for point, number in zip(xyz, region.tolist(), strict=True):
                if number >= 0 and test(point):
                    counts[number] = counts.get(number, 0) + 1
            if counts:
                chosen.add(min(counts, key=lambda number: (-counts[number], number)))
        stays = [number for number in region.tolist() if number not in gone | chosen]
        if chosen & set(region.tolist()) and stays and tags[CLASSES[name]]:
            gone |= chosen
            left[CLASSES[name]] = 0
    return gone, left.tolist()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(1, 60), most=st.integers(1, 12))
def test_removal_is_its_slow_twin(seed, count, most):
    rng = np.random.default_rng(seed)
    xyz, region = rng.uniform(0, 1.5, (count, 3)), rng.integers(-1, most, count)
    tags = (rng.random(4) < 0.7).astype(np.float32)
    gone, left, _ = removed(xyz, region, tags)
    expected, tags_left = slow_removal(xyz, region, tags, augment_tags.STRUCTURES)
    assert (gone, left) == (expected & set(region.tolist()), tags_left)


def test_the_structures_of_the_shipped_label_spaces():
    assert set(augment_tags.structure_classes(scannet20())) == {"floor", "wall"}
    of_s3dis = s3dis()
    classes = augment_tags.structure_classes(of_s3dis)
    assert {of_s3dis.names[label] for label in classes.values()} == {"floor", "wall", "ceiling"}


# Mix3D.


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), counts=st.tuples(st.integers(0, 20), st.integers(0, 20)))
def test_a_mixed_cloud_has_both_clouds_as_they_were_but_moved(seed, counts):
    rng = np.random.default_rng(seed)
    parts = [rng.uniform(-3, 9, (count, 3)) for count in counts]
    mixed = augment_tags.mixed_points(*parts, rng)
    first, second = mixed[: counts[0]], mixed[counts[0] :]
    for part, now in zip(parts, (first, second), strict=True):
        assert now.shape == part.shape
        if len(part):
            offset = now - part
            np.testing.assert_allclose(offset, np.broadcast_to(offset[0], offset.shape), atol=1e-12)
    if counts[1]:
        np.testing.assert_allclose(second.mean(axis=0), 0, atol=1e-12)
    if counts[0]:
        centred = parts[0] - parts[0].mean(axis=0)
        assert (first.mean(axis=0) >= centred.min(axis=0) / 2 - 1e-12).all()
        assert (first.mean(axis=0) <= centred.max(axis=0) / 2 + 1e-12).all()


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), clouds=st.integers(0, 9))
def test_a_cloud_is_in_one_pair_at_most(seed, clouds):
    pairs = augment_tags.mixed_pairs(clouds, 1.0, np.random.default_rng(seed))
    assert pairs.shape == (clouds // 2, 2)
    assert len(set(pairs.ravel().tolist())) == pairs.size and set(pairs.ravel().tolist()) <= set(range(clouds))
    assert len(augment_tags.mixed_pairs(clouds, 0.0, np.random.default_rng(seed))) == 0


def test_pairs_are_mixed_in_their_share_with_any_partner_and_by_seed():
    pairs = [augment_tags.mixed_pairs(4, 0.5, np.random.default_rng(seed)).tolist() for seed in range(300)]
    assert np.mean([len(of_batch) for of_batch in pairs]) == pytest.approx(1, abs=0.15)
    met = {tuple(sorted(pair)) for of_batch in pairs for pair in of_batch}
    assert len(met) == 6
    assert pairs[:20] == [augment_tags.mixed_pairs(4, 0.5, np.random.default_rng(seed)).tolist() for seed in range(20)]


def test_mixed_clouds_have_the_tags_of_both():
    tags = np.array([[1, 0, 0, 0], [0, 1, 0, 0]], np.float32)
    known = np.array([[1, 1, 0, 1], [0, 1, 1, 1]], np.float32)
    # present in one: known; unknown in one and absent in the other: unknown; absent in both: known
    present, judged = union_tags(tags, known)
    assert present.tolist() == [1, 1, 0, 0] and judged.tolist() == [1, 1, 0, 1]


def test_by_default_nothing_is_mixed_and_only_the_student_would_see_it():
    assert MixSettings() == MixSettings(share=0.0, networks="student")
