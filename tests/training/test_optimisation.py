"""Optimisers and learning rates."""

import math

import pytest
import torch
from lightning_fabric import Fabric
from support.training_runs import ADAM

from wsss_ros import config, networks
from wsss_ros.methods.method import OptimiserConfig
from wsss_ros.training.optimisation import Optimisation, build, learning_rate


def test_learning_rates_follow_their_formulas():
    poly = config.build(OptimiserConfig, {"lr": 0.01})
    steps = config.build(OptimiserConfig, {"lr": 0.003, "schedule": "steps"})
    for epoch in range(200):
        done = epoch / 200
        assert learning_rate(poly, done) == pytest.approx(0.01 * (1 - epoch / 200) ** 0.9)
        cosine = config.build(OptimiserConfig, {"lr": 0.03, "schedule": "cosine", "hold": 2 / 7})  # as in 2D3DNet
        share = max(0.0, epoch / 200 * 700 - 200) / 500
        assert learning_rate(cosine, done) == pytest.approx(0.015 * (1 + math.cos(math.pi * share)))
        passed = (epoch >= 120) + (epoch >= 160) + (epoch >= 180)
        assert learning_rate(steps, done) == pytest.approx(0.003 * 0.1**passed)


@pytest.mark.parametrize("name", ["adam", "sgd"])
def test_one_cycle_is_that_of_torch(name):
    """Its peak is between two steps of torch's, so they agree to one step of two thousand."""
    steps = 2000
    settings = config.build(OptimiserConfig, {"name": name, "lr": 0.01, "schedule": "one_cycle"})
    network = torch.nn.Linear(2, 2)
    theirs = build(network, settings)
    cycle = torch.optim.lr_scheduler.OneCycleLR(theirs, max_lr=0.01, total_steps=steps)
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    ours = Optimisation(Fabric(accelerator="cpu"), scaler, {"image": network}, {"image": settings})
    for step in range(steps - 1):
        if step % 50 == 0:
            rates = ours.set_learning_rates(step / steps)
            momentum = [
                [group["betas"][0] if name == "adam" else group["momentum"] for group in optimiser.param_groups]
                for optimiser in (ours.optimisers["image"], theirs)
            ]
            assert rates["image"] == pytest.approx(cycle.get_last_lr()[0], abs=5e-5)
            assert momentum[0] == pytest.approx(momentum[1], abs=1e-3)
        theirs.step()
        cycle.step()


def test_the_head_may_learn_faster():
    network = networks.build("image", "resnet", 20, {"depth": 18, "width": 0.125})
    plain, faster = (build(network, config.build(OptimiserConfig, ADAM | {"head_lr": factor})) for factor in (1, 10))
    assert [group["factor"] for group in plain.param_groups] == [1]
    assert [group["factor"] for group in faster.param_groups] == [1, 10]
    assert set(faster.param_groups[1]["params"]) == set(network.head.parameters())
    assert sum(len(group["params"]) for group in faster.param_groups) == len(list(network.parameters()))
    settings = config.build(OptimiserConfig, {**ADAM, "lr": 0.02, "head_lr": 10})
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    optimisation = Optimisation(Fabric(accelerator="cpu"), scaler, {"image": network}, {"image": settings})
    assert optimisation.set_learning_rates(0.0) == {"image": 0.02}
    faster = optimisation.optimisers["image"]
    assert [group["lr"] for group in faster.param_groups] == [pytest.approx(0.02), pytest.approx(0.2)]


def test_optimisers_are_what_they_are_called():
    network = torch.nn.Linear(2, 2)
    network.bias.requires_grad_(False)
    sgd = build(network, config.build(OptimiserConfig, {"lr": 0.01, "weight_decay": 5e-4}))
    adam = build(network, config.build(OptimiserConfig, ADAM))
    assert isinstance(sgd, torch.optim.SGD) and isinstance(adam, torch.optim.AdamW)
    group = sgd.param_groups[0]
    assert (group["nesterov"], group["momentum"], group["weight_decay"]) == (True, 0.9, 5e-4)
    assert [parameter is network.weight for parameter in group["params"]] == [True]
    for plain in ({"nesterov": False}, {"momentum": 0}):
        sgd = build(network, config.build(OptimiserConfig, {"lr": 0.01, **plain}))
        assert not sgd.param_groups[0]["nesterov"]


def test_a_module_of_the_method_learns_with_the_network():
    """It has the learning rate of the network's backbone and enters the norm of the gradients."""
    torch.manual_seed(0)
    network, module = torch.nn.Linear(2, 2), torch.nn.Linear(2, 3)
    settings = config.build(OptimiserConfig, ADAM | {"head_lr": 10})
    scaler = torch.amp.GradScaler("cpu", enabled=False)
    fabric = Fabric(accelerator="cpu")
    optimisation = Optimisation(fabric, scaler, {"image": network}, {"image": settings}, {"image": module})
    assert optimisation.set_learning_rates(0.0) == {"image": settings.lr}
    learned = optimisation.optimisers["image"].param_groups[-1]
    assert learned["lr"] == settings.lr and set(learned["params"]) == set(module.parameters())
    before = module.weight.detach().clone()
    result = optimisation.step({"own": module(network(torch.ones(1, 2))).square().sum()}, stop=False)
    assert not result.fault and not torch.equal(before, module.weight)
    broken = optimisation.step({"own": module(torch.full((1, 2), torch.inf)).sum() * 0 + 1e38}, stop=False)
    assert broken.fault
