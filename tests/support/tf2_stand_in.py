"""A module with the interface of tf2_ros that nodes use, over the slow twin, for machines without tf2_ros.

The texts of its errors are those of tf2's source.
"""

import sys
from types import ModuleType, SimpleNamespace

from geometry_msgs.msg import TransformStamped
from reference.transforms import Transforms
from scipy.spatial.transform import Rotation

from wsss_ros.bags.codec import stamp_ns


class LookupException(Exception):
    pass


class ConnectivityException(Exception):
    pass


class ExtrapolationException(Exception):
    pass


class InvalidArgumentException(Exception):
    pass


class Buffer:
    def __init__(self, cache_time) -> None:
        self._cache_ns = cache_time.nanoseconds
        self._twin = Transforms()

    def set_transform(self, transform: TransformStamped, authority: str, static: bool = False) -> None:
        child, stamp = transform.child_frame_id, stamp_ns(transform.header)
        own = [one[2] for one in self._twin.came if one[0] == child]
        if own and not static and stamp < max(own) - self._cache_ns:
            return
        move, turn = transform.transform.translation, transform.transform.rotation
        parts = (move.x, move.y, move.z), (turn.x, turn.y, turn.z, turn.w)
        self._twin.add(transform.header.frame_id, child, stamp, *parts, static=static)

    def set_transform_static(self, transform: TransformStamped, authority: str) -> None:
        self.set_transform(transform, authority, static=True)

    def clear(self) -> None:
        self._twin.came = [one for one in self._twin.came if one[3]]

    def _getFrameStrings(self) -> list[str]:  # noqa: N802 - the name in tf2_py
        return list({name for one in self._twin.came for name in one[:2]})

    def lookup_transform(self, target: str, source: str, time) -> TransformStamped:
        stamp = time.nanoseconds or max((one[2] for one in self._twin.came), default=0)  # 0: the newest
        for name in (target, source):
            if name not in self._getFrameStrings():
                raise LookupException(f'"{name}" passed to lookupTransform argument does not exist. ')
        found = self._twin.lookup(target, source, stamp)
        if found is None:
            self._explain(target, source, stamp)
        answer = TransformStamped()
        move, turn = answer.transform.translation, answer.transform.rotation
        move.x, move.y, move.z = found[:3, 3]
        turn.x, turn.y, turn.z, turn.w = Rotation.from_matrix(found[:3, :3]).as_quat()
        return answer

    def _explain(self, target: str, source: str, stamp: int) -> None:
        for frame in (target, source):
            top = list(self._twin.ancestors(frame, stamp))[-1]
            if own := [one[2] for one in self._twin.came if one[0] == top]:
                way = "future" if stamp > max(own) else "past"
                raise ExtrapolationException(f"Lookup would require extrapolation into the {way}.")
        raise ConnectivityException(f"Could not find a connection between '{target}' and '{source}'")


def module() -> ModuleType:
    names = ("Buffer", "LookupException", "ConnectivityException", "ExtrapolationException", "InvalidArgumentException")
    made = ModuleType("tf2_ros")
    made.__dict__.update({name: getattr(sys.modules[__name__], name) for name in names})
    return made


MESSAGES = SimpleNamespace(TFMessage=object)  # tf2_msgs.msg, which only has to be there
