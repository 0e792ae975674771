"""One phase of a training run, step by step. The loop knows no method by name and does not look into batches."""

import math
import signal
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from wsss_ros.files import NotWritten
from wsss_ros.processes.signals import Interrupted, StopRequest
from wsss_ros.samples.loading import Step, load, plan, shares_of
from wsss_ros.training import processes, results
from wsss_ros.training.log import EVERY, fixed_batches
from wsss_ros.training.optimisation import Optimisation
from wsss_ros.training.progress import Progress
from wsss_ros.training.state import RunState
from wsss_ros.types import BadInput

_SHORTEST_S = 10.0  # shortest time between states saved at ends of epochs: with few scenes an epoch may be one step


class TrainingDiverged(RuntimeError):
    """A loss, gradient or weight is not finite. The message names the step, its samples and the last good weights."""


def train_phase(run: RunState, stop: StopRequest) -> None:
    """Train the current phase of the run to its end.

    Raises TrainingDiverged on a loss, gradient or weight that is not finite, and Interrupted when ``stop`` is set.
    """
    index, position, seed = run.position.phase, run.position, run.settings.seed
    phase, method, name = run.settings.phases[index], run.methods[index], run.name(index)
    per_epoch = len(method.samples) // run.batches[index]
    steps = phase.epochs * per_epoch
    _start(run)
    shown = fixed_batches(method.samples, seed) if run.board else []
    saved_at = time.monotonic()
    for step, batch in _batches(run):
        done = step.epoch * per_epoch + step.index
        rates = run.optimisation.set_learning_rates(done / steps)
        torch.manual_seed(_seed(seed, index, done, run.fabric.global_rank))
        losses = method.losses(run.fabric.to_device(batch))
        result = run.optimisation.step(losses, stop.number is not None)
        if result.fault:
            where = f"step {done + 1} of {steps}, {_samples_and_last_good(run, step)}"
            raise TrainingDiverged(f"{name}: {result.fault} at {where}")
        method.after_step()
        position.advance(name, result.terms, per_epoch)
        run.report(Progress(name, done + 1, steps, result.terms, step.epoch + 1, phase.epochs))
        _show(run, name, result.terms, rates, shown)
        stopping = result.stop or (run.fabric.world_size == 1 and stop.number is not None)
        patience_s = min(run.settings.save_every_s, _SHORTEST_S if position.step == 0 else math.inf)
        if stopping or time.monotonic() - saved_at >= patience_s:
            _save(run)
            saved_at = time.monotonic()
        if stopping:
            _interrupt(run, stop, f"step {done + 1} of {steps} of '{name}'")
    _end(run)


def _start(run: RunState) -> None:
    """Prepare the networks, start the method, create an optimiser for what learns, and restore the saved state."""
    phase, method = run.settings.phases[run.position.phase], run.methods[run.position.phase]
    learns = phase.optimisers
    ready = {kind: processes.wrap(run.fabric, run.networks[kind], learns.get(kind)) for kind in phase.networks}
    torch.manual_seed(_seed(run.settings.seed, run.position.phase))
    run.set_modules(method.make_modules(run.networks))
    method.modules = {kind: processes.wrap(run.fabric, module, learns[kind]) for kind, module in run.modules.items()}
    method.start(ready, run.position.epoch)
    run.optimisation = Optimisation(run.fabric, run.scaler, run.networks, learns, run.modules)
    run.restore_phase()


def _batches(run: RunState) -> Iterator[tuple[Step, Any]]:
    """The remaining steps of the phase, each with the batch of this process."""
    index, settings = run.position.phase, run.settings
    method, size, epochs = run.methods[index], run.batches[index], settings.phases[index].epochs
    order = settings.seed, index, shares_of(method.samples), size
    share, rank = size // run.fabric.world_size, run.fabric.global_rank
    part, pin = slice(rank * share, (rank + 1) * share), run.fabric.device.type == "cuda"
    batches = None
    for step in plan(*order, epochs, run.position.epoch, run.position.step):
        if step.index == 0:
            torch.manual_seed(_seed(settings.seed, index, step.epoch))
            method.prepare(step.epoch)
        if batches is None or (step.index == 0 and method.changes_samples):
            last = step.epoch + 1 if method.changes_samples else epochs
            ahead = plan(*order, last, step.epoch, step.index)
            batches = iter(load(method.samples, settings.seed, index, ahead, part, settings.data.workers, pin))
        yield step, _next(batches)


def _next(batches: Iterator[Any]) -> Any:
    """The next batch. Raises BadInput when a process that loads samples was killed."""
    try:
        return next(batches)
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise BadInput(
            f"a process that loads samples has ended ({error}); give more memory or shared memory (docker "
            "--shm-size=2g), or set data.workers: 0; the same command continues from the state that was saved last"
        ) from error


def _end(run: RunState) -> None:
    index = run.position.phase
    run.methods[index].finish()
    for kind in run.settings.phases[index].optimisers:
        processes.share_statistics(run.fabric, run.networks[kind])
    run.optimisation = None
    if index + 1 < len(run.methods) and run.board is not None:
        run.position.curves[-1]["val"] = results.scores_between(run)
    run.position.next_phase()
    _save(run)


def _show(run: RunState, name: str, terms: dict, rates: dict, shown: list) -> None:
    """Log curves every ``EVERY`` steps and after each epoch, pictures of activation maps about five times a phase."""
    if run.board is None:
        return
    phase, position = run.settings.phases[run.position.phase], run.position
    ended, epoch = position.step == 0, position.epoch
    if ended or position.total % EVERY == 0:
        run.board.add_step(name, position.total, terms, rates)
    if ended and (epoch == phase.epochs or epoch % math.ceil(phase.epochs / 5) == 0):
        networks = {kind: run.networks[kind] for kind in phase.networks}
        inputs = run.settings.cloud.inputs if run.settings.cloud else ()
        run.board.add_pictures(networks, inputs, shown, position.total)


def _save(run: RunState) -> None:
    try:
        run.save()
    except ValueError as error:
        raise TrainingDiverged(f"{error} after step {run.position.total}; {results.save_last_good(run)}") from error
    except NotWritten as error:
        has_state = run.folder.state_path.is_file()
        after = "the same command continues from the state that was saved last" if has_state else "no state was saved"
        raise NotWritten(error.errno, f"{error}; {after}") from error


def _interrupt(run: RunState, stop: StopRequest, where: str) -> None:
    run.fabric.barrier()  # wait until the first process has saved the state
    number = stop.number or signal.SIGTERM
    name = signal.Signals(number).name
    raise Interrupted(f"stopped by {name} after {where}; the same command continues from there", number)


def _samples_and_last_good(run: RunState, step: Step) -> str:
    """Text for an error: the samples of the step, and where the last good weights are."""
    names, last_good = run.methods[run.position.phase].samples.names, results.save_last_good(run)
    return f"epoch {step.epoch + 1}, samples {[names[index] for index in step.samples]}; {last_good}"


def _seed(*numbers: int) -> int:
    """The seed of the random numbers that networks and methods draw in a step, such as those of dropout."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
