"""The synchroniser: streams made by hand first, then random streams of hypothesis."""

from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_ros.sync import CompanionMatcher, Synchronizer
from wsss_ros.types import BadInput

MS = 1_000_000
SECOND = 1000 * MS
VIEW = ("color", "depth", "pose")


def feed(sync: Synchronizer, messages: list[tuple[str, int]]) -> list[dict[str, int]]:
    """Add (stream, stamp) messages that carry their stamp as the item; returns the sets."""
    return [found for stream, stamp in messages if (found := sync.add(stream, stamp, stamp)) is not None]


def views(stamps) -> list[tuple[str, int]]:
    return [(stream, stamp) for stamp in stamps for stream in VIEW]


def total(sync: Synchronizer) -> int:
    return sync.matched + sum(sync.dropped.values()) + sync.pending


def test_equal_stamps_match_with_no_tolerance_in_any_order():
    sync = Synchronizer(VIEW, tolerance_ns=0)
    assert feed(sync, [("pose", 5), ("depth", 5)]) == []
    assert sync.add("color", 5, "image") == {"color": "image", "depth": 5, "pose": 5}
    assert feed(sync, [("color", 6), ("depth", 7), ("pose", 6)]) == []
    assert feed(sync, [("depth", 6)]) == [{"color": 6, "depth": 6, "pose": 6}]


def test_tolerance_is_inclusive_and_to_the_first_stream():
    sync = Synchronizer(VIEW, tolerance_ns=10)
    assert feed(sync, [("color", 100), ("depth", 90), ("pose", 110)]) == [{"color": 100, "depth": 90, "pose": 110}]
    assert feed(sync, [("color", 200), ("depth", 211), ("pose", 200)]) == []


def test_the_nearest_is_taken_and_each_item_once():
    sync = Synchronizer(("color", "pose"), tolerance_ns=20)
    assert feed(sync, [("pose", 85), ("pose", 98), ("pose", 105), ("color", 100)]) == [{"color": 100, "pose": 98}]
    assert feed(sync, [("color", 103)]) == [{"color": 103, "pose": 105}]
    assert feed(sync, [("color", 106)]) == []
    assert sync.dropped == Counter() and sync.pending == 2
    assert feed(sync, [("color", 120), ("pose", 120)]) == [{"color": 120, "pose": 120}]
    assert sync.dropped == Counter(unmatched=1, surplus=1)  # 106 and 85


def test_a_set_waits_for_a_faster_stream_with_a_nearer_item_to_come():
    sync = Synchronizer(("color", "pose"), tolerance_ns=20)
    assert feed(sync, [("pose", 80), ("pose", 85), ("color", 100)]) == []  # poses every 5: one at 100 is to come
    assert feed(sync, [("pose", 90), ("pose", 95)]) == []
    assert feed(sync, [("pose", 100)]) == [{"color": 100, "pose": 100}]


def test_a_late_item_delays_a_view_until_the_next_image_only():
    sync = Synchronizer(("color", "pose"), tolerance_ns=20)
    assert feed(sync, [("pose", 80), ("pose", 85), ("color", 100)]) == []
    assert feed(sync, [("color", 133)]) == [{"color": 100, "pose": 85}]


def test_a_set_does_not_wait_for_a_stream_with_a_constant_offset():
    sync = Synchronizer(("color", "pose"), tolerance_ns=20 * MS)
    stamps = [n * 33 * MS for n in range(1, 6)]
    found = feed(sync, [m for t in stamps for m in (("pose", t - 5 * MS), ("color", t))])
    assert [(s["color"], s["pose"]) for s in found] == [(t, t - 5 * MS) for t in stamps]


def test_the_newest_complete_set_replaces_older_ones():
    sync = Synchronizer(("color", "depth"), tolerance_ns=0)
    feed(sync, [("color", 1), ("color", 2), ("color", 3)])
    assert feed(sync, [("depth", 2)]) == [{"color": 2, "depth": 2}]
    assert sync.dropped == Counter(unmatched=1)
    assert feed(sync, [("depth", 1)]) == []
    assert sync.dropped == Counter(unmatched=1, late=1)
    assert feed(sync, [("depth", 3)]) == [{"color": 3, "depth": 3}]


def test_a_silent_stream_is_named_and_the_others_stay_bounded():
    sync = Synchronizer(VIEW, tolerance_ns=0, capacity=4)
    feed(sync, [(stream, n) for n in range(50) for stream in ("color", "depth")])
    assert sync.pending == 8
    assert sync.dropped == Counter(overflow=92)
    assert (sync.latest_received["pose"].count, sync.latest_received["pose"].stamp_ns) == (0, None)
    assert (sync.latest_received["depth"].count, sync.latest_received["depth"].stamp_ns) == (50, 49)
    assert feed(sync, [("pose", 49)]) == [{"color": 49, "depth": 49, "pose": 49}]


def test_stamps_that_never_match_are_reported_with_the_newest_of_each_stream():
    sync = Synchronizer(VIEW, tolerance_ns=20 * MS)
    behind = [(stream, n * SECOND - (stream == "pose") * 300 * MS) for n in range(1, 31) for stream in VIEW]
    assert feed(sync, behind[:27]) == [] and sync.mismatch() == "", "a few may come by accident"
    feed(sync, behind[27:])
    assert sync.mismatch() == (
        "no stamps within 0.02 s of each other; the newest, in seconds: color 30.000, depth 30.000, pose 29.700"
    )
    assert feed(sync, views([31 * SECOND])) and sync.mismatch() == ""


def test_a_silent_stream_is_not_a_mismatch():
    sync = Synchronizer(VIEW, tolerance_ns=20 * MS)
    feed(sync, [(stream, n * SECOND) for n in range(50) for stream in ("color", "depth")])
    assert sync.mismatch() == ""


@pytest.mark.parametrize("length_s", [0.2, 0.5, 0.9, 3])
def test_a_looped_bag_continues_at_once(length_s):
    stamps = [SECOND + n * 100 * MS for n in range(1 + round(length_s * 10))]
    sync = Synchronizer(VIEW, tolerance_ns=10 * MS, capacity=20)
    loops = 6
    found = sum(len(feed(sync, views(stamps))) for _ in range(loops))
    assert total(sync) == loops * len(stamps) * 3
    if length_s > 1:
        assert found == loops * len(stamps)
        assert sync.resets == loops - 1
    else:  # a shorter loop is seen after three steps back
        assert found >= len(stamps) + (loops - 1) * (len(stamps) - 3) // 2
        assert 1 <= sync.resets <= loops - 1


@pytest.mark.parametrize("count", [2, 3, 5])
@pytest.mark.parametrize("behind", [0, 1, 4])
def test_a_bag_with_few_clouds_continues_at_once_however_late_they_are_labelled(count, behind):
    stamps = [n * 2 * SECOND for n in range(count)]
    order = sorted([(n, 0) for n in range(count)] + [(n + behind, 1) for n in range(count)])
    messages = [("prediction", stamps[n - behind]) if late else ("truth", stamps[n]) for n, late in order]
    sync = Synchronizer(("prediction", "truth"), tolerance_ns=0)
    for loop in range(3):
        assert [found["prediction"] for found in feed(sync, messages)] == stamps and sync.resets == loop


def test_messages_that_arrive_after_the_loop_do_not_jump_a_second_time():
    sync = Synchronizer(VIEW, tolerance_ns=0)
    end, start = 100 * SECOND, 10 * SECOND
    feed(sync, views([end - 1, end])[:-1])
    assert feed(sync, [("color", start), ("depth", start)]) == []
    assert sync.resets == 1
    assert feed(sync, [("pose", end), ("pose", start)]) == [{"color": start, "depth": start, "pose": start}]
    assert len(feed(sync, views([start + 1, start + 2]))) == 2
    assert sync.resets == 1


def test_a_single_old_message_is_not_a_jump():
    sync = Synchronizer(VIEW, tolerance_ns=0)
    now = 100 * SECOND
    assert len(feed(sync, views([now, now + 1]))) == 2
    assert feed(sync, [("depth", now - 50 * SECOND)]) == []
    assert len(feed(sync, views([now + 2, now + 3]))) == 2
    assert (sync.resets, sync.dropped, sync.pending) == (0, Counter(late=1), 0)


def test_one_message_out_of_order_still_matches():
    sync = Synchronizer(("color", "depth"), tolerance_ns=0)
    feed(sync, [("depth", 1), ("depth", 3), ("depth", 2)])
    found = feed(sync, [("color", 1), ("color", 2), ("color", 3)])
    assert found == [{"color": n, "depth": n} for n in (1, 2, 3)]
    assert sync.resets == 0


def test_a_glitch_into_the_future_is_recovered_from():
    sync = Synchronizer(VIEW, tolerance_ns=0)
    now = 100 * SECOND
    feed(sync, [*views([now]), ("color", now + 3600 * SECOND)])
    found = feed(sync, views([now + n * 33 * MS for n in range(1, 11)]))
    assert len(found) >= 9
    assert sync.resets <= 1


def test_impossible_settings_are_refused():
    for streams, tolerance, capacity in [((), 0, 1), (("a", "a"), 0, 1), (("a",), -1, 1), (("a",), 0, 0)]:
        with pytest.raises(BadInput):
            Synchronizer(streams, tolerance, capacity)
    with pytest.raises(BadInput, match="stream 'odom'; expected one of color, depth, pose"):
        Synchronizer(VIEW, 0).add("odom", 0, None)


STAMPS = st.one_of(st.integers(0, 60), st.integers(0, 20).map(lambda n: n * SECOND // 4), st.integers(-(2**62), 2**62))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(VIEW), STAMPS), max_size=120),
    st.sampled_from([0, 1, 5, SECOND]),
    st.integers(1, 6),
)
def test_any_messages_are_bounded_conserved_and_matched_within_tolerance(messages, tolerance, capacity):
    sync = Synchronizer(VIEW, tolerance, capacity)
    matched = []
    last, resets = None, 0
    for count, (stream, stamp) in enumerate(messages, 1):
        found = sync.add(stream, stamp, (count, stamp))
        assert sync.pending <= capacity * len(VIEW) + 1
        if sync.resets > resets:
            last, resets = None, sync.resets
        if found is not None:
            assert set(found) == set(VIEW)
            leader = found["color"][1]
            assert all(abs(when - leader) <= tolerance for _, when in found.values())
            assert last is None or leader > last
            last = leader
            matched += [number for number, _ in found.values()]
        assert total(sync) == count
        assert sync.matched == len(matched) == len(set(matched))
    assert sum(received.count for received in sync.latest_received.values()) == len(messages)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(VIEW), STAMPS), max_size=60),
    st.sampled_from([0, 1, 5]),
    st.integers(1, 6),
    st.integers(0, 2**40),
)
def test_whatever_came_before_a_clean_stream_is_matched_again(messages, tolerance, capacity, start):
    """A few views after any history, every view is returned."""
    sync = Synchronizer(VIEW, tolerance, capacity)
    feed(sync, messages)
    feed(sync, views([start + n * 33 * MS for n in range(12)]))
    later = [start + n * 33 * MS for n in range(12, 20)]
    assert [found["color"] for found in feed(sync, views(later))] == later


# --- companions: a set for every item of the first stream ---


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(VIEW), STAMPS), max_size=120),
    st.sampled_from([0, 1, 5, SECOND]),
    st.integers(1, 6),
    st.sampled_from([2, 10_000]),
)
def test_any_messages_with_companions_are_bounded_conserved_and_within_tolerance(
    messages, tolerance, capacity, most_bytes
):
    sync, led = CompanionMatcher(VIEW, tolerance, capacity, most_bytes, lambda item: 1), []
    for count, (stream, stamp) in enumerate(messages, 1):
        for found in sync.add_all(stream, stamp, (count, stamp)):
            assert set(found) == set(VIEW)
            assert all(abs(when - found["color"][1]) <= tolerance for _, when in found.values())
            led.append(found["color"][0])
        assert sync.pending <= capacity * len(VIEW) + 1
        assert total(sync) == count
    assert len(led) == len(set(led))


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(VIEW), st.integers(0, 10)), min_size=25, max_size=50),
    st.sampled_from([0, 1, 20]),
)
def test_each_item_of_the_first_stream_that_has_companions_gets_them(messages, tolerance):
    """Streams in order, with any delay to each other. The slow twin looks at all messages at once."""
    clocks, sent = Counter(), {stream: [] for stream in VIEW}
    for stream, step in messages:
        clocks[stream] += step
        sent[stream].append(clocks[stream])
    expected = [
        stamp
        for stamp in sent["color"]
        if all(any(abs(when - stamp) <= tolerance for when in sent[stream]) for stream in VIEW)
    ]
    arrivals = [(stream, sent[stream].pop(0)) for stream, _ in messages]
    end = max(clocks.values(), default=0) + tolerance + 1  # nothing waits for a nearer companion any more
    sync = CompanionMatcher(VIEW, tolerance, capacity=100)
    led = [found["color"] for arrival in arrivals + views([end]) for found in sync.add_all(*arrival, arrival[1])]
    assert sorted(led) == [*expected, end]


@settings(max_examples=10, deadline=None)
@given(st.tuples(*[st.integers(0, 900)] * 3), st.tuples(*[st.sampled_from([33, 50, 110])] * 3), st.integers(0, 99))
def test_a_limit_on_bytes_costs_no_set_once_the_streams_have_come(lags_ms, steps_ms, seed):
    """Streams of any rates, each late by its own time, more or less; the twin has no limit."""
    random, arrivals = Random(seed), []
    for stream, lag, step in zip(VIEW, lags_ms, steps_ms, strict=True):
        late = 0.0
        for stamp in range(0, 2500, step):
            late = max(late - step, lag * random.uniform(0.7, 1.3))  # in order
            arrivals.append((stamp + late, stream, stamp * MS))
    arrivals.sort()
    bounded = CompanionMatcher(VIEW, 15 * MS, 500, 3, lambda item: 1)
    twin, came = CompanionMatcher(VIEW, 15 * MS, 500), set()
    found, expected = [], []
    for _, stream, stamp in arrivals:
        found += bounded.add_all(stream, stamp, stamp)
        expected += twin.add_all(stream, stamp, stamp)
        if stream not in came:
            came.add(stream)
            begun = max(last.stamp_ns or 0 for last in twin.latest_received.values())
    assert expected[-1]["color"] > begun
    assert [each for each in found if each["color"] > begun] == [each for each in expected if each["color"] > begun]


def test_images_that_nothing_asks_for_are_bounded_in_bytes():
    sync = CompanionMatcher(VIEW, 15 * MS, 150, 1000, len)
    for n in range(150):
        sync.add_all("depth", n * 33 * MS, bytes(100))
    assert sync.pending == 10 and sync.dropped == Counter(overflow=140)
    small = CompanionMatcher(VIEW, 15 * MS, 150, 1000, len)
    for n in range(200):
        small.add_all("depth", n * 33 * MS, b"1")
    assert small.pending == 150
