"""One network in one safetensors file: weights, how to build the network, label space, provenance.

A checkpoint has everything that inference needs. Nothing in it is pickled, so a foreign file cannot run code.
"""

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialise
from torch import nn

from wsss_ros import networks
from wsss_ros.files import replace
from wsss_ros.labels import LabelSpace
from wsss_ros.labels.of_checkpoint import (
    FORMAT,
    PREVIOUS_KINDS,
    description_of,
    existing,
    incomplete,
    unreadable,
)
from wsss_ros.types import BadInput


@dataclass(frozen=True)
class NetworkConfig:
    """How to build the network, how to prepare its input, and how to read its output.

    Attributes:
        kind: "image" or "cloud".
        name: of the backbone.
        options: of the backbone.
        inputs: what a cloud network takes in addition to xyz.
        long_side: pixels to which the long side of an image is resized for an image network; 0 keeps the size.
        presence_floor: a class wins no pixel of an image in which its probability is below this. The probability is
            the sigmoid of the mean of its map plus its ``tag_log_odds``.
        tag_log_odds: for each class, what training added to the mean score; empty for 0.
        temperature: the confidence of a label is the softmax of logits / temperature; 1 until it is fitted to labelled
            scenes (``evaluation.calibration``). It changes no label.
        min_confidence: recommended by the calibration: labels with less are more often wrong than right; 0 for none.
        points: of a training cloud, for a cloud network: with many more it sees another density than it learned from;
            0 if it is unknown.
        fusion: the settings with which the labels of images are fused for the inputs fused_label and fused_confidence.
    """

    kind: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    long_side: int = 0
    presence_floor: float = 0.0
    tag_log_odds: tuple[float, ...] = ()
    temperature: float = 1.0
    min_confidence: float = 0.0
    points: int = 0
    fusion: dict[str, Any] = field(default_factory=dict)

    def build(self, labels: LabelSpace) -> nn.Module:
        """The network, with random weights.

        Raises:
            BadInput: unknown kind, name, input or option.
        """
        return networks.build(self.kind, self.name, len(labels), self.options, self.inputs)


@dataclass(frozen=True)
class Checkpoint:
    """A network with all that its file says about it.

    Attributes:
        network: on the CPU, in evaluation mode.
        config: how it was built.
        labels: its classes.
        training: where it comes from: command, seeds, scores.
        version: a hash of the weights and of their calibration.
    """

    network: nn.Module
    config: NetworkConfig
    labels: LabelSpace
    training: dict[str, Any]
    version: str


def save(
    path: str | Path,
    network: nn.Module,
    config: NetworkConfig,
    labels: LabelSpace,
    training: dict[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> str:
    """Write a checkpoint. The file appears under its name only when it is complete and on disk.

    Args:
        path: of the file; a previous one is replaced.
        network: of ``config.build(labels)``.
        config: how it was built.
        labels: its classes.
        training: where it comes from, as JSON.
        dtype: of the weights in the file. Float16 halves the file; ``load`` converts it back to float32.

    Returns:
        The version, a hash of the weights and of their calibration.
    """
    tensors = {
        name: (value.detach().cpu().to(dtype) if value.is_floating_point() else value.detach().cpu()).contiguous()
        for name, value in network.state_dict().items()
    }
    return _write(Path(path), tensors, config, {"labels": labels.to_dict(), "training": training or {}})


def set_calibration(path: str | Path, temperature: float, min_confidence: float) -> str:
    """Replace the calibration in a checkpoint; the rest of the file stays. Returns the new version.

    The file is replaced at once, or not at all. Raises BadInput when it is not a readable checkpoint.
    """
    path = existing(Path(path))
    metadata, tensors = _read(path)
    description = description_of(path, metadata)
    try:
        before, kept = _network_config(description["network"]), {n: description[n] for n in ("labels", "training")}
    except (KeyError, TypeError) as error:
        raise incomplete(path, error) from error
    config = dataclasses.replace(before, temperature=temperature, min_confidence=min_confidence)
    return _write(path, tensors, config, kept)


def _write(path: Path, tensors: dict[str, torch.Tensor], config: NetworkConfig, rest: dict[str, Any]) -> str:
    """Write the file atomically; returns its version."""
    version = _version(tensors, config)
    description = {"format": FORMAT, "version": version, "network": asdict(config), **rest}
    content = serialise(tensors, metadata={"wsss_ros": json.dumps(description, sort_keys=True)})
    replace(path, lambda file: file.write(content))
    return version


def load(path: str | Path, kind: str | None = None, labels: LabelSpace | None = None) -> Checkpoint:
    """Read a checkpoint onto the CPU, in evaluation mode.

    Args:
        path: of the file.
        kind: what the network must be for, "image" or "cloud"; None for either.
        labels: the label space that the network must have; None for any.

    Raises:
        BadInput: a missing, truncated or foreign file, a network of another kind, or another label space. The message
            names what differs.
    """
    path = existing(Path(path))
    metadata, tensors = _read(path)
    description = description_of(path, metadata)
    try:
        config = _network_config(description["network"])
        own_labels = LabelSpace.from_dict(description["labels"])
        training, version = description["training"], description["version"]
    except (KeyError, TypeError) as error:
        raise incomplete(path, error) from error
    _check(path, config, own_labels, kind, labels)
    with torch.device("meta"):  # takes no memory: a file may describe a network of any size
        _check_fit(path, config.build(own_labels).state_dict(), tensors)
    network = config.build(own_labels)
    own = network.state_dict()
    network.load_state_dict({name: value.to(own[name].dtype) for name, value in tensors.items()})
    return Checkpoint(network.eval(), config, own_labels, training, version)


def file_of(folder: Path, kind: str, prefix: str = "") -> Path:
    """The path of the checkpoint of one kind in a folder; the path under the kind's previous name if only that exists.

    Args:
        folder: where to look.
        kind: "image" or "cloud".
        prefix: start of the file's name, before the kind.
    """
    return existing(folder / f"{prefix}{kind}.safetensors")


def _read(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise unreadable(path, error) from error


def _network_config(fields: dict[str, Any]) -> NetworkConfig:
    """The description of a network, also of a file with a previous name of its kind or without ``tag_log_odds``."""
    kind = PREVIOUS_KINDS.get(fields["kind"], fields["kind"])
    inputs, odds = tuple(fields["inputs"]), tuple(fields.get("tag_log_odds", ()))
    return NetworkConfig(**{**fields, "kind": kind, "inputs": inputs, "tag_log_odds": odds})


def _check(path: Path, config: NetworkConfig, own: LabelSpace, kind: str | None, expected: LabelSpace | None) -> None:
    if kind is not None and config.kind != kind:
        raise BadInput(f"{path}: a network for '{config.kind}', expected one for '{kind}'; are the two files swapped?")
    if config.tag_log_odds and len(config.tag_log_odds) != len(own):
        raise BadInput(f"{path}: {len(config.tag_log_odds)} tag_log_odds for {len(own)} classes; write it again")
    if not 0 < config.temperature < math.inf or not 0 <= config.min_confidence <= 1:
        raise BadInput(
            f"{path}: temperature {config.temperature} and min_confidence {config.min_confidence}; expected a "
            "temperature above 0 and a confidence from 0 to 1; calibrate it again with 'wsss calibrate'"
        )
    if expected is not None and own.names != expected.names:
        differing = sorted(set(own.names) ^ set(expected.names)) or "only their order"
        raise BadInput(
            f"{path}: label space '{own.name}' of {len(own)} classes, expected '{expected.name}' of {len(expected)}; "
            f"they differ in {differing}"
        )


def _check_fit(path: Path, own: Mapping[str, torch.Tensor], tensors: dict[str, torch.Tensor]) -> None:
    """Raise BadInput unless the tensors are those of a network, with its shapes, and finite."""
    missing, extra = sorted(own.keys() - tensors.keys()), sorted(tensors.keys() - own.keys())
    shapes = [name for name in own.keys() & tensors.keys() if own[name].shape != tensors[name].shape]
    if missing or extra or shapes:
        raise BadInput(
            f"{path}: its weights do not fit its network: missing {missing[:5]}, unknown {extra[:5]}, "
            f"of another shape {sorted(shapes)[:5]}"
        )
    broken = [n for n, t in tensors.items() if t.is_floating_point() and not torch.isfinite(t).all()]
    if broken:
        raise BadInput(f"{path}: weights that are not finite in {broken[:5]}; training diverged, use an earlier file")


def _version(tensors: dict[str, torch.Tensor], config: NetworkConfig) -> str:
    """A hash of the weights and of their calibration, if there is one."""
    calibration = (config.temperature, config.min_confidence)
    return digest(tensors, repr(calibration) if calibration != (1.0, 0.0) else "")


def digest(tensors: Mapping[str, torch.Tensor], further: str = "") -> str:
    """A hash of the weights of a network, of 12 characters, and of ``further`` text."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode())
        found.update(tensors[name].detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    found.update(further.encode())
    return found.hexdigest()[:12]
