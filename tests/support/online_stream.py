"""Small rooms that a robot passes and that are learned in seconds, and a learner's settings for them."""

from pathlib import Path

import numpy as np
import torch
import yaml

from wsss_ros.labels import LabelSpace
from wsss_ros.networks import checkpoint
from wsss_ros.types import Camera, Frame

HEIGHT, WIDTH = 48, 64
CAMERA = Camera(60.0, 60.0, 31.5, 23.5, WIDTH, HEIGHT)
COLORS = {"wall": (220, 30, 30), "floor": (30, 220, 30), "bed": (30, 30, 220)}
PAIRS = [("wall", "floor"), ("floor", "bed"), ("wall", "bed")]
POINT_OPTIONS = {"width": 0.125, "centres": [64, 32, 16, 8], "neighbours": [8, 4, 4, 4]}
ROOM_M = 20.0  # from one room to the next
STEP_M = 0.3  # from one view to the next


class Room:
    """A wall of two colours, one class each, seen by a camera that moves along it. Rooms are 20 m apart."""

    def __init__(self, number: int) -> None:
        self.number, self.tags = number, PAIRS[number % len(PAIRS)]

    def frame(self, index: int, stamp_ns: int) -> Frame:
        pose = np.eye(4)
        pose[0, 3] = ROOM_M * self.number + STEP_M * index
        noise = np.random.default_rng([self.number, index]).normal(0, 10, (HEIGHT, WIDTH, 3))
        left = (np.arange(WIDTH) < WIDTH // 2)[None, :, None]
        color = np.where(left, COLORS[self.tags[0]], COLORS[self.tags[1]])
        rgb = np.clip(color + noise, 0, 255).astype(np.uint8)
        return Frame(rgb, CAMERA, np.full((HEIGHT, WIDTH), 1.5, np.float32), pose, stamp_ns)


def create_weights(folder: Path, labels: LabelSpace) -> dict[str, Path]:
    """Write tiny untrained networks; return their files by kind."""
    torch.manual_seed(0)
    configs = {
        "image": checkpoint.NetworkConfig("image", "resnet", {"width": 0.125}),
        "cloud": checkpoint.NetworkConfig("cloud", "pointnet2", POINT_OPTIONS, inputs=("color",)),
    }
    folder.mkdir(parents=True, exist_ok=True)
    made = {kind: folder / f"{kind}.safetensors" for kind in configs}
    for kind, config in configs.items():
        checkpoint.save(made[kind], config.build(labels), config, labels)
    return made


def write_recipe(path: Path) -> Path:
    """Write how these networks train: small pictures, few points, two samples a step."""
    size = {"long_side": [48, 64], "crop": 48}
    image = {"network": "resnet", "options": {"width": 0.125}, "long_side": WIDTH, "augment": size}
    cloud = {"network": "pointnet2", "options": POINT_OPTIONS, "inputs": ["color"], "augment": {"points": 512}}
    adam = {"name": "adam", "lr": 0.001}
    joint = {"method": "joint", "epochs": 1, "batch": 2, "image": adam, "cloud": adam}
    saved = {"save_every_s": 0.0, "frames_per_scene": 4}
    path.write_text(yaml.safe_dump({"image": image, "cloud": cloud, "phases": [joint], **saved}))
    return path


def settings(folder: Path, labels: LabelSpace) -> dict:
    """Return settings of a learner whose rounds take seconds and start on request; finite scores pass the gate."""
    weights = create_weights(folder / "first", labels)
    return {
        "folder": str(folder / "online"),
        "recipe": str(write_recipe(folder / "recipe.yaml")),
        "image_weights": str(weights["image"]),
        "cloud_weights": str(weights["cloud"]),
        "voxel_size_m": 0.05,
        "round_scenes": 0,
        "held_out_every": 2,
        "steps": 3,
        "base": 0.0,
        "tolerance": 1.0,
        "significance": 0.0,
        "spike": 1000.0,
        "round_device": "cpu",
    }
