"""What `wsss segment` labels: the frames and the cloud of a scene, a bag, or pictures."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from wsss_ros.bags.frames import BagFrames
from wsss_ros.geometry import parse_up
from wsss_ros.labels import TagList
from wsss_ros.scenes.derived import cloud_of, turns_of, up_of
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.scenes.images import read_photo
from wsss_ros.types import BadInput, Cloud, Frame, Scene


def _refuse(error: BadInput) -> None:
    raise error


@dataclass
class Source:
    """The input of segmentation: ``count`` frames with their tags, and a cloud with its direction against gravity.

    ``broken`` is called with the error of a frame that cannot be read. If it returns, the frame is left out.
    """

    name: str
    count: int
    frames: Callable[[], Iterator[tuple[Frame, TagList | None]]]
    cloud: Callable[[], Cloud | None]
    up: Callable[[], tuple[float, float, float]]
    tags: TagList | None = None
    scene: Scene | None = None
    turns: Callable[[], int] = lambda: 0  # that make the images upright, from the poses (geometry.mounted_turns)
    broken: Callable[[BadInput], None] = _refuse

    @classmethod
    def of_scene(cls, scene: Scene, frames: int = 0, up: str = "auto", tagged: bool = True) -> "Source":
        """The source of a scene: ``frames`` of its frames, spread evenly (0: all), and its cloud.

        The cloud is the scene's own, else it is fused from all frames. ``up`` is 'x,y,z', or 'auto' for ``up_of``.
        Only pseudo-labels need tags: where not ``tagged``, they are not read, so a fault in them does no harm.
        """
        chosen = spread(len(scene), frames)

        def views() -> Iterator[tuple[Frame, TagList | None]]:
            for index in chosen:
                tags = _listed(scene.image_tags(index), scene.image_unknown(index)) if tagged else None
                try:
                    frame = scene.frame(index)
                except BadInput as error:
                    made.broken(error)
                else:
                    yield frame, tags

        cloud, found = partial(cloud_of, scene), _direction(up, partial(up_of, scene))
        tags, turns = _listed(scene.tags, scene.unknown) if tagged else None, partial(turns_of, scene)
        made: Source = cls(scene.name, len(chosen), views, cloud, found, tags, scene, turns)
        return made

    @classmethod
    def of_bag(cls, bag: BagFrames, frames: int = 0, up: str = "auto") -> "Source":
        """The source of a bag: ``frames`` of its images, spread evenly (0: all), and its cloud.

        ``up`` is 'x,y,z' in the frame of the cloud, or 'auto' to find it there.
        """
        chosen = spread(len(bag), frames)
        views = lambda: ((frame, None) for frame in bag.frames(set(chosen), made.broken))  # noqa: E731
        made: Source = cls(bag.name, len(chosen), views, bag.cloud, _direction(up, bag.up), turns=bag.turns)
        return made

    @classmethod
    def of_pictures(cls, name: str, files: Sequence[Path], frames: int = 0) -> "Source":
        """The source of pictures without poses: ``frames`` of them, spread evenly (0: all), and no cloud.

        Raises BadInput for two of one name, whose results would have one name as well.
        """
        by_stem = {file.stem: file.name for file in files}
        if twice := next((file.name for file in files if by_stem[file.stem] != file.name), None):
            raise BadInput(
                f"{name}: {twice} and {by_stem[Path(twice).stem]} have one name; rename or remove one of them"
            )
        chosen = [files[index] for index in spread(len(files), frames)]

        def views() -> Iterator[tuple[Frame, TagList | None]]:
            for file in chosen:
                try:
                    rgb = read_photo(file)
                except BadInput as error:
                    made.broken(error)
                else:
                    yield Frame(rgb, name=file.stem), None

        made: Source = cls(name, len(chosen), views, lambda: None, lambda: (0.0, 0.0, 1.0))
        return made


def _direction(up: str, found: Callable[[], tuple[float, float, float]]) -> Callable[[], tuple[float, float, float]]:
    if up == "auto":
        return found
    x, y, z = map(float, parse_up(up))
    return lambda: (x, y, z)


def _listed(tags: tuple[str, ...] | None, unknown: tuple[str, ...]) -> TagList | None:
    return None if tags is None else TagList(tags, unknown=unknown)
