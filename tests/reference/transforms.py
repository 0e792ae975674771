"""The slow version of the transform buffer: matrices, scipy's slerp, and a search through all transforms."""

import numpy as np
from scipy.spatial.transform import Rotation, Slerp


class Transforms:
    """``add`` and ``lookup`` as ``geometry.transforms.TransformBuffer``, for transforms that are all kept."""

    def __init__(self) -> None:
        self.came = []  # (child, parent, stamp_ns, static, translation, rotation), in the order of arrival

    def add(self, parent, child, stamp_ns, translation, rotation, static=False) -> None:
        if any(name == child and was_static != static for name, _, _, was_static, _, _ in self.came):
            self.came = [one for one in self.came if one[0] != child]
        if not static and any(self._same(one, child, parent, stamp_ns, translation, rotation) for one in self.came):
            return  # it came before: of two at one stamp, the other one may be the newer
        self.came.append((child, parent, stamp_ns, static, np.array(translation), np.array(rotation)))

    @staticmethod
    def _same(one, child, parent, stamp_ns, translation, rotation) -> bool:
        parts = np.array_equal(one[4], translation) and np.array_equal(one[5], rotation)
        return one[:3] == (child, parent, stamp_ns) and parts

    def edge(self, frame, stamp_ns):
        """The parent and ``parent_from_frame``; None outside the stamps or for a root."""
        mine = [one for one in self.came if one[0] == frame]
        if mine and mine[0][3]:
            return mine[-1][1], _matrix(mine[-1][4], Rotation.from_quat(mine[-1][5]))
        ordered = sorted(mine, key=lambda one: one[2])  # stable: of the same stamp, the last one to come is last
        if not ordered or not ordered[0][2] <= stamp_ns <= ordered[-1][2]:
            return None
        if stamp_ns == ordered[-1][2]:
            before = ordered[-1]
        elif stamp_ns == ordered[0][2]:
            before = ordered[0]
        else:
            before = [one for one in ordered if one[2] <= stamp_ns][-1]
            after = [one for one in ordered if one[2] > stamp_ns][0]
            if before[1] == after[1]:
                return before[1], _between(before, after, stamp_ns)
        return before[1], _matrix(before[4], Rotation.from_quat(before[5]))

    def ancestors(self, frame, stamp_ns):
        """``{ancestor: ancestor_from_frame}``, with the frame itself."""
        found = {frame: np.eye(4)}
        while (edge := self.edge(frame, stamp_ns)) is not None:
            found[edge[0]] = edge[1] @ found[frame]
            frame = edge[0]
        return found

    def lookup(self, target, source, stamp_ns):
        """``target_from_source``, or None."""
        of_target, of_source = self.ancestors(target, stamp_ns), self.ancestors(source, stamp_ns)
        common = [frame for frame in of_source if frame in of_target]
        return np.linalg.inv(of_target[common[0]]) @ of_source[common[0]] if common else None


def _between(before, after, stamp_ns):
    share = (stamp_ns - before[2]) / (after[2] - before[2])
    turn = Slerp([0, 1], Rotation.from_quat(np.stack([before[5], after[5]])))(share)
    return _matrix(before[4] + share * (after[4] - before[4]), turn)


def _matrix(translation, rotation):
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = rotation.as_matrix(), translation
    return matrix
