"""All rounds of a learner's folder: their plans and decisions, in ``rounds/NUMBER/`` and ``rounds.jsonl``."""

import logging
import shutil
from collections.abc import Sequence
from pathlib import Path

from wsss_ros.online import records
from wsss_ros.online.records import DECISION, PLAN, Decision, Log, Plan
from wsss_ros.types import BadInput

log = logging.getLogger("wsss_ros")


class RoundHistory:
    """Plans and decisions.

    A round is decided when its process or ``give_up`` has written a decision, and settled when ``settle`` has added
    that to the log.

    Attributes:
        plans: By the number of the round.
        unsettled: Numbers of the rounds that were planned and not settled when the folder was opened, in order.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "rounds"
        self._log = Log(folder / "rounds.jsonl")
        self.plans: dict[int, Plan] = {}
        self.unsettled: list[int] = []
        for path in sorted(path for path in self.folder.iterdir() if path.name.isdigit()):
            self._read(path)

    def _read(self, folder: Path) -> None:
        number = int(folder.name)
        settled = any(decision.round == number for decision in self._log.decisions)
        try:
            plan = records.read(folder, PLAN, Plan)
        except BadInput as error:
            log.warning("%s", error)
            return
        if plan is not None:
            self.plans[number] = plan
            if not settled:
                self.unsettled.append(number)
        elif not settled:  # a crash came before the plan was written
            shutil.rmtree(folder)

    @property
    def decisions(self) -> list[Decision]:
        """Decisions of all settled rounds, oldest first."""
        return self._log.decisions

    def past(self) -> list[tuple[Plan, Decision]]:
        """Return plan and decision of the settled rounds, oldest first."""
        return [(self.plans[each.round], each) for each in self.decisions if each.round in self.plans]

    def next_number(self) -> int:
        """Return the number of the next round."""
        return 1 + max([*self.plans, *(decision.round for decision in self.decisions)], default=0)

    def folder_of(self, number: int) -> Path:
        """Return the folder of a round."""
        return self.folder / f"{number:04d}"

    def add(self, plan: Plan) -> None:
        """Write the plan of a new round. Raises BadInput when the disk does not take it."""
        folder = self.folder_of(plan.round)
        try:
            folder.mkdir(exist_ok=True)
            records.write(folder, PLAN, plan)
        except OSError as error:
            raise BadInput(f"{folder}: the round could not be planned ({error}); make room on the disk") from error
        self.plans[plan.round] = plan

    def is_decided(self, number: int) -> bool:
        """Whether the round has a decision, settled or not."""
        return (self.folder_of(number) / DECISION).exists()

    def decision(self, number: int) -> Decision:
        """Read the decision of a round, as it was written."""
        return records.read(self.folder_of(number), DECISION, Decision)

    def give_up(self, number: int, why: str) -> None:
        """Decide that the weights stay."""
        records.delete_training(self.folder_of(number))
        records.write(self.folder_of(number), DECISION, records.given_up(self.plans[number], why))

    def settle(self, decision: Decision, keep: Sequence[str] = ()) -> None:
        """Add the decision to the log and delete the large files of the training, except those in ``keep``.

        Raises OSError, with the log as it was, when the disk does not take it.
        """
        self._log.append(decision)
        records.delete_training(self.folder_of(decision.round), keep)
