"""A training run: from a configuration and class tags to two checkpoints, phase by phase.

The loop knows no method by name. A phase is a ``Method`` (``methods/method.py``): it gives samples and losses, and
keeps state, which is saved and restored with the run.
"""

import logging
import math
import signal
import time
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric

from wsss_ros.device import device_named
from wsss_ros.labels import LabelSpace, labels_named
from wsss_ros.methods import METHODS
from wsss_ros.methods.method import Method, PhaseConfig, PhaseData
from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import Checkpoint
from wsss_ros.processes.signals import Interrupted, StopRequest, stop_requests
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.loading import Step, load, plan
from wsss_ros.training import data as run_data
from wsss_ros.training import network_files, processes, results
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.data import RunData
from wsss_ros.training.folder import RunFolder
from wsss_ros.training.log import EVERY, TrainingLog, fixed_batches
from wsss_ros.training.optimisation import Optimisation
from wsss_ros.training.position import Position
from wsss_ros.training.progress import Progress, Report
from wsss_ros.types import KINDS, BadInput

log = logging.getLogger("wsss_ros")

_SHORTEST_S = 10.0  # epochs are not saved more often than this: with few scenes one may be a step long


class TrainingDiverged(RuntimeError):
    """A loss or gradient that is not finite. The message names the step, its samples and the last good weights."""


def train(settings: TrainConfig, command: str = "", report: Report = lambda progress: None) -> dict:
    """Run every phase and return the scores of both networks on the val scenes, ``{"image": ..., "cloud": ...}``.

    ``settings.output`` then holds the weights, the resolved configuration, git state, data list, curves and scores.
    A run that was interrupted continues to the result it would have reached; a finished one returns its scores at
    once. Of several processes only the first one gets scores and reports.

    Raises BadInput for a configuration or data that cannot be trained on and for an output that holds another run,
    TrainingDiverged on a loss or gradient that is not finite, Interrupted on SIGINT and SIGTERM.
    """
    folder = RunFolder(settings.output)
    _check(settings)
    scores = folder.scores(settings)
    if scores is None:
        scores = _trained(settings, folder, command, report)
    if scores and settings.export is not None:
        network_files.export(folder.path, settings.export)
    return scores


def _check(settings: TrainConfig) -> None:
    """Raises BadInput for phases that lack a network or train nothing."""
    if not settings.phases:
        raise BadInput("no phase to train; give 'phases', a list of methods with epochs and optimisers")
    for index, phase in enumerate(settings.phases):
        if not phase.optimisers:
            raise BadInput(f"phases.{index} trains nothing; give it an optimiser, such as 'image: {{lr: 0.01}}'")
        for kind in phase.networks:
            if getattr(settings, kind) is None:
                raise BadInput(f"phases.{index} ({phase.method}) needs the {kind} network; describe it under '{kind}:'")


def _trained(settings: TrainConfig, folder: RunFolder, command: str, report: Report) -> dict:
    scaler = torch.amp.GradScaler(device_named(settings.device).type, enabled=settings.precision == "float16")
    fabric = processes.start(settings, scaler)
    first = fabric.global_rank == 0
    if first:
        folder.claim(settings)
    else:  # the first process reports for all
        report = lambda progress: None  # noqa: E731
        log.setLevel(logging.ERROR)
    labels = labels_named(settings.labels)
    long_side = settings.image.augment.long_side[1] if settings.image else 256
    data = run_data.load(settings.data, long_side, settings.phases, labels, fabric, report)
    run = Run(settings, folder, fabric, scaler, labels, data, report)
    try:
        run.restore(fabric.broadcast(folder.load_state() if first else None))
        with stop_requests() as stop:
            while run.position.phase < len(settings.phases):
                run.train_phase(stop)
        processes.finish(fabric)
        return run.finish(command) if first else {}
    finally:
        if run.board is not None:
            run.board.close()
        folder.release()


class Run:
    """A training run in one process: its methods and networks, and where it is."""

    def __init__(
        self,
        settings: TrainConfig,
        folder: RunFolder,
        fabric: Fabric,
        scaler: torch.amp.GradScaler,
        labels: LabelSpace,
        data: RunData,
        report: Report,
    ):
        self.settings, self.folder, self.fabric, self.scaler = settings, folder, fabric, scaler
        self.labels, self.data, self.report = labels, data, report
        # All phases' samples now: what is wrong with the last phase shows before the first.
        offered = _phase_data(settings, data, labels)
        self.methods = [METHODS[phase.method](phase, offered) for phase in settings.phases]
        self.batches = [self._batch_size(index) for index in range(len(settings.phases))]
        left_out = [entry for method in self.methods for entry in getattr(method.samples, "left_out", [])]
        data.left_out.extend(dict.fromkeys(left_out))
        used = {kind for phase in settings.phases for kind in phase.networks}
        self.networks = {
            kind: network_files.create(kind, getattr(settings, kind), labels, settings.seed)
            for kind in KINDS
            if kind in used
        }
        self.before = {kind: results.before(getattr(settings, kind).weights, kind) for kind in self.networks}
        self.optimisation: Optimisation | None = None  # of the phase in progress
        self.position = Position()
        self.board: TrainingLog | None = None
        self._saved: dict | None = None  # state of the phase that the run resumes in

    def _batch_size(self, index: int) -> int:
        batch = min(self.settings.phases[index].batch, len(self.methods[index].samples))
        if batch % self.fabric.world_size:
            raise BadInput(
                f"phases.{index}: {batch} samples of a step cannot be shared evenly by {self.fabric.world_size} "
                f"devices; change 'batch' or 'devices'"
            )
        return batch

    # --- state ---

    def restore(self, state: dict | None) -> None:
        """Continue from a saved state. Raises BadInput when the training scenes are others now."""
        if state is not None:
            _check_scenes(self.folder, state["scenes"], self.data.names)
            self.position = Position(**state["position"])
            for kind, network in self.networks.items():
                network.load_state_dict(state["networks"][kind])
            if state["scaler"]:
                self.scaler.load_state_dict(state["scaler"])
            self._saved = state
            log.info("continuing after %d steps, in phase %d", self.position.total, self.position.phase + 1)
        if self.fabric.global_rank == 0:
            self.folder.write_json("data.json", self.data.described(self.labels))
            self.board = TrainingLog(self.folder.path / "log", self.labels, self.position.total)

    def save(self) -> None:
        """Put the state on disk, by the first process. Raises TrainingDiverged, and keeps the last, if it is bad."""
        if self.fabric.global_rank:
            return
        running = self.optimisation is not None
        state = {
            "position": asdict(self.position),
            "scenes": self.data.names,
            "networks": {kind: network.state_dict() for kind, network in self.networks.items()},
            "optimisers": self.optimisation.state_dict() if running else {},
            "method": self.methods[self.position.phase].state_dict() if running else {},
            "scaler": self.scaler.state_dict(),
        }
        try:
            self.folder.save_state(state)
        except ValueError as error:
            raise TrainingDiverged(f"{error} after step {self.position.total}; {self._last_good()}") from error
        self.folder.write_json("curves.json", self.position.curves)

    # --- a phase ---

    def train_phase(self, stop: StopRequest) -> None:
        """The phase that the run is in, to its end."""
        at, position = self.position.phase, self.position
        phase, method, name = self.settings.phases[at], self.methods[at], self._name(at)
        per_epoch = len(method.samples) // self.batches[at]
        steps = phase.epochs * per_epoch
        self._start(method, phase)
        shown = fixed_batches(method.samples, self.settings.seed) if self.board else []
        saved_at = time.monotonic()
        for step, batch in self._batches(at):
            done = step.epoch * per_epoch + step.index
            rates = self.optimisation.set_learning_rates(done / steps)
            torch.manual_seed(_step_seed(self.settings.seed, at, done, self.fabric.global_rank))
            losses = method.losses(self.fabric.to_device(batch))
            result = self.optimisation.step(losses, stop.number is not None)
            if result.fault:
                where = f"step {done + 1} of {steps}, {self._blame(step, method.samples.names)}"
                raise TrainingDiverged(f"{name}: {result.fault} at {where}")
            method.after_step()
            position.advance(name, result.terms, per_epoch)
            self.report(Progress(name, done + 1, steps, result.terms, step.epoch + 1, phase.epochs))
            self._show(phase, name, result.terms, rates, shown)
            stopping = result.stop or (self.fabric.world_size == 1 and stop.number is not None)
            patience_s = min(self.settings.save_every_s, _SHORTEST_S if position.step == 0 else math.inf)
            if stopping or time.monotonic() - saved_at >= patience_s:
                self.save()
                saved_at = time.monotonic()
            if stopping:
                self._interrupt(stop, f"step {done + 1} of {steps} of '{name}'")
        self._end(at)

    def _start(self, method: Method, phase: PhaseConfig) -> None:
        """Networks that are ready for the phase, an optimiser for each one that learns, and the saved state."""
        learns = phase.optimisers
        ready = {kind: processes.wrap(self.fabric, self.networks[kind], learns.get(kind)) for kind in phase.networks}
        self.optimisation = Optimisation(self.fabric, self.scaler, self.networks, learns)
        method.start(ready, self.position.epoch)
        if self._saved is not None:
            self.optimisation.load_state_dict(self._saved["optimisers"])
            if self._saved["method"]:
                method.load_state_dict(self._saved["method"])
        self._saved = None

    def _batches(self, at: int) -> Iterator[tuple[Step, Any]]:
        """The steps of a phase from where the run is, each with the batch of this process."""
        settings, method, size = self.settings, self.methods[at], self.batches[at]
        drawn = settings.seed, at, len(method.samples), size
        epochs, part, pin = settings.phases[at].epochs, self._part(size), self.fabric.device.type == "cuda"
        batches = None
        for step in plan(*drawn, epochs, self.position.epoch, self.position.step):
            if step.index == 0:
                method.prepare(step.epoch)
            if batches is None or (step.index == 0 and method.changes_samples):
                last = step.epoch + 1 if method.changes_samples else epochs
                ahead = plan(*drawn, last, step.epoch, step.index)
                batches = iter(load(method.samples, settings.seed, at, ahead, part, settings.data.workers, pin))
            yield step, next(batches)

    def _end(self, at: int) -> None:
        for kind in self.settings.phases[at].optimisers:
            processes.share_statistics(self.fabric, self.networks[kind])
        self.optimisation = None
        if at + 1 < len(self.methods) and self.board is not None:
            self.position.curves[-1]["val"] = self._scores_between(at)
        self.position.next_phase()
        self.save()

    def _show(self, phase: PhaseConfig, name: str, terms: dict, rates: dict, shown: list) -> None:
        if self.board is None:
            return
        ended, epoch = self.position.step == 0, self.position.epoch
        if ended or self.position.total % EVERY == 0:
            self.board.add_step(name, self.position.total, terms, rates)
        if ended and (epoch == phase.epochs or epoch % math.ceil(phase.epochs / 5) == 0):
            networks = {kind: self.networks[kind] for kind in phase.networks}
            inputs = self.settings.cloud.inputs if self.settings.cloud else ()
            self.board.add_pictures(networks, inputs, shown, self.position.total)

    def _interrupt(self, stop: StopRequest, where: str) -> None:
        self.fabric.barrier()  # the first process has saved
        number = stop.number or signal.SIGTERM
        name = signal.Signals(number).name
        raise Interrupted(f"stopped by {name} after {where}; the same command continues from there", number)

    # --- results ---

    def for_inference(self, kind: str) -> Checkpoint:
        """A network as inference has it."""
        settings = getattr(self.settings, kind)
        odds = self._tag_log_odds() if kind == "image" and settings.presence_floor else None
        return network_files.for_inference(kind, settings, self.networks[kind], self.labels, odds)

    def _tag_log_odds(self) -> tuple[float, ...] | None:
        """What was added to averaged scores where the image network learned last; None if not from tags."""
        methods = [method for method in self.methods[: self.position.phase + 1] if method.phase.image is not None]
        if methods:
            priors = methods[-1].tag_priors()
            return None if priors is None else tuple(priors[0].tolist())
        weights = self.settings.image.weights
        return (checkpoint.load(weights).config.tag_log_odds or None) if weights else None

    def score(self, kind: str) -> dict:
        """Scores of a network, as inference has it, on the val scenes. Raises BadInput when no scene can be scored."""
        cloud = self.settings.cloud
        segmenter = results.segmenter(
            self.for_inference(kind), self.settings.device, cloud.augment.points if cloud else 0
        )
        frames = self.settings.data.val_frames_per_scene
        scores, faults = results.score(segmenter, self.data.val, self.labels, frames, self.report)
        self.data.left_out.extend(fault for fault in faults if fault not in self.data.left_out)
        return scores

    def _scores_between(self, at: int) -> dict[str, dict]:
        """What the networks of a phase reach on val, for comparison with the next phase."""
        if not self.data.val or not self.methods[at].is_segmentation:
            return {}
        return {kind: self.score(kind) for kind in self.settings.phases[at].networks}

    def finish(self, command: str) -> dict:
        """Score both networks, save them with their provenance, and report what was left out."""
        scores: dict[str, dict | None] = dict.fromkeys(KINDS)
        for kind in self.networks:
            scores[kind] = self.score(kind) if self.data.val else None
            trained, known = self.for_inference(kind), self._provenance(kind, command, scores[kind])
            path = self.folder.path / f"{kind}.safetensors"
            checkpoint.save(path, trained.network, trained.config, self.labels, known)
        self.board.add_scores(scores, self.position.total)
        for name, reason in self.data.left_out:
            log.warning("left out: %s: %s", name, reason)
        self.folder.write_json("data.json", self.data.described(self.labels))
        self.folder.write_json("scores.json", scores)
        self.folder.state_path.unlink()
        return scores

    def _provenance(self, kind: str, command: str, scores: dict | None) -> dict:
        phases = [index for index, phase in enumerate(self.settings.phases) if kind in phase.optimisers]
        curves = self.position.curves
        return {
            "command": command,
            "config": self.settings.model_dump(mode="json"),
            "samples": [len(self.methods[index].samples) for index in phases],
            "val": scores,
            "val_by_phase": {
                **self.before[kind],
                **{curve["phase"]: curve.get("val", {}).get(kind) for curve in curves[:-1]},
            },
            "losses": [epoch for index in phases for epoch in curves[index]["epochs"]],
        }

    # --- messages ---

    def _blame(self, step: Step, names: list[str]) -> str:
        return f"epoch {step.epoch + 1}, samples {[names[index] for index in step.samples]}; {self._last_good()}"

    def _last_good(self) -> str:
        """Write the networks of the last saved state as checkpoints; says where they are."""
        if self.fabric.global_rank:
            return "the first process has the last good weights"
        state = self.folder.load_state()
        if state is None:
            return "no weights were saved before that"
        files = []
        for kind, tensors in state["networks"].items():
            self.networks[kind].load_state_dict(tensors)
            good = self.for_inference(kind)
            files.append(str(self.folder.path / "last_good" / f"{kind}.safetensors"))
            checkpoint.save(files[-1], good.network, good.config, self.labels, {"position": state["position"]})
        return f"the last good weights, after {state['position']['total']} steps, are in {' and '.join(files)}"

    def _name(self, index: int) -> str:
        phase = self.settings.phases[index]
        return " ".join([str(index + 1), phase.method, *(phase.networks if len(phase.networks) == 1 else ())])

    def _part(self, size: int) -> slice:
        """Which samples of a step this process takes."""
        share, rank = size // self.fabric.world_size, self.fabric.global_rank
        return slice(rank * share, (rank + 1) * share)


def _phase_data(settings: TrainConfig, data: RunData, labels: LabelSpace) -> PhaseData:
    image, cloud = settings.image, settings.cloud
    return PhaseData(
        data.train.scenes,
        labels,
        image.augment if image else ImageAugment(),
        cloud.augment if cloud else CloudAugment(),
        cloud.inputs if cloud else (),
        settings.data.visibility_m,
    )


def _check_scenes(folder: RunFolder, before: list[str], now: list[str]) -> None:
    if before != now:
        changed = sorted(set(before) ^ set(now))
        raise BadInput(
            f"{folder.path} was trained on {len(before)} scenes, now there are {len(now)}; "
            f"they differ in {changed[:5]}; bring the same scenes or choose another output"
        )


def _step_seed(*numbers: int) -> int:
    """Of dropout and whatever else a method draws in a step."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
