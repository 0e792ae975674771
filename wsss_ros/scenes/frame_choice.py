"""Which frames of a scene are used, where not all of them are."""

from wsss_ros.types import Scene


def spread(count: int, wanted: int) -> list[int]:
    """``wanted`` indices spread evenly over ``count``; all of them where ``wanted`` is 0 or not below ``count``."""
    if wanted in (0, count) or wanted > count:
        return list(range(count))
    return [round((i + 0.5) * count / wanted - 0.5) for i in range(wanted)]


def tagged_frames(scene: Scene, count: int = 0) -> list[int]:
    """``count`` frames spread evenly over those that have tags (0: all of those)."""
    tagged = [index for index in range(len(scene)) if scene.image_tags(index)]
    return [tagged[position] for position in spread(len(tagged), count)]


def training_frames(scene: Scene, count: int = 0) -> list[int]:
    """``count`` frames spread evenly (0: all).

    Where a person tagged some of the frames, only those: the others have nothing to learn from.
    """
    by_hand = getattr(scene, "tag_file", None) is not None
    return (tagged_frames(scene, count) if by_hand else []) or spread(len(scene), count)
