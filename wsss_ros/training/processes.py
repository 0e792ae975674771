"""The devices of a training run, their precision, and the processes that share a batch (lightning-fabric)."""

import os
import sys
from datetime import timedelta

import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision, Precision
from lightning_fabric.strategies import DDPStrategy
from torch import nn

from wsss_ros.device import device_named
from wsss_ros.methods.method import OptimiserConfig
from wsss_ros.processes.parent import end_with_parent
from wsss_ros.training.config import TrainConfig
from wsss_ros.types import BadInput

_PATIENCE = timedelta(hours=12)  # rank 0 decodes a whole data set while the others wait


class _Autocast(MixedPrecision):
    """Mixed precision that does not round the inputs: in bfloat16, metres would be wrong by centimetres."""

    def convert_input(self, data):
        return data


def start(settings: TrainConfig, scaler: torch.amp.GradScaler) -> Fabric:
    """Set up the devices of a run. With several devices, start the same command in one more process for each of them.

    With several machines, the user starts the command on each, with MASTER_ADDR, MASTER_PORT and NODE_RANK set.
    Raises BadInput for devices that do not exist.
    """
    device, shared = device_named(settings.device), settings.devices * settings.machines > 1
    if shared and device.index is not None:
        raise BadInput(f"device '{settings.device}' is one device, but {settings.devices} are configured; use 'cuda'")
    if device.type == "cuda":
        if settings.devices > torch.cuda.device_count():
            raise BadInput(f"devices: {settings.devices}, but this machine has {torch.cuda.device_count()} GPUs")
        _make_repeatable()
    fabric = Fabric(
        accelerator=device.type,
        devices=settings.devices if device.index is None else [device.index],
        num_nodes=settings.machines,
        strategy=DDPStrategy(timeout=_PATIENCE) if shared else "auto",
        plugins=[_precision(settings.precision, device.type, scaler)],
    )
    if shared:
        fabric.launch()
        _end_with_parent(settings)
    return fabric


def is_first(settings: TrainConfig) -> bool:
    """Whether this process is the one that reports; can be called before ``start`` starts the other processes."""
    shared = settings.devices * settings.machines > 1
    return not shared or all(os.environ.get(rank, "0") == "0" for rank in ("NODE_RANK", "LOCAL_RANK"))


def _end_with_parent(settings: TrainConfig) -> None:
    """On Linux, end this process when the first process ends; otherwise it would wait for it forever."""
    if not is_first(settings) and sys.platform == "linux":
        end_with_parent()


def finish(fabric: Fabric) -> None:
    """Wait for the other processes, then leave their group."""
    if fabric.world_size > 1:
        fabric.barrier()
        torch.distributed.destroy_process_group()


def wrap(fabric: Fabric, network: nn.Module, settings: OptimiserConfig | None) -> nn.Module:
    """``network`` on the run's device and in its precision; its forward may be called once in a step, outputs float32.

    Without ``settings`` of an optimiser, the network does not learn. Several processes average its gradients, and on
    GPUs the statistics of its batch normalisation, too.
    """
    network.to(fabric.device)
    if settings is None:
        return _Frozen(network, fabric)
    if fabric.world_size > 1 and fabric.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
    ready = fabric.setup_module(network.train())
    for module in network.modules():
        if settings.frozen_norm and isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()
    return ready


def share_statistics(fabric: Fabric, network: nn.Module) -> None:
    """Copy the batch normalisation's statistics of the first process to all; their weights are equal already."""
    if fabric.world_size > 1:
        for buffer in network.buffers():
            torch.distributed.broadcast(buffer, 0)


class _Frozen(nn.Module):
    """A network that takes part in a phase but does not learn."""

    def __init__(self, network: nn.Module, fabric: Fabric):
        super().__init__()
        self.module, self.fabric = network.eval(), fabric

    @torch.no_grad()
    def forward(self, *inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with self.fabric.autocast():
            return tuple(output.float() for output in self.module(*inputs))


def _precision(name: str, device: str, scaler: torch.amp.GradScaler) -> Precision:
    if name == "float32":
        return Precision()
    return _Autocast("bf16-mixed", device) if name == "bfloat16" else _Autocast("16-mixed", device, scaler)


def _make_repeatable() -> None:
    """Make results repeatable, for operations that have a deterministic CUDA kernel."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
