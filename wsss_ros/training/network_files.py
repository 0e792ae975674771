"""Networks into a training run and out of it: new or from given weights, and as checkpoints."""

from pathlib import Path

import torch
from torch import nn

from wsss_ros import networks
from wsss_ros.config import TrainConfig
from wsss_ros.labels import LabelSpace
from wsss_ros.networks import checkpoint, pretrained
from wsss_ros.networks.checkpoint import Checkpoint, NetworkConfig
from wsss_ros.training.folder import RunFolder
from wsss_ros.types import KINDS, BadInput


def begin(settings: TrainConfig, kind: str, labels: LabelSpace) -> nn.Module:
    """The untrained network of a kind, or one that starts from given weights."""
    torch.manual_seed(settings.seed)
    chosen = getattr(settings, kind)
    network = networks.build(kind, chosen.network, len(labels), chosen.options, getattr(chosen, "inputs", ()))
    if getattr(chosen, "pretrained", ""):
        pretrained.load(network.backbone, chosen.pretrained)
    if chosen.weights:
        _start_from(network, kind, chosen, labels)
    return network.to(memory_format=torch.channels_last) if kind == "image" else network


def _start_from(network: nn.Module, kind: str, chosen, labels: LabelSpace) -> None:
    given = checkpoint.load(chosen.weights, kind, labels)
    theirs, ours = (given.config.name, given.config.inputs), (chosen.network, getattr(chosen, "inputs", ()))
    if theirs != ours:
        raise BadInput(f"{chosen.weights}: a network {theirs}, wanted {ours}; change {kind}.weights or {kind}.network")
    try:
        network.load_state_dict(given.network.state_dict())
    except RuntimeError as error:
        told = f"its options are {given.config.options}, wanted {chosen.options}"
        raise BadInput(f"{chosen.weights}: does not fit {kind}.network '{chosen.network}': {told}") from error


def rebuilt(
    settings: TrainConfig,
    kind: str,
    network: nn.Module,
    labels: LabelSpace,
    tag_log_odds: tuple[float, ...] | None = None,
) -> Checkpoint:
    """The trained weights in the network that inference uses (the same one, perhaps of another stride).

    Without ``tag_log_odds`` an image network has no ``presence_floor``: it did not learn what is in a whole image.
    """
    chosen = getattr(settings, kind)
    if kind == "image":
        options = {**chosen.options, **chosen.inference_options}
        told = () if tag_log_odds is None else (chosen.presence_floor, tag_log_odds)
        config = NetworkConfig(kind, chosen.network, options, (), chosen.long_side, *told)
    else:
        config = NetworkConfig(kind, chosen.network, dict(chosen.options), chosen.inputs)
    twin = config.build(labels)
    twin.load_state_dict({name: value.cpu() for name, value in network.state_dict().items()})
    return Checkpoint(twin.eval(), config, labels, {}, "")


def export(settings: TrainConfig, folder: RunFolder) -> None:
    """The finished networks in the precision that ships, where they are not there yet."""
    for kind in KINDS:
        source = folder.path / f"{kind}.safetensors"
        if source.is_file():
            done = checkpoint.load(source)
            target = Path(settings.export.folder) / source.name
            dtype = getattr(torch, settings.export.dtype)
            checkpoint.save(target, done.network, done.config, done.labels, done.training, dtype)
