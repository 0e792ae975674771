"""What a round and its learner exchange while the round runs: its progress, and whether it has to wait."""

import ctypes
import math
from multiprocessing.connection import Connection

UNFINISHED = 75  # exit code of a round that was asked to stop and can be resumed
STAGES = ("starting", "preparing scenes", "training", "scoring")


class RoundProgress(ctypes.Structure):
    """Progress of a round, in memory that both processes share, so that neither waits for the other."""

    _fields_ = [
        ("stage", ctypes.c_int),
        ("step", ctypes.c_int),
        ("steps", ctypes.c_int),
        ("loss", ctypes.c_double),
        ("step_s", ctypes.c_double),  # duration of one step, without waiting
        ("waiting", ctypes.c_bool),
    ]

    def values(self) -> dict:
        """Return the values for the status: stage, step, steps, loss, seconds of training left, whether it waits."""
        return {
            "doing": STAGES[self.stage],
            "step": self.step,
            "steps": self.steps,
            "loss": self.loss if self.step and math.isfinite(self.loss) else None,  # JSON has no NaN
            "left_s": round((self.steps - self.step) * self.step_s, 1),
            "waiting": bool(self.waiting),
        }


class LearnerGone(Exception):
    """The process that started this round has ended."""


class LearnerLink:
    """The round's side: it reports its progress and waits where the learner asks for it; without one it never waits.

    Args:
        progress: Where the progress is written.
        learner: Sends True for "wait" and False for "go on".
    """

    def __init__(self, progress: RoundProgress, learner: Connection | None = None):
        self.progress, self.learner = progress, learner
        self._wait = False

    def wait_if_asked(self) -> None:
        """Sleep until the learner lets the round go on. Raises LearnerGone."""
        while self.learner is not None and (self._wait or self.learner.poll()):
            self.progress.waiting = self._wait
            self._wait = self._receive()
        self.progress.waiting = False

    def _receive(self) -> bool:
        try:
            return self.learner.recv()
        except (EOFError, OSError) as error:
            raise LearnerGone from error

    def enter(self, stage: str) -> None:
        """Report one of STAGES, and wait if asked to. Raises LearnerGone."""
        self.progress.stage = STAGES.index(stage)
        self.wait_if_asked()
