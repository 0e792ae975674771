"""Scores of the labels that networks give to the scenes they were trained on, whose tags they know."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from wsss_ros.ablation.experiment import ExperimentConfig, ScoredSet
from wsss_ros.device import device_named
from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.labels import UNLABELLED, LabelSpace, labels_named
from wsss_ros.methods.densify.labels import labels_by_primitives, primitive_classes
from wsss_ros.methods.densify.phase import PrimitiveOptions
from wsss_ros.methods.teacher_labels import resized
from wsss_ros.methods.wsegpc.stage_two import frame_labels, point_labels
from wsss_ros.networks import checkpoint
from wsss_ros.samples.prepared import PreparedScene, prepare
from wsss_ros.samples.scene_regions import with_regions
from wsss_ros.samples.superpoints import with_superpoints
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.training.scene_set import open_scene_set
from wsss_ros.types import BadInput


@torch.inference_mode()
def score(files: Mapping[str, Path], chosen: ScoredSet, settings: ExperimentConfig) -> dict[str, ConfusionMatrix]:
    """The confusion matrix of each network over all scenes; of images over some frames, spread evenly.

    Labels are made as WSegPC makes them: the class with the largest mean probability in the region, among the tags.
    Without regions each point and pixel is one. With primitives, a point has the class of the nearest primitive whose
    class is among the tags; images have no labels then.
    """
    pseudo = chosen.pseudo
    assert pseudo is not None
    found = {kind: checkpoint.load(path, kind) for kind, path in files.items()}
    device, labels = device_named(settings.device), labels_named(settings.labels)
    networks = {kind: each.network.to(device).eval() for kind, each in found.items()}
    matrices = {kind: ConfusionMatrix(labels) for kind in files}
    scenes = _with_truth(chosen, settings, labels)
    if pseudo.primitives is not None:
        if "cloud" not in files:
            raise BadInput("pseudo_labels.primitives: the row trains no cloud network; leave the option out")
        cloud = networks["cloud"], settings.cloud.augment.points, found["cloud"].config.inputs
        return {"cloud": _of_primitives(scenes, *cloud, pseudo.primitives, labels)}
    for scene in with_regions(scenes, pseudo.regions) if pseudo.regions else map(_without_regions, scenes):
        if "image" in files and scene.frame_truth is not None:
            for frame in spread(len(scene.poses), settings.data.val_frames_per_scene):
                tags, known = scene.image_tags[frame], scene.image_known[frame]
                if pseudo.image_tags == "scene":
                    tags, known = scene.tags, scene.known
                size = found["image"].config.long_side or max(scene.image(frame).shape[1:])
                own = frame_labels(networks["image"], scene, frame, tags, known, (size,), pseudo.centring)
                truth = scene.frame_truth[frame]
                matrices["image"].update(resized(own, *truth.shape), truth)
        if "cloud" in files and scene.cloud_truth is not None:
            inputs = found["cloud"].config.inputs
            points = settings.cloud.augment.points
            own = point_labels(networks["cloud"], scene, points, inputs, pseudo.centring)
            matrices["cloud"].update(own, scene.cloud_truth)
    return matrices


def _of_primitives(
    scenes: Sequence[PreparedScene],
    network: torch.nn.Module,
    points: int,
    inputs: tuple[str, ...],
    options: PrimitiveOptions,
    labels: LabelSpace,
) -> ConfusionMatrix:
    """The confusion matrix of the labels that the primitives of the scenes give alone."""
    matrix = ConfusionMatrix(labels)
    scenes = with_superpoints(scenes, options.superpoints, options.hand_made)
    classes = primitive_classes(network, scenes, points, inputs, options)
    for scene in scenes:
        if scene.cloud_truth is not None:
            tags = torch.from_numpy(np.array(scene.tags))
            own = labels_by_primitives(network, scene, points, inputs, classes, tags).cpu().numpy()
            matrix.update(np.where(own < 0, UNLABELLED, own).astype(np.uint8), scene.cloud_truth)
    return matrix


def _with_truth(chosen: ScoredSet, settings: ExperimentConfig, labels: LabelSpace) -> Sequence[PreparedScene]:
    """The scenes as the runs train on them, with their dense labels."""
    data, long_side = settings.data, settings.image.augment.long_side[1]
    scenes, _ = open_scene_set(chosen.scenes, labels)
    return prepare(scenes, labels, data.cache, data.frames_per_scene, long_side, data.visibility_m, True).scenes


def _without_regions(scene: PreparedScene) -> PreparedScene:
    """The scene with each point and pixel for itself."""
    alone = np.full(len(scene.xyz), -1, np.int32)
    return replace(scene, region=alone, frame_region=np.full((len(scene.poses), 1, 1), -1, np.int32))
