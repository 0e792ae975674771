"""Trains as ``wsss train`` does and notes in FOLDER, for each process, which samples it saw and where it ended.

python tests/train_ranks.py CONFIG FOLDER
"""

import hashlib
import json
import sys
from pathlib import Path

from wsss_ros import config, training


def main(path: str, folder: str) -> None:
    seen, ended, step, phase = [], {}, training._Run._step, training._Run.train_phase

    def noting_step(run, method, batch, stop):
        seen.append([hashlib.sha256(sample.numpy().tobytes()).hexdigest()[:8] for sample in batch.xyz])
        return step(run, method, batch, stop)

    def noting_phase(run, stop):
        phase(run, stop)
        for kind, network in run.networks.items():
            tensors = b"".join(value.numpy().tobytes() for _, value in sorted(network.state_dict().items()))
            ended[kind] = hashlib.sha256(tensors).hexdigest()
        noted = json.dumps({"seen": seen, "ended": ended})
        (Path(folder) / f"rank{run.fabric.global_rank}of{run.fabric.world_size}.json").write_text(noted)

    training._Run._step, training._Run.train_phase = noting_step, noting_phase
    training.train(config.load(config.TrainConfig, path))


if __name__ == "__main__":
    main(*sys.argv[1:])
