"""A training run: from a configuration and class tags to two checkpoints, phase by phase."""

import contextlib
import logging
import math
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import nn
from torch.utils.data import DataLoader, Dataset

from wsss_ros import checkpoint, devices, evaluation, networks
from wsss_ros.checkpoint import Checkpoint, NetworkConfig
from wsss_ros.config import JointPhase, OptimiserConfig, PhaseConfig, SupervisedPhase, TrainConfig
from wsss_ros.data import open_scenes
from wsss_ros.data.prepared import Prepared, prepare
from wsss_ros.data.samples import CloudSamples, ImageSamples, PairSamples, Sample, collate
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import LabelSpace, named
from wsss_ros.methods.classify import Classify
from wsss_ros.methods.joint import Joint
from wsss_ros.methods.method import Method
from wsss_ros.methods.supervised import Supervised
from wsss_ros.metrics import ConfusionMatrix
from wsss_ros.networks import pretrained
from wsss_ros.run_folder import RunFolder
from wsss_ros.training_log import Progress, TrainingLog, fixed_batches
from wsss_ros.types import BadInput, Scene

log = logging.getLogger("wsss_ros")

KINDS = ("image", "point")
METHODS: dict[str, Callable[[dict, tuple, PhaseConfig], Method]] = {
    "classify": lambda nets, inputs, phase: Classify(nets, inputs),
    "joint": Joint,
    "supervised": lambda nets, inputs, phase: Supervised(nets, inputs),
}
Report = Callable[[Progress], None]


class TrainingDiverged(RuntimeError):
    """A loss or gradient that is not finite. The message names the step and the samples of its batch."""


class Interrupted(RuntimeError):
    """A signal stopped the run; its state is saved."""

    def __init__(self, message: str, number: int):
        super().__init__(message)
        self.signal = number


@runtime_checkable
class Samples(Protocol):
    names: list[str]

    def __len__(self) -> int: ...

    def sample(self, index: int, rng: np.random.Generator) -> Sample: ...


def train(settings: TrainConfig, command: str = "", report: Report = lambda progress: None) -> dict:
    """Run every phase and return the scores of both networks on the val scenes, ``{"image": ..., "point": ...}``.

    ``settings.output`` then holds the weights, the resolved configuration, git state, data list, curves and scores.
    A run that was interrupted goes on where it stood, with the result it would have had; one that is finished gives
    its scores at once. Raises BadInput for a configuration or data that cannot be trained on and for an output that
    holds another run, TrainingDiverged on a loss that is not finite, Interrupted on SIGINT and SIGTERM.
    """
    folder = RunFolder(settings.output)
    _check(settings)
    scores = folder.scores(settings)
    if scores is None:
        scores = _trained(settings, folder, command, report)
    if scores and settings.export is not None:
        _export(settings, folder)
    return scores


def _trained(settings: TrainConfig, folder: RunFolder, command: str, report: Report) -> dict:
    device_type = devices.device_named(settings.device).type
    scaler = torch.amp.GradScaler(device_type, enabled=settings.precision == "float16")
    fabric = devices.start(settings, scaler)
    first = fabric.global_rank == 0
    if first:
        folder.claim(settings)
    labels = named(settings.labels)
    data = _data(settings, labels, fabric, report if first else lambda progress: None)
    run = _Run(settings, folder, fabric, scaler, labels, data, report if first else lambda progress: None)
    if first:
        folder.write_json("data.json", data.described(labels))
    run.restore(fabric.broadcast(folder.load_state() if first else None))
    with _signals() as stop:
        while run.phase < len(settings.phases):
            run.train_phase(stop)
    devices.finish(fabric)
    if not first:
        return {}
    scores = _finish(run, command)
    folder.release()
    return scores


def _check(settings: TrainConfig) -> None:
    """Raises BadInput for phases that lack a network or train nothing."""
    if not settings.phases:
        raise BadInput("no phase to train; give 'phases', a list of methods with epochs and optimisers")
    for index, phase in enumerate(settings.phases):
        if not any(getattr(phase, kind) for kind in KINDS):
            raise BadInput(f"phases.{index} trains nothing; give it an optimiser: 'image: {{lr: 0.01}}' or 'point: ...'")
        for kind in _used(phase):
            if getattr(settings, kind) is None:
                raise BadInput(f"phases.{index} ({phase.method}) needs the {kind} network; describe it under '{kind}:'")


def _used(phase: PhaseConfig) -> list[str]:
    """The networks a phase runs; joint losses need both, even where one does not learn."""
    both = isinstance(phase, JointPhase | SupervisedPhase)
    return [kind for kind in KINDS if both or getattr(phase, kind)]


# --- data ---


@dataclass(frozen=True)
class _Data:
    train: Prepared
    val: list[Scene]
    left_out: list[tuple[str, str]]

    def described(self, labels: LabelSpace) -> dict:
        tags = Counter(name for scene in self.train.scenes for name in labels.tags(np.asarray(scene.tags)))
        return {
            "train": [scene.name for scene in self.train.scenes],
            "images": sum(int(scene.image_tags.any(axis=1).sum()) for scene in self.train.scenes),
            "tags": {name: tags[name] for name in labels.names if tags[name]},
            "val": [scene.name for scene in self.val],
            "left_out": [{"name": name, "reason": reason} for name, reason in self.left_out],
        }


def _data(settings: TrainConfig, labels: LabelSpace, fabric: Fabric, report: Report) -> _Data:
    """Training scenes decoded (by one process of each machine) and val scenes opened; what cannot be used is named."""
    scenes, left_out = open_scenes(settings.data.train, labels)
    val, val_left_out = ([], []) if settings.data.val is None else open_scenes(settings.data.val, labels)
    image = settings.image

    def prepared() -> Prepared:
        return prepare(
            scenes,
            labels,
            settings.data.cache,
            settings.data.frames_per_scene,
            image.augment.long_side[1] if image else 256,
            settings.data.visibility_m,
            any(isinstance(phase, SupervisedPhase) for phase in settings.phases),
            lambda done, total: report(Progress("prepare scenes", done, total, {})),
        )

    if fabric.local_rank == 0:
        ready = prepared()
    fabric.barrier()
    if fabric.local_rank != 0:
        ready = prepared()
    return _Data(ready, val, [*left_out, *ready.left_out, *val_left_out])


def _samples(settings: TrainConfig, phase: PhaseConfig, data: Prepared) -> Samples:
    if _used(phase) == ["image"]:
        return ImageSamples(data.scenes, settings.image.augment)
    if _used(phase) == ["point"]:
        return CloudSamples(data.scenes, settings.point.augment)
    return PairSamples(
        data.scenes,
        settings.image.augment,
        settings.point.augment,
        settings.data.visibility_m,
        phase.max_links if isinstance(phase, JointPhase) else 0,
        isinstance(phase, SupervisedPhase),
    )


@dataclass(frozen=True)
class Step:
    """One step of a phase: which samples it takes. ``index`` counts within the epoch."""

    epoch: int
    index: int
    samples: tuple[int, ...]


def plan(
    seed: int, phase: int, samples: int, batch: int, epochs: int, epoch: int = 0, index: int = 0
) -> Iterator[Step]:
    """The steps of a phase from (``epoch``, ``index``) on; an epoch has whole batches only."""
    for at in range(epoch, epochs):
        # An index that no sample has: the order shares its numbers with no augmentation.
        order = np.random.default_rng([seed, phase, at, samples]).permutation(samples).tolist()
        for step in range(index if at == epoch else 0, samples // batch):
            yield Step(at, step, tuple(order[step * batch : (step + 1) * batch]))


class _Augmented(Dataset):
    """Sample ``index`` as epoch ``epoch`` of phase ``phase`` sees it, from these numbers and the seed alone."""

    def __init__(self, samples: Samples, seed: int, phase: int):
        self.samples, self.seed, self.phase = samples, seed, phase

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        epoch, index = key
        return self.samples.sample(index, np.random.default_rng([self.seed, self.phase, epoch, index]))


def _loader(samples: Samples, seed: int, phase: int, steps: Iterator[Step], part: slice, workers: int, pin: bool):
    """Batches of this process's ``part`` of every step."""
    keys = ([(step.epoch, index) for index in step.samples[part]] for step in steps)
    return DataLoader(
        _Augmented(samples, seed, phase),
        batch_sampler=keys,
        num_workers=workers,
        collate_fn=collate,
        pin_memory=pin,
        worker_init_fn=_start_worker,
    )


def _start_worker(_: int) -> None:
    """Ctrl-C reaches workers too; the run decides when they end."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


# --- the loop ---


class _Run:
    """A run in progress: its networks and where it stands."""

    def __init__(self, settings, folder, fabric, scaler, labels, data, report):
        self.settings: TrainConfig = settings
        self.folder: RunFolder = folder
        self.fabric: Fabric = fabric
        self.scaler: torch.amp.GradScaler = scaler
        self.labels: LabelSpace = labels
        self.data: _Data = data
        self.report: Report = report
        used = {kind for phase in settings.phases for kind in _used(phase)}
        self.networks = {kind: _network(settings, kind, labels) for kind in KINDS if kind in used}
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        # All phases' samples now: what is wrong with the last phase is found before the first.
        self.samples = [_samples(settings, phase, data.train) for phase in settings.phases]
        for phase, samples in zip(settings.phases, self.samples, strict=True):
            _batch_size(phase, len(samples), fabric.world_size)
        pairs = dict.fromkeys(entry for samples in self.samples for entry in getattr(samples, "left_out", []))
        data.left_out.extend(pairs)
        self.phase = self.epoch = self.step = self.total = 0
        self.sums: dict[str, float] = {}
        self.curves: list[dict] = []
        self._optimiser_states: dict = {}
        self._log: TrainingLog | None = None

    # What stands in the state file beside weights, optimisers and scaler.
    _PLACE = ("phase", "epoch", "step", "total", "sums", "curves")

    def state(self) -> dict:
        return {
            **{name: getattr(self, name) for name in self._PLACE},
            "data": [scene.name for scene in self.data.train.scenes],
            "networks": {kind: network.state_dict() for kind, network in self.networks.items()},
            "optimisers": {kind: optimiser.state_dict() for kind, optimiser in self.optimisers.items()},
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, state: dict | None) -> None:
        """Go on from a saved state. Raises BadInput when the training scenes are others now."""
        if state is None:
            return
        now = [scene.name for scene in self.data.train.scenes]
        if state["data"] != now:
            changed = sorted(set(state["data"]) ^ set(now))
            raise BadInput(
                f"{self.folder.path} was trained on {len(state['data'])} scenes, now there are {len(now)}; "
                f"they differ in {changed[:5]}; bring them back or choose another output"
            )
        for name in self._PLACE:
            setattr(self, name, state[name])
        for kind, network in self.networks.items():
            network.load_state_dict(state["networks"][kind])
        if state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        self._optimiser_states = state["optimisers"]
        log.info("going on from phase %d, epoch %d, step %d", self.phase + 1, self.epoch + 1, self.step)

    def train_phase(self, stop: "_Stop") -> None:
        """One phase from where it stands to its end."""
        settings, phase = self.settings, self.settings.phases[self.phase]
        samples = self.samples[self.phase]
        name = self.phase_name(self.phase)
        batch = _batch_size(phase, len(samples), self.fabric.world_size)
        per_epoch = len(samples) // batch
        method = self._method(phase)
        self.optimisers = {
            kind: build_optimiser(self.networks[kind], getattr(phase, kind)) for kind in KINDS if getattr(phase, kind)
        }
        for kind, state in self._optimiser_states.items():
            self.optimisers[kind].load_state_dict(state)
        self._optimiser_states = {}
        from_here = settings.seed, self.phase, len(samples), batch, phase.epochs, self.epoch, self.step
        share = batch // self.fabric.world_size
        part = slice(self.fabric.global_rank * share, (self.fabric.global_rank + 1) * share)
        pin = self.fabric.device.type == "cuda"
        loader = _loader(samples, settings.seed, self.phase, plan(*from_here), part, settings.data.workers, pin)
        shown = fixed_batches(samples, settings.seed) if self.log else []
        batches = iter(loader)
        saved_at, starting = time.monotonic(), True
        for step in plan(*from_here):
            if starting or step.index == 0:
                method.prepare(self.data.train.scenes, step.epoch)
                starting = False
            done = step.epoch * per_epoch + step.index
            rates = self._set_learning_rates(phase, done / (phase.epochs * per_epoch))
            torch.manual_seed(_dropout_seed(settings.seed, self.phase, done, self.fabric.global_rank))
            terms, stopping, fault = self._step(method, next(batches), stop)
            if fault:
                raise TrainingDiverged(self._divergence(fault, name, done, phase.epochs * per_epoch, step, samples))
            self._advance(terms, per_epoch)
            self.report(Progress(name, done + 1, phase.epochs * per_epoch, terms, step.epoch + 1, phase.epochs))
            ended = self.step == 0
            if self.log:
                self.log.add_step(name, self.total, terms, rates)
                if ended and ((step.epoch + 1) % max(1, phase.epochs // 6) == 0 or self.epoch == phase.epochs):
                    inputs = settings.point.inputs if settings.point else ()
                    used = {kind: self.networks[kind] for kind in _used(phase)}
                    self.log.add_pictures(used, inputs, shown, self.total)
            if stopping or ended or time.monotonic() - saved_at >= settings.save_every_s:
                self._save()
                saved_at = time.monotonic()
            if stopping:
                number = stop.number or signal.SIGTERM
                told = f"stopped by {signal.Signals(number).name} after step {done + 1} of '{name}'"
                raise Interrupted(f"{told}; the same command goes on from there", number)
        self.optimisers = {}
        self.phase, self.epoch, self.step = self.phase + 1, 0, 0
        self._save()

    def _step(self, method: Method, batch, stop: "_Stop") -> tuple[dict[str, float], bool, str]:
        """One step of all optimisers: the losses, whether a signal came in any process, and what is not finite."""
        losses = method.losses(batch.to(self.fabric.device))
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(sum(losses.values()))
        gradients = [p.grad for o in self.optimisers.values() for g in o.param_groups for p in g["params"]]
        norm = torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
        flag = norm.new_tensor(float(stop.number is not None))
        told = self.fabric.all_reduce(torch.stack([*(v.detach().float() for v in losses.values()), norm, flag]))
        *values, norm, stopping = told.tolist()
        terms = dict(zip(losses, values, strict=True))
        if not all(map(math.isfinite, values)):
            return terms, False, f"loss {terms}"
        # With float16 an overflow of the scaled gradient is nothing special: the scaler skips the step.
        if not self.scaler.is_enabled() and not math.isfinite(norm):
            return terms, False, f"gradient of norm {norm} under loss {terms}"
        for optimiser in self.optimisers.values():
            self.scaler.step(optimiser)
        self.scaler.update()
        method.after_step()
        return terms, stopping > 0, ""

    def _method(self, phase: PhaseConfig) -> Method:
        nets = {}
        for kind in _used(phase):
            nets[kind] = devices.wrap(self.fabric, self.networks[kind], trains=getattr(phase, kind) is not None)
        return METHODS[phase.method](nets, self.settings.point.inputs if "point" in nets else (), phase)

    def _set_learning_rates(self, phase: PhaseConfig, done: float) -> dict[str, float]:
        rates = {kind: learning_rate(getattr(phase, kind), done) for kind in self.optimisers}
        for kind, optimiser in self.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = rates[kind]
        return rates

    def _advance(self, terms: dict[str, float], per_epoch: int) -> None:
        self.total, self.step = self.total + 1, self.step + 1
        self.sums = {key: self.sums.get(key, 0.0) + value for key, value in terms.items()}
        if self.step < per_epoch:
            return
        means = {key: value / per_epoch for key, value in self.sums.items()}
        if self.epoch == 0:
            self.curves.append({"phase": self.phase_name(self.phase), "epochs": []})
        self.curves[-1]["epochs"].append(means)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}

    def _save(self) -> None:
        if self.fabric.global_rank:
            return
        try:
            self.folder.save_state(self.state())
        except ValueError as error:
            raise TrainingDiverged(f"after step {self.total}: {error}; {self._last_good()}") from error
        self.folder.write_json("curves.json", self.curves)

    def _divergence(self, fault: str, name: str, done: int, steps: int, step: Step, samples: Samples) -> str:
        chosen = [samples.names[index] for index in step.samples]
        told = f"{name}: {fault} at step {done + 1} of {steps} (epoch {step.epoch + 1}), samples {chosen}"
        return told if self.fabric.global_rank else f"{told}; {self._last_good()}"

    def _last_good(self) -> str:
        """The weights of the last saved state as checkpoints; tells where they are."""
        state = self.folder.load_state()
        if state is None:
            return "no weights were saved before that"
        files = []
        for kind, tensors in state["networks"].items():
            self.networks[kind].load_state_dict(tensors)
            trained = rebuilt(self.settings, kind, self.networks[kind], self.labels)
            files.append(str(self.folder.path / "last_good" / f"{kind}.safetensors"))
            checkpoint.save(files[-1], trained.network, trained.config, self.labels, {"steps": state["total"]})
        return f"the last good weights, of step {state['total']} of the run, are in {' and '.join(files)}"

    def phase_name(self, index: int) -> str:
        phase = self.settings.phases[index]
        alone = f" {_used(phase)[0]}" if len(_used(phase)) == 1 else ""
        return f"{index + 1} {phase.method}{alone}"

    @property
    def log(self) -> TrainingLog | None:
        if self.fabric.global_rank == 0 and self._log is None:
            self._log = TrainingLog(self.folder.path / "log", self.labels, self.total)
        return self._log


def _batch_size(phase: PhaseConfig, samples: int, processes: int) -> int:
    """Samples of one step. Raises BadInput when the processes cannot share it evenly."""
    batch = min(phase.batch, samples)
    if batch % processes:
        raise BadInput(f"a batch of {batch} samples cannot be shared evenly by {processes} devices; change 'batch'")
    return batch


def _dropout_seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


def build_optimiser(network: nn.Module, settings: OptimiserConfig) -> torch.optim.Optimizer:
    parameters = [p for p in network.parameters() if p.requires_grad]
    if settings.name == "adam":
        return torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        parameters, lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay, nesterov=True
    )


def learning_rate(settings: OptimiserConfig, done: float) -> float:
    """``done`` is the share of the phase behind us, 0..1."""
    if settings.schedule == "poly":
        return settings.lr * (1 - done) ** settings.power
    return settings.lr * 0.1 ** sum(done >= milestone for milestone in settings.milestones)


@dataclass
class _Stop:
    """The first SIGINT or SIGTERM, or None."""

    number: int | None = field(default=None)


@contextlib.contextmanager
def _signals() -> Iterator[_Stop]:
    """Inside, the first signal is only noted, so that a step can end; the second acts as ever."""
    stop, before = _Stop(), {}

    def note(number: int, _) -> None:
        stop.number = number
        for each, handler in before.items():
            signal.signal(each, handler)

    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


# --- networks in and out ---


def _network(settings: TrainConfig, kind: str, labels: LabelSpace) -> nn.Module:
    """The untrained network of a kind, or one that starts from given weights."""
    torch.manual_seed(settings.seed)
    chosen = getattr(settings, kind)
    network = networks.build(kind, chosen.network, len(labels), chosen.options, getattr(chosen, "inputs", ()))
    if getattr(chosen, "pretrained", ""):
        pretrained.load(network.backbone, chosen.pretrained)
    if chosen.weights:
        _start_from(network, kind, chosen, labels)
    return network.to(memory_format=torch.channels_last) if kind == "image" else network


def _start_from(network: nn.Module, kind: str, chosen, labels: LabelSpace) -> None:
    given = checkpoint.load(chosen.weights, kind, labels)
    theirs, ours = (given.config.name, given.config.inputs), (chosen.network, getattr(chosen, "inputs", ()))
    if theirs != ours:
        raise BadInput(f"{chosen.weights}: a network {theirs}, wanted {ours}; change {kind}.weights or {kind}.network")
    try:
        network.load_state_dict(given.network.state_dict())
    except RuntimeError as error:
        told = f"its options are {given.config.options}, wanted {chosen.options}"
        raise BadInput(f"{chosen.weights}: does not fit {kind}.network '{chosen.network}': {told}") from error


def rebuilt(settings: TrainConfig, kind: str, network: nn.Module, labels: LabelSpace) -> Checkpoint:
    """The trained weights in the network that inference uses (the same one, perhaps of another stride)."""
    chosen = getattr(settings, kind)
    if kind == "image":
        options = {**chosen.options, **chosen.inference_options}
        config = NetworkConfig(kind, chosen.network, options, (), chosen.long_side)
    else:
        config = NetworkConfig(kind, chosen.network, dict(chosen.options), chosen.inputs)
    twin = config.build(labels)
    twin.load_state_dict({name: value.cpu() for name, value in network.state_dict().items()})
    return Checkpoint(twin.eval(), config, labels, {}, "")


def _finish(run: _Run, command: str) -> dict:
    """Score both networks, save them with their provenance, and say what was left out."""
    settings, folder = run.settings, run.folder
    scores: dict[str, dict | None] = {kind: None for kind in KINDS}
    for kind, network in run.networks.items():
        trained = rebuilt(settings, kind, network, run.labels)
        scores[kind] = _score(run, kind, trained) if run.data.val else None
        phases = [(index, phase) for index, phase in enumerate(settings.phases) if getattr(phase, kind)]
        provenance = {
            "command": command,
            "config": settings.model_dump(mode="json"),
            "samples": [len(run.samples[index]) for index, _ in phases],
            "val": scores[kind],
            "losses": [epoch for index, _ in phases for epoch in run.curves[index]["epochs"]],
        }
        checkpoint.save(folder.path / f"{kind}.safetensors", trained.network, trained.config, run.labels, provenance)
    if run.log:
        run.log.add_scores(scores, run.total)
        run.log.close()
    for name, reason in run.data.left_out:
        log.warning("left out: %s: %s", name, reason)
    folder.write_json("data.json", run.data.described(run.labels))
    folder.write_json("scores.json", scores)
    folder.state_path.unlink(missing_ok=True)
    return scores


def _score(run: _Run, kind: str, trained: Checkpoint) -> dict:
    """Scores on the val scenes; one that cannot be scored is left out. Raises BadInput when none can."""
    settings, matrix, faults = run.settings, ConfusionMatrix(run.labels), []
    if kind == "image":
        segmenter = ImageSegmenter(trained, settings.device)
    else:
        segmenter = CloudSegmenter(trained, settings.device, points=settings.point.augment.points)
    for done, scene in enumerate(run.data.val, start=1):
        try:
            if kind == "image":
                counted = evaluation.score_images(segmenter, [scene], run.labels, settings.data.val_frames_per_scene)
            else:
                counted = evaluation.score_clouds(segmenter, [scene], run.labels)
            matrix.counts += counted.counts
        except BadInput as error:
            faults.append((scene.name, f"not scored ({kind}): {error}"))
        run.report(Progress(f"score {kind}", done, len(run.data.val), {}))
    if len(faults) == len(run.data.val):
        raise BadInput(f"none of {len(faults)} val scenes can be scored; the first: {faults[0][1]}")
    run.data.left_out.extend(faults)
    return matrix.compute()


def _export(settings: TrainConfig, folder: RunFolder) -> None:
    """The finished networks in the precision that ships, where they are not there yet."""
    for kind in KINDS:
        source = folder.path / f"{kind}.safetensors"
        if source.is_file():
            done = checkpoint.load(source)
            target = Path(settings.export.folder) / source.name
            dtype = getattr(torch, settings.export.dtype)
            checkpoint.save(target, done.network, done.config, done.labels, done.training, dtype)
