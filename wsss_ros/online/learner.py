"""The learner: what a node calls. It keeps scenes and weights, starts rounds and brings their decisions into force."""

import dataclasses
import logging
import multiprocessing
import shutil
import signal
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path

from wsss_ros.files import lock, read_json, write_json
from wsss_ros.inference import shipped_weights
from wsss_ros.labels import LabelSpace, labels_named
from wsss_ros.networks import checkpoint
from wsss_ros.online import memory, records
from wsss_ros.online.records import DECISION, PLAN, Decision, Log, Plan
from wsss_ros.online.settings import OnlineConfig, recipe_of
from wsss_ros.online.store import SceneStore
from wsss_ros.online.talk import UNFINISHED, Told
from wsss_ros.online.versions import Versions
from wsss_ros.processes import children
from wsss_ros.types import BadInput

log = logging.getLogger("wsss_ros")

START = "spawn"
_STOP_S = 4.0  # a round that is asked to stop ends after its step; killed, it goes on from its last state just as well


def _run(*arguments) -> None:
    """Imported where it runs: what trains is slow to load and large."""
    from wsss_ros.online import round

    round.run(*arguments)


class Learner:
    """Scenes, rounds and weights below ``config.folder``. One a folder, called from one thread at a time.

    ``store`` takes scenes, ``versions`` has the weights in use, ``decisions`` all that rounds came to. A round runs in
    a process of its own; nothing here waits for it, but ``close``, ``rollback`` and ``reset`` for its end. What
    ``observe`` returns when a round ends is kept with its decision.
    Raises BadInput when another learner has the folder, and for weights or a recipe that do not fit.
    """

    def __init__(self, config: OnlineConfig, labels: LabelSpace | None = None):
        self.config, self.folder = config, Path(config.folder).expanduser()
        self.observe: Callable[[], dict] = dict
        self.recipe = recipe_of(config)
        self.labels = labels_named(self.recipe.labels)
        if labels is not None and labels.names != self.labels.names:
            told = f"{config.recipe}: label space '{self.labels.name}', wanted '{labels.name}'"
            raise BadInput(f"{told}; change 'labels'")
        self.rounds = self.folder / "rounds"
        self.rounds.mkdir(parents=True, exist_ok=True)
        self._lock = self._claim()
        # The thread that starts a process must outlive it: with the thread Linux takes it for orphaned.
        self._starter = ThreadPoolExecutor(1)
        self._process: multiprocessing.process.BaseProcess | None = None
        try:
            self._open()
        except BaseException:
            self.close()
            raise

    def _claim(self):
        try:
            return lock(self.folder / ".lock")
        except OSError as error:
            raise BadInput(f"{self.folder}: another learner has it; stop that one or choose another folder") from error

    def _open(self) -> None:
        lock(self.rounds / ".lock", wait=True).close()  # the round of a killed learner may take a moment to end
        self.store = SceneStore(self.folder, self.config, self.labels, self.config.held_out_every)
        self.versions = Versions(self.folder / "weights", self.config.keep_versions, *self._first_weights())
        self._log = Log(self.folder / "rounds.jsonl")
        self.paused: bool = self._read_state()["paused"]
        self._plans: dict[int, Plan] = {}
        self._ended: deque[Decision] = deque()
        self._round = 0  # planned and not decided; 0: none
        self._busy, self._told_to_wait, self._trouble = False, False, ""
        for folder in sorted(path for path in self.rounds.iterdir() if path.name.isdigit()):
            self._take_up(folder)

    def _first_weights(self) -> tuple[Path, Path]:
        """Checked here: a wrong file shows at the start, not in a round."""
        given = {"image": self.config.image_weights, "cloud": self.config.cloud_weights}
        paths = {kind: Path(path or shipped_weights(kind)) for kind, path in given.items()}
        if not any((self.folder / "weights").glob("[0-9]*")):
            for kind, path in paths.items():
                checkpoint.load(path, kind, self.labels)
        return paths["image"], paths["cloud"]

    def _take_up(self, folder: Path) -> None:
        """A round of before: known, decided but not in the log yet, unfinished, or not even planned."""
        number = int(folder.name)
        known = any(decision.round == number for decision in self._log.decisions)
        try:
            plan = records.read(folder, PLAN, Plan)
        except BadInput as error:
            log.warning("%s", error)
            return
        if plan is None and not known:
            shutil.rmtree(folder)
        if plan is None:
            return
        self._plans[number] = plan
        if not known and (folder / DECISION).exists():
            self._ended.append(self._settle(number))
        elif not known:
            self._set_round(number)

    def close(self) -> None:
        """Ends a running round after its step; the next learner goes on with it. The folder is free then."""
        self._stop()
        self._starter.shutdown()
        self._lock.close()

    # --- what a person asks for ---

    def pause(self, on: bool) -> str:
        """Freeze learning, or go on; it stays so over a restart."""
        if on == self.paused:
            return "Learning is paused already." if on else "Learning is not paused."
        self._write_state({"paused": on})
        self.paused = on
        self._tell()
        running = f"; round {self._round} {'waits' if on else 'goes on'}" if self._process else ""
        return f"Learning is {'paused' if on else 'resumed'}{running}."

    def rollback(self) -> str:
        """Back to the weights before; a round that is under way is given up, for it began from the wrong ones."""
        if len(self.versions.history) < 2:
            raise BadInput(f"there is no version before {self.versions.current().name}; nothing was changed")
        ended = self._give_up("the weights were rolled back")
        before = self.versions.current().name
        try:
            return f"Weights are back from version {before} to {self.versions.rollback()}.{ended}"
        except OSError as error:
            raise BadInput(f"version {before} stays ({error}); make room on the disk.{ended}") from error

    def reset(self) -> str:
        """Empty the memory of scenes, keeping a copy; weights stay as they are."""
        ended = self._give_up("the memory was reset")
        count = len(self.store.scenes())
        return f"The memory is empty; its {count} scenes are kept in {self.store.reset()}. Weights stay.{ended}"

    # --- rounds ---

    @property
    def decisions(self) -> list[Decision]:
        """Of all rounds, oldest first."""
        return self._log.decisions

    def _past(self) -> list[tuple[Plan, Decision]]:
        return [(self._plans[d.round], d) for d in self._log.decisions if d.round in self._plans]

    def new_scenes(self) -> int:
        """Tagged scenes to train on that no round, whatever came of it, has taken yet."""
        taken = {name for plan in self._plans.values() for name in (*plan.new, *plan.held_back)}
        return sum(scene.name not in taken for scene in memory.untaught(self.store.scenes(), self._past()))

    def due(self) -> bool:
        """Whether a round should start now: one is unfinished, or enough new scenes are in."""
        if self.paused or self._process is not None:
            return False
        if self._round:
            return True
        enough = 0 < self.config.round_scenes <= self.new_scenes()
        return enough and bool(memory.parted(self.store.scenes(), self._past())[0])

    def start_round(self) -> int:
        """Start the next round, or go on with the one that is unfinished; returns its number.

        Raises BadInput when one runs, when learning is paused, and when there is nothing to learn from.
        """
        if self._process is not None:
            raise BadInput(f"round {self._round} is running; wait for it to end")
        if self.paused:
            raise BadInput("learning is paused; resume it first (~/pause with false)")
        if not self._round:
            self._plan()
        self._start()
        return self._round

    def _plan(self) -> None:
        begins_from, stored = self.versions.current().name, self.store.scenes()
        plan = memory.plan(stored, self._past(), self._next(), begins_from, self.config, self.recipe)
        folder = self._folder(plan.round)
        try:
            folder.mkdir(exist_ok=True)
            records.write(folder, PLAN, plan)
        except OSError as error:
            raise BadInput(f"{folder}: the round could not be planned ({error}); make room on the disk") from error
        self._plans[plan.round] = plan
        self._set_round(plan.round)

    def _next(self) -> int:
        return 1 + max([*self._plans, *(decision.round for decision in self._log.decisions)], default=0)

    def _start(self) -> None:
        context = multiprocessing.get_context(START)
        self._told = context.RawValue(Told)
        ours, theirs = context.Pipe()
        self._pipe: Connection = ours
        self._told_to_wait = False
        arguments = self.config, self._round, theirs, self._told
        process = context.Process(target=_run, args=arguments, name=f"round {self._round}", daemon=True)
        self._starter.submit(process.start).result()
        theirs.close()
        self._process = process
        self._tell()

    def poll(self) -> Decision | None:
        """Never waits. A Decision when a round has just ended; it is in force and in the log then."""
        if self._ended:
            return self._ended.popleft()
        if self._process is None or self._process.exitcode is None:
            return None
        try:
            decision = self._end_of(self._round, self._process.exitcode)
        except OSError as error:  # the disk is full, say; the next call tries again
            if str(error) != self._trouble:
                log.warning("round %d has ended, but its decision cannot be kept yet: %s", self._round, error)
            self._trouble = str(error)
            return None
        self._forget_process()
        return decision

    def _end_of(self, number: int, code: int) -> Decision | None:
        """None for a round that stopped because it was asked to and is gone on with later."""
        if not (self._folder(number) / DECISION).exists():
            if code == UNFINISHED:
                return None
            self._decide(number, f"its process ended with {f'signal {-code}' if code < 0 else f'code {code}'}")
        return self._settle(number)

    def _settle(self, number: int) -> Decision:
        """Bring a decision into force: weights, then log. Done again after a crash in between, it changes nothing."""
        decision = records.read(self._folder(number), DECISION, Decision)
        if decision.promoted:
            decision = self._promote(decision)
        decision.more.update(self.observe())
        self._log.append(decision)
        refused = decision.judged and not decision.promoted
        records.tidy(self._folder(number), records.CANDIDATE_FILES if refused and self.config.keep_refused else ())
        if self._round == number:
            self._set_round(0)
        log.info("round %d %s: %s", number, "promoted" if decision.promoted else "not promoted", decision.why)
        return decision

    def _promote(self, decision: Decision) -> Decision:
        try:
            self.versions.use(decision.version, decision.round)
        except BadInput as error:
            current = self.versions.current().name
            return dataclasses.replace(decision, promoted=False, version=current, why=f"not promoted: {error}")
        return decision

    def _decide(self, number: int, why: str) -> None:
        records.tidy(self._folder(number))
        plan = self._plans[number]
        records.write(self._folder(number), DECISION, records.given_up(plan, why))

    def _give_up(self, why: str) -> str:
        """End an unfinished round, running or not; what it came to in its last moment counts. Says so in a sentence."""
        self._stop()
        if not (number := self._round):
            return ""
        if not (self._folder(number) / DECISION).exists():
            self._decide(number, why)
        self._ended.append(self._settle(number))
        return f" Round {number} ended: {self._ended[-1].why}."

    def _stop(self) -> None:
        if self._process is None:
            return
        self._send(False)
        children.end([self._process], [(signal.SIGTERM, _STOP_S)])
        self._forget_process()

    def _forget_process(self) -> None:
        self._pipe.close()
        self._process = None

    def _set_round(self, number: int) -> None:
        """``number`` is under way; the store keeps the scenes it reads."""
        self._round = number
        plan = self._plans.get(number)
        self.store.pinned = {*plan.new, *plan.memory, *sum(plan.held_out.values(), [])} if plan else set()

    def _folder(self, number: int) -> Path:
        return self.rounds / f"{number:04d}"

    # --- while a round runs ---

    def yield_to(self, busy: bool) -> None:
        """While ``busy`` the round waits between two steps."""
        self._busy = busy
        self._tell()

    def progress(self) -> dict | None:
        """Of the running round: what it is doing, its step of how many, loss, seconds of training left, if it waits."""
        if self._process is None:
            return None
        return {"round": self._round, **self._told.progress()}

    def _tell(self) -> None:
        wait = self._busy or self.paused
        if self._process is not None and wait != self._told_to_wait:
            self._send(wait)

    def _send(self, wait: bool) -> None:
        self._told_to_wait = wait
        try:
            self._pipe.send(wait)
        except OSError:  # it has just ended
            log.debug("round %d has ended", self._round)

    # --- what stays over a restart ---

    def _read_state(self) -> dict:
        try:
            return {"paused": read_json(self.folder / "state.json")["paused"] is True}
        except FileNotFoundError:
            return {"paused": False}
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s/state.json cannot be read (%s); learning is paused to be safe", self.folder, error)
            return {"paused": True}

    def _write_state(self, state: dict) -> None:
        try:
            write_json(self.folder / "state.json", state, indent=None)
        except OSError as error:
            raise BadInput(f"{self.folder}/state.json cannot be written ({error}); nothing was changed") from error
