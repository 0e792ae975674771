"""Several scenes as one recording, as if a robot were carried from room to room."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from wsss_ros.bags.recording import BagConfig, Raw, SceneRecording
from wsss_ros.types import BadInput, Frame, Scene


class SceneSequence:
    """A recording of ``scenes`` in order at ``config.rate_hz`` frames per second, with gaps of ``config.gap_s``.

    Every scene keeps its own world frame. Raises BadInput without scenes or a rate, and as ``SceneRecording`` does.
    """

    def __init__(self, scenes: Sequence[Scene], config: BagConfig) -> None:
        if not scenes or not config.rate_hz:
            raise BadInput(f"{len(scenes)} scenes at {config.rate_hz} images a second; expected at least one of each")
        period_ns, start_ns, own = round(1e9 / config.rate_hz), 10**9, config.model_copy(update={"rate_hz": 0.0})
        self.parts = []
        for scene in scenes:
            shifted = _Shifted(scene, start_ns, period_ns)
            self.parts.append(SceneRecording(shifted, own))
            start_ns += len(scene) * period_ns + round(config.gap_s * 1e9)
        topics = {topic.name: topic for part in self.parts for topic in part.topics}
        self.topics = tuple(topics.values())

    def __len__(self) -> int:
        """Number of frames."""
        return sum(len(part) for part in self.parts)

    def raw(self) -> Iterator[Raw]:
        """Serialised messages in time order."""
        for part in self.parts:
            yield from part.raw()


class _Wrapped:
    """A scene that behaves like another one, apart from what a subclass changes."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    def __getattr__(self, name: str):
        return getattr(self._scene, name)

    def __len__(self) -> int:
        """Number of frames with a usable pose."""
        return len(self._scene)


class Stretch(_Wrapped):
    """``count`` consecutive frames of a scene, from ``first`` on, as a scene of their own."""

    def __init__(self, scene: Scene, first: int, count: int) -> None:
        super().__init__(scene)
        self._first, self._count = first, min(count, len(scene) - first)
        self.name = f"{scene.name}_{first}"

    def __len__(self) -> int:
        """Number of frames with a usable pose."""
        return self._count

    def frame(self, index: int) -> Frame:
        """The frame with this index in the stretch."""
        return self._scene.frame(self._first + index)

    def image_tags(self, index: int) -> tuple[str, ...] | None:
        """The tags of the frame with this index in the stretch, or None."""
        return self._scene.image_tags(self._first + index)

    def image_unknown(self, index: int) -> tuple[str, ...]:
        """The classes that are not judged in the frame with this index in the stretch."""
        return self._scene.image_unknown(self._first + index)

    def frame_truth(self, index: int) -> UInt8[np.ndarray, "H W"] | None:
        """The true labels of the frame with this index in the stretch, or None."""
        return self._scene.frame_truth(self._first + index)


class Untagged(_Wrapped):
    """A scene without its tags."""

    tag_file = tags = None
    unknown = ()

    def image_tags(self, index: int) -> None:
        """None: the frame's tags are hidden."""

    def image_unknown(self, index: int) -> tuple[str, ...]:
        """No class: the frame is untagged."""
        return ()


class _Shifted(_Wrapped):
    """A scene whose frames have stamps at equal distances, from ``start_ns`` on."""

    def __init__(self, scene: Scene, start_ns: int, period_ns: int) -> None:
        super().__init__(scene)
        self._start_ns, self._period_ns = start_ns, period_ns

    def frame(self, index: int) -> Frame:
        return replace(self._scene.frame(index), stamp_ns=self._start_ns + index * self._period_ns)
