"""The interface between the training loop and the methods: each phase of training is a ``Method``.

Training in two phases is a list of two methods that share networks. The training loop knows no method by name: it finds
the method of a phase in ``methods.METHODS``, takes samples from it, and does not look into their batches.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from wsss_ros.config import Config
from wsss_ros.fusion.network_input import FusedInput
from wsss_ros.labels import LabelSpace
from wsss_ros.losses import classification_loss
from wsss_ros.networks.classifier import image_mean, point_mean
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.loading import Samples
from wsss_ros.samples.mixture import Source, weights_of
from wsss_ros.samples.priors import SourcePriors, TagPriors
from wsss_ros.samples.samples import CloudBatch, ImageBatch
from wsss_ros.types import KINDS

Report = Callable[[str, int, int], None]  # name of a task, steps done, number of steps


class OptimiserConfig(Config):
    """The optimiser of one network in a phase, with its learning rate schedule."""

    name: Literal["sgd", "adam"] = Field("sgd", description="Optimiser.")
    lr: float = Field(gt=0, description="Initial learning rate.")
    head_lr: float = Field(
        1.0,
        gt=0,
        description="Learning rate of the linear head, as a multiple of lr: the head must follow the "
        "changes that the joint losses make to the features.",
    )
    weight_decay: float = Field(0.0, ge=0, description="Weight decay (decoupled for adam).")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd.")
    nesterov: bool = Field(True, description="Nesterov's momentum; false: the plain one.")
    schedule: Literal["poly", "steps", "one_cycle", "cosine"] = Field(
        "poly",
        description="poly: (1 - t)^power; steps: x0.1 at milestones; cosine: half a cosine down to 0; one_cycle: up "
        "from lr / 25 to lr, then down to almost 0, while the momentum falls to 0.85 and rises to 0.95 again "
        "(OneCycleLR of torch).",
    )
    power: float = Field(0.9, gt=0, description="Power of the poly schedule.")
    frozen_norm: bool = Field(
        False, description="Keep the statistics of batch normalisation: a batch of a few crops estimates them poorly."
    )
    hold: float = Field(0.0, ge=0, lt=1, description="Share of training before the cosine begins, at the initial rate.")
    milestones: tuple[float, ...] = Field((0.6, 0.8, 0.9), description="Steps of the schedule as shares of training.")
    rise: float = Field(0.3, gt=0, lt=1, description="Share of training in which the rate of one_cycle rises.")


class PhaseConfig(Config):
    """The options that all phases have. A network learns in a phase if it has an optimiser there."""

    renamed: ClassVar[dict[str, str]] = {"point": "cloud"}
    if TYPE_CHECKING:
        method: str  # each phase has its own, a Literal

    epochs: int = Field(ge=1, description="Passes over the samples: images, clouds, or clouds with images of each.")
    batch: int = Field(16, ge=1, description="Samples of one step, over all devices.")
    image: OptimiserConfig | None = Field(None, description="Optimiser of the image network.")
    cloud: OptimiserConfig | None = Field(None, description="Optimiser of the cloud network.")

    @property
    def networks(self) -> tuple[str, ...]:
        """The kinds of networks that the phase uses. A method may use a network that does not learn."""
        return tuple(self.optimisers)

    @property
    def optimisers(self) -> dict[str, OptimiserConfig]:
        """The optimiser of each kind of network that learns."""
        return {kind: getattr(self, kind) for kind in KINDS if getattr(self, kind) is not None}

    def augment_of(self, given: ImageAugment) -> ImageAugment:
        """The augmentation of the run's images in this phase, where the image network has the ``given`` one."""
        return given

    def continued(self, epochs: int, batch: int) -> "PhaseConfig":
        """The configuration of this phase for networks that are already trained, for a round of online learning."""
        return self.model_copy(update={"epochs": epochs, "batch": batch})


class PairedPhase(PhaseConfig):
    """A phase that uses both networks, on clouds and images of them."""

    images_per_cloud: int = Field(1, ge=1, description="Images of each cloud in a step; the paper takes one.")

    @property
    def networks(self) -> tuple[str, ...]:
        """Both kinds, even if only one of the networks learns."""
        return KINDS


class TaggedPhase(PhaseConfig):
    """A phase with the classification loss of eq. 2."""

    tag_prior: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Add this share of each tag's log-odds in the data to the averaged scores of eq. 1, so that the "
        "activation maps need not encode how common a class is; 0 is the paper's eq. 2.",
    )


@dataclass(frozen=True)
class PhaseData:
    """The data that a run passes to its methods: its sources, classes, and the augmentation of images and clouds.

    ``cloud_inputs`` are the cloud network's inputs in addition to xyz. ``visibility_m`` is the largest difference
    between a visible point's depth and the depth image, in metres. ``fusion`` says how labels of images become inputs
    of the cloud network.
    """

    sources: Sequence[Source]
    labels: LabelSpace
    image: ImageAugment
    cloud: CloudAugment
    cloud_inputs: tuple[str, ...]
    visibility_m: float
    fusion: FusedInput = FusedInput()


P = TypeVar("P", bound=PhaseConfig)
T = TypeVar("T", bound=TaggedPhase)


class Method(Generic[P]):
    """One phase of training. A subclass overrides what it needs; ``make_samples`` and ``losses`` are required.

    A run creates all its methods before training, so that bad data is reported at once. The training loop then calls,
    for each phase, ``make_modules`` and ``start``, and ``load_state_dict`` if the run resumes in this phase; for each
    epoch ``prepare``; for each step ``losses`` and ``after_step``; at the end ``finish``. Torch is seeded before
    ``make_modules`` and ``prepare``, equally in all processes, and before ``losses``: a run that resumes draws the same
    numbers.

    ``modules`` are those of ``make_modules``, on their device and ready to train, as ``networks`` are.
    """

    Phase: ClassVar[type[PhaseConfig]] = PhaseConfig  # class of its configuration, which has a Literal ``method``
    is_segmentation: ClassVar[bool] = True  # whether networks are scored on the validation scenes after it
    changes_samples: ClassVar[bool] = False  # whether ``prepare`` changes the samples that ``samples`` returns

    def __init__(self, phase: P, data: PhaseData):
        self.phase, self.data = phase, data
        self.networks: dict[str, nn.Module] = {}
        self.modules: dict[str, nn.Module] = {}
        self.epoch = 0
        self.samples = self.make_samples()

    @classmethod
    def generate(cls, phase: Any, report: Report) -> None:
        """Generate missing data of the method on disk. The first process of each machine calls this once."""

    @classmethod
    def needs_truth(cls, phase: Any) -> bool:
        """Whether the dense labels of the sources with ``dense`` are decoded for a phase."""
        return False

    def make_samples(self) -> Samples:
        """The samples of the phase, made in the constructor. Raises BadInput when the data provides none."""
        raise NotImplementedError

    def make_modules(self, networks: dict[str, nn.Module]) -> dict[str, nn.Module]:
        """Modules of the method itself that learn in the phase, such as projections of features.

        The key is the kind of network with whose optimiser and learning rate a module learns; a network that does not
        learn has none. The run saves their weights with its state. If the next phase has the same method, its modules
        go on from these. With several processes the forward of each must be called exactly once in each step, as that
        of the networks.
        """
        return {}

    def start(self, networks: dict[str, nn.Module], epoch: int) -> None:
        """Start the phase, or resume it in ``epoch`` (from 0). ``networks`` are on their device and ready to train."""
        self.networks, self.epoch = networks, epoch

    def prepare(self, epoch: int) -> None:
        """Prepare an epoch (from 0): update pseudo-labels, cluster, enable losses. Called at the start of each epoch.

        A run that resumes in the middle of an epoch does not call it again. So its results must be in the state.
        """
        self.epoch = epoch

    def losses(self, batch: Any) -> dict[str, Tensor]:
        """The weighted losses of a batch by name, scalars. The training loop minimises their sum."""
        raise NotImplementedError

    def after_step(self) -> None:
        """Update values such as moving averages. Called after each optimiser step."""

    def finish(self) -> None:
        """Finish the phase, before its networks are scored and saved: for example set them to their averages.

        A run that is killed in this call and resumes calls it again, from the state after the last step.
        """

    def state_dict(self) -> dict[str, Any]:
        """The state that the method keeps between steps: dictionaries and lists of tensors and JSON values.

        It is saved with the run and must be equal in all processes; ``summed`` adds a tensor over the processes.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a ``state_dict``, whose tensors are on the CPU. Called after ``start``."""

    def tag_priors(self) -> TagPriors | None:
        """The values that are added to the averaged scores (eq. 1) of images and of clouds.

        None if the method does not learn from tags. Inference needs them for the probability of each class in a whole
        image (``presence_floor``).
        """
        return None


class TaggedMethod(Method[T]):
    """A method with the classification loss of eq. 2, which adds the tag priors of the sources to averaged scores."""

    def start(self, networks: dict[str, nn.Module], epoch: int) -> None:
        """Start the phase, and compute the tag priors from the data."""
        super().start(networks, epoch)
        self.priors = self._source_priors()

    def image_weights(self) -> list[float]:
        """How many images of a step come from each source, relative to the other sources."""
        return weights_of(self.data.sources)

    def tag_priors(self) -> TagPriors:
        """The log-odds of the tags of images and of scenes of all sources, times ``tag_prior`` of the phase."""
        return self._source_priors().mixed()

    def image_classification(self, scores: Tensor, batch: ImageBatch) -> Tensor:
        """The classification loss (eq. 2) of the scores [K C h w] of a batch of images."""
        mean = image_mean(scores) + self.priors.of_images(batch.image_source, scores.device)
        return classification_loss(mean, batch.image_tags, batch.image_known)

    def cloud_classification(self, scores: Tensor, batch: CloudBatch) -> Tensor:
        """The classification loss (eq. 2) of the scores [B N C] of a batch of clouds."""
        mean = point_mean(scores) + self.priors.of_clouds(batch.cloud_source, scores.device)
        return classification_loss(mean, batch.cloud_tags, batch.cloud_known)

    def _source_priors(self) -> SourcePriors:
        return SourcePriors(self.data.sources, self.phase.tag_prior, self.image_weights())


def unwrapped(network: nn.Module) -> nn.Module:
    """A network of a phase without its wrapper, which sets the precision and averages gradients over processes.

    A copy has to be one of the network itself: a wrapper belongs to the run, and a copied one shares its processes.
    """
    inner: nn.Module = getattr(network, "module", network)
    return inner


def summed(tensor: Tensor) -> Tensor:
    """Add ``tensor`` over all processes of the run, in place, and return it. With one process it is unchanged."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.all_reduce(tensor)
    return tensor


def from_first(tensor: Tensor) -> Tensor:
    """Copy ``tensor`` of the first process of the run to all, in place, and return it."""
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        torch.distributed.broadcast(tensor, 0)
    return tensor
