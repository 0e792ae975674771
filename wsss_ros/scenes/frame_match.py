"""Which files belong to one frame: by their number, or by the nearest time."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

from wsss_ros.scenes.frame_names import SECOND_NS, Key, Series
from wsss_ros.types import BadInput


class Pair(NamedTuple):
    """A colour image with its depth image, by their keys."""

    color: Key
    depth: Key


def match_depth(color: Series, depth: Series, max_dt_s: float, where: str) -> list[Pair]:
    """The colour images that have depth, in order: of the same number, or of the nearest time within ``max_dt_s``.

    Each depth image is used once. Raises BadInput, with what was found, if no image has depth, and for streams of which
    one has times and the other numbers.
    """
    if color.is_time != depth.is_time and color.files and depth.files:
        raise _no_match(color, depth, where, "times and numbers cannot be compared")
    if color.is_time:
        times, others = ([key[0] for key in series.files] for series in (color, depth))
        pairs = [Pair((a,), (b,)) for a, b in nearest(times, others, round(max_dt_s * SECOND_NS))]
        reason = f"none is within {max_dt_s * 1000:g} ms of another"
    else:
        check_shift(color, depth)
        pairs = [Pair(key, key) for key in color.files if key in depth.files]
        reason = "no number is in both"
    if not pairs and color.files and depth.files:
        raise _no_match(color, depth, where, reason)
    return pairs


def check_shift(first: Series, second: Series) -> None:
    """Raises BadInput for streams of equally many numbers that are all shifted, such as 0 to 99 and 1 to 100.

    Files of one number are then not of one moment.
    """
    if first.is_time or second.is_time or len(first.files) != len(second.files) or len(first.files) < 3:
        return
    shifts = {b[0] - a[0] for a, b in zip(first.files, second.files, strict=True) if len(a) == len(b) == 1}
    if len(shifts) == 1 and shifts != {0} and set(first.files) & set(second.files):
        raise BadInput(
            f"{first.described()} and {second.described()}: as many, but shifted by {shifts.pop()}, so that files of "
            "one number are not of one moment; rename one of the two"
        )


def _no_match(color: Series, depth: Series, where: str, reason: str) -> BadInput:
    return BadInput(
        f"{where}: {color.described()} and {depth.described()} do not match: {reason}; give them the same numbers or "
        "times, or list the pairs in associations.txt as lines 'time color-file time depth-file'"
    )


def nearest(first: Sequence[int], second: Sequence[int], max_dt_ns: int) -> list[tuple[int, int]]:
    """Pairs of two sorted lists of times, in the order of the first; each time is in one pair at most.

    Pairs are taken by their distance, the nearest first, as ``associate.py`` of the TUM benchmark does.
    """
    candidates = []
    for time in first:
        for other in second[bisect_left(second, time - max_dt_ns) :]:
            if other > time + max_dt_ns:
                break
            candidates.append((abs(other - time), time, other))
    taken, used, pairs = set(), set(), []
    for _, time, other in sorted(candidates):
        if time not in taken and other not in used:
            taken.add(time)
            used.add(other)
            pairs.append((time, other))
    return sorted(pairs)
