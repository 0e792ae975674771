"""Poses of a camera whose stamps jump back together with those of the images, one before the other."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_ros.geometry.pose_track import PoseTrack
from wsss_ros.geometry.transforms import LookupFailed

MS = 1_000_000


def pose(x: float) -> np.ndarray:
    made = np.eye(4)
    made[0, 3] = x
    return made


def place(loop: int, stamp_ms: float) -> float:
    """Where the camera is: 1 m/s, and each loop is at another place, as one whose map has drifted."""
    return 100 * loop + stamp_ms / 1000


def x_at(track: PoseTrack, stamp_ms: int) -> float:
    return float(track.of_image(stamp_ms * MS).at(stamp_ms * MS)[0, 3])


@settings(max_examples=12, deadline=None)
@given(st.sampled_from([2000, 6000, 12_000]), st.integers(-400, 900), st.sampled_from([50, 100]), st.booleans())
def test_each_image_of_a_loop_gets_the_pose_of_its_own_time(length_ms, late_ms, step_ms, starts_between):
    """Images come ``late_ms`` after the poses of their time, or before; loops are shorter than the cache, or longer."""
    arrivals = []
    for loop in range(3):
        start = loop * length_ms
        arrivals += [(start + at, 0, loop, at) for at in range(0, length_ms, step_ms)]
        first = 130 if starts_between else 150
        arrivals += [(start + at + late_ms, 1, loop, at) for at in range(first, length_ms - 450, 100)]
    track, waiting, images_of, found = PoseTrack(), [], 0, []
    for _, is_image, loop, stamp in sorted(arrivals):
        if is_image:
            if loop > images_of:
                images_of = loop
                assert not [each for each in waiting if late_ms > 0], "all of the time before had their poses"
                waiting.clear()
                track.images_jumped()
            waiting.append((loop, stamp))
        else:
            track.add("map", stamp * MS, pose(place(loop, stamp)))
        while waiting:
            try:
                x = x_at(track, waiting[0][1])
            except LookupFailed as error:
                if not error.may_come:
                    raise
                break
            found.append(waiting[0])
            assert x == pytest.approx(place(*waiting.pop(0)))
    assert len(found) == sum(is_image for _, is_image, _, _ in arrivals)


def looped() -> PoseTrack:
    """Poses of 0 to 6 s, every 0.1 s."""
    track = PoseTrack()
    for stamp in range(0, 6001, 100):
        track.add("map", stamp * MS, pose(place(0, stamp)))
    return track


def test_poses_of_the_time_before_that_come_after_the_jump_of_the_images_are_not_mixed_with_new_ones():
    track = looped()
    track.images_jumped()
    for stamp, loop in ((5900, 0), (6000, 0), (100, 1)):
        track.add("map", stamp * MS, pose(place(loop, stamp)))
        with pytest.raises(LookupFailed, match="of the time before") as told:
            x_at(track, 150)
        assert told.value.may_come
    track.add("map", 200 * MS, pose(place(1, 200)))
    assert x_at(track, 150) == pytest.approx(place(1, 150))


def test_a_single_pose_from_long_ago_is_left_out():
    track = looped()
    track.add("map", 500 * MS, pose(77))
    for stamp in (6100, 6200):
        track.add("map", stamp * MS, pose(place(0, stamp)))
    assert [x_at(track, stamp) for stamp in (500, 6150)] == pytest.approx([0.5, 6.15])


def test_images_go_on_where_only_the_poses_seem_to_have_jumped():
    track = looped()
    for stamp in range(4900, 6500, 100):
        track.add("map", stamp * MS, pose(place(1, stamp)))
    assert x_at(track, 5150) == pytest.approx(place(0, 5150)), "the images have not jumped"
    assert x_at(track, 6150) == pytest.approx(place(1, 6150))
    assert x_at(track, 6350) == pytest.approx(place(1, 6350))


def test_without_poses_an_image_waits():
    with pytest.raises(LookupFailed, match="no pose came") as told:
        x_at(PoseTrack(), 5)
    assert told.value.may_come
