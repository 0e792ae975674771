"""The learner, which a node calls: it keeps scenes and weights, starts rounds and puts their decisions into force."""

import dataclasses
import logging
from collections import deque
from collections.abc import Callable
from pathlib import Path

from wsss_ros.files import expanded, lock, read_json, writable_folder, write_json
from wsss_ros.inference import shipped_weights
from wsss_ros.labels import LabelSpace, labels_named
from wsss_ros.networks import checkpoint
from wsss_ros.online import planning, records
from wsss_ros.online.history import RoundHistory
from wsss_ros.online.progress import UNFINISHED
from wsss_ros.online.records import Decision
from wsss_ros.online.round_process import RoundProcess
from wsss_ros.online.settings import OnlineConfig, recipe_of
from wsss_ros.online.store import SceneStore
from wsss_ros.online.versions import Versions
from wsss_ros.types import KINDS, BadInput

log = logging.getLogger("wsss_ros")


class Learner:
    """Scenes, rounds and weights below ``config.folder``. One a folder, called from one thread at a time.

    A round runs in a process of its own. Only ``close``, ``rollback`` and ``reset`` wait for its end. Raises BadInput
    when another learner uses the folder, and for weights or a recipe that do not fit.

    Attributes:
        store: Takes scenes.
        versions: The weights in use and the earlier ones.
        history: Plans and decisions of all rounds.
        paused: Whether learning is paused.
        observe: Called when a round ends; the values it returns are logged with the decision.
    """

    def __init__(self, config: OnlineConfig, labels: LabelSpace | None = None):
        self.config, self.folder = config, expanded(config.folder)
        self.observe: Callable[[], dict] = dict
        self.recipe = recipe_of(config)
        self.labels = labels_named(self.recipe.labels)
        if labels is not None and labels.names != self.labels.names:
            text = f"{config.recipe}: label space '{self.labels.name}', expected '{labels.name}'"
            raise BadInput(f"{text}; change 'labels'")
        writable_folder(self.folder / "rounds")
        self._lock = self._claim()
        self._process = RoundProcess(config)
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _claim(self):
        try:
            return lock(self.folder / ".lock")
        except BlockingIOError as error:
            raise BadInput(f"{self.folder}: another learner has it; stop that one or choose another folder") from error

    def _open(self) -> None:
        lock(self.folder / "rounds" / ".lock", wait=True).close()  # the round of a killed learner may take a moment
        self.store = SceneStore(self.folder, self.config, self.labels, self.config.held_out_every)
        self.versions = Versions(self.folder / "weights", self.config.keep_versions, *self._first_weights())
        self.history = RoundHistory(self.folder)
        self.paused = _read_paused(self.folder / "state.json")
        self._ended: deque[Decision] = deque()
        self._round = 0  # planned and not decided; 0: none
        self._busy, self._last_fault = False, ""
        for number in self.history.unsettled:
            if self.history.is_decided(number):
                self._ended.append(self._settle(number))
            else:
                self._set_round(number)

    def _first_weights(self) -> tuple[Path, Path]:
        """Check the weights at the start, so that a wrong file does not show only in a round."""
        given = {"image": self.config.image_weights, "cloud": self.config.cloud_weights}
        paths = {kind: Path(path or shipped_weights(kind)) for kind, path in given.items()}
        if not any((self.folder / "weights").glob("[0-9]*")):
            for kind, path in paths.items():
                checkpoint.load(path, kind, self.labels)
        return paths["image"], paths["cloud"]

    def close(self) -> None:
        """End a running round after its step and unlock the folder; the next learner resumes the round."""
        self._process.close()
        self._lock.close()

    # --- commands of a person ---

    def pause(self, on: bool) -> str:
        """Pause learning, or go on; a pause lasts over a restart. Return what was done."""
        if on == self.paused:
            return "Learning is paused already." if on else "Learning is not paused."
        _write_paused(self.folder / "state.json", on)
        self.paused = on
        self._ask_to_wait()
        running = f"; round {self._round} {'waits' if on else 'goes on'}" if self._process.exists else ""
        return f"Learning is {'paused' if on else 'resumed'}{running}."

    def rollback(self) -> str:
        """Return to the previous weights. An unfinished round is given up: it started from the wrong weights.

        Raises BadInput where there is no previous version, and for a full disk.
        """
        if len(self.versions.history) < 2:
            raise BadInput(f"there is no version before {self.versions.current().name}; nothing was changed")
        ended = self._give_up("the weights were rolled back")
        before = self.versions.current().name
        try:
            return f"Weights are back from version {before} to {self.versions.rollback()}.{ended}"
        except OSError as error:
            raise BadInput(f"version {before} stays ({error}); make room on the disk.{ended}") from error

    def reset(self) -> str:
        """Empty the memory of scenes and keep a copy of it; the weights stay."""
        ended = self._give_up("the memory was reset")
        count = len(self.store.scenes())
        return f"The memory is empty; its {count} scenes are kept in {self.store.reset()}. Weights stay.{ended}"

    # --- rounds ---

    @property
    def decisions(self) -> list[Decision]:
        """Decisions of all rounds, oldest first."""
        return self.history.decisions

    def new_scenes(self) -> int:
        """Return the number of tagged scenes for training that no round has taken yet, whatever its result."""
        taken = {name for plan in self.history.plans.values() for name in (*plan.new, *plan.held_back)}
        untaught = planning.untaught(self.store.scenes(), self.history.past())
        return sum(scene.name not in taken for scene in untaught)

    def due(self) -> bool:
        """Whether a round should start now: one is unfinished, or there are enough new scenes."""
        if self.paused or self._process.exists:
            return False
        if self._round:
            return True
        enough = 0 < self.config.round_scenes <= self.new_scenes()
        return enough and bool(planning.split_new(self.store.scenes(), self.history.past())[0])

    def start_round(self) -> int:
        """Start the next round or resume the unfinished one; return its number.

        Raises BadInput when one runs, when learning is paused, and when there is nothing to learn from.
        """
        if self._process.exists:
            raise BadInput(f"round {self._round} is running; wait for it to end")
        if self.paused:
            raise BadInput("learning is paused; resume it first (~/pause with false)")
        if not self._round:
            self._plan()
        self._process.start(self._round)
        self._ask_to_wait()
        return self._round

    def _plan(self) -> None:
        start_version, stored, number = self.versions.current().name, self.store.scenes(), self.history.next_number()
        plan = planning.plan_round(stored, self.history.past(), number, start_version, self.config, self.recipe)
        self.history.add(plan)
        self._set_round(plan.round)

    def poll(self) -> Decision | None:
        """Return the Decision of a round that has just ended, when it is in force and in the log. Never waits."""
        if self._ended:
            return self._ended.popleft()
        if self._process.exit_code is None:
            return None
        try:
            decision = self._end_of(self._round, self._process.exit_code)
        except OSError as error:  # for example a full disk; the next call tries again
            if str(error.errno) != self._last_fault:
                log.warning("round %d has ended, but its decision cannot be kept yet: %s", self._round, error)
            self._last_fault = str(error.errno)
            return None
        self._process.forget()
        return decision

    def _end_of(self, number: int, code: int) -> Decision | None:
        """Settle a round whose process has ended; None if it stopped because it was asked to, and resumes later."""
        if not self.history.is_decided(number):
            if code == UNFINISHED:
                return None
            self.history.give_up(number, f"its process ended with {f'signal {-code}' if code < 0 else f'code {code}'}")
        return self._settle(number)

    def _settle(self, number: int) -> Decision:
        """Put a decision into force: first the weights, then the log. Repeated after a crash it changes nothing."""
        decision = self.history.decision(number)
        if decision.promoted:
            decision = self._promote(decision)
        decision.more.update(self.observe())
        self.history.settle(decision, self._kept(decision))
        if self._round == number:
            self._set_round(0)
        log.info("round %d %s: %s", number, decision.result, decision.why)
        return decision

    def _kept(self, decision: Decision) -> list[str]:
        """Return the names of the candidate files that stay: those of refused networks, where that is configured."""
        if not (decision.judged and self.config.keep_refused):
            return []
        files = zip(KINDS, records.candidate_files(self.history.folder_of(decision.round)), strict=True)
        return [file.name for kind, file in files if not decision.took(kind)]

    def _promote(self, decision: Decision) -> Decision:
        try:
            self.versions.use(decision.version, decision.round)
        except BadInput as error:
            current = self.versions.current().name
            why = f"not promoted: {error}"
            networks = dict.fromkeys(decision.networks, {"promoted": False, "why": why})
            return dataclasses.replace(decision, promoted=False, version=current, why=why, networks=networks)
        return decision

    def _give_up(self, why: str) -> str:
        """End an unfinished round, running or not; return a sentence about it. A decision it just made counts."""
        self._process.stop()
        if not (number := self._round):
            return ""
        if not self.history.is_decided(number):
            self.history.give_up(number, why)
        self._ended.append(self._settle(number))
        return f" Round {number} ended: {self._ended[-1].why}."

    def _set_round(self, number: int) -> None:
        """Note the unfinished round; the store keeps the scenes it reads."""
        self._round = number
        plan = self.history.plans.get(number)
        self.store.pinned = {*plan.new, *plan.memory, *sum(plan.held_out.values(), [])} if plan else set()

    # --- while a round runs ---

    def yield_to(self, busy: bool) -> None:
        """Let the round wait between two steps while ``busy``."""
        self._busy = busy
        self._ask_to_wait()

    def _ask_to_wait(self) -> None:
        self._process.ask_to_wait(self._busy or self.paused)

    def progress(self) -> dict | None:
        """Return number and progress of the running round (see ``RoundProgress``); None where none runs."""
        values = self._process.progress()
        return None if values is None else {"round": self._round, **values}


def _read_paused(path: Path) -> bool:
    try:
        return read_json(path)["paused"] is True
    except FileNotFoundError:
        return False
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read (%s); learning is paused to be safe", path, error)
        return True


def _write_paused(path: Path, paused: bool) -> None:
    try:
        write_json(path, {"paused": paused}, indent=None)
    except OSError as error:
        raise BadInput(f"{path} cannot be written ({error}); nothing was changed") from error
