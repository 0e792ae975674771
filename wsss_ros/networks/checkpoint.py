"""One network per file: weights, how to build the network, label space, provenance (safetensors).

A checkpoint carries everything inference needs; nothing is pickled, so a foreign file can do no harm.
"""

import hashlib
import json
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
from wsss_ros.types import BadInput

FORMAT = "wsss_ros-1"
PREVIOUS_KINDS = {"point": "cloud"}  # name of a kind in older files -> its name now


@dataclass(frozen=True)
class NetworkConfig:
    """What ``networks.build`` needs and how the input is prepared.

    ``inputs`` are what a cloud network takes beside xyz; ``long_side`` is the size in pixels that an
    image is brought to before an image network sees it (0: left as it is). A class that the network gives less than
    ``presence_floor`` in a whole image, by the mean of its map and ``tag_log_odds`` (what training added to it),
    wins no pixel of it.
    """

    kind: str
    name: str
    options: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    long_side: int = 0
    presence_floor: float = 0.0
    tag_log_odds: tuple[float, ...] = ()

    def build(self, labels: LabelSpace) -> nn.Module:
        return networks.build(self.kind, self.name, len(labels), self.options, self.inputs)


@dataclass(frozen=True)
class Checkpoint:
    network: nn.Module
    config: NetworkConfig
    labels: LabelSpace
    training: dict
    version: str


def save(
    path: str | Path,
    network: nn.Module,
    config: NetworkConfig,
    labels: LabelSpace,
    training: dict | None = None,
    dtype: torch.dtype = torch.float32,
) -> str:
    """Write atomically and return the version, a hash of the weights.

    The file appears under its name only when it is whole and on disk. ``training`` is kept as it is
    (command, seeds, scores). ``dtype`` float16 halves the file; weights are float32 again when loaded.
    """
    tensors = {
        name: (value.detach().cpu().to(dtype) if value.is_floating_point() else value.detach().cpu()).contiguous()
        for name, value in network.state_dict().items()
    }
    version = _version(tensors)
    description = {
        "format": FORMAT,
        "version": version,
        "network": asdict(config),
        "labels": labels.to_dict(),
        "training": training or {},
    }
    content = serialise(tensors, metadata={"wsss_ros": json.dumps(description, sort_keys=True)})
    replace(Path(path), lambda file: file.write(content))
    return version


def load(path: str | Path, kind: str | None = None, labels: LabelSpace | None = None) -> Checkpoint:
    """Read a checkpoint onto the CPU, in eval mode.

    Raises BadInput on a missing, truncated or foreign file, on a network of another ``kind`` and on
    another label space than ``labels`` (where given), naming what differs.
    """
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except (OSError, SafetensorError) as error:
        raise BadInput(f"{path}: not a readable checkpoint ({error}); wanted .safetensors of wsss_ros") from error
    description = _description(path, metadata)
    try:
        network_fields = description["network"]
        odds = tuple(network_fields.get("tag_log_odds", ()))  # weights of before had none
        network_kind = PREVIOUS_KINDS.get(network_fields["kind"], network_fields["kind"])
        inputs = tuple(network_fields["inputs"])
        config = NetworkConfig(**{**network_fields, "kind": network_kind, "inputs": inputs, "tag_log_odds": odds})
        own_labels = LabelSpace.from_dict(description["labels"])
        training, version = description["training"], description["version"]
    except (KeyError, TypeError) as error:
        raise BadInput(f"{path}: its description of the network is incomplete ({error!r}); write it anew") from error
    _check(path, config, own_labels, kind, labels)
    network = config.build(own_labels)
    _fill(path, network, tensors)
    return Checkpoint(network.eval(), config, own_labels, training, version)


def file_of(folder: Path, kind: str, prefix: str = "") -> Path:
    """Where the checkpoint of a network kind is in ``folder``; under the previous name of the kind, if only that exists."""
    current = folder / f"{prefix}{kind}.safetensors"
    previous = [folder / f"{prefix}{old}.safetensors" for old, new in PREVIOUS_KINDS.items() if new == kind]
    return next((path for path in (current, *previous) if path.is_file()), current)


def _description(path: Path, metadata: dict) -> dict:
    try:
        description = json.loads(metadata["wsss_ros"])
    except (KeyError, json.JSONDecodeError) as error:
        raise BadInput(f"{path}: a safetensors file, but not of wsss_ros; wanted one of 'wsss train'") from error
    if description.get("format") != FORMAT:
        raise BadInput(f"{path}: format '{description.get('format')}', wanted '{FORMAT}'; train or convert it anew")
    return description


def _check(path: Path, config: NetworkConfig, own: LabelSpace, kind: str | None, wanted: LabelSpace | None) -> None:
    if kind is not None and config.kind != kind:
        raise BadInput(f"{path}: a network for '{config.kind}', wanted one for '{kind}'; are the two files swapped?")
    if config.tag_log_odds and len(config.tag_log_odds) != len(own):
        raise BadInput(f"{path}: {len(config.tag_log_odds)} tag_log_odds for {len(own)} classes; write it anew")
    if wanted is not None and own.names != wanted.names:
        differing = sorted(set(own.names) ^ set(wanted.names)) or "only their order"
        raise BadInput(
            f"{path}: label space '{own.name}' of {len(own)} classes, wanted '{wanted.name}' of {len(wanted)}; "
            f"they differ in {differing}"
        )


def _fill(path: Path, network: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
    wanted = network.state_dict()
    missing, extra = sorted(wanted.keys() - tensors.keys()), sorted(tensors.keys() - wanted.keys())
    shapes = [name for name in wanted.keys() & tensors.keys() if wanted[name].shape != tensors[name].shape]
    if missing or extra or shapes:
        raise BadInput(
            f"{path}: its weights do not fit its network: missing {missing[:5]}, unknown {extra[:5]}, "
            f"of another shape {sorted(shapes)[:5]}"
        )
    broken = [n for n, t in tensors.items() if t.is_floating_point() and not torch.isfinite(t).all()]
    if broken:
        raise BadInput(f"{path}: weights that are not finite in {broken[:5]}; training diverged, use an earlier file")
    network.load_state_dict({name: value.to(wanted[name].dtype) for name, value in tensors.items()})


def _version(tensors: dict[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:12]
