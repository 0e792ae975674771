"""The buffer of transforms: equal to its slow twin, and to what tf2 does in the cases that its source decides."""

import importlib.util
import timeit

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from reference.transforms import Transforms
from scipy.spatial.transform import Rotation

from wsss_ros.geometry import transforms
from wsss_ros.geometry.transforms import LookupFailed, TransformBuffer
from wsss_ros.types import BadInput

FRAMES = ("map", "odom", "base", "camera", "optical")
STILL = (0.0, 0.0, 0.0, 1.0)
S = 10**9

seeds = st.integers(0, 2**31)
edges = st.sampled_from([(FRAMES[i], FRAMES[j]) for j in range(1, 5) for i in range(j)])  # never a loop
arrivals = st.lists(st.tuples(edges, st.integers(0, 6), seeds), min_size=1, max_size=30)
static_frames = st.sets(st.sampled_from(FRAMES[1:]), max_size=2)


def without_type_checks():
    """The module as it runs outside the tests: the checks of shapes and types take a hundred times its own time."""
    spec = importlib.util.spec_from_file_location("unchecked_transforms", transforms.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


fast = without_type_checks()


def random_transform(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=3) * 10, Rotation.random(random_state=rng).as_quat()


def moving(*stamps_s: float, parent="map", child="odom") -> TransformBuffer:
    """A frame that is at x = 10 t."""
    buffer = TransformBuffer()
    for stamp in stamps_s:
        buffer.add(parent, child, round(stamp * S), (10 * stamp, 0, 0), STILL)
    return buffer


@given(arrivals, static_frames, st.integers(-1, 7), st.integers(0, 9))
def test_it_equals_the_slow_twin(arrivals, static, second, tenth):
    """Random trees whose parents change, transforms in any order and with equal stamps."""
    buffer, twin, stamp = fast.TransformBuffer(None), Transforms(), second * 10 + tenth
    for (parent, child), at, seed in arrivals:
        for one in (buffer, twin):
            one.add(parent, child, 10 * at, *random_transform(seed), static=child in static)
    for target in buffer.frames():
        for source in buffer.frames():
            expected = twin.lookup(target, source, stamp)
            if expected is None:
                with pytest.raises(fast.LookupFailed):
                    buffer.lookup(target, source, stamp)
            else:
                np.testing.assert_allclose(buffer.lookup(target, source, stamp), expected, atol=1e-9)


@given(arrivals, st.integers(0, 60), st.sampled_from(FRAMES), st.sampled_from(FRAMES))
def test_a_transform_and_its_reverse_are_inverse(arrivals, stamp, one, other):
    buffer = fast.TransformBuffer(None)
    for (parent, child), at, seed in arrivals:
        buffer.add(parent, child, 10 * at, *random_transform(seed))
    try:
        there = buffer.lookup(one, other, stamp)
    except fast.LookupFailed:
        with pytest.raises(fast.LookupFailed):
            buffer.lookup(other, one, stamp)
    else:
        np.testing.assert_allclose(there @ buffer.lookup(other, one, stamp), np.eye(4), atol=1e-9)


@given(seeds, st.floats(0, 1))
def test_rotations_are_interpolated_at_constant_speed_on_the_shorter_way(seed, share):
    buffer, rng = fast.TransformBuffer(), np.random.default_rng(seed)
    start, turn = Rotation.random(random_state=rng), Rotation.from_rotvec(rng.normal(size=3))
    end = (turn * start).as_quat() * rng.choice([-1, 1])  # both signs are the same rotation
    buffer.add("map", "odom", 0, (0, 0, 0), start.as_quat())
    buffer.add("map", "odom", S, (0, 0, 0), end)
    got = Rotation.from_matrix(buffer.lookup("map", "odom", round(share * S))[:3, :3])
    expected = Rotation.from_rotvec(round(share * S) / S * turn.as_rotvec()) * start
    if turn.magnitude() < np.pi - 1e-3:
        assert (got * expected.inv()).magnitude() < 1e-7


def test_times_outside_are_refused_with_the_times():
    buffer = moving(1, 2)
    with pytest.raises(
        LookupFailed, match=r"asked for 2\.500 s, the newest from 'odom' to 'map' is of 2\.000 s"
    ) as late:
        buffer.lookup("map", "odom", 2_500_000_000)
    with pytest.raises(LookupFailed, match=r"the oldest from 'odom' to 'map' is of 1\.000 s, 0\.250 s later") as early:
        buffer.lookup("odom", "map", 750_000_000)
    assert (late.value.why, late.value.may_come) == ("future", True)
    assert (early.value.why, early.value.may_come) == ("past", False)


def test_unknown_frames_are_refused_with_the_known_ones():
    with pytest.raises(LookupFailed, match="no frame 'map' in TF: no transform has come yet"):
        TransformBuffer().lookup("map", "camera", 0)
    with pytest.raises(LookupFailed, match="no frame 'camera' in TF: known frames are map, odom") as unknown:
        moving(1, 2).lookup("map", "camera", S)
    assert unknown.value.why == "frame"


def test_frames_of_two_trees_are_refused_with_their_roots():
    buffer = moving(1, 2)
    buffer.add("base", "camera", 0, (0, 0, 0), STILL, static=True)
    with pytest.raises(LookupFailed, match="'map' is in the tree of 'map', 'camera' in that of 'base'") as apart:
        buffer.lookup("map", "camera", S)
    assert apart.value.why == "connection"
    assert not buffer.connected("map", "camera") and buffer.connected("odom", "/map")


def test_a_loop_is_refused():
    buffer = moving(1, 2)
    buffer.add("odom", "map", 0, (0, 0, 0), STILL, static=True)
    buffer.add("base", "camera", 0, (0, 0, 0), STILL, static=True)
    with pytest.raises(LookupFailed, match="loop in TF"):
        buffer.lookup("camera", "odom", S)


def test_a_frame_in_itself_needs_no_transform():
    np.testing.assert_array_equal(TransformBuffer().lookup("camera", "camera", 5), np.eye(4))


def test_a_transform_above_the_common_frame_is_not_needed():
    """Depth and colour of one camera are found although the robot's own pose is late."""
    buffer = moving(1, 2, child="camera")
    for name in ("color", "depth"):
        buffer.add("camera", name, 0, (0.1, 0, 0), STILL, static=True)
    np.testing.assert_array_equal(buffer.lookup("color", "depth", 9 * S), np.eye(4))


def test_a_leading_slash_is_ignored():
    buffer = TransformBuffer()
    buffer.add("/map", "/odom", 0, (1, 0, 0), STILL, static=True)
    assert buffer.frames() == ["map", "odom"]
    assert buffer.lookup("map", "/odom", 0)[0, 3] == 1


# --- as the source of tf2 has it ---


def test_the_cache_is_bounded_in_time():
    """tf2 removes what is older than the newest stamp before it adds, and refuses what is older than that."""
    buffer = moving(*range(1, 31))
    assert buffer.lookup("map", "odom", 19 * S)[0, 3] == 190
    with pytest.raises(LookupFailed, match="the oldest from 'odom' to 'map' is of 19.000 s"):
        buffer.lookup("map", "odom", 18 * S)
    assert not buffer.add("map", "odom", 19 * S, (0, 0, 0), STILL)
    assert buffer.add("map", "odom", 20 * S, (0, 0, 0), STILL)


def test_a_source_without_a_clock_does_not_fill_the_memory(monkeypatch):
    monkeypatch.setattr("wsss_ros.geometry.transforms.MOST_STAMPS", 100)
    buffer = TransformBuffer()
    for x in range(300):
        buffer.add("map", "odom", 0, (x, 0, 0), STILL)
    assert len(buffer._frames["odom"].stamps) <= 101
    assert buffer.lookup("map", "odom", 0)[0, 3] == 299


def test_the_same_transform_again_is_stored_once():
    buffer = moving(1, 1, 1, 2)
    assert buffer._frames["odom"].stamps == [S, 2 * S]


def test_of_different_transforms_at_one_stamp_the_last_one_holds():
    buffer = moving(1, 2, 3)
    buffer.add("map", "odom", 2 * S, (7, 0, 0), STILL)
    assert buffer.lookup("map", "odom", 2 * S)[0, 3] == 7


def test_one_that_comes_again_is_not_newer_than_another_of_its_stamp():
    buffer = moving(1, 2)
    for x in (7, 20):
        buffer.add("map", "odom", 2 * S, (x, 0, 0), STILL)
    assert buffer.lookup("map", "odom", 2 * S)[0, 3] == 7


def test_a_transform_out_of_order_is_put_in_its_place():
    buffer = moving(1, 3)
    buffer.add("map", "odom", 2 * S, (0, 0, 0), STILL)
    assert buffer.lookup("map", "odom", 1_500_000_000)[0, 3] == 5


def test_where_the_parent_changes_the_older_transform_holds():
    buffer = moving(1)
    buffer.add("odom_2", "odom", 3 * S, (99, 0, 0), STILL)
    assert buffer.lookup("map", "odom", 2 * S)[0, 3] == 10
    with pytest.raises(LookupFailed):
        buffer.lookup("odom_2", "odom", 2 * S)
    assert buffer.lookup("odom_2", "odom", 3 * S)[0, 3] == 99


def test_a_frame_that_turns_static_or_back_loses_its_earlier_transforms():
    buffer = moving(1, 2)
    buffer.add("map", "odom", 0, (5, 0, 0), STILL, static=True)
    assert buffer.lookup("map", "odom", 77 * S)[0, 3] == 5
    buffer.add("map", "odom", 3 * S, (6, 0, 0), STILL)
    with pytest.raises(LookupFailed):
        buffer.lookup("map", "odom", 2 * S)


def test_a_static_transform_is_replaced_and_survives_a_clear():
    buffer = moving(1, 2)
    for x in (1, 2):
        buffer.add("odom", "camera", x, (x, 0, 0), STILL, static=True)
    buffer.clear()
    assert buffer.lookup("odom", "camera", 0)[0, 3] == 2
    with pytest.raises(LookupFailed) as empty:
        buffer.lookup("map", "camera", S)
    assert empty.value.may_come
    buffer.add("map", "odom", S // 2, (3, 0, 0), STILL)
    assert buffer.lookup("map", "camera", S // 2)[0, 3] == 5


@pytest.mark.parametrize(
    "names, translation, rotation, text",
    [
        (("map", "map"), (0, 0, 0), STILL, "two different names"),
        (("map", "/map"), (0, 0, 0), STILL, "two different names"),
        (("", "odom"), (0, 0, 0), STILL, "not empty"),
        (("map", "odom"), (np.nan, 0, 0), STILL, "NaN or infinite"),
        (("map", "odom"), (0, 0, 0), (0, 0, 0, 0), "length 0"),
        (("map", "odom"), (0, 0, 0), (0, 0, 0, 1.1), "length 1.1"),
    ],
)
def test_bad_transforms_are_refused(names, translation, rotation, text):
    with pytest.raises(BadInput, match=text):
        TransformBuffer().add(*names, 0, translation, rotation)


def test_a_lookup_is_fast():
    """On the path of every image. The figure is the best of many: other processes only add to it."""
    buffer = fast.TransformBuffer()
    for at in range(1000):
        buffer.add("map", "odom", at * S // 100, *random_transform(at))
        buffer.add("odom", "base", at * S // 100, *random_transform(at))
    for parent, child in (("base", "link"), ("link", "camera"), ("camera", "optical")):
        buffer.add(parent, child, 0, *random_transform(7), static=True)
    seconds = min(timeit.repeat(lambda: buffer.lookup("map", "optical", 4_123_456_789), number=50, repeat=30)) / 50
    assert seconds < 50e-6
