"""Trains as ``wsss train`` does and notes in FOLDER, for each process, which samples it saw and where it ended.

python tests/support/train_ranks.py CONFIG FOLDER
"""

import hashlib
import json
import sys
from pathlib import Path
from unittest.mock import patch

from wsss_ros import config
from wsss_ros.methods import METHODS
from wsss_ros.training import run as training
from wsss_ros.training.config import TrainConfig


def main(path: str, folder: str) -> None:
    """Train, noting each batch (its clouds, or the labels of its images) and the weights at the end of every phase."""
    settings, seen, phase = config.load(TrainConfig, path), [], training.train_phase
    method = METHODS[settings.phases[-1].method]
    losses = method.losses

    def noting_losses(method, batch):
        samples = batch.xyz if hasattr(batch, "xyz") else batch.image_labels
        seen.append([hashlib.sha256(sample.numpy().tobytes()).hexdigest() for sample in samples])
        return losses(method, batch)

    def noting_phase(run, stop):
        phase(run, stop)
        weights = [value for network in run.networks.values() for value in network.state_dict().values()]
        ended = hashlib.sha256(b"".join(value.numpy().tobytes() for value in weights)).hexdigest()
        name = f"rank{run.fabric.global_rank}of{run.fabric.world_size}.json"
        (Path(folder) / name).write_text(json.dumps({"seen": seen, "ended": ended}))

    with patch.object(method, "losses", noting_losses), patch.object(training, "train_phase", noting_phase):
        training.train(settings)


if __name__ == "__main__":
    main(*sys.argv[1:])
