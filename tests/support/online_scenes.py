"""Stored scenes that are learned in seconds, and a learner's settings for them."""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
import yaml
from support.striped_scenes import StripedScene, written

from wsss_ros import config
from wsss_ros.labels import LabelSpace
from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import NetworkConfig
from wsss_ros.online.settings import OnlineConfig

IMAGE = {"network": "resnet", "options": {"width": 0.125}, "long_side": 0}
POINT = {"network": "pointnet2", "options": {"width": 0.125, "centres": [64, 32, 16, 8], "neighbours": [8, 8, 8, 8]}}
WRONG = {"wall": "floor", "floor": "bed", "bed": "wall"}


def recipe(folder: Path, **changes) -> str:
    """Write a recipe to ``folder``, with the networks of ``create_weights``; return its path."""
    rate = {"name": "adam", "lr": 0.01}
    values = {
        "image": {**IMAGE, "augment": {"long_side": [32, 40], "crop": 32, "jitter": [0.1, 0.1, 0.1, 0]}},
        "cloud": {**POINT, "augment": {"points": 256}},
        "phases": [{"method": "joint", "epochs": 1, "batch": 4, "image": rate, "cloud": rate}],
        "frames_per_scene": 0,
        "held_out_frames": 4,
        **changes,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(values))
    return str(folder / "recipe.yaml")


def create_weights(folder: Path, labels: LabelSpace) -> dict[str, str]:
    """Write untrained weights; return their files by the fields of OnlineConfig."""
    torch.manual_seed(0)
    networks = {
        "image": NetworkConfig("image", IMAGE["network"], IMAGE["options"]),
        "cloud": NetworkConfig("cloud", POINT["network"], POINT["options"], ("color",)),
    }
    for kind, network in networks.items():
        checkpoint.save(folder / f"{kind}.safetensors", network.build(labels), network, labels)
    return {"image_weights": str(folder / "image.safetensors"), "cloud_weights": str(folder / "cloud.safetensors")}


def settings(folder: Path, labels: LabelSpace, recipe_changes: dict | None = None, **changes) -> OnlineConfig:
    """Return settings of a learner in ``folder/online``, with a recipe and weights in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "folder": str(folder / "online"),
        "recipe": recipe(folder, **(recipe_changes or {})),
        **create_weights(folder, labels),
        "round_device": "cpu",
        "steps": 40,
        **changes,
    }
    return config.build(OnlineConfig, values)


def put(
    online: Path,
    labels: LabelSpace,
    seed: int,
    number: int,
    held_out: bool = False,
    wrong: bool = False,
    kinds: Sequence[str] = ("scene", "frames"),
    names: Sequence[str] = tuple(StripedScene.COLORS),
) -> str:
    """Store a striped scene as ``SceneStore.finish`` does.

    ``wrong`` gives it tags of other classes; ``kinds`` are the kinds of tags that a person gave; ``names`` are the
    three classes, those of ``WRONG`` for wrong tags.
    """
    scene, place = StripedScene(seed, labels, names), Path(online) / "scenes"
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as made:
        written(Path(made), labels, [seed], names=names)
        folder = Path(made) / scene.name
        (folder / "tags.csv").unlink()
        given = (lambda names: [WRONG[name] for name in names]) if wrong else list
        tags = {"scene": given(scene.tags), "frames": {str(i): given(scene.image_tags(i)) for i in range(len(scene))}}
        (folder / "tags.json").write_text(json.dumps({kind: tags[kind] for kind in kinds}))
        about = {"number": number, "held_out": held_out, "began_ns": number, "ended_ns": number + 1}
        about |= {"why_ended": "test", "frames": len(scene), "received": len(scene)}
        (folder / "scene.json").write_text(json.dumps(about))
        shutil.copytree(folder, place / f".{scene.name}")
    os.rename(place / f".{scene.name}", place / scene.name)
    return scene.name
