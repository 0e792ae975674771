"""A training run: from a configuration and class tags to two checkpoints, phase by phase."""

import logging
import math
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

import numpy as np
import torch
from lightning_fabric import Fabric

from wsss_ros.config import PhaseConfig, TaggedPhase, TrainConfig
from wsss_ros.device import device_named
from wsss_ros.evaluation import offline
from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import LabelSpace, labels_named
from wsss_ros.methods.classify import Classify
from wsss_ros.methods.joint import Joint
from wsss_ros.methods.method import Method, tag_priors
from wsss_ros.methods.recognise import Recognise
from wsss_ros.methods.supervised import Supervised
from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import Checkpoint
from wsss_ros.processes.signals import Interrupted, StopRequest, stop_requests
from wsss_ros.samples.loading import Samples, Step, load, plan
from wsss_ros.samples.samples import Batch
from wsss_ros.training import data as run_data
from wsss_ros.training import network_files, optimisers, processes
from wsss_ros.training.data import RunData
from wsss_ros.training.folder import RunFolder
from wsss_ros.training.log import EVERY, Progress, TrainingLog, fixed_batches
from wsss_ros.types import KINDS, BadInput

log = logging.getLogger("wsss_ros")

METHODS: dict[str, Callable[[dict, tuple, PhaseConfig], Method]] = {
    "recognise": lambda networks, inputs, phase: Recognise(networks),
    "classify": Classify,
    "joint": Joint,
    "supervised": lambda networks, inputs, phase: Supervised(networks, inputs),
}
Report = Callable[[Progress], None]
_EPOCH_S = 10.0  # shorter epochs are not saved one by one: of few scenes they may be a step long


class TrainingDiverged(RuntimeError):
    """A loss or gradient that is not finite. The message names the step, its samples and the last good weights."""


def train(settings: TrainConfig, command: str = "", report: Report = lambda progress: None) -> dict:
    """Run every phase and return the scores of both networks on the val scenes, ``{"image": ..., "cloud": ...}``.

    ``settings.output`` then holds the weights, the resolved configuration, git state, data list, curves and scores.
    A run that was interrupted goes on where it stood, with the result it would have had; one that is finished gives
    its scores at once. Of several processes only the first one gets scores and reports.

    Raises BadInput for a configuration or data that cannot be trained on and for an output that holds another run,
    TrainingDiverged on a loss or gradient that is not finite, Interrupted on SIGINT and SIGTERM.
    """
    folder = RunFolder(settings.output)
    _check(settings)
    scores = folder.scores(settings)
    if scores is None:
        scores = _trained(settings, folder, command, report)
    if scores and settings.export is not None:
        network_files.export(settings, folder)
    return scores


def _trained(settings: TrainConfig, folder: RunFolder, command: str, report: Report) -> dict:
    scaler = torch.amp.GradScaler(device_named(settings.device).type, enabled=settings.precision == "float16")
    fabric = processes.start(settings, scaler)
    first = fabric.global_rank == 0
    if first:
        folder.claim(settings)
    else:  # one voice is enough
        report = lambda progress: None  # noqa: E731
        log.setLevel(logging.ERROR)
    labels = labels_named(settings.labels)
    run = _Run(settings, folder, fabric, scaler, labels, run_data.load(settings, labels, fabric, report), report)
    try:
        run.restore(fabric.broadcast(folder.load_state() if first else None))
        with stop_requests() as stop:
            while run.place.phase < len(settings.phases):
                run.train_phase(stop)
        processes.finish(fabric)
        return _finish(run, command) if first else {}
    finally:
        if run.board is not None:
            run.board.close()
        folder.release()


def _check(settings: TrainConfig) -> None:
    """Raises BadInput for phases that lack a network or train nothing."""
    if not settings.phases:
        raise BadInput("no phase to train; give 'phases', a list of methods with epochs and optimisers")
    for index, phase in enumerate(settings.phases):
        if not any(getattr(phase, kind) for kind in KINDS):
            raise BadInput(f"phases.{index} trains nothing; give it an optimiser, such as 'image: {{lr: 0.01}}'")
        for kind in phase.networks:
            if getattr(settings, kind) is None:
                raise BadInput(f"phases.{index} ({phase.method}) needs the {kind} network; describe it under '{kind}:'")


@dataclass
class _Place:
    """Where a run stands: the phase, the epoch in it and the step in that, from 0; and the losses so far."""

    phase: int = 0
    epoch: int = 0
    step: int = 0
    total: int = 0  # steps of all phases
    sums: dict[str, float] = field(default_factory=dict)  # of this epoch
    curves: list[dict] = field(default_factory=list)  # a phase: its name and the mean losses of its epochs

    def advance(self, phase: str, terms: dict[str, float], steps_per_epoch: int) -> None:
        """One step further, with these losses."""
        self.total, self.step = self.total + 1, self.step + 1
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in terms.items()}
        if self.step < steps_per_epoch:
            return
        if self.epoch == 0:
            self.curves.append({"phase": phase, "epochs": []})
        self.curves[-1]["epochs"].append({name: value / steps_per_epoch for name, value in self.sums.items()})
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}

    def next_phase(self) -> None:
        self.phase, self.epoch, self.step = self.phase + 1, 0, 0


class _Run:
    """A run in progress in one process: networks, data, and where it stands."""

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
        self.samples = [run_data.samples(settings, phase, data.train, labels) for phase in settings.phases]
        self.batches = [self._batch_size(index) for index in range(len(settings.phases))]
        data.left_out.extend(dict.fromkeys(entry for each in self.samples for entry in getattr(each, "left_out", [])))
        used = {kind for phase in settings.phases for kind in phase.networks}
        self.networks = {kind: network_files.begin(settings, kind, labels) for kind in KINDS if kind in used}
        self.before = {kind: _before(settings, kind) for kind in self.networks}
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self.place = _Place()
        self._optimiser_states: dict[str, dict] = {}
        self.board: TrainingLog | None = None

    def _batch_size(self, index: int) -> int:
        batch, processes = min(self.settings.phases[index].batch, len(self.samples[index])), self.fabric.world_size
        if batch % processes:
            raise BadInput(
                f"phases.{index}: {batch} samples of a step cannot be shared evenly by {processes} devices; "
                f"change 'batch' or 'devices'"
            )
        return batch

    def restore(self, state: dict | None) -> None:
        """Go on from a saved state. Raises BadInput when the training scenes are others now."""
        if state is not None:
            _check_scenes(self.folder, state["scenes"], self.data.names)
            self.place = _Place(**state["place"])
            for kind, network in self.networks.items():
                network.load_state_dict(state["networks"][kind])
            if state["scaler"]:
                self.scaler.load_state_dict(state["scaler"])
            self._optimiser_states = state["optimisers"]
            log.info("going on after %d steps, in phase %d", self.place.total, self.place.phase + 1)
        if self.fabric.global_rank == 0:
            self.folder.write_json("data.json", self.data.described(self.labels))
            self.board = TrainingLog(self.folder.path / "log", self.labels, self.place.total)

    def save(self) -> None:
        """Put the state on disk, by the first process. Raises TrainingDiverged, and keeps the last, if it is bad."""
        if self.fabric.global_rank:
            return
        state = {
            "place": asdict(self.place),
            "scenes": self.data.names,
            "networks": {kind: network.state_dict() for kind, network in self.networks.items()},
            "optimisers": {kind: optimiser.state_dict() for kind, optimiser in self.optimisers.items()},
            "scaler": self.scaler.state_dict(),
        }
        try:
            self.folder.save_state(state)
        except ValueError as error:
            raise TrainingDiverged(f"{error} after step {self.place.total}; {self._last_good()}") from error
        self.folder.write_json("curves.json", self.place.curves)

    def train_phase(self, stop: StopRequest) -> None:
        """The phase it stands in, to its end."""
        at, settings, place = self.place.phase, self.settings, self.place
        phase, samples, size = settings.phases[at], self.samples[at], self.batches[at]
        name, per_epoch = self._name(at), len(samples) // size
        steps = phase.epochs * per_epoch
        method = self._method(phase)
        from_here = settings.seed, at, len(samples), size, phase.epochs, place.epoch, place.step
        loader = load(samples, settings.seed, at, plan(*from_here), self._part(size), settings.data.workers, self.cuda)
        shown = fixed_batches(samples, settings.seed) if self.board else []
        prepared, saved_at = None, time.monotonic()
        for step, batch in zip(plan(*from_here), loader, strict=True):
            if step.epoch != prepared:
                method.prepare(self.data.train.scenes, step.epoch)
                prepared = step.epoch
            done = step.epoch * per_epoch + step.index
            rates = self._set_learning_rates(phase, done / steps)
            torch.manual_seed(_dropout_seed(settings.seed, at, done, self.fabric.global_rank))
            terms, fault, stopping = self._step(method, batch, stop)
            if fault:
                raise TrainingDiverged(f"{name}: {fault} at step {done + 1} of {steps}, {self._blame(step, samples)}")
            place.advance(name, terms, per_epoch)
            self.report(Progress(name, done + 1, steps, terms, step.epoch + 1, phase.epochs))
            self._show(phase, name, terms, rates, shown)
            stopping = stopping or (self.fabric.world_size == 1 and stop.number is not None)
            patience_s = min(settings.save_every_s, _EPOCH_S if place.step == 0 else math.inf)
            if stopping or time.monotonic() - saved_at >= patience_s:
                self.save()
                saved_at = time.monotonic()
            if stopping:
                self._interrupt(stop, f"step {done + 1} of {steps} of '{name}'")
        for kind in self.optimisers:
            processes.share_statistics(self.fabric, self.networks[kind])
        self.optimisers = {}
        if at + 1 < len(settings.phases) and self.board is not None:
            place.curves[-1]["val"] = self._scores_between(phase)
        place.next_phase()
        self.save()

    def _scores_between(self, phase: PhaseConfig) -> dict[str, dict]:
        """What the networks of a phase reach on val, so that the next phase can be held against it."""
        if not self.data.val or phase.method == "recognise":
            return {}
        scores = {}
        for kind in phase.networks:
            trained = self.rebuilt(kind)
            scores[kind] = _score(self, kind, trained)
        return scores

    def rebuilt(self, kind: str) -> Checkpoint:
        """A network as inference has it."""
        odds = self._tag_log_odds() if kind == "image" and self.settings.image.presence_floor else None
        return network_files.rebuilt(self.settings, kind, self.networks[kind], self.labels, odds)

    def _tag_log_odds(self) -> tuple[float, ...] | None:
        """What was added to averaged scores where the image network learned last; None if not from tags."""
        phases = [phase for phase in self.settings.phases[: self.place.phase + 1] if phase.image is not None]
        if phases:
            phase = phases[-1]
            tagged = isinstance(phase, TaggedPhase)
            return tuple(tag_priors(self.data.train.scenes, phase.tag_prior)[0].tolist()) if tagged else None
        weights = self.settings.image.weights
        return (checkpoint.load(weights).config.tag_log_odds or None) if weights else None

    def _step(self, method: Method, batch: Batch, stop: StopRequest) -> tuple[dict[str, float], str, bool]:
        """One step of all optimisers: the losses, what is not finite, and whether a signal came to any process."""
        losses = method.losses(batch.to(self.fabric.device))
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(sum(losses.values()))
        gradients = [p.grad for o in self.optimisers.values() for group in o.param_groups for p in group["params"]]
        norm = torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
        flag = norm.new_tensor(float(stop.number is not None))
        # One number after the other crosses from device and processes here, all in one go.
        told = self.fabric.all_reduce(torch.stack([*(loss.detach().float() for loss in losses.values()), norm, flag]))
        *values, norm, stopping = told.tolist()
        terms = dict(zip(losses, values, strict=True))
        if not all(map(math.isfinite, values)):
            return terms, f"loss {terms}", False
        # Where float16 gradients overflow, the scaler skips the step.
        if not self.scaler.is_enabled() and not math.isfinite(norm):
            return terms, f"gradient of norm {norm} at loss {terms}", False
        for optimiser in self.optimisers.values():
            self.scaler.step(optimiser)
        self.scaler.update()
        method.after_step()
        return terms, "", stopping > 0

    def _method(self, phase: PhaseConfig) -> Method:
        """The method of a phase, on networks that are ready for it, with an optimiser for each one that learns."""
        learns = {kind: getattr(phase, kind) for kind in KINDS if getattr(phase, kind) is not None}
        wrapped = {kind: processes.wrap(self.fabric, self.networks[kind], learns.get(kind)) for kind in phase.networks}
        self.optimisers = {kind: optimisers.build(self.networks[kind], learns[kind]) for kind in learns}
        for kind, state in self._optimiser_states.items():
            self.optimisers[kind].load_state_dict(state)
        self._optimiser_states = {}
        return METHODS[phase.method](wrapped, self._point_inputs if "cloud" in wrapped else (), phase)

    def _set_learning_rates(self, phase: PhaseConfig, done: float) -> dict[str, float]:
        rates = {kind: optimisers.learning_rate(getattr(phase, kind), done) for kind in self.optimisers}
        for kind, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = rates[kind] * group["factor"]
        return rates

    def _show(self, phase: PhaseConfig, name: str, terms: dict, rates: dict, shown: list[Batch]) -> None:
        if self.board is None:
            return
        ended, epoch = self.place.step == 0, self.place.epoch
        if ended or self.place.total % EVERY == 0:
            self.board.add_step(name, self.place.total, terms, rates)
        if ended and (epoch == phase.epochs or epoch % math.ceil(phase.epochs / 5) == 0):
            networks = {kind: self.networks[kind] for kind in phase.networks}
            self.board.add_pictures(networks, self._point_inputs, shown, self.place.total)

    def _interrupt(self, stop: StopRequest, where: str) -> None:
        self.fabric.barrier()  # the first process has saved
        number = stop.number or signal.SIGTERM
        told = f"stopped by {signal.Signals(number).name} after {where}; the same command goes on from there"
        raise Interrupted(told, number)

    def _blame(self, step: Step, samples: Samples) -> str:
        chosen = [samples.names[index] for index in step.samples]
        return f"epoch {step.epoch + 1}, samples {chosen}; {self._last_good()}"

    def _last_good(self) -> str:
        """Write the networks of the last saved state as checkpoints; tells where they are."""
        if self.fabric.global_rank:
            return "the first process has the last good weights"
        state = self.folder.load_state()
        if state is None:
            return "no weights were saved before that"
        files = []
        for kind, tensors in state["networks"].items():
            self.networks[kind].load_state_dict(tensors)
            good = self.rebuilt(kind)
            files.append(str(self.folder.path / "last_good" / f"{kind}.safetensors"))
            checkpoint.save(files[-1], good.network, good.config, self.labels, {"place": state["place"]})
        return f"the last good weights, after {state['place']['total']} steps, are in {' and '.join(files)}"

    def _name(self, index: int) -> str:
        phase = self.settings.phases[index]
        return " ".join([str(index + 1), phase.method, *(phase.networks if len(phase.networks) == 1 else ())])

    def _part(self, size: int) -> slice:
        """Which samples of a step this process takes."""
        share, rank = size // self.fabric.world_size, self.fabric.global_rank
        return slice(rank * share, (rank + 1) * share)

    @property
    def cuda(self) -> bool:
        return self.fabric.device.type == "cuda"

    @property
    def _point_inputs(self) -> tuple[str, ...]:
        return self.settings.cloud.inputs if self.settings.cloud else ()


def _check_scenes(folder: RunFolder, before: list[str], now: list[str]) -> None:
    if before != now:
        changed = sorted(set(before) ^ set(now))
        raise BadInput(
            f"{folder.path} was trained on {len(before)} scenes, now there are {len(now)}; "
            f"they differ in {changed[:5]}; bring the same scenes or choose another output"
        )


def _dropout_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def _finish(run: _Run, command: str) -> dict:
    """Score both networks, save them with their provenance, and say what was left out."""
    settings, folder = run.settings, run.folder
    scores: dict[str, dict | None] = dict.fromkeys(KINDS)
    for kind in run.networks:
        trained = run.rebuilt(kind)
        scores[kind] = _score(run, kind, trained) if run.data.val else None
        phases = [index for index, phase in enumerate(settings.phases) if getattr(phase, kind) is not None]
        provenance = {
            "command": command,
            "config": settings.model_dump(mode="json"),
            "samples": [len(run.samples[index]) for index in phases],
            "val": scores[kind],
            "val_by_phase": {
                **run.before[kind],
                **{curve["phase"]: curve.get("val", {}).get(kind) for curve in run.place.curves[:-1]},
            },
            "losses": [epoch for index in phases for epoch in run.place.curves[index]["epochs"]],
        }
        checkpoint.save(folder.path / f"{kind}.safetensors", trained.network, trained.config, run.labels, provenance)
    run.board.add_scores(scores, run.place.total)
    for name, reason in run.data.left_out:
        log.warning("left out: %s: %s", name, reason)
    folder.write_json("data.json", run.data.described(run.labels))
    folder.write_json("scores.json", scores)
    folder.state_path.unlink()
    return scores


def _before(settings: TrainConfig, kind: str) -> dict[str, dict | None]:
    """What the weights that this run begins with had reached on val, phase by phase, by command."""
    if not (path := getattr(settings, kind).weights):
        return {}
    known = checkpoint.load(path, kind).training
    command = known.get("command")
    phases = known.get("val_by_phase", {}).items()
    told = {name if " of " in name else f"{name} of {command}": val for name, val in phases}
    return {**told, f"all of {command}": known["val"]} if known.get("val") else told


def _score(run: _Run, kind: str, trained: Checkpoint) -> dict:
    """Scores on the val scenes; one that cannot be scored is left out. Raises BadInput when none can."""
    settings, labels, matrix, faults = run.settings, run.labels, ConfusionMatrix(run.labels), []
    if kind == "image":
        segmenter = ImageSegmenter(trained, settings.device)
    else:
        segmenter = CloudSegmenter(trained, settings.device, points=settings.cloud.augment.points)
    for done, scene in enumerate(run.data.val, start=1):
        try:
            if kind == "image":
                counted = offline.score_images(segmenter, [scene], labels, settings.data.val_frames_per_scene)
            else:
                counted = offline.score_clouds(segmenter, [scene], labels)
            matrix.counts += counted.counts
        except BadInput as error:
            faults.append((scene.name, f"not scored ({kind}): {error}"))
        run.report(Progress(f"score {kind}", done, len(run.data.val), {}))
    if len(faults) == len(run.data.val):
        raise BadInput(f"none of {len(faults)} val scenes can be scored; the first: {faults[0][0]} {faults[0][1]}")
    run.data.left_out.extend(fault for fault in faults if fault not in run.data.left_out)
    return matrix.compute()
