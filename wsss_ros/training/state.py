"""The state of a training run in one process: methods, networks, optimisers and position; saved and restored."""

import logging
from dataclasses import asdict

import torch
from lightning_fabric import Fabric
from torch import nn

from wsss_ros.fusion.network_input import FusedInput
from wsss_ros.labels import LabelSpace
from wsss_ros.methods import METHODS
from wsss_ros.methods.method import PhaseData
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.training import network_files
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.data import RunData
from wsss_ros.training.folder import RunFolder
from wsss_ros.training.log import TrainingLog
from wsss_ros.training.optimisation import Optimisation
from wsss_ros.training.position import Position
from wsss_ros.training.progress import Report
from wsss_ros.types import KINDS, BadInput

log = logging.getLogger("wsss_ros")


class RunState:
    """The state of a run in memory.

    ``optimisation`` and ``modules``, those that the method itself has, belong to the current phase. Between two phases
    the first is None, and the second are those of the phase that has ended.
    """

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
        # The samples of all phases are made before training: a fault in the last phase shows at once.
        phase_data = _phase_data(settings, data, labels)
        self.methods = [METHODS[phase.method](phase, phase_data) for phase in settings.phases]
        self.batches = [self._batch_size(index) for index in range(len(settings.phases))]
        left_out = [entry for method in self.methods for entry in getattr(method.samples, "left_out", [])]
        data.left_out.extend(dict.fromkeys(left_out))
        used = {kind for phase in settings.phases for kind in phase.networks}
        self.networks = {
            kind: network_files.create(kind, getattr(settings, kind), labels, settings.seed)
            for kind in KINDS
            if kind in used
        }
        starts = {kind: getattr(settings, kind).weights for kind in self.networks}
        self.earlier_scores = {
            kind: network_files.earlier_scores(weights, kind, labels) for kind, weights in starts.items()
        }
        self.optimisation: Optimisation | None = None
        self.modules: dict[str, nn.Module] = {}
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

    @property
    def is_first(self) -> bool:
        """Whether this process writes files and reports."""
        return self.fabric.global_rank == 0

    def name(self, index: int) -> str:
        """The name of a phase in progress, curves and messages, such as "2 joint"."""
        phase = self.settings.phases[index]
        return " ".join([str(index + 1), phase.method, *(phase.networks if len(phase.networks) == 1 else ())])

    def restore(self, state: dict | None) -> None:
        """Restore a saved state, if there is one, and open the log. Raises BadInput when the scenes have changed."""
        if state is not None:
            _check_scenes(self.folder, state["scenes"], self.data.names)
            self.position = Position(**state["position"])
            for kind, network in self.networks.items():
                network.load_state_dict(state["networks"][kind])
            if state["scaler"]:
                self.scaler.load_state_dict(state["scaler"])
            self._saved = state
            log.info("continuing after %d steps, in phase %d", self.position.total, self.position.phase + 1)
        if self.is_first:
            self.folder.write_json("data.json", self.data.summary(self.labels))
            self.board = TrainingLog(self.folder.path / "log", self.labels, self.position.total)

    def set_modules(self, modules: dict[str, nn.Module]) -> None:
        """Use the modules of the current phase. They go on from those of the previous one if it had the same method."""
        index, phases, before = self.position.phase, self.settings.phases, self._module_weights()
        if index > 0 and phases[index - 1].method == phases[index].method:
            for kind, module in modules.items():
                if _shapes(module.state_dict()) == _shapes(before.get(kind, {})):
                    module.load_state_dict(before[kind])
        self.modules = modules

    def _module_weights(self) -> dict[str, dict]:
        if self._saved is not None:
            return self._saved["modules"]
        return {kind: module.state_dict() for kind, module in self.modules.items()}

    def restore_phase(self) -> None:
        """Restore optimisers, modules and method of the current phase, if there is a saved state of them."""
        if self._saved is not None:
            if self._saved["optimisers"]:  # else the state is that of the end of the previous phase
                for kind, module in self.modules.items():
                    module.load_state_dict(self._saved["modules"][kind])
            self.optimisation.load_state_dict(self._saved["optimisers"])
            if self._saved["method"]:
                self.methods[self.position.phase].load_state_dict(self._saved["method"])
        self._saved = None

    def save(self) -> None:
        """Write the state to disk; only the first process does.

        Raises ValueError when a weight is not finite; the previous state is kept.
        """
        if not self.is_first:
            return
        running = self.optimisation is not None
        state = {
            "position": asdict(self.position),
            "scenes": self.data.names,
            "networks": {kind: network.state_dict() for kind, network in self.networks.items()},
            "modules": self._module_weights(),
            "optimisers": self.optimisation.state_dict() if running else {},
            "method": self.methods[self.position.phase].state_dict() if running else {},
            "scaler": self.scaler.state_dict(),
        }
        self.folder.save_state(state)
        self.folder.write_json("curves.json", self.position.curves)


def _phase_data(settings: TrainConfig, data: RunData, labels: LabelSpace) -> PhaseData:
    image, cloud = settings.image, settings.cloud
    return PhaseData(
        data.sources,
        labels,
        image.augment if image else ImageAugment(),
        cloud.augment if cloud else CloudAugment(),
        cloud.inputs if cloud else (),
        settings.data.visibility_m,
        cloud.fusion if cloud else FusedInput(),
    )


def _shapes(weights: dict) -> dict:
    return {name: value.shape for name, value in weights.items()}


def _check_scenes(folder: RunFolder, before: list[str], now: list[str]) -> None:
    if before != now:
        changed = sorted(set(before) ^ set(now))
        raise BadInput(
            f"{folder.path} was trained on {len(before)} scenes and photographs, now there are {len(now)}; "
            f"they differ in {changed[:5]}; provide the same ones or choose another output"
        )
