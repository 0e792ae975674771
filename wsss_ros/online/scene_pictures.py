"""Pictures of a scene without truth: the same frames and the cloud, by each version of the weights."""

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from wsss_ros.evaluation import pictures
from wsss_ros.geometry import compact
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import LabelSpace
from wsss_ros.online.records import Log, candidate_files
from wsss_ros.online.versions import FIRST, at
from wsss_ros.scenes.derived import cloud_of, upright_rotation
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.types import KINDS, Cloud, Scene

_FRAMES = 8  # in the picture
_WIDTH = 320  # of one image in the picture, pixels


def write(scene: Scene, online: Path, labels: LabelSpace, folder: Path) -> list[Path]:
    """Write frames.png and cloud.png into ``folder`` and return their paths; ``online`` is the trainer's folder."""
    titles, images = zip(*proposed(online, "image"), strict=True)
    of_frames = frames(scene, ["RGB", *titles], [ImageSegmenter(path) for path in images], labels)
    titles, clouds = zip(*proposed(online, "cloud"), strict=True)
    of_cloud = cloud(scene, ["RGB", *titles], [CloudSegmenter(path) for path in clouds], labels)
    return [pictures.save(of_frames, folder / "frames.png"), pictures.save(of_cloud, folder / "cloud.png")]


def proposed(online: Path, kind: str) -> list[tuple[str, Path]]:
    """List titles with checkpoints of a kind: the first one, and what each round proposed, also if refused."""
    place = KINDS.index(kind)
    found = [("before", _files(online, FIRST)[place])]
    for decision in Log(online / "rounds.jsonl").decisions:
        if decision.took(kind):
            found.append((f"after round {decision.round}", _files(online, decision.version)[place]))
        elif decision.judged:
            files = candidate_files(online / "rounds" / f"{decision.round:04d}")
            found.append((f"refused in round {decision.round}", files[place]))
    return found


def _files(online: Path, version: str) -> tuple[Path, Path]:
    known = at(online / "weights", version)
    return known.image, known.cloud


def frames(
    scene: Scene, titles: Sequence[str], segmenters: Sequence[ImageSegmenter], labels: LabelSpace
) -> Image.Image:
    """Draw frames spread over the scene, a column for each segmenter."""
    rows, seen = [], set()
    for index in spread(len(scene), _FRAMES):
        frame = scene.frame(index)
        found = [segmenter(frame)[0] for segmenter in segmenters]
        seen |= {name for each in found for name in labels.present(each)}
        painted = [pictures.blend(frame.rgb, labels.colorize(each), 0.6) for each in found]
        rows.append([pictures.scaled(picture, _WIDTH) for picture in (frame.rgb, *painted)])
    return pictures.labelled_sheet(titles, rows, labels, seen)


def cloud(scene: Scene, titles: Sequence[str], segmenters: Sequence[CloudSegmenter], labels: LabelSpace) -> Image.Image:
    """Draw the cloud of the scene, a column for each segmenter."""
    own = cloud_of(scene)
    level = Cloud(compact(own.xyz @ upright_rotation(scene).T), own.rgb)
    found = [segmenter(level)[0] for segmenter in segmenters]
    row = [pictures.render_cloud(level.xyz, rgb) for rgb in (level.rgb, *map(labels.colorize, found))]
    seen = {name for each in found for name in labels.present(each)}
    return pictures.labelled_sheet(titles, [row], labels, seen)
