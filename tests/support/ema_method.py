"""A method with all kinds of state: an EMA teacher, counters, pseudo-labels that are refreshed, and its own module.

python tests/support/ema_method.py CONFIG [KILL_AFTER]  trains with it; killed with -9 after KILL_AFTER steps.
"""

import logging
import os
import signal
import sys
from pathlib import Path
from typing import ClassVar, Literal
from unittest.mock import patch

import numpy as np
import torch
import torch.nn.functional as F
import yaml
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from wsss_ros import config
from wsss_ros.losses import classification_loss
from wsss_ros.methods import METHODS
from wsss_ros.methods.method import Method, PhaseConfig, summed, unwrapped
from wsss_ros.networks.classifier import image_mean, normalise_images
from wsss_ros.samples.samples import ImageSamples
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.run import train


class EmaPhase(PhaseConfig):
    """The image network from tags and from a teacher that follows it slowly."""

    method: Literal["ema"]
    refresh_epochs: int = 2
    decay: float = 0.9


class LabelledImages(ImageSamples):
    """Tagged images with a pseudo-label each. A batch is a dictionary: the loop does not look into it."""

    labels: torch.Tensor

    def sample(self, index, rng):
        """The view and the label of the image that the teacher gave last."""
        return {**super().sample(index, rng), "label": self.labels[index]}

    def collate(self, samples):
        """Stacked, by name."""
        return {name: torch.stack([sample[name] for sample in samples]) for name in samples[0]}


class Ema(Method):
    """Tags, and cross entropy with the teacher's labels, weighted by how often each class was seen so far."""

    Phase: ClassVar = EmaPhase
    changes_samples: ClassVar = True

    def make_samples(self):
        """Tagged images."""
        return LabelledImages(self.data.sources[0].scenes, self.data.image)

    def make_modules(self, networks):
        """A linear layer between the scores and the loss of the pseudo-labels."""
        classes = len(self.data.labels)
        return {"image": torch.nn.Linear(classes, classes)}

    def start(self, networks, epoch):
        """The teacher starts as the student is."""
        super().start(networks, epoch)
        self.student = unwrapped(networks["image"])
        self.teacher = AveragedModel(self.student, multi_avg_fn=get_ema_multi_avg_fn(self.phase.decay))
        self.counts = torch.ones(len(self.data.labels))
        self.samples.labels = torch.zeros(len(self.samples), dtype=torch.long)

    def prepare(self, epoch):
        """Every few epochs the teacher labels all images, with some noise."""
        super().prepare(epoch)
        if epoch % self.phase.refresh_epochs == 0:
            self.teacher.eval()
            for index in range(len(self.samples)):
                drawn = ImageSamples.sample(self.samples, index, np.random.default_rng(index))
                with torch.no_grad():
                    scores = image_mean(self.teacher(normalise_images(drawn["images"][None]))[1])[0]
                scores = scores + 0.1 * torch.randn(len(scores))
                self.samples.labels[index] = scores.masked_fill(drawn["image_tags"] == 0, -torch.inf).argmax()

    def losses(self, batch):
        """Eq. 2, and the cross entropy with the pseudo-labels."""
        mean = image_mean(self.networks["image"](normalise_images(batch["images"]))[1])
        self.counts += summed(F.one_hot(batch["label"], len(self.counts)).sum(dim=0).float())
        weight = self.counts.sum() / self.counts
        return {
            "classification_2d": classification_loss(mean, batch["image_tags"]),
            "pseudo": 0.1 * F.cross_entropy(self.modules["image"](mean), batch["label"], weight.clamp(max=10)),
        }

    def after_step(self):
        """The teacher follows."""
        self.teacher.update_parameters(self.student)

    def finish(self):
        """The network ends halfway to its teacher."""
        averaged = self.teacher.module.state_dict()
        for name, value in self.student.state_dict().items():
            if value.is_floating_point():
                value.lerp_(averaged[name], 0.5)

    def state_dict(self):
        """Teacher, counters and pseudo-labels."""
        return {"teacher": self.teacher.state_dict(), "counts": self.counts, "labels": self.samples.labels}

    def load_state_dict(self, state):
        """All three."""
        self.teacher.load_state_dict(state["teacher"])
        self.counts.copy_(state["counts"])
        self.samples.labels.copy_(state["labels"])


class EmaTrainConfig(TrainConfig):
    """A run with this method."""

    phases: tuple[EmaPhase, ...]


def main(path: str, kill_after: str = "0") -> None:
    """Train; the first process kills itself in the middle of a phase."""
    logging.basicConfig(level=logging.INFO)
    done = []

    def report(progress):
        done.extend([progress] * bool(progress.terms))
        if done and len(done) == int(kill_after):
            os.kill(os.getpid(), signal.SIGKILL)

    forgetful = os.environ.get("FORGETFUL")
    ema = type("Ema", (Ema,), {"load_state_dict": Method.load_state_dict}) if forgetful else Ema
    with patch.dict(METHODS, {"ema": ema}):
        train(config.build(EmaTrainConfig, yaml.safe_load(Path(path).read_text())), report=report)


if __name__ == "__main__":
    main(*sys.argv[1:])
