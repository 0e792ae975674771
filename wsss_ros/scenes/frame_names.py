"""The order and the times of frames from the names of their files.

``rgb_0001``, ``0001_color``, ``frame-000001.color``, ``12``: numbers, in their numeric order. ``1305031102.175304`` or
1305031102175304000: times, in seconds with a fraction, or in seconds, ms, us or ns since 1970. No two files of a stream
have one key, so no two frames become one.
"""

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from pathlib import Path

from wsss_ros.files import visible
from wsss_ros.types import BadInput

FRAME_RATE_HZ = 30
SECOND_NS = 10**9
_START_NS = SECOND_NS  # stamp of frame 0; not 0, which means "no time" in ROS
_LARGEST_STEP = 1000  # the numbers of files with larger steps between them do not count frames
_LARGEST_NUMBER = 10_000_000  # nor do larger numbers: 4 days at 30 Hz
_FIRST_S, _LAST_S = 946_684_800, 1 << 31  # the years in which a number is a time: 2000 to 2038, the end in ROS
_UNITS_NS = (SECOND_NS, 1_000_000, 1000, 1)  # nanoseconds of a second, ms, us, ns
_KINDS = re.compile(r"colou?r|rgb|images?|img|depths?|poses?|frames?")  # words that say what a file is, not which one
_DECIMAL = re.compile(r"(?:^|[_\-\s])(\d+)\.(\d+)(?=$|[_\-\s.]\D)")
_EXTENSION = re.compile(r"\.(?=[A-Za-z])[A-Za-z0-9]+$")
_log = logging.getLogger("wsss_ros")

Key = tuple[int, ...]  # the numbers of a name, or its time (ns)


@dataclass(frozen=True)
class Series:
    """The files of one stream, such as the depth images, by their keys in order.

    With ``is_time`` a key is one time in ns, else the numbers of the name that differ between the files.
    """

    what: str
    is_time: bool
    files: dict[Key, Path]

    def described(self) -> str:
        """Their number, their kind, the first and the last one, for messages."""
        names = [path.name for path in self.files.values()]
        kind = "times" if self.is_time else "numbers"
        return f"{len(names)} {self.what} files named by {kind} ({names[0]} to {names[-1]})" if names else "no files"


def read_series(paths: Iterable[Path], what: str) -> Series:
    """The order and the times of the files of one stream. Names without a digit are left out.

    Files whose names differ in more than numbers, such as thumbnails next to the images, are left out with a warning if
    they are fewer than a fifth. Raises BadInput, naming files: for two files with one number or time, and for several
    series in one stream, such as those of two cameras.
    """
    groups: dict[object, list[Path]] = defaultdict(list)
    for path in filter(visible, sorted(paths)):
        stem = stem_of(path)
        if re.search(r"\d", stem):
            groups[_series(stem)].append(path)
    files = _largest(groups, what)
    keys, is_time = _keys([stem_of(path) for path in files])
    by_key: dict[Key, Path] = {}
    for key, path in sorted(zip(keys, files, strict=True)):
        if key in by_key:
            raise BadInput(
                f"{path.parent}: {by_key[key].name} and {path.name} have one {'time' if is_time else 'number'}; "
                "expected one file for each frame: remove one of them"
            )
        by_key[key] = path
    return Series(what, is_time, by_key)


def stem_of(path: Path) -> str:
    """The name of a file without its extension; a fraction of a second is not an extension."""
    return _EXTENSION.sub("", path.name)


def frame_name(path: Path) -> str:
    """The name of a frame: that of its colour file without extension and without a last part such as ``.color``."""
    stem = stem_of(path)
    first, dot, last = stem.rpartition(".")
    return first if dot and first and _KINDS.fullmatch(last.lower()) else stem


def _series(stem: str) -> tuple:
    """What the names of one series have in common: the text between the numbers, without words for the kind."""
    parts = re.split(r"\d+", stem.lower())
    return tuple(re.sub(r"[\W_]+", "", _KINDS.sub("", part)) for part in parts)


def _largest(groups: dict[object, list[Path]], what: str) -> list[Path]:
    if not groups:
        return []
    ordered = sorted(groups.values(), key=len, reverse=True)
    others = sum(map(len, ordered[1:]))
    if others > len(ordered[0]) // 4:
        names = " and ".join(f"{len(group)} like {group[0].name}" for group in ordered[:3])
        raise BadInput(f"{ordered[0][0].parent}: {what} files of several series: {names}; expected one in a folder")
    if others:
        left_out = ordered[1][0]
        _log.warning(
            "%s: %d %s files with other names are left out, such as %s", left_out.parent, others, what, left_out.name
        )
    return ordered[0]


# --- keys ------------------------------------------------------------------------------------------


def _keys(stems: list[str]) -> tuple[list[Key], bool]:
    """The keys of the names of one series, and whether they are times."""
    if (times := _decimal_times(stems)) is not None:
        return [(time,) for time in times], True
    columns = list(zip(*(re.findall(r"\d+", stem) for stem in stems), strict=True))
    if (times := _integer_times(columns)) is not None:
        return [(time,) for time in times], True
    varying = [column for column in columns if len(set(map(int, column))) > 1] or columns[-1:]
    return [tuple(map(int, row)) for row in zip(*varying, strict=True)], False


def _decimal_times(stems: list[str]) -> list[int] | None:
    """Times (ns) of names such as ``1305031102.175304`` or ``40777060_98.764``; None if that is not what they are."""
    found = [_DECIMAL.search(stem) for stem in stems]
    pairs = [match.groups() for match in found if match is not None]
    if len(pairs) < len(stems) or not pairs:
        return None
    whole, fraction = ([pair[i] for pair in pairs] for i in (0, 1))
    if not all(_FIRST_S <= int(part) < _LAST_S for part in whole) and not _is_clock(whole, fraction):
        return None
    return [int(a) * SECOND_NS + int(b[:9].ljust(9, "0")) for a, b in pairs]


def _is_clock(whole: list[str], fraction: list[str]) -> bool:
    """Whether numbers with a point are seconds since some start, and not two counters, as in ``01.0001``."""
    if any(str(int(part)) != part or int(part) >= _LAST_S for part in whole):
        return False  # leading zeros are those of counters
    if len(set(map(len, fraction))) > 1:
        return max(map(len, fraction)) > 4
    steps = [b - a for a, b in zip(*[sorted(map(int, fraction))[i:] for i in (0, 1)], strict=False)]
    return len(fraction[0]) >= 3 and (len(set(whole)) > 1 or min(steps, default=1) > 1)


def _integer_times(columns: Sequence[Sequence[str]]) -> list[int] | None:
    """Times (ns) of names with a number that is a time since 1970; None if they have none."""
    for at, column in enumerate(columns):
        unit_ns = unix_unit_ns(map(int, column))
        if unit_ns is None:
            continue
        times = [int(text) * unit_ns for text in column]
        after = columns[at + 1] if at + 1 < len(columns) else ()
        widths = set(map(len, after))
        if unit_ns == SECOND_NS and len(widths) == 1 and widths <= {6, 9}:  # seconds_microseconds, seconds-nanoseconds
            times = [time + int(text.ljust(9, "0")) for time, text in zip(times, after, strict=True)]
        if len(set(times)) == len(times):
            return times
    return None


def unix_unit_ns(values: Iterable[int]) -> int | None:
    """The unit (ns) in which all values are times since 1970: 1e9 for seconds, 1 for ns; None if there is none."""
    values = list(values)
    for unit_ns in _UNITS_NS:
        per_second = SECOND_NS // unit_ns
        if all(_FIRST_S * per_second <= value < _LAST_S * per_second for value in values):
            return unit_ns if values else None
    return None


def keys_of_words(words: Sequence[str], where: str) -> tuple[list[Key], bool]:
    """Keys of the first column of a text file: times in seconds or since 1970 in another unit, or frame numbers.

    Whole numbers that are not times since 1970 are frame numbers. Also returns whether they are times. Raises BadInput
    that names ``where`` for a word that is not a number.
    """
    try:
        values = [Decimal(word) for word in words]
        if not all(value.is_finite() for value in values):
            raise InvalidOperation("not finite")
    except InvalidOperation as error:
        bad = next(word for word in words if not re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", word))
        raise BadInput(f"{where}: '{bad}' is not a time or a number of a frame; expected a number") from error
    whole = all(value == value.to_integral_value() for value in values)
    unit_ns = unix_unit_ns(map(int, values)) or (None if whole else SECOND_NS)
    if unit_ns is None:
        return [(int(value),) for value in values], False
    return [(int(value * unit_ns),) for value in values], True


# --- stamps ----------------------------------------------------------------------------------------


def stamp_of_number(number: int, rate_hz: float = FRAME_RATE_HZ) -> int:
    """The stamp of a frame without a time, in nanoseconds: its number at a rate (30 Hz), plus 1 s."""
    return _START_NS + int(number * SECOND_NS // Fraction(rate_hz).limit_denominator(1_000_000))


def stamps_of(keys: Sequence[Key], is_time: bool, rate_hz: float = FRAME_RATE_HZ) -> list[int]:
    """Stamps (ns) of frames with these keys, which rise.

    Times are taken as they are, and shifted by 1 s if the first one is 0, which means "no time" in ROS. Numbers count
    frames at ``rate_hz``, from 1 s on. Positions replace numbers that do not count frames: several numbers in a name,
    steps above 1000, or numbers above 10 million.
    """
    if is_time:
        shift = _START_NS if keys and keys[0][0] <= 0 else 0
        return [key[0] + shift for key in keys]
    steps = sorted(b[0] - a[0] for a, b in zip(keys, keys[1:], strict=False))
    counts = all(len(key) == 1 and key[0] <= _LARGEST_NUMBER for key in keys)
    counts = counts and (not steps or steps[len(steps) // 2] <= _LARGEST_STEP)
    return [stamp_of_number(key[0] if counts else at, rate_hz) for at, key in enumerate(keys)]


def natural(path: Path) -> tuple:
    """A key to sort paths with numbers in their numeric order."""
    parts = re.split(r"(\d+)", str(path))
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in parts), str(path)
