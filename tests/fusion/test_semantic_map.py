"""The semantic map against a dictionary of voxels; things that move, bounds, wrong poses, what is saved."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.semantic_map import SemanticMap as Twin
from support.random_views import SMALL, random_depth, random_pose

from wsss_ros.fusion.map_views import LabelledScan, LabelledView
from wsss_ros.fusion.semantic_map import NOT_SEEN, SemanticMap, SemanticMapConfig
from wsss_ros.geometry import unproject
from wsss_ros.labels import UNLABELLED
from wsss_ros.types import BadInput, Camera, Distortion

CLASSES = 5
CAMERA = Camera(60.0, 60.0, 31.5, 23.5, 64, 48)
BENT = dataclasses.replace(SMALL, distortion=Distortion("polynomial", (-0.2, 0.02, 0.003, -0.002)))
WALL = SemanticMapConfig(pixel_stride=1, min_votes=0.3)


def random_view(rng: np.random.Generator, camera: Camera = SMALL) -> LabelledView:
    shape = (camera.height, camera.width)
    labels = rng.choice([*range(CLASSES), UNLABELLED, NOT_SEEN], shape).astype(np.uint8)
    pose = random_pose(rng)
    pose[:3, 3] *= 0.2
    return LabelledView(labels, random_depth(rng, camera), camera, pose, int(rng.integers(1, 2**60)))


def wall(depth_m: float = 2.0, label: int = 1, shift_m: float = 0.0, **changes) -> LabelledView:
    """A wall that fills the image of a camera at ``shift_m`` on the x axis."""
    shape, pose = (CAMERA.height, CAMERA.width), np.eye(4)
    pose[0, 3] = shift_m
    view = LabelledView(np.full(shape, label, np.uint8), np.full(shape, depth_m, np.float32), CAMERA, pose, 7)
    return dataclasses.replace(view, **changes)


def labels_at(made: SemanticMap, depth_m: float) -> set[int]:
    cloud = made.cloud()
    return set(cloud.labels[np.abs(cloud.xyz[:, 2] - depth_m) < 0.1].tolist())


def by_voxel(made: SemanticMap) -> dict:
    cloud, size = made.cloud(), made.config.voxel_size_m
    keys = map(
        tuple, np.floor(made.origin / size + 1e-9).astype(int) + np.floor((cloud.xyz - made.origin) / size).astype(int)
    )
    return dict(zip(keys, zip(cloud.xyz, cloud.labels, cloud.confidence, strict=True), strict=True))


@settings(max_examples=10)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.03, 0.3]),
    st.sampled_from([1, 2]),
    st.sampled_from([SMALL, BENT]),
    st.sampled_from([2.0, 60.0]),
    st.sampled_from([0.3, 1.0]),
)
def test_it_matches_its_twin(seed, size, stride, camera, most, keep):
    rng = np.random.default_rng(seed)
    config = SemanticMapConfig(
        voxel_size_m=size, pixel_stride=stride, max_votes=most, empty_keep=keep, min_votes=0.05, min_depth_m=0
    )
    fast, slow = SemanticMap(config, CLASSES), Twin(config)
    views = [random_view(rng, camera) for _ in range(3)]
    for view in [*views, views[0]]:
        assert fast.add(view) == slow.add(view)
        assert len(fast) == len(slow.voxels)
    got, expected = by_voxel(fast), slow.cloud()
    assert set(got) == set(expected)
    for key, (xyz, label, confidence) in expected.items():
        assert np.allclose(got[key][0], xyz, atol=1e-4)
        assert np.isclose(got[key][2], confidence, atol=1e-4)
        votes = slow.voxels[key]["votes"]
        assert got[key][1] == label or np.isclose(votes[got[key][1]], votes[label], rtol=1e-4)


def test_points_vote_as_pixels_do():
    """A scan of the points that a view shows: the same voxels and classes."""
    rng = np.random.default_rng(0)
    view = random_view(rng)
    config = SemanticMapConfig(pixel_stride=1, min_depth_m=0, max_depth_m=50, vote_distance_m=60)
    by_pixels, by_points = SemanticMap(config, CLASSES), SemanticMap(config, CLASSES)
    by_pixels.add(view)
    xyz, pixel = unproject(view.depth_m, view.camera, view.world_from_camera)
    scan = LabelledScan(xyz, view.labels.ravel()[pixel], view.depth_m, view.camera, view.world_from_camera, dt_s=0.1)
    assert by_points.add_scan(scan) > 0
    assert len(by_points) == len(by_pixels) > 10
    assert np.array_equal(np.sort(by_points.state()["key"]), np.sort(by_pixels.state()["key"]))
    assert by_points.add_scan(dataclasses.replace(scan, dt_s=0.5)) == 0, "labels of another time do not vote"


def test_the_class_of_most_views_wins_and_unlabelled_pixels_lower_the_confidence():
    made = SemanticMap(WALL, CLASSES)
    for label in (1, 2, 2, UNLABELLED):
        made.add(wall(label=label))
    cloud = made.cloud()
    assert set(cloud.labels.tolist()) == {2}
    assert np.allclose(cloud.confidence, 0.5)
    made.add(wall(label=NOT_SEEN))
    assert np.allclose(made.cloud().confidence, 0.5), "pixels that are not seen have no vote"


def test_a_view_has_about_one_vote_for_each_voxel_at_any_distance_and_stride():
    for depth_m, stride in ((1.0, 1), (1.0, 3), (2.0, 2)):
        made = SemanticMap(SemanticMapConfig(pixel_stride=stride, min_votes=0, vote_distance_m=1000), CLASSES)
        camera = Camera(600.0, 600.0, 319.5, 239.5, 640, 480)
        shape = (camera.height, camera.width)
        made.add(LabelledView(np.zeros(shape, np.uint8), np.full(shape, depth_m, np.float32), camera, np.eye(4)))
        assert np.isclose(np.median(made.state()["total"]), 1, atol=0.1)


def test_a_thing_that_went_away_disappears_and_what_is_behind_it_stays():
    made = SemanticMap(WALL, CLASSES)
    chair = wall(label=1)
    chair.depth_m[16:32, 24:40], chair.labels[16:32, 24:40] = 1.0, 2
    for _ in range(20):
        made.add(wall(label=1))
    for _ in range(20):
        made.add(chair)
    assert labels_at(made, 1.0) == {2}
    for _ in range(12):
        made.add(wall(label=1))
    assert labels_at(made, 1.0) == set() and labels_at(made, 2.0) == {1}
    assert made.counts["voxels_emptied"] > 0


def test_a_new_class_wins_after_about_max_votes_views():
    config = WALL.model_copy(update={"max_votes": 10.0})
    made = SemanticMap(config, CLASSES)
    for _ in range(500):
        made.add(wall(label=1))
    for _ in range(30):
        made.add(wall(label=3))
    assert labels_at(made, 2.0) == {3}
    assert made.state()["total"].max() <= 10


def test_a_view_that_contradicts_the_map_is_refused_and_the_map_is_unharmed():
    made = SemanticMap(SemanticMapConfig(pixel_stride=1, voxel_size_m=0.02), CLASSES)
    for _ in range(3):
        made.add(wall())
    before = made.state()
    with pytest.raises(BadInput, match="view contradicts the map: it looks through 100 %"):
        made.add(wall(4.0, 2))
    after = made.state()
    assert all(np.array_equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"world_from_camera": np.full((4, 4), np.nan)}, "NaN"),
        ({"world_from_camera": np.diag([2.0, 2, 2, 1])}, "not rigid"),
        ({"camera": Camera(0.0, 0.0, 0.0, 0.0, 64, 48)}, "uncalibrated"),
        ({"labels": np.zeros((24, 32), np.uint8)}, "labels of 32x24, depth of 64x48, camera of 64x48"),
    ],
)
def test_views_that_cannot_vote_change_nothing(changes, why):
    made = SemanticMap(WALL, CLASSES)
    made.add(wall())
    before = made.state()
    view = wall(label=2)
    for name, value in changes.items():
        object.__setattr__(view, name, value)  # types are checked in the constructor
    with pytest.raises(BadInput, match=why):
        made.add(view)
    assert all(np.array_equal(before[name], made.state()[name]) for name in before)


@pytest.mark.parametrize("forget, gone, kept", [("oldest", 0, 40), ("farthest", 40, 0)])
def test_a_full_map_forgets_the_oldest_or_the_farthest_and_keeps_its_bound(forget, gone, kept):
    """Places at 0, 40 and 10 m on the x axis, in this order; about 3,000 voxels in each view."""
    config = SemanticMapConfig(pixel_stride=1, voxel_size_m=0.01, max_voxels=10_000, forget=forget, max_conflict=1)
    made, rng = SemanticMap(config, CLASSES), np.random.default_rng(0)
    for shift_m in (0, 40, 10, 10):
        made.add(dataclasses.replace(wall(shift_m=shift_m), **noise(rng)))
        assert len(made) <= 10_000
    state = made.state()
    count = {place: (np.abs(state["mean"][:, 0] - place) < 5).sum() for place in (gone, kept, 10)}
    assert made.counts["voxels_forgotten"] >= 1500
    assert count[gone] < 1600 and count[kept] > 2900 and count[10] > 5800, count
    assert len(np.unique(state["key"])) == len(made)


def noise(rng: np.random.Generator) -> dict[str, np.ndarray]:
    return {"depth_m": rng.uniform(1, 4, (CAMERA.height, CAMERA.width)).astype(np.float32)}


def test_rows_that_were_freed_are_used_again_and_every_voxel_is_found():
    made = SemanticMap(SemanticMapConfig(pixel_stride=1, voxel_size_m=0.01, max_voxels=10_000, max_conflict=1), CLASSES)
    rng = np.random.default_rng(1)
    for _ in range(60):
        made.add(dataclasses.replace(random_view(rng, CAMERA), **noise(rng)))
        keys, slots = made._table
        held = made._rows[0][made._rows[0] >= 0]
        assert len(held) == len(made) == (keys >= 0).sum()
    for row in np.flatnonzero(made._rows[0] >= 0)[::97]:
        assert slots[np.flatnonzero(keys == made._rows[0][row])[0]] == row
    assert made.counts["voxels_forgotten"] > 10_000


def test_a_state_restores_the_map():
    rng = np.random.default_rng(3)
    made = SemanticMap(SemanticMapConfig(pixel_stride=1), CLASSES)
    for _ in range(3):
        made.add(random_view(rng))
    other = SemanticMap(SemanticMapConfig(pixel_stride=1), CLASSES)
    other.restore(made.state())
    assert all(np.array_equal(made.state()[name], other.state()[name]) for name in made.state())
    view = random_view(rng)
    assert made.add(view) == other.add(view)
    assert by_voxel(made).keys() == by_voxel(other).keys()
    smaller = SemanticMap(SemanticMapConfig(max_voxels=10_000), CLASSES)
    smaller.restore(made.state())
    assert len(smaller) == len(made)


def test_a_state_with_too_many_voxels_keeps_the_newest():
    made = SemanticMap(SemanticMapConfig(pixel_stride=1, voxel_size_m=0.01), CLASSES)
    for step in range(6):
        made.add(wall(shift_m=4.0 * step))
    small = SemanticMap(SemanticMapConfig(pixel_stride=1, voxel_size_m=0.01, max_voxels=10_000), CLASSES)
    assert len(made) > 10_000
    small.restore(made.state())
    assert len(small) == 10_000 and small.state()["seen"].min() >= 1
    assert small.state()["mean"][:, 0].max() > 19


@pytest.mark.parametrize("spoil", ["key", "counts", "classes", "mean"])
def test_a_state_whose_parts_do_not_fit_is_refused(spoil):
    made = SemanticMap(WALL, CLASSES)
    made.add(wall())
    state = made.state()
    changed = {
        "key": lambda a: a[:-1],
        "counts": lambda a: a + np.uint8(1),
        "classes": lambda a: a + np.uint8(CLASSES),
        "mean": lambda a: a[:, :2],
    }
    with pytest.raises(BadInput, match="its parts do not fit together"):
        made.restore(state | {spoil: changed[spoil](state[spoil])})
    assert len(made) == len(state["key"])


def test_a_map_far_from_the_origin_is_the_map_at_the_origin_shifted():
    shift = np.array([488, 4541, 0]) * 1024.0
    near, far = SemanticMap(WALL, CLASSES), SemanticMap(WALL, CLASSES)
    for label in (1, 1, 2):
        view = wall(label=label)
        near.add(view)
        pose = view.world_from_camera.copy()
        pose[:3, 3] += shift
        far.add(dataclasses.replace(view, world_from_camera=pose))
    there, here = far.cloud(), near.cloud()
    assert there.xyz.dtype == np.float64 and here.xyz.dtype == np.float32
    assert np.allclose(there.xyz - shift, here.xyz, atol=1e-6)
    assert np.array_equal(there.labels, here.labels)
