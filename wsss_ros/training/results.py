"""The results of a training run: networks for inference, their scores on the validation scenes, and their files."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from wsss_ros.evaluation import calibration, offline
from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.evaluation.fused_scenes import fused_scenes
from wsss_ros.evaluation.photos import evaluate_photos
from wsss_ros.evaluation.tables import percent
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import LabelSpace
from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import Checkpoint
from wsss_ros.training import network_files
from wsss_ros.training.progress import Progress, Report
from wsss_ros.training.sources import ValPhotosConfig
from wsss_ros.training.state import RunState
from wsss_ros.types import KINDS, BadInput, Photos, Scene

log = logging.getLogger("wsss_ros")


def for_inference(run: RunState, kind: str) -> Checkpoint:
    """A network of the run as a checkpoint for inference."""
    settings = getattr(run.settings, kind)
    odds = _tag_log_odds(run) if kind == "image" and settings.presence_floor else None
    return network_files.for_inference(kind, settings, run.networks[kind], run.labels, odds)


def _tag_log_odds(run: RunState) -> tuple[float, ...] | None:
    """The tag prior of the last phase that trained the image network; None if that phase did not learn from tags.

    If no phase of this run has trained it so far, this is the tag prior in the checkpoint that it started from; None if
    that has other classes.
    """
    methods = [method for method in run.methods[: run.position.phase + 1] if method.phase.image is not None]
    if methods:
        priors = methods[-1].tag_priors()
        return None if priors is None else tuple(priors[0].tolist())
    weights = run.settings.image.weights
    if not weights:
        return None
    given = checkpoint.load(weights)
    return (given.config.tag_log_odds or None) if run.labels.has_classes_of(given.labels) else None


def scores_between(run: RunState) -> dict[str, dict]:
    """The validation scores of the networks of the current phase, by kind, to compare with those of the next phase.

    Empty without validation scenes, and after a phase that does not train segmentation.
    """
    if not run.data.val or not run.methods[run.position.phase].is_segmentation:
        return {}
    return {kind: _score(run, kind) for kind in run.settings.phases[run.position.phase].networks}


def finish(run: RunState, command: str) -> dict:
    """Score the networks, save them with their provenance, and log which scenes were left out. Returns the scores."""
    scores: dict[str, dict | None] = dict.fromkeys(KINDS)
    for kind in run.networks:
        scores[kind] = _score(run, kind) if run.data.val else None
        trained, known = for_inference(run, kind), _provenance(run, kind, command, scores[kind])
        if kind == "image" and run.data.val_photos:
            known["val_photos"] = _score_photos(run, trained)
            run.folder.write_json("photos.json", known["val_photos"])
        if run.settings.calibrate:
            trained = _calibrated(run, trained)
        path = run.folder.path / f"{kind}.safetensors"
        checkpoint.save(path, trained.network, trained.config, run.labels, known)
    run.board.add_scores(scores, run.position.total)
    for name, reason in run.data.left_out:
        log.warning("left out: %s: %s", name, reason)
    run.folder.write_json("data.json", run.data.summary(run.labels))
    run.folder.write_json("scores.json", scores)
    run.folder.state_path.unlink()
    return scores


def _score_photos(run: RunState, trained: Checkpoint) -> dict[str, dict]:
    """The scores of the image network on the photographs for validation, by the names of their collections."""
    segmenter, scores = ImageSegmenter(trained, run.settings.device), {}
    for given, photos in run.data.val_photos:
        try:
            scores[given.name] = _score_collection(run, segmenter, given, photos)
        except BadInput as error:
            run.data.left_out.append((given.name, f"not scored: {error}"))
    return scores


def _score_collection(run: RunState, segmenter: ImageSegmenter, given: ValPhotosConfig, photos: Photos) -> dict:
    steps = count(1)

    def done(_: str) -> None:
        run.report(Progress(f"score {given.name}", next(steps), len(photos), {}))

    scores = evaluate_photos(segmenter, [photos], run.labels, given.ignore, progress=done).compute()
    dense = [f"mIoU {percent(scores[part]['miou'])} % ({part} class)" for part in ("any", "tagged") if scores[part]]
    precision = f"average precision of tags {percent(scores['tags']['map'])} %"
    log.info("val photographs %s: %s", given.name, ", ".join([*dense, precision]))
    return scores


def save_last_good(run: RunState) -> str:
    """Write the networks of the last saved state as checkpoints; returns text for an error that names the files."""
    if not run.is_first:
        return "the first process has the last good weights"
    state = run.folder.load_state()
    if state is None:
        return "no weights were saved before that"
    files = []
    for kind, tensors in state["networks"].items():
        run.networks[kind].load_state_dict(tensors)
        good = for_inference(run, kind)
        files.append(str(run.folder.path / "last_good" / f"{kind}.safetensors"))
        checkpoint.save(files[-1], good.network, good.config, run.labels, {"position": state["position"]})
    return f"the last good weights, after {state['position']['total']} steps, are in {' and '.join(files)}"


def _provenance(run: RunState, kind: str, command: str, scores: dict | None) -> dict:
    """The record of the training that a checkpoint carries."""
    phases = [index for index, phase in enumerate(run.settings.phases) if kind in phase.optimisers]
    curves = run.position.curves
    val_by_phase = {curve["phase"]: curve.get("val", {}).get(kind) for curve in curves[:-1]}
    return {
        "command": command,
        "config": run.settings.model_dump(mode="json"),
        "samples": [len(run.methods[index].samples) for index in phases],
        "val": scores,
        "val_by_phase": {**run.earlier_scores[kind], **val_by_phase},
        "losses": [epoch for index in phases for epoch in curves[index]["epochs"]],
    }


def _score(run: RunState, kind: str) -> dict:
    """Score a network on the validation scenes. Raises BadInput when no scene can be scored."""
    data, device, cloud = run.settings.data, run.settings.device, run.settings.cloud
    segmenter = _segmenter(for_inference(run, kind), device, cloud.augment.scene_points if cloud else 0)
    scenes = _val_scenes(run, segmenter)
    scores, faults = _score_scenes(segmenter, scenes, run.labels, data.val_frames_per_scene, run.report)
    run.data.left_out.extend(fault for fault in faults if fault not in run.data.left_out)
    return scores


def _calibrated(run: RunState, trained: Checkpoint) -> Checkpoint:
    """The network with the temperature and ``min_confidence`` that fit the validation scenes.

    Without labelled validation scenes it stays as it is, with a warning.
    """
    cloud = run.settings.cloud
    segmenter = _segmenter(trained, run.settings.device, cloud.augment.scene_points if cloud else 0)
    try:
        classes = calibration.KnownClasses.between(run.labels, trained.labels)
        scenes = _val_scenes(run, segmenter)
        known, _, _ = calibration.scores_of(segmenter, scenes, classes, run.settings.data.val_frames_per_scene)
    except BadInput as error:
        log.warning("the confidence of the %s network is not calibrated: %s", trained.config.kind, error)
        return trained
    found = calibration.Calibration.of(known, trained.labels)
    run.folder.write_json(f"calibration_{trained.config.kind}.json", found.compute())
    fitted = replace(trained.config, temperature=found.temperature, min_confidence=found.min_confidence)
    return replace(trained, config=fitted)


def _segmenter(trained: Checkpoint, device: str, points: int) -> ImageSegmenter | CloudSegmenter:
    """The segmenter of a network of either kind; a cloud network processes ``points`` points at a time."""
    if trained.config.kind == "image":
        return ImageSegmenter(trained, device)
    return CloudSegmenter(trained, device, points=points)


def _val_scenes(run: RunState, segmenter: ImageSegmenter | CloudSegmenter) -> Sequence[Scene]:
    """The validation scenes as the network needs them: with labels of the run's image network in their clouds."""
    if isinstance(segmenter, ImageSegmenter) or not segmenter.takes_fused_labels:
        return run.data.val
    images = ImageSegmenter(for_inference(run, "image"), run.settings.device) if "image" in run.networks else None
    return fused_scenes(run.data.val, segmenter, images)


def _score_scenes(
    segmenter: ImageSegmenter | CloudSegmenter, scenes: Sequence[Scene], labels: LabelSpace, frames: int, report: Report
) -> tuple[dict, list[tuple[str, str]]]:
    """The scores over all scenes, with ``frames`` of each (0: all), and (name, reason) of each scene without a score.

    Raises BadInput when no scene can be scored.
    """
    matrix, faults, kind = ConfusionMatrix(labels), [], segmenter.kind
    for done, scene in enumerate(scenes, start=1):
        try:
            if isinstance(segmenter, ImageSegmenter):
                counted = offline.score_images(segmenter, [scene], labels, frames)
            else:
                counted = offline.score_clouds(segmenter, [scene], labels)
            matrix.counts += counted.counts
        except BadInput as error:
            faults.append((scene.name, f"not scored ({kind}): {error}"))
        report(Progress(f"score {kind}", done, len(scenes), {}))
    if len(faults) == len(scenes):
        raise BadInput(f"none of {len(faults)} val scenes can be scored; the first: {faults[0][0]} {faults[0][1]}")
    return matrix.compute(), faults
