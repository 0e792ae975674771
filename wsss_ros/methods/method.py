"""The seam between the training loop and what is learned: four members, no registry."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from wsss_ros.cam import tag_log_odds
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.samples.samples import Batch


@runtime_checkable
class Method(Protocol):
    """One phase of training. Two-phase training is a list of Methods that share networks."""

    networks: dict[str, nn.Module]

    def prepare(self, scenes: Sequence[PreparedScene], epoch: int) -> None:
        """Called before every epoch of the phase, counted from 0: refresh pseudo-labels, turn losses on."""

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Scalars by name, each with its weight in it; the loop minimises their sum."""

    def after_step(self) -> None:
        """Called after each optimiser step: moving averages and the like."""


def tag_priors(
    scenes: Sequence[PreparedScene], share: float
) -> tuple[Float[Tensor, "C"], Float[Tensor, "C"]]:
    """``share`` of the log-odds of the tags of all tagged images, and of all scenes (``cam.tag_log_odds``)."""
    image_tags = np.concatenate([scene.image_tags[scene.image_tags.any(axis=1)] for scene in scenes])
    cloud_tags = np.stack([scene.tags for scene in scenes])
    return tuple(share * tag_log_odds(torch.from_numpy(tags)) for tags in (image_tags, cloud_tags))
