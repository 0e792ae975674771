"""The samples of a step: the same for any number of processes and workers."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from support import train_ranks
from support.paths import ROOT
from support.training_runs import GENTLE, JOINT, values_for

from wsss_ros.samples import loading

LABELLED = {"method": "self_training", "long_sides": [32, 40], "min_confidence": 0.3}  # so few pixels are unlabelled
SELF_TRAINING = [{**LABELLED, "epochs": 1, "batch": 16, "image": GENTLE}]


@pytest.mark.timeout(600)
@pytest.mark.parametrize("phases", [JOINT, SELF_TRAINING], ids=["joint", "self_training"])
def test_two_processes_share_the_batches_of_one(root, tmp_path, phases):
    """The ranks end with the same weights, and together they see in every step the samples that one would see.

    Of self-training, samples are the pseudo-labels: the teachers of all processes give the same ones.
    """
    for devices in (1, 2):
        values = values_for(root, output=str(tmp_path / f"run{devices}"), devices=devices, phases=phases)
        (tmp_path / f"{devices}.yaml").write_text(yaml.safe_dump(values))
    train_ranks.main(str(tmp_path / "1.yaml"), str(tmp_path))
    command = [sys.executable, "tests/support/train_ranks.py", str(tmp_path / "2.yaml"), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    first, second, alone = (json.loads((tmp_path / f"rank{r}.json").read_text()) for r in ("0of2", "1of2", "0of1"))
    assert first["ended"] == second["ended"] != alone["ended"]
    assert len(alone["seen"]) == 3
    assert len({*sum(alone["seen"], [])}) >= 12  # they are not all alike
    assert [a + b for a, b in zip(first["seen"], second["seen"], strict=True)] == alone["seen"]
    assert json.loads((tmp_path / "run2" / "scores.json").read_text())["image"]["miou"] > 0


class Numbers:
    """Samples that are their index and one random number."""

    names = [str(n) for n in range(7)]

    def __len__(self) -> int:
        return 7

    def sample(self, index: int, rng: np.random.Generator) -> dict:
        return {"cloud_tags": torch.tensor([index, rng.random()], dtype=torch.float32)}

    def collate(self, samples: list) -> dict:
        return {"cloud_tags": torch.stack([sample["cloud_tags"] for sample in samples])}


def drawn(workers: int, part: slice, **where) -> list[torch.Tensor]:
    steps = loading.plan(seed=5, phase=1, shares=[loading.Share(7, 1.0)], batch=4, epochs=3, **where)
    return [batch["cloud_tags"] for batch in loading.load(Numbers(), 5, 1, steps, part, workers, pin=False)]


def test_samples_depend_on_seed_phase_epoch_and_index_only():
    whole = torch.stack(drawn(0, slice(0, 4)))
    assert whole.shape == (3, 4, 2)  # an epoch of 7 samples has one whole batch of 4
    assert torch.equal(whole, torch.stack(drawn(2, slice(0, 4))))
    assert torch.equal(whole[1:], torch.stack(drawn(0, slice(0, 4), epoch=1)))
    parts = [torch.stack(drawn(0, part)) for part in (slice(0, 2), slice(2, 4))]
    assert torch.equal(whole, torch.cat(parts, dim=1))
    assert len(np.unique(whole[..., 1])) == 12  # every epoch augments anew
    index, value = whole[2, 3].tolist()
    assert value == pytest.approx(np.random.default_rng([5, 1, 2, int(index)]).random())
