"""A training run: from a configuration and class tags to two checkpoints, phase by phase.

A phase is a ``Method`` (``methods/method.py``): it provides samples and losses. Its state is saved and restored with
the run.
"""

import logging

import torch

from wsss_ros.device import device_named
from wsss_ros.labels import labels_named
from wsss_ros.processes.signals import stop_requests
from wsss_ros.training import data as run_data
from wsss_ros.training import network_files, processes, results
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.folder import RunFolder
from wsss_ros.training.phase import train_phase
from wsss_ros.training.progress import Progress, Report
from wsss_ros.training.state import RunState
from wsss_ros.types import BadInput

log = logging.getLogger("wsss_ros")


def _silent(progress: Progress) -> None:
    pass


def train(settings: TrainConfig, command: str = "", report: Report = _silent) -> dict:
    """Train all phases and return the scores of both networks on the validation scenes, by kind of network.

    ``settings.output`` is the run folder: weights, resolved configuration, git state, data list, curves and scores.
    An interrupted run resumes and reaches the same result. A finished run returns its scores at once. With several
    processes, only the first one reports progress and returns scores; the others return {}.

    Raises BadInput for a configuration or data that cannot be used and for a folder that holds another run,
    TrainingDiverged on a loss, gradient or weight that is not finite, and Interrupted on SIGINT and SIGTERM.
    """
    folder = RunFolder(settings.output)
    _check(settings)
    scores = folder.scores(settings)
    if scores is None:
        scores = _run_phases(settings, folder, command, report)
    if scores and settings.export is not None:
        network_files.export(folder.path, settings.export)
    return scores


def _check(settings: TrainConfig) -> None:
    """Raises BadInput for a phase that lacks a network or trains nothing, and without any phase."""
    if not settings.phases:
        raise BadInput("no phase to train; set 'phases' to a list of methods with epochs and optimisers")
    for index, phase in enumerate(settings.phases):
        if not phase.optimisers:
            raise BadInput(f"phases.{index} trains nothing; give it an optimiser, such as 'image: {{lr: 0.01}}'")
        for kind in phase.networks:
            if getattr(settings, kind) is None:
                raise BadInput(f"phases.{index} ({phase.method}) needs the {kind} network; describe it under '{kind}:'")


def _run_phases(settings: TrainConfig, folder: RunFolder, command: str, report: Report) -> dict:
    scaler = torch.amp.GradScaler(device_named(settings.device).type, enabled=settings.precision == "float16")
    fabric = processes.start(settings, scaler)
    first = fabric.global_rank == 0
    if first:
        folder.claim(settings)
    else:  # the first process reports for all
        report = _silent
        log.setLevel(logging.ERROR)
    labels = labels_named(settings.labels)
    long_side = run_data.long_side_of(settings.image.augment, settings.phases) if settings.image else 256
    data = run_data.load(settings.data, long_side, settings.phases, labels, fabric, report)
    run = RunState(settings, folder, fabric, scaler, labels, data, report)
    try:
        run.restore(fabric.broadcast(folder.load_state() if first else None))
        with stop_requests() as stop:
            while run.position.phase < len(settings.phases):
                train_phase(run, stop)
        processes.finish(fabric)
        return results.finish(run, command) if first else {}
    finally:
        if run.board is not None:
            run.board.close()
        folder.release()
