"""Which networks, sizes and data a training step is measured with, most often the joint one."""

from dataclasses import dataclass
from pathlib import Path

from wsss_ros.config import build, load
from wsss_ros.training.config import TrainConfig
from wsss_ros.types import KINDS, BadInput

_ADAM = {"name": "adam", "lr": 0.001}
# Pairs of networks to measure without a configuration, at the sizes they are trained at.
PAIRS = {
    "light": {
        "image": {
            "options": {"depth": 18, "width": 0.5, "stride": 16},
            "augment": {"long_side": [144, 256], "crop": 128},
        },
        "cloud": {
            "options": {"width": 0.5, "centres": [1024, 512, 256, 128], "neighbours": [32, 16, 16, 16]},
            "inputs": ["color", "height"],
            "augment": {"points": 8000},
        },
        "phases": [{"method": "joint", "epochs": 1, "batch": 8, "image": _ADAM, "cloud": _ADAM}],
    },
    "paper": {
        "image": {"network": "resnet38", "options": {}},
        "cloud": {"options": {}},
        "phases": [{"method": "joint", "epochs": 1, "batch": 16, "image": _ADAM, "cloud": _ADAM}],
    },
}


@dataclass(frozen=True)
class Changes:
    """Values that replace those of a configuration; 0 and the empty text keep them."""

    image_size: int = 0
    points: int = 0
    batch: int = 0
    device: str = ""
    precision: str = ""
    checkpointing: bool = False


def of_pair(name: str, changes: Changes) -> TrainConfig:
    """A configuration for one of PAIRS, without a data set. Raises BadInput for another name."""
    if name not in PAIRS:
        raise BadInput(f"--network {name}: there are {', '.join(PAIRS)}")
    values = {"output": "", "data": {"train": {"folder": ""}}, **PAIRS[name]}
    return _phase_alone(values, "joint", changes, f"--network {name}")


def of_file(path: Path, changes: Changes, method: str = "joint") -> TrainConfig:
    """The last phase of a method in a training configuration.

    Raises BadInput where it has none, or lacks a network of it. A joint phase has both.
    """
    return _phase_alone(load(TrainConfig, path).model_dump(), method, changes, str(path))


def _phase_alone(values: dict, method: str, changes: Changes, source: str) -> TrainConfig:
    phases = [phase for phase in values["phases"] if phase["method"] == method][-1:]
    used = [kind for kind in KINDS if method == "joint" or (phases and phases[0].get(kind))]
    if not phases or not all(values.get(kind) for kind in used):
        both = " with both networks" if method == "joint" else " with its networks"
        raise BadInput(f"{source}: has no {method} phase{both}; give one that has, or --network light for a joint one")
    return build(TrainConfig, _changed({**values, "phases": phases}, changes), source)


def _changed(values: dict, changes: Changes) -> dict:
    """The values of a configuration with the changes written over them; ``values`` stays as it is."""
    networks = {kind: dict(values[kind]) for kind in KINDS if values.get(kind)}
    for network in networks.values():
        network["augment"] = dict(network.get("augment", {}))
    image, cloud = networks.get("image"), networks.get("cloud")
    phase = dict(values["phases"][0])
    if image and changes.image_size:
        image["augment"] |= {"crop": changes.image_size, "long_side": (changes.image_size, 2 * changes.image_size)}
    if cloud and changes.points:
        cloud["augment"]["points"] = changes.points
    if changes.batch:
        phase["batch"] = changes.batch
    if image and changes.checkpointing:
        image["options"] = {**image["options"], "checkpointing": True}
    run = {"device": changes.device, "precision": changes.precision}
    run = {name: value for name, value in run.items() if value}
    return {**values, **networks, "phases": [phase], **run}
