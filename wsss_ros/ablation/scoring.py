"""Scores of one run's networks on the sets of an experiment: ``scores_SET.json`` in the folder of the run."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from wsss_ros.ablation import pseudo_labels
from wsss_ros.ablation.experiment import (
    PRETRAIN,
    ExperimentConfig,
    PseudoLabelsConfig,
    Run,
    ScoredSet,
    trained_networks,
)
from wsss_ros.config import Config
from wsss_ros.evaluation.fused_scenes import FusedScene, fused_scenes
from wsss_ros.evaluation.offline import (
    Comparison,
    Evaluation,
    NetworkPredictions,
    evaluate_clouds,
    evaluate_images,
    logged,
)
from wsss_ros.files import read_json, write_json
from wsss_ros.fusion.network_input import FusedInput
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import labels_named
from wsss_ros.labels.of_checkpoint import PREVIOUS_KINDS
from wsss_ros.training.scene_set import SceneSetConfig, open_scene_set
from wsss_ros.types import Scene


def missing_sets(run: Run, settings: ExperimentConfig) -> dict[str, ScoredSet]:
    """Return the sets, by name, that the run is not scored on yet as ``settings`` ask."""
    folder, sets = Path(settings.output) / run.name, settings.scored_sets
    return {name: sets[name] for name in run.sets if not _is_scored(folder, name, _asked(sets[name], run, settings))}


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


def _is_scored(folder: Path, name: str, asked: dict) -> bool:
    file = folder / f"scores_{name}.json"
    return file.is_file() and _filled(read_json(file)["asked"]) == asked


def _filled(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What the scores in a file were asked for, with the defaults of options that are newer than the file."""
    models: dict[str, type[Config]] = {
        "scenes": SceneSetConfig,
        "pseudo_labels": PseudoLabelsConfig,
        "fused": FusedInput,
    }
    return {
        name: models[name].model_validate(value).model_dump(mode="json") if name in models else value
        for name, value in asked.items()
    }


def _asked(chosen: ScoredSet, run: Run, settings: ExperimentConfig) -> dict:
    """What the scores depend on besides the networks."""
    frames, points = settings.data.val_frames_per_scene, _points(run, settings)
    further = {"pseudo_labels": chosen.pseudo, "fused": chosen.fused}
    parts = {name: part.model_dump(mode="json") for name, part in further.items() if part is not None}
    return {"scenes": chosen.scenes.model_dump(mode="json"), "frames_per_scene": frames, "points": points, **parts}


def _points(run: Run, settings: ExperimentConfig) -> int:
    return (run.cloud or settings.cloud).augment.scene_points


def _scores(run: Run, chosen: ScoredSet, settings: ExperimentConfig) -> dict:
    """The scores of the networks that the row has trained; not of one that is as the pretraining left it."""
    own = {kind for each in run.chain if each.name != PRETRAIN for kind in each.kinds}
    files = {kind: file for kind, file in trained_networks(run, settings).items() if kind in own}
    if chosen.pseudo is not None:
        matrices = pseudo_labels.score(files, chosen, settings)
    else:
        evaluations = _evaluations(files, chosen, _points(run, settings), settings)
        matrices = {kind: logged(each).matrix for kind, each in evaluations.items()}
    return {"asked": _asked(chosen, run, settings), **{kind: matrix.compute() for kind, matrix in matrices.items()}}


@dataclass(frozen=True)
class FusedLabels:
    """The fused labels of images as ``Predictions`` of clouds."""

    images: ImageSegmenter
    fusion: FusedInput

    def image(self, scene: Scene, index: int) -> UInt8[np.ndarray, "H W"]:
        """Labels of one frame by the image network."""
        return self.images(scene.frame(index))[0]

    def cloud(self, scene: Scene) -> UInt8[np.ndarray, "N"]:
        """The fused label of each point of the scene's cloud."""
        return FusedScene(scene, self.images, self.fusion).cloud.fused_label


def _evaluations(
    files: Mapping[str, Path], chosen: ScoredSet, points: int, settings: ExperimentConfig
) -> dict[str, Evaluation]:
    labels = labels_named(settings.labels)
    scenes, _ = open_scene_set(chosen.scenes, labels)
    images = ImageSegmenter(files["image"], settings.device) if "image" in files else None
    if chosen.fused is not None:
        fused = FusedLabels(images, chosen.fused)
        return {"cloud": evaluate_clouds(fused, scenes, Comparison.between(labels, images.labels))}
    clouds = CloudSegmenter(files["cloud"], settings.device, points=points) if "cloud" in files else None
    predictions = NetworkPredictions(images, clouds)
    found = {}
    if images:
        comparison = Comparison.between(labels, images.labels)
        found["image"] = evaluate_images(predictions, scenes, comparison, settings.data.val_frames_per_scene)
    if clouds:
        needed = fused_scenes(scenes, clouds, images)
        found["cloud"] = evaluate_clouds(predictions, needed, Comparison.between(labels, clouds.labels))
    return found
