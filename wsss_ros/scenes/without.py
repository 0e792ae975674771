"""Scenes whose clouds have lost a class, for experiments on tags that occur in all scenes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from wsss_ros.labels import LabelSpace
from wsss_ros.types import BadInput, Cloud, Scene


class WithoutClass:
    """A scene without the points of a class and without its tag; its frames stay as they are.

    Everything else is that of ``scene``, which has dense labels.
    """

    def __init__(self, scene: Scene, label: str, labels: LabelSpace):
        self._scene, self._label, self._number = scene, label, labels.index(label)
        self.name = f"{scene.name}-without-{label}"

    def __len__(self) -> int:
        return len(self._scene)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._scene, name)

    @property
    def tags(self) -> tuple[str, ...] | None:
        """The tags of the scene without the class."""
        tags = self._scene.tags
        return None if tags is None else tuple(tag for tag in tags if tag != self._label)

    @property
    def cloud(self) -> Cloud:
        """The cloud without the points of the class. Raises BadInput without dense labels of its points."""
        cloud, kept = self._scene.cloud, self._truth() != self._number
        if cloud is None or len(cloud) != len(kept):
            raise BadInput(f"{self._scene.name}: expected a cloud with as many labels as points, to remove a class")
        return Cloud(cloud.xyz[kept], None if cloud.rgb is None else cloud.rgb[kept])

    def cloud_truth(self) -> UInt8[np.ndarray, "N"]:
        """The labels of the points that are left."""
        truth = self._truth()
        return truth[truth != self._number]

    def _truth(self) -> UInt8[np.ndarray, "N"]:
        truth = self._scene.cloud_truth()
        if truth is None:
            raise BadInput(f"{self._scene.name}: no dense labels, which tell the points of a class that is removed")
        return truth


def without_classes(
    scenes: Sequence[Scene], labels: LabelSpace, counts: Mapping[str, int], seed: int
) -> list[Scene | WithoutClass]:
    """The scenes, of which some random ones lose a class; none loses two.

    Args:
        scenes: tagged.
        labels: the classes.
        counts: how many scenes lose each class, by its name.
        seed: of the choice.

    Raises:
        BadInput: a name that is not a class, or fewer scenes with the tag than are to lose it.
    """
    found: list[Scene | WithoutClass] = list(scenes)
    order = np.random.default_rng(seed).permutation(len(scenes)).tolist()
    for label, count in counts.items():
        labels.index(label)
        chosen = [index for index in order if found[index] is scenes[index] and label in (scenes[index].tags or ())]
        if len(chosen) < count:
            raise BadInput(f"{count} scenes are to lose the class '{label}', but {len(chosen)} have its tag")
        for index in chosen[:count]:
            found[index] = WithoutClass(scenes[index], label, labels)
    return found
