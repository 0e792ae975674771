"""Poses that jump: a view whose pose says that the camera moved faster than it can is not used."""

import numpy as np
from jaxtyping import Float64

from wsss_ros.types import BadInput

SLACK_M = 0.1  # of any two poses
SETTLED_S = 3.0  # after this time without another jump, the new place is believed


class PoseGuard:
    """Compares each pose with the last one that was believed.

    After a jump, poses are believed again once they are near the old path, or after SETTLED_S at the new place without
    another jump: localisation may have corrected itself. Stamps that go back start over (a looped bag).
    """

    def __init__(self, max_speed_mps: float) -> None:
        """``max_speed_mps`` is the largest speed of the camera; 0: every pose is believed."""
        self._speed = max_speed_mps
        self.clear()

    def clear(self) -> None:
        """Believe the next pose."""
        self._believed: Float64[np.ndarray, "3"] | None = None
        self._suspect: tuple[int, Float64[np.ndarray, "3"]] | None = None  # since when, and the last place
        self._stamp_ns = 0

    def check(self, stamp_ns: int, world_from_camera: Float64[np.ndarray, "4 4"]) -> None:
        """Take the pose of a view. Raises BadInput where it is not believed."""
        place = world_from_camera[:3, 3].astype(np.float64)
        if stamp_ns < self._stamp_ns:
            self.clear()
        dt_s = (stamp_ns - self._stamp_ns) / 1e9
        self._stamp_ns = stamp_ns
        if self._believed is None or not self._speed or self._near(self._believed, place, dt_s):
            self._believed, self._suspect = place, None
            return
        if self._suspect is None or not self._near(self._suspect[1], place, dt_s):
            self._suspect = stamp_ns, place
        self._suspect = self._suspect[0], place
        if stamp_ns - self._suspect[0] >= SETTLED_S * 1e9:
            self._believed, self._suspect = place, None
            return
        away_m = float(np.linalg.norm(place - self._believed))
        raise BadInput(
            f"pose jump: the camera is {away_m:.1f} m from its last place, faster than {self._speed:g} m/s; the view "
            f"is left out; poses that stay there for {SETTLED_S:g} s are used; check localisation, or raise "
            "max_speed_mps"
        )

    def _near(self, one: np.ndarray, other: np.ndarray, dt_s: float) -> bool:
        return bool(np.linalg.norm(other - one) <= self._speed * dt_s + SLACK_M)
