"""Scores of one run's networks on the sets of an experiment: ``scores_SET.json`` in the folder of the run."""

from collections.abc import Callable, Mapping
from pathlib import Path

from wsss_ros.ablation import pseudo_labels
from wsss_ros.ablation.experiment import ExperimentConfig, Run, ScoredSet, trained_networks
from wsss_ros.evaluation.offline import (
    Comparison,
    Evaluation,
    NetworkPredictions,
    evaluate_clouds,
    evaluate_images,
    logged,
)
from wsss_ros.files import read_json, write_json
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import labels_named
from wsss_ros.networks.checkpoint import PREVIOUS_KINDS
from wsss_ros.training.scene_set import open_scene_set


def missing_sets(run: Run, settings: ExperimentConfig) -> dict[str, ScoredSet]:
    """Return the sets, by name, that the run is not scored on yet as ``settings`` ask."""
    folder, sets = Path(settings.output) / run.name, settings.scored_sets
    return {name: sets[name] for name in run.sets if not _is_scored(folder, name, sets[name], settings)}


def score(run: Run, settings: ExperimentConfig, report: Callable[[str, int], None] = lambda name, done: None) -> None:
    """Score the networks of a trained run on its missing sets. ``report(set, 0 or 1)`` is called around each."""
    folder = Path(settings.output) / run.name
    for name, chosen in missing_sets(run, settings).items():
        report(name, 0)
        write_json(folder / f"scores_{name}.json", _scores(run, chosen, settings))
        report(name, 1)


def read_by_kind(path: Path) -> dict:
    """Read a JSON object with a key for each network; in earlier runs the cloud network has its previous name."""
    return {PREVIOUS_KINDS.get(kind, kind): value for kind, value in read_json(path).items()}


def _is_scored(folder: Path, name: str, chosen: ScoredSet, settings: ExperimentConfig) -> bool:
    file = folder / f"scores_{name}.json"
    return file.is_file() and read_json(file)["asked"] == _asked(chosen, settings)


def _asked(chosen: ScoredSet, settings: ExperimentConfig) -> dict:
    """What the scores depend on besides the networks."""
    frames, points = settings.data.val_frames_per_scene, settings.cloud.augment.points
    pseudo = {} if chosen.pseudo is None else {"pseudo_labels": chosen.pseudo.model_dump(mode="json")}
    return {"scenes": chosen.scenes.model_dump(mode="json"), "frames_per_scene": frames, "points": points, **pseudo}


def _scores(run: Run, chosen: ScoredSet, settings: ExperimentConfig) -> dict:
    """The scores of the networks that there are after a run."""
    files = trained_networks(run, settings)
    if chosen.pseudo is not None:
        matrices = pseudo_labels.score(files, chosen, settings)
    else:
        matrices = {kind: logged(each).matrix for kind, each in _evaluations(files, chosen, settings).items()}
    return {"asked": _asked(chosen, settings), **{kind: matrix.compute() for kind, matrix in matrices.items()}}


def _evaluations(files: Mapping[str, Path], chosen: ScoredSet, settings: ExperimentConfig) -> dict[str, Evaluation]:
    labels = labels_named(settings.labels)
    scenes, _ = open_scene_set(chosen.scenes, labels)
    images = ImageSegmenter(files["image"], settings.device) if "image" in files else None
    points = settings.cloud.augment.points
    clouds = CloudSegmenter(files["cloud"], settings.device, points=points) if "cloud" in files else None
    predictions = NetworkPredictions(images, clouds)
    found = {}
    if images:
        comparison = Comparison.between(labels, images.labels)
        found["image"] = evaluate_images(predictions, scenes, comparison, settings.data.val_frames_per_scene)
    if clouds:
        found["cloud"] = evaluate_clouds(predictions, scenes, Comparison.between(labels, clouds.labels))
    return found
