"""The optimisers of a phase: their learning rates and their steps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import cast

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from wsss_ros.methods.method import OptimiserConfig

# Of torch's OneCycleLR: the peak rate is this many times the first one, which is this many times the last one.
_START, _END = 25.0, 1e4
_MOMENTUM = (0.85, 0.95)


@dataclass(frozen=True)
class StepResult:
    """The losses of a step; the value that is not finite, as text, or ""; whether any process was asked to stop."""

    terms: dict[str, float]
    fault: str
    stop: bool


class Optimisation:
    """An optimiser for each network that learns in a phase, and for the module of the method that learns with it."""

    def __init__(
        self,
        fabric: Fabric,
        scaler: torch.amp.GradScaler,
        networks: dict[str, nn.Module],
        settings: dict[str, OptimiserConfig],
        modules: Mapping[str, nn.Module] = MappingProxyType({}),
    ):
        self.fabric, self.scaler, self.settings = fabric, scaler, settings
        self.optimisers = {kind: build(networks[kind], each, modules.get(kind)) for kind, each in settings.items()}

    def set_learning_rates(self, done: float) -> dict[str, float]:
        """Set the learning rates at the share ``done`` (0..1) of the phase; returns them by kind of network.

        The schedule one_cycle sets the momentum, too.
        """
        rates = {kind: learning_rate(self.settings[kind], done) for kind in self.optimisers}
        for kind, optimiser in self.optimisers.items():
            momentum = one_cycle_momentum(self.settings[kind], done)
            for group in optimiser.param_groups:
                group["lr"] = rates[kind] * group["factor"]
                if momentum is not None and "betas" in group:
                    group["betas"] = (momentum, group["betas"][1])
                elif momentum is not None:
                    group["momentum"] = momentum
        return rates

    def step(self, losses: dict[str, Tensor], stop: bool) -> StepResult:
        """Take one step of every optimiser on the sum of the losses; none when a loss or gradient is not finite.

        ``stop`` is this process's request to stop; the result holds that of all processes.
        """
        for optimiser in self.optimisers.values():
            optimiser.zero_grad(set_to_none=True)
        self.fabric.backward(cast(Tensor, sum(losses.values())))
        gradients = [p.grad for o in self.optimisers.values() for group in o.param_groups for p in group["params"]]
        norm = torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None])
        flag = norm.new_tensor(float(stop))
        # One transfer takes all numbers off the device and averages them over the processes.
        each = [loss.detach().float() for loss in losses.values()]
        numbers = cast(Tensor, self.fabric.all_reduce(torch.stack([*each, norm, flag])))
        *values, norm, stopping = numbers.tolist()
        terms = dict(zip(losses, values, strict=True))
        if not all(map(math.isfinite, values)):
            return StepResult(terms, f"loss {terms}", False)
        # When float16 gradients overflow, the scaler skips the step.
        if not self.scaler.is_enabled() and not math.isfinite(norm):
            return StepResult(terms, f"gradient of norm {norm} at loss {terms}", False)
        for optimiser in self.optimisers.values():
            self.scaler.step(optimiser)
        self.scaler.update()
        return StepResult(terms, "", stopping > 0)

    def state_dict(self) -> dict[str, dict]:
        """The states of the optimisers by kind of network."""
        return {kind: optimiser.state_dict() for kind, optimiser in self.optimisers.items()}

    def load_state_dict(self, states: dict[str, dict]) -> None:
        """Continue from a ``state_dict``."""
        for kind, state in states.items():
            self.optimisers[kind].load_state_dict(state)


def build(network: nn.Module, settings: OptimiserConfig, module: nn.Module | None = None) -> torch.optim.Optimizer:
    """The optimiser of the parameters that are not frozen, of a network and of a ``module`` that learns with it.

    Each group of parameters has a ``factor``: its learning rate as a multiple of ``learning_rate``.
    """
    of_head = [name.startswith("head.") for name, _ in network.named_parameters()]
    learned = [(p, head) for p, head in zip(network.parameters(), of_head, strict=True) if p.requires_grad]
    factors = dict.fromkeys([1.0, settings.head_lr])
    parameters = [
        {"params": [p for p, head in learned if (settings.head_lr if head else 1.0) == factor], "factor": factor}
        for factor in factors
    ]
    if module is not None:
        parameters.append({"params": list(module.parameters()), "factor": 1.0})
    if settings.name == "adam":
        return torch.optim.AdamW(parameters, lr=settings.lr, weight_decay=settings.weight_decay)
    return torch.optim.SGD(
        parameters,
        lr=settings.lr,
        momentum=settings.momentum,
        weight_decay=settings.weight_decay,
        nesterov=settings.nesterov and settings.momentum > 0,
    )


def learning_rate(settings: OptimiserConfig, done: float) -> float:
    """The learning rate at the share ``done`` (0..1) of the phase."""
    if settings.schedule == "poly":
        return settings.lr * (1 - done) ** settings.power
    if settings.schedule == "one_cycle":
        return settings.lr * _one_cycle(settings.rise, done, 1 / _START, 1.0, 1 / _START / _END)
    if settings.schedule == "cosine":
        share = max(0.0, done - settings.hold) / (1 - settings.hold)
        return settings.lr * (1 + math.cos(math.pi * share)) / 2
    return settings.lr * 0.1 ** sum(done >= milestone for milestone in settings.milestones)


def one_cycle_momentum(settings: OptimiserConfig, done: float) -> float | None:
    """The momentum (first beta of adam) of one_cycle at the share ``done`` of the phase; None for other schedules."""
    if settings.schedule != "one_cycle":
        return None
    least, most = _MOMENTUM
    return _one_cycle(settings.rise, done, most, least, most)


def _one_cycle(rise: float, done: float, start: float, middle: float, end: float) -> float:
    """From ``start`` to ``middle`` in the share ``rise``, then to ``end``, each as half a period of a cosine."""
    part, before, after = done / rise, start, middle
    if done > rise:
        part, before, after = (done - rise) / (1 - rise), middle, end
    return after + (before - after) * (1 + math.cos(math.pi * part)) / 2
