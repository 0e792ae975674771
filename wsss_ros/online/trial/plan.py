"""The rounds of the trial: where each takes place, what is spoilt in it, and which scenes it uses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from wsss_ros.online.records import Plan
from wsss_ros.online.versions import FIRST

STEPS = {"none": 24, "wrong tags": 12, "high rate": 12, "one class": 12}  # a spoilt round does harm sooner
BATCH = 4
SCENES = 3  # tagged scenes that a round learns from
BASE = 24  # base rooms that are mixed in
HELD_OUT = {"new": 2, "memory": 3}
FAULTS = tuple(STEPS)
# How often each kind of round takes place, in the order of FAULTS.
COUNTS = {"rooms": (12, 5, 4, 4), "office": (4, 2, 1, 1), "kitchen": (4, 1, 1, 1)}


@dataclass(frozen=True)
class TrialRound:
    """One round. ``place`` is rooms, office or kitchen; ``fault`` is what is spoilt, ``index`` counts within both.

    Each ``draw`` has rounds of its own, in other rooms.
    """

    place: str
    fault: str
    index: int
    draw: int = 0

    @property
    def number(self) -> int:
        """A number of its own, which does not depend on how many rounds there are."""
        of_place = 1000 * list(COUNTS).index(self.place)
        return 10_000 * self.draw + of_place + 100 * FAULTS.index(self.fault) + self.index + 1

    @property
    def name(self) -> str:
        """Number, place and fault."""
        return f"{self.number:04d} {self.place}, {'good' if self.fault == 'none' else self.fault}"


def trial_rounds(draw: int = 0) -> list[TrialRound]:
    """Return all rounds of a draw; places and faults alternate, so that the first ones are of many kinds."""
    kinds = [(place, fault, n) for place, counts in COUNTS.items() for fault, n in zip(FAULTS, counts, strict=True)]
    spread = [
        ((index + 0.5) / n, TrialRound(place, fault, index, draw)) for place, fault, n in kinds for index in range(n)
    ]
    return [each for _, each in sorted(spread, key=lambda pair: (pair[0], pair[1].number))]


def plan_of(
    each: TrialRound, stored: Mapping[str, Sequence[str]], base: Sequence[str], base_held_out: Sequence[str]
) -> Plan:
    """Return the plan of a round.

    ``stored`` are the scenes of its place: ``taught`` and ``held_out``, by name. The round draws from both.
    """
    rng = np.random.default_rng([each.number, 17])
    taught = sorted(rng.choice(stored["taught"], SCENES, replace=False).tolist())
    apart = rng.permutation(stored["held_out"]).tolist()
    held_out, first = {}, 0
    for name, count in HELD_OUT.items():
        held_out[name] = sorted(apart[first : first + count])
        first += count
    return Plan(
        each.number,
        FIRST,
        each.number,
        STEPS[each.fault],
        BATCH,
        taught,
        [],
        sorted(rng.choice(base, BASE, replace=False).tolist()),
        {**held_out, "base": list(base_held_out)},
    )
