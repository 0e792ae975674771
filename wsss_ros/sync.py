"""Matching of messages from several streams by their stamps. It needs no ROS, is bounded, and accepts looped bags."""

import bisect
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wsss_ros.types import BadInput

JUMP_NS = 1_000_000_000  # a message farther back than this is from another time, not out of order
PATIENCE = 10  # this many messages of every stream without a set are a mismatch
LATEST_NS = 250_000_000  # an image waits no longer than this for a nearer companion
LONGEST_LAG_NS = 10_000_000_000  # messages that seem later than this have another clock
STEPS_BACK = 3  # this many messages in a row behind their stream's newest are from another time too


@dataclass
class Received:
    """Number of messages of a stream so far, and the stamp of the last one (None before the first)."""

    count: int = 0
    stamp_ns: int | None = None


class _Pending:
    """The waiting items of one stream, sorted by stamp, and the clock of the stream."""

    def __init__(self) -> None:
        self.stamps: list[int] = []
        self.items: list[Any] = []
        self.sizes: list[int] = []
        self.nbytes = 0  # of all
        self.newest: int | None = None
        self.pace = 0
        self.steps_back = 0

    def __len__(self) -> int:
        return len(self.stamps)

    def insert(self, stamp: int, item: Any, nbytes: int = 0) -> None:
        at = bisect.bisect_right(self.stamps, stamp)
        self.stamps.insert(at, stamp)
        self.items.insert(at, item)
        self.sizes.insert(at, nbytes)
        self.nbytes += nbytes

    def pop(self, at: int) -> Any:
        self.stamps.pop(at)
        self.nbytes -= self.sizes.pop(at)
        return self.items.pop(at)

    def drop_before(self, stamp: int) -> int:
        count = bisect.bisect_left(self.stamps, stamp)
        self.nbytes -= sum(self.sizes[:count])
        del self.stamps[:count], self.items[:count], self.sizes[:count]
        return count

    def nearest(self, stamp: int, tolerance: int) -> int | None:
        stamps = self.stamps
        after = bisect.bisect_left(stamps, stamp)
        best, distance = None, tolerance
        for at in (after, after - 1):
            if 0 <= at < len(stamps) and abs(stamps[at] - stamp) <= distance:
                best, distance = at, abs(stamps[at] - stamp)
        return best

    def promises_nearer(self, stamp: int, at: int) -> bool:
        """Whether the rate of the stream promises an item that is at most half as far from ``stamp`` as item ``at``."""
        if self.newest is None or self.newest >= stamp or not self.pace:
            return False
        steps = max(1, round((stamp - self.newest) / self.pace))
        return 2 * abs(self.newest + steps * self.pace - stamp) <= abs(self.stamps[at] - stamp)

    def tick(self, stamp: int) -> None:
        if self.newest is None or stamp > self.newest:
            self.pace = 0 if self.newest is None else stamp - self.newest
            self.newest, self.steps_back = stamp, 0
        elif stamp < self.newest:
            self.steps_back += 1


class Synchronizer:
    """Builds sets of one item from each stream, all within ``tolerance_ns`` of the first stream's stamp.

    The first stream leads: each of its items may become a set. The other streams may have any rate. The item nearest
    to the leader's stamp is taken, and each item at most once. A complete set waits only if the rate of a stream
    promises an item that is at most half as far away, and at most until the leader's next item. Sets are returned in
    the order of their stamps. A newer complete set replaces older ones.

    At most ``capacity`` items of each stream wait, so it must cover the delay between streams at the rate of the
    fastest stream. Items that are not matched are counted in ``dropped`` by cause:

    - ``unmatched``: items of the first stream that were not complete when a newer set was;
    - ``surplus``: items of other streams that no set needed (a stream faster than the first);
    - ``overflow``: the oldest items of a stream beyond ``capacity``, whose partners did not come;
    - ``late``: items older than the last set, or a single one from more than a second ago;
    - ``clock_jump``: items that waited when the clock jumped back, as in a looped bag.

    A jump back is two messages in a row from more than a second ago, one of those and then one that is not newer than
    the newest of the same stream, or three in a row behind the newest of their stream. A single message out of order
    is not a jump. A jump empties the buffers and adds 1 to ``resets``.
    The methods may be called from several threads. They call nothing outside this module.
    """

    def __init__(self, streams: Sequence[str], tolerance_ns: int, capacity: int = 30) -> None:
        """Create empty buffers.

        Args:
            streams: names; the first one leads.
            tolerance_ns: largest difference from the leader's stamp.
            capacity: most items of each stream that wait.

        Raises:
            BadInput: no or repeated streams, a negative tolerance, a capacity below 1.
        """
        if not streams or len(set(streams)) != len(streams):
            raise BadInput(f"streams {list(streams)}; expected one or more different names")
        if tolerance_ns < 0 or capacity < 1:
            raise BadInput(f"tolerance {tolerance_ns} ns, capacity {capacity}; expected at least 0 and at least 1")
        self.tolerance_ns, self.capacity = int(tolerance_ns), int(capacity)
        self.latest_received = {stream: Received() for stream in streams}
        self.dropped: Counter[str] = Counter()
        self.matched = 0
        self.resets = 0
        self._since_set: Counter[str] = Counter()  # messages by stream
        self._leader = streams[0]
        self._left_ns: int | None = None  # the newest stamp before the last jump
        self._suspect: tuple[str, int, Any] | None = None
        self._lock = threading.Lock()
        self._empty()

    @property
    def pending(self) -> int:
        """Number of items that wait for partners."""
        return sum(map(len, self._streams.values())) + (self._suspect is not None)

    def add(self, stream: str, stamp_ns: int, item: Any) -> dict[str, Any] | None:
        """Take one message; ``item`` is returned as part of its set.

        Returns the set that is complete now, ``{stream: item}``, or None. Raises BadInput for an unknown stream.
        """
        with self._lock:
            self._receive(stream, stamp_ns, item)
            return self._newest_set()

    def leave_out(self, stream: str, stamp_ns: int, cause: str) -> None:
        """Count a message that no set can use, such as one whose stamp was never set."""
        with self._lock:
            self.latest_received[stream] = Received(self.latest_received[stream].count + 1, stamp_ns)
            self.dropped[cause] += 1

    def mismatch(self, patience: int = PATIENCE) -> str:
        """One sentence with the newest stamps if all streams have messages and no stamps match; otherwise empty.

        ``patience`` is the least number of messages of every stream without a set.
        """
        with self._lock:
            if min(self._since_set[stream] for stream in self._streams) < patience:
                return ""
            newest = ", ".join(f"{name} {last.stamp_ns / 1e9:.3f}" for name, last in self.latest_received.items())
        return f"no stamps within {self.tolerance_ns / 1e9:g} s of each other; the newest, in seconds: {newest}"

    def _receive(self, stream: str, stamp_ns: int, item: Any) -> None:
        if stream not in self._streams:
            raise BadInput(f"stream '{stream}'; expected one of {', '.join(self._streams)}")
        received = self.latest_received[stream]
        received.count, received.stamp_ns = received.count + 1, stamp_ns
        self._since_set[stream] += 1
        for arrival in self._in_this_time(stream, stamp_ns, item):
            self._insert(*arrival)

    # --- jumps of the clock ---

    def _in_this_time(self, stream: str, stamp: int, item: Any) -> list[tuple[str, int, Any]]:
        """The messages that belong to the present time. After a jump back, the present time is that of ``stamp``."""
        own = self._streams[stream]
        if own.newest is None and self._is_left_over(stamp):
            self.dropped["late"] += 1
            return []
        suspected = self._suspect is not None and self._suspect[0] == stream
        if own.newest is not None and (stamp <= own.newest if suspected else stamp < own.newest - JUMP_NS):
            return self._suspicious(stream, stamp, item)
        if suspected:
            self._suspect = None
            self.dropped["late"] += 1
        own.tick(stamp)
        if own.steps_back >= STEPS_BACK:
            self._jump()
            self._streams[stream].tick(stamp)
        return [(stream, stamp, item)]

    def _is_left_over(self, stamp: int) -> bool:
        """Whether the first message of a stream since the last jump is from the time before it, and arrived late."""
        clocks = [own.newest for own in self._streams.values() if own.newest is not None]
        return (
            self._left_ns is not None
            and bool(clocks)
            and abs(stamp - self._left_ns) <= JUMP_NS
            and max(clocks) < stamp - JUMP_NS
        )

    def _suspicious(self, stream: str, stamp: int, item: Any) -> list[tuple[str, int, Any]]:
        before, self._suspect = self._suspect, (stream, stamp, item)
        if before is None:
            return []
        goes_on = before[0] == stream and stamp >= before[1]  # at any rate: clouds may be seconds apart
        if not goes_on and abs(before[1] - stamp) > JUMP_NS:
            self.dropped["late"] += 1
            return []
        self._suspect = None
        self._jump()
        for name, when, _ in (before, (stream, stamp, item)):
            self._streams[name].tick(when)
        return [before, (stream, stamp, item)]

    def _jump(self) -> None:
        self._left_ns = max(own.newest for own in self._streams.values() if own.newest is not None)
        self.dropped["clock_jump"] += self.pending
        self.resets += 1
        self._suspect = None
        self._since_set.clear()
        self._empty()

    def _empty(self) -> None:
        self._streams = {stream: _Pending() for stream in self.latest_received}
        self._last_set_ns: int | None = None

    # --- sets ---

    def _insert(self, stream: str, stamp: int, item: Any) -> None:
        if self._last_set_ns is not None and stamp < self._useful_from(stream):
            self.dropped["late"] += 1
            return
        own = self._streams[stream]
        own.insert(stamp, item)
        if len(own) > self.capacity:
            own.pop(0)
            self.dropped["overflow"] += 1

    def _useful_from(self, stream: str) -> int:
        """The oldest stamp of this stream that a set after the last one can use."""
        return self._last_set_ns + 1 - (0 if stream == self._leader else self.tolerance_ns)

    def _newest_set(self) -> dict[str, Any] | None:
        for choice in self._complete_sets():
            return self._take(choice)
        return None

    def _complete_sets(self) -> Iterator[dict[str, int]]:
        """Positions of the items of each set that is complete and does not wait, newest set first."""
        if all(map(len, self._streams.values())):
            for at in reversed(range(len(self._streams[self._leader]))):
                choice = self._partners(at)
                if choice is not None:
                    yield choice

    def _partners(self, leader_at: int) -> dict[str, int] | None:
        stamp = self._streams[self._leader].stamps[leader_at]
        choice = {self._leader: leader_at}
        for name, own in self._streams.items():
            at = leader_at if name == self._leader else own.nearest(stamp, self.tolerance_ns)
            if at is None or self._may_improve(name, stamp, at):
                return None
            choice[name] = at
        return choice

    def _may_improve(self, stream: str, stamp: int, at: int) -> bool:
        return self._streams[self._leader].newest <= stamp and self._streams[stream].promises_nearer(stamp, at)

    def _take(self, choice: dict[str, int]) -> dict[str, Any]:
        self._last_set_ns = self._streams[self._leader].stamps[choice[self._leader]]
        result = {name: self._streams[name].pop(at) for name, at in choice.items()}
        self.matched += len(result)
        self._since_set.clear()
        self._left_ns = None  # messages from before the jump have all arrived by now
        for name, own in self._streams.items():
            cause = "unmatched" if name == self._leader else "surplus"
            self.dropped[cause] += own.drop_before(self._useful_from(name))
        return result


@dataclass
class _Companion:
    item: Any
    used: bool = False


class CompanionMatcher(Synchronizer):
    """Gives every item of the first stream a set of its own: no newer set replaces it.

    The nearest item of each other stream is taken, and may serve several sets. A set waits while a nearer item is
    likely to come, but not until the first stream is LATEST_NS ahead. ``dropped`` has the causes of ``Synchronizer``;
    an item of the first stream is ``unmatched`` once another stream has passed it without an item within the tolerance.
    An item of another stream is counted in ``matched`` when no later set can use it any more.

    Items of a stream beyond ``most_bytes`` overflow too, unless the slowest stream may still need them: they stay for
    twice the time by which its messages are late. So only the first messages of a stream that begins late lose a set.
    """

    def __init__(
        self,
        streams: Sequence[str],
        tolerance_ns: int,
        capacity: int = 30,
        most_bytes: int = 0,
        size: Callable[[Any], int] = lambda item: 0,
    ) -> None:
        """As ``Synchronizer``; ``size(item)`` is the number of bytes of an item."""
        super().__init__(streams, tolerance_ns, capacity)
        self._most_bytes, self._size = most_bytes, size
        self._lag_ns = dict.fromkeys(self._streams, 0)  # how late the messages of each stream come

    def add_all(self, stream: str, stamp_ns: int, item: Any) -> list[dict[str, Any]]:
        """Take one message. Returns the sets that are complete now, in the order of their stamps.

        Raises:
            BadInput: an unknown stream.
        """
        with self._lock:
            self._receive(stream, stamp_ns, item if stream == self._leader else _Companion(item))
            found = list(self._ready_sets())
            self._forget_passed()
            return found

    def _insert(self, stream: str, stamp: int, item: Any) -> None:
        own = self._streams[stream]
        own.insert(stamp, item, self._size(item.item if isinstance(item, _Companion) else item))
        oldest = self._oldest_needed(stream, stamp)
        while len(own) > self.capacity or (own.nbytes > self._most_bytes and own.stamps[0] < oldest):
            self._discard(own.pop(0), "overflow")

    def _oldest_needed(self, stream: str, stamp: int) -> int:
        """The oldest stamp that messages of the slowest stream may still have; ``stamp`` has come on ``stream``."""
        newest = max(own.newest for own in self._streams.values() if own.newest is not None)
        if (lag := newest - stamp) <= LONGEST_LAG_NS:
            self._lag_ns[stream] = max(lag, self._lag_ns[stream] * 9 // 10)
        return newest - 2 * max(self._lag_ns.values()) - LATEST_NS - self.tolerance_ns

    def _ready_sets(self) -> Iterator[dict[str, Any]]:
        leaders, at = self._streams[self._leader], 0
        while at < len(leaders):
            stamp = leaders.stamps[at]
            if self._is_hopeless(stamp):
                leaders.pop(at)
                self.dropped["unmatched"] += 1
            elif (choice := self._nearest_of_all(stamp)) is None:
                at += 1
            else:
                yield self._use(leaders.pop(at), choice)

    def _others(self) -> Iterator[tuple[str, _Pending]]:
        return ((name, own) for name, own in self._streams.items() if name != self._leader)

    def _is_hopeless(self, stamp: int) -> bool:
        return any(
            own.newest is not None
            and own.newest > stamp + self.tolerance_ns
            and own.nearest(stamp, self.tolerance_ns) is None
            for _, own in self._others()
        )

    def _nearest_of_all(self, stamp: int) -> dict[str, int] | None:
        choice, may_wait = {}, self._streams[self._leader].newest <= stamp + LATEST_NS
        for name, own in self._others():
            at = own.nearest(stamp, self.tolerance_ns)
            if at is None or (may_wait and own.promises_nearer(stamp, at)):
                return None
            choice[name] = at
        return choice

    def _use(self, leader: Any, choice: dict[str, int]) -> dict[str, Any]:
        self.matched += 1
        self._since_set.clear()
        self._left_ns = None
        found = {self._leader: leader}
        for name, at in choice.items():
            companion = self._streams[name].items[at]
            companion.used, found[name] = True, companion.item
        return found

    def _forget_passed(self) -> None:
        """Discard items of the other streams that neither a waiting nor a coming item of the first stream can use."""
        leaders = self._streams[self._leader]
        if leaders.newest is None:
            return
        oldest = min(leaders.stamps[:1] + [leaders.newest]) - self.tolerance_ns
        for _, own in self._others():
            while own.stamps and own.stamps[0] < oldest:
                self._discard(own.pop(0), "surplus")

    def _discard(self, item: Any, cause: str) -> None:
        if isinstance(item, _Companion) and item.used:
            self.matched += 1
        else:
            self.dropped[cause] += 1
