"""Scores of one run's networks on the sets of the ablation: ``scores_SET.json`` in the folder of the run."""

from collections.abc import Callable
from pathlib import Path

from wsss_ros.ablation.rows import PRETRAIN, ROWS, Run, scene_sets
from wsss_ros.ablation.settings import AblationConfig
from wsss_ros.evaluation import offline
from wsss_ros.files import read_json, write_json
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import labels_named
from wsss_ros.networks.checkpoint import PREVIOUS_KINDS, file_of
from wsss_ros.training.scene_set import SceneSetConfig, open_scene_set


def missing_sets(run: Run, settings: AblationConfig) -> dict[str, SceneSetConfig]:
    """Return the sets, by name, that the run is not scored on yet as ``settings`` ask."""
    folder = Path(settings.output) / run.name
    sets = _sets(run, settings)
    return {name: chosen for name, chosen in sets.items() if not _is_scored(folder, name, chosen, settings)}


def score(run: Run, settings: AblationConfig, report: Callable[[str, int], None] = lambda name, done: None) -> None:
    """Score the networks of a trained run on its missing sets. ``report(set, 0 or 1)`` is called around each."""
    folder = Path(settings.output) / run.name
    for name, chosen in missing_sets(run, settings).items():
        report(name, 0)
        write_json(folder / f"scores_{name}.json", _scores(folder, chosen, settings))
        report(name, 1)


def read_by_kind(path: Path) -> dict:
    """Read a JSON object with a key for each network; in earlier runs the cloud network has its previous name."""
    return {PREVIOUS_KINDS.get(kind, kind): value for kind, value in read_json(path).items()}


def _sets(run: Run, settings: AblationConfig) -> dict[str, SceneSetConfig]:
    """Rows are scored on all sets; phase one, from which they only start, on val alone."""
    if run.row == PRETRAIN:
        return {}
    return {name: chosen for name, chosen in scene_sets(settings).items() if run.row in ROWS or name == "val"}


def _is_scored(folder: Path, name: str, chosen: SceneSetConfig, settings: AblationConfig) -> bool:
    file = folder / f"scores_{name}.json"
    return file.is_file() and read_json(file)["asked"] == _asked(chosen, settings)


def _asked(chosen: SceneSetConfig, settings: AblationConfig) -> dict:
    """What the scores depend on besides the networks."""
    frames, points = settings.data.val_frames_per_scene, settings.cloud.augment.points
    return {"scenes": chosen.model_dump(mode="json"), "frames_per_scene": frames, "points": points}


def _scores(folder: Path, chosen: SceneSetConfig, settings: AblationConfig) -> dict:
    labels = labels_named(settings.labels)
    scenes, _ = open_scene_set(chosen, labels)
    images = ImageSegmenter(file_of(folder, "image"), settings.device)
    clouds = CloudSegmenter(file_of(folder, "cloud"), settings.device, points=settings.cloud.augment.points)
    return {
        "asked": _asked(chosen, settings),
        "image": offline.score_images(images, scenes, labels, settings.data.val_frames_per_scene).compute(),
        "cloud": offline.score_clouds(clouds, scenes, labels).compute(),
    }
