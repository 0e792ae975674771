"""Choosing frames of a scene."""

from collections.abc import Sequence
from typing import TypeVar

from wsss_ros.types import Scene

Item = TypeVar("Item")


def spread(count: int, chosen: int) -> list[int]:
    """``chosen`` indices spread evenly over ``range(count)``; all indices if ``chosen`` is 0 or at least ``count``."""
    if chosen == 0 or chosen >= count:
        return list(range(count))
    return [round((i + 0.5) * count / chosen - 0.5) for i in range(chosen)]


def spread_over(items: Sequence[Item], chosen: int) -> list[Item]:
    """``chosen`` of the items, spread evenly; all if there are not more."""
    return [items[index] for index in spread(len(items), chosen)]


def tagged_frames(scene: Scene, count: int = 0) -> list[int]:
    """Indices of ``count`` frames spread evenly over the frames with tags; 0 takes all frames with tags."""
    tagged = [index for index in range(len(scene)) if scene.image_tags(index)]
    return [tagged[position] for position in spread(len(tagged), count)]


def training_frames(scene: Scene, count: int = 0) -> list[int]:
    """Indices of ``count`` frames spread evenly over the scene; 0 takes all.

    If a person tagged some of the frames, only these are used: training needs tags.
    """
    by_hand = getattr(scene, "tag_file", None) is not None
    return (tagged_frames(scene, count) if by_hand else []) or spread(len(scene), count)
