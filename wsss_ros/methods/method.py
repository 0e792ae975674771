"""The seam between the training loop and what is learned: a phase of training is a ``Method``, all in one file.

Training in two phases is a list of methods that share networks. The loop knows no method by name: it looks the name of
a phase up in ``methods.METHODS``, asks the method for samples, and treats their batches as opaque.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn

from wsss_ros.cam import tag_log_odds
from wsss_ros.config import Config
from wsss_ros.labels import LabelSpace
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.prepared import PreparedScene
from wsss_ros.types import KINDS

TagPriors = tuple[Float[Tensor, "C"], Float[Tensor, "C"]]  # of images and of clouds
Report = Callable[[str, int, int], None]  # what is being done, steps done, steps in all


class OptimiserConfig(Config):
    """How one network learns in a phase."""

    name: Literal["sgd", "adam"] = Field("sgd", description="Optimiser.")
    lr: float = Field(gt=0, description="Initial learning rate.")
    head_lr: float = Field(
        1.0, gt=0, description="Learning rate of the linear head, as a multiple of lr: the head has to follow how the "
        "joint losses change the features."
    )
    weight_decay: float = Field(0.0, ge=0, description="Weight decay (decoupled for adam).")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd.")
    schedule: Literal["poly", "steps"] = Field("poly", description="poly: (1 - t)^power; steps: x0.1 at milestones.")
    power: float = Field(0.9, gt=0, description="Power of the poly schedule.")
    frozen_norm: bool = Field(
        False, description="Batch normalisation keeps its statistics: a batch of a few crops estimates them poorly."
    )
    milestones: tuple[float, ...] = Field((0.6, 0.8, 0.9), description="Steps of the schedule as shares of training.")


class PhaseConfig(Config):
    """What every phase has. A network trains in a phase where it has an optimiser."""

    renamed: ClassVar[dict[str, str]] = {"point": "cloud"}
    if TYPE_CHECKING:
        method: str  # each phase has its own, a Literal

    epochs: int = Field(ge=1, description="Passes over the samples: images, clouds, or clouds with images of each.")
    batch: int = Field(16, ge=1, description="Samples of one step, over all devices.")
    image: OptimiserConfig | None = Field(None, description="Optimiser of the image network.")
    cloud: OptimiserConfig | None = Field(None, description="Optimiser of the cloud network.")

    @property
    def networks(self) -> tuple[str, ...]:
        """The kinds of networks that take part. A method may let one take part that does not learn."""
        return tuple(self.optimisers)

    @property
    def optimisers(self) -> dict[str, OptimiserConfig]:
        """The optimiser of each kind of network that learns."""
        return {kind: getattr(self, kind) for kind in KINDS if getattr(self, kind) is not None}

    def continued(self, epochs: int, batch: int) -> "PhaseConfig":
        """This phase for networks that are trained already, as a round of online learning has them."""
        return self.model_copy(update={"epochs": epochs, "batch": batch})


class PairedPhase(PhaseConfig):
    """Both networks, on clouds and images of them."""

    images_per_cloud: int = Field(1, ge=1, description="Images of each cloud in a step; the paper takes one.")

    @property
    def networks(self) -> tuple[str, ...]:
        """Both, also where one of them does not learn."""
        return KINDS


class TaggedPhase(PhaseConfig):
    """A phase with the classification loss of eq. 2."""

    tag_prior: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Share of each tag's log-odds over the data that is added to the averaged scores of eq. 1, so that "
        "the activation maps need not encode how common a class is; 0 is the paper's eq. 2.",
    )


@dataclass(frozen=True)
class PhaseData:
    """What a run offers to a method: training scenes, classes, and how images and clouds are augmented."""

    scenes: Sequence[PreparedScene]
    labels: LabelSpace
    image: ImageAugment
    cloud: CloudAugment
    cloud_inputs: tuple[str, ...]
    visibility_m: float


P = TypeVar("P", bound=PhaseConfig)


class Method(Generic[P]):
    """One phase of training. A method overrides what it needs.

    The loop makes all methods of a run first, so that bad data shows before anything trains. It then calls, phase by
    phase: ``start``, ``load_state_dict`` where a run resumes, and for each epoch ``prepare`` and for each step
    ``losses`` and ``after_step``.
    """

    Phase: ClassVar[type[PhaseConfig]] = PhaseConfig  # its configuration, with a Literal ``method``
    needs_truth: ClassVar[bool] = False  # dense labels of the training scenes are decoded
    is_segmentation: ClassVar[bool] = True  # after it, scores on val scenes mean something
    changes_samples: ClassVar[bool] = False  # ``prepare`` changes what ``samples`` gives

    def __init__(self, phase: P, data: PhaseData):
        self.phase, self.data = phase, data
        self.networks: dict[str, nn.Module] = {}
        self.epoch = 0
        self.samples = self.make_samples()

    @classmethod
    def generate(cls, phase: Any, report: Report) -> None:
        """Create data of its own on disk where it is missing. One process of each machine calls this."""

    def make_samples(self) -> Samples:
        """The samples of the phase. Raises BadInput where the data has none."""
        raise NotImplementedError

    def start(self, networks: dict[str, nn.Module], epoch: int) -> None:
        """The phase starts, or resumes in ``epoch`` (from 0). ``networks`` are ready to train, on their device."""
        self.networks, self.epoch = networks, epoch

    def prepare(self, epoch: int) -> None:
        """Called once at the start of every epoch: refresh pseudo-labels, cluster, turn losses on.

        A run that resumes in the middle of an epoch does not call it again: its results belong to the state.
        """
        self.epoch = epoch

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """Scalars by name, each with its weight in it; the loop minimises their sum."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Called after each optimiser step: moving averages and the like."""

    def state_dict(self) -> dict[str, Any]:
        """What it keeps between steps: tensors and JSON values in dictionaries and lists. Saved with the run.

        It has to be the same on all processes; ``summed`` adds a tensor over them.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a ``state_dict``, whose tensors are on the CPU. Called after ``start``."""

    def tag_priors(self) -> TagPriors | None:
        """What it adds to the averaged scores of images and of clouds (eq. 1); None where it does not learn from tags.

        Inference needs it to know what the image network finds in the image as a whole (``presence_floor``).
        """
        return None


def tag_priors(scenes: Sequence[PreparedScene], share: float) -> TagPriors:
    """``share`` of the log-odds of the tags of all tagged images, and of all scenes (``cam.tag_log_odds``)."""
    image_tags = np.concatenate([scene.image_tags[scene.image_tags.any(axis=1)] for scene in scenes])
    cloud_tags = np.stack([scene.tags for scene in scenes])
    image_prior, cloud_prior = (share * tag_log_odds(torch.from_numpy(tags)) for tags in (image_tags, cloud_tags))
    return image_prior, cloud_prior


def summed(tensor: Tensor) -> Tensor:
    """``tensor`` added up over all processes of the run, in place; of one process it stays as it is."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(tensor)
    return tensor
