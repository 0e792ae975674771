"""Scenes that can be learned in seconds: two classes a scene, distinguished by colour."""

import numpy as np

from wsss_ros.scenes.scannet_write import write_scene
from wsss_ros.types import Camera, Cloud, Frame

SIZE = 32
CAMERA = Camera(30, 30, 15.5, 15.5, SIZE, SIZE)


class StripedScene:
    """Left half of every image and of the cloud is one class, right half another, distinguished by colour."""

    COLORS = {"wall": (220, 30, 30), "floor": (30, 220, 30), "bed": (30, 30, 220)}
    world_up = (0.0, 0.0, 1.0)

    def __init__(self, seed: int, labels, names=tuple(COLORS)):
        rng = np.random.default_rng(seed)
        self.name, self.labels = f"scene{seed}", labels
        self.colors = dict(zip(names, self.COLORS.values(), strict=True))
        self.pair = [names[i] for i in rng.choice(3, 2, replace=False)]
        self.rng_seed = seed

    def __len__(self) -> int:
        return 4

    @property
    def tags(self):
        return tuple(self.pair)

    def image_tags(self, index: int):
        return tuple(self.pair) if index % 2 else (self.pair[0],)

    unknown = ()

    def image_unknown(self, index: int) -> tuple[str, ...]:
        return ()

    def _paint(self, left: np.ndarray, noise: np.random.Generator) -> np.ndarray:
        base = np.where(left[..., None], self.colors[self.pair[0]], self.colors[self.pair[1]])
        return np.clip(base + noise.normal(0, 10, base.shape), 0, 255).astype(np.uint8)

    def _left(self, index: int) -> np.ndarray:
        return np.broadcast_to(np.arange(SIZE) < (SIZE // 2 if index % 2 else SIZE), (SIZE, SIZE))

    def frame(self, index: int) -> Frame:
        rgb = self._paint(self._left(index), np.random.default_rng([self.rng_seed, index]))
        depth = np.full((SIZE, SIZE), 1.5, np.float32)
        return Frame(rgb, CAMERA, depth, np.eye(4), stamp_ns=(index + 1) * 250_000_000, name=str(index))

    def frame_truth(self, index: int) -> np.ndarray:
        first, second = (self.labels.index(name) for name in self.pair)
        return np.where(self._left(index), first, second).astype(np.uint8)

    @property
    def cloud(self) -> Cloud:
        rng = np.random.default_rng([self.rng_seed, 99])
        xyz = rng.uniform(-0.7, 0.7, (600, 3)).astype(np.float32)
        xyz[:, 2] = 1.5  # where the depth images have it
        return Cloud(xyz, self._paint(xyz[:, 0] < 0, rng))

    def cloud_truth(self) -> np.ndarray:
        first, second = (self.labels.index(name) for name in self.pair)
        return np.where(self.cloud.xyz[:, 0] < 0, first, second).astype(np.uint8)


def written(folder, labels, seeds, spoil_truth: bool = False, names=tuple(StripedScene.COLORS)) -> None:
    """The scenes in ScanNet's layout with tags.csv; ``spoil_truth`` writes other dense labels, same tags."""
    for seed in seeds:
        scene = StripedScene(seed, labels, names)
        truths = [scene.frame_truth(i) for i in range(4)]
        points = scene.cloud_truth()
        if spoil_truth:
            truths, points = [np.full_like(t, 7) for t in truths], np.full_like(points, 7)
        write_scene(
            folder / scene.name,
            labels=labels,
            xyz=scene.cloud.xyz,
            rgb=scene.cloud.rgb,
            point_labels=points,
            instances=np.full(600, -1, np.int32),
            frames=((scene.frame(i), truths[i]) for i in range(4)),
        )
        rows = ["frame,tags", f'scene,"{", ".join(scene.tags)}"']
        rows += [f'{i},"{", ".join(scene.image_tags(i))}"' for i in range(4)]
        (folder / scene.name / "tags.csv").write_text("\n".join(rows) + "\n")
