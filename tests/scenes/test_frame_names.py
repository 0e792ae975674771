"""The order and the times of frames from file names: what people use, and properties over all of it."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference.associate import associate

from wsss_ros.scenes.frame_match import match_depth, nearest
from wsss_ros.scenes.frame_names import frame_name, keys_of_words, natural, read_series, stamps_of
from wsss_ros.types import BadInput

S = 10**9


def _series(*names: str):
    return read_series(map(Path, names), "colour")


@pytest.mark.parametrize(
    "pattern",
    ["{}.png", "{:06d}.jpg", "rgb_{:04d}.png", "{}_color.png", "frame-{:06d}.color.jpg", "cam1-{:03}.depth.png"],
)
def test_numbers_are_sorted_as_numbers_and_keep_their_gaps(pattern):
    numbers = [0, 3, 12, 100, 101]
    found = _series(*(pattern.format(number) for number in reversed(numbers)))
    assert not found.is_time and list(found.files) == [(number,) for number in numbers]
    assert [path.name for path in found.files.values()] == [pattern.format(number) for number in numbers]
    assert stamps_of(list(found.files), False) == [S + number * S // 30 for number in numbers]


@pytest.mark.parametrize(
    ("names", "times"),
    [
        (("1305031102.175304.png", "1305031102.211214.png"), (1305031102175304000, 1305031102211214000)),
        (("1305031102.1753.png", "1305031103.5.png"), (1305031102175300000, 1305031103500000000)),
        (("40777060_98.764.png", "40777060_100.001.png"), (98764000000, 100001000000)),
        (("1305031102175.png", "1305031102211.png"), (1305031102175000000, 1305031102211000000)),
        (("rgb_1305031102175304.png", "rgb_1305031102175305.png"), (1305031102175304000, 1305031102175305000)),
        (("1305031102175304123.png", "1305031102175304124.png"), (1305031102175304123, 1305031102175304124)),
        (("1305031102.png", "1305031104.png"), (1305031102 * S, 1305031104 * S)),
        (("1305031102_000005304.png", "1305031102_100000000.png"), (1305031102000005304, 1305031102100000000)),
        (("0001_1305031102175.png", "0002_1305031102211.png"), (1305031102175000000, 1305031102211000000)),
    ],
)
def test_a_time_is_taken_from_a_name_only_where_it_is_one(names, times):
    found = _series(*reversed(names))
    assert found.is_time and stamps_of(list(found.files), True) == list(times)
    assert [path.name for path in found.files.values()] == list(names)


@pytest.mark.parametrize(
    "names",
    [
        ("shot01.0001.png", "shot01.0002.png", "shot01.0010.png"),  # a counter after a point
        ("01.0001.png", "01.0002.png", "01.0003.png"),
        ("1.2.png", "1.9.png", "1.10.png"),  # natural order: 10 is after 9
        (
            "20230501_123015.png",
            "20230501_123016.png",
            "20230502_090000.png",
        ),  # a date is in order, but not a time here
        ("1305031102_1.png", "1305031102_2.png", "1305031102_10.png"),  # a session and a counter
        ("99999999999.png", "100000000000.png", "100000000001.png"),
    ],
)
def test_other_numbers_are_an_order_without_times(names):
    found = _series(*reversed(names))
    assert not found.is_time and [path.name for path in found.files.values()] == list(names)
    stamps = stamps_of(list(found.files), False)
    assert stamps[0] >= S and stamps == sorted(set(stamps)) and stamps[-1] < 700 * S


def test_the_rate_of_numbers_can_be_given_and_zero_is_not_a_time():
    assert stamps_of([(0,), (500,)], False, 1000.0) == [S, S + S // 2]
    assert stamps_of([(0,), (100_000_000,)], True) == [S, S + 100_000_000]


def test_two_files_never_become_one_frame():
    with pytest.raises(BadInput, match=r"01.png and 1.png have one number; .*remove one"):
        _series("01.png", "1.png", "2.png")
    with pytest.raises(BadInput, match="7.jpg and 7.png have one number"):
        _series("7.jpg", "7.png")


def test_two_cameras_in_one_folder_are_refused_and_a_few_other_files_are_left_out(caplog):
    with pytest.raises(BadInput, match="several series: 3 like left_1.png and 3 like right_1.png; expected one"):
        _series(*(f"{side}_{i}.png" for side in ("left", "right") for i in (1, 2, 3)))
    found = _series(*(f"{i}.png" for i in range(9)), "thumb_1.png", "readme.png")
    assert len(found.files) == 9 and "1 colour files with other names are left out, such as thumb_1.png" in caplog.text


def test_names_of_frames():
    names = {"frame-000006.color.jpg": "frame-000006", "1305031102.175304.png": "1305031102.175304"}
    names |= {"rgb_0001.png": "rgb_0001", "0.jpg": "0", "0001.rgb.png": "0001"}
    assert {name: frame_name(Path(name)) for name in names} == names
    assert sorted(map(Path, ("a10", "a9", "b1", "a")), key=natural) == [Path(name) for name in ("a", "a9", "a10", "b1")]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 10**6), min_size=1, max_size=30, unique=True),
    st.sampled_from(["{}", "{:07d}", "rgb_{}", "{}_depth", "frame-{:06d}.depth", "s2_{}_x"]),
)
def test_every_number_is_one_frame_in_order(numbers, pattern):
    found = _series(*(pattern.format(number) + ".png" for number in numbers))
    assert [path.name for path in found.files.values()] == [pattern.format(n) + ".png" for n in sorted(numbers)]
    stamps = stamps_of(list(found.files), found.is_time)
    assert all(a < b for a, b in zip(stamps, stamps[1:], strict=False)) and stamps[0] > 0


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(946_684_800 * S, ((1 << 31) - 1) * S), min_size=1, max_size=20, unique=True),
    st.sampled_from([(1, "{}"), (1000, "{}"), (1_000_000, "{}"), (1, "{}.{:09d}"), (1000, "{}.{:06d}")]),
)
def test_times_come_back_in_every_unit(times, unit):
    """Times in ns, us and ms, and in seconds with 9 or 6 digits behind the point."""
    step, pattern = unit
    times = sorted({time // step * step for time in times})
    parts = [(time // S, time % S // step) if "." in pattern else (time // step,) for time in times]
    found = _series(*(pattern.format(*part) + ".png" for part in parts))
    assert found.is_time and stamps_of(list(found.files), True) == times


@settings(max_examples=100, deadline=None)
@given(*[st.lists(st.integers(0, 300), max_size=15, unique=True).map(sorted)] * 2, st.integers(0, 30))
def test_nearest_pairs_as_the_benchmarks_own_rule(first, second, longest):
    pairs = nearest(first, second, longest)
    assert pairs == associate(first, second, longest)
    assert all(abs(a - b) <= longest for a, b in pairs)
    assert len({a for a, _ in pairs}) == len({b for _, b in pairs}) == len(pairs)


def test_streams_of_different_moments_do_not_mix():
    color, depth = _series("1305031102.10.png", "1305031102.20.png"), _series("1305031102.115.png", "1305031102.30.png")
    assert match_depth(color, depth, 0.02, "here") == [((1305031102_100_000_000,), (1305031102_115_000_000,))]
    with pytest.raises(BadInput, match="here: 2 colour files named by times .* none is within 5 ms of another"):
        match_depth(color, depth, 0.005, "here")
    with pytest.raises(BadInput, match="times and numbers cannot be compared.*associations.txt"):
        match_depth(color, _series("1.png", "2.png"), 0.02, "here")
    with pytest.raises(BadInput, match="no number is in both"):
        match_depth(_series("1.png", "2.png"), _series("101.png", "102.png"), 0.02, "here")


def test_times_in_text_files():
    assert keys_of_words(["1.341841278842700e+09"], "f") == ([(1341841278842700000,)], True)
    assert keys_of_words(["0", "1"], "f") == ([(0,), (1,)], False)
    assert keys_of_words(["0.033", "1"], "f") == ([(33_000_000,), (S,)], True)
    assert keys_of_words(["1403636579763555584"], "f") == ([(1403636579763555584,)], True)
    for word in ("x", "nan", "1,2"):
        with pytest.raises(BadInput, match=f"f: '{word}' is not a time"):
            keys_of_words(["1", word], "f")


def test_stamps_are_exact():
    """Twin of the rule for numbers, in fractions."""
    numbers = np.random.default_rng(0).integers(0, 10**4, 50)
    expected = [S + int(Fraction(int(n) * S, 30)) for n in sorted(set(numbers))]
    assert stamps_of([(int(n),) for n in sorted(set(numbers))], False) == expected


def test_numbers_that_are_shifted_are_refused():
    """Colour counts from 0 and depth from 1: files of one number are not of one moment."""
    color, depth = _series(*(f"{i}.png" for i in range(5))), _series(*(f"{i + 1}.png" for i in range(5)))
    with pytest.raises(BadInput, match=r"5 colour files named by numbers \(0.png to 4.png\).*shifted by 1, .*rename"):
        match_depth(color, depth, 0.02, "here")
    assert len(match_depth(color, _series("1.png", "2.png", "4.png", "5.png", "6.png"), 0.02, "here")) == 3
