"""What trained networks reach on the val scenes, and what those that a run starts from had reached."""

from collections.abc import Sequence

from wsss_ros.evaluation import offline
from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import LabelSpace
from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import Checkpoint
from wsss_ros.training.progress import Progress, Report
from wsss_ros.types import BadInput, Scene


def segmenter(trained: Checkpoint, device: str, points: int) -> ImageSegmenter | CloudSegmenter:
    """A network of either kind at work; a cloud network sees ``points`` points at once."""
    if trained.config.kind == "image":
        return ImageSegmenter(trained, device)
    return CloudSegmenter(trained, device, points=points)


def score(
    segmenter: ImageSegmenter | CloudSegmenter, scenes: Sequence[Scene], labels: LabelSpace, frames: int, report: Report
) -> tuple[dict, list[tuple[str, str]]]:
    """Scores over all scenes, ``frames`` of each (0: all), and (name, reason) of those that cannot be scored.

    Raises BadInput when none can.
    """
    matrix, faults, kind = ConfusionMatrix(labels), [], segmenter.kind
    for done, scene in enumerate(scenes, start=1):
        try:
            if kind == "image":
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


def before(weights: str, kind: str) -> dict[str, dict | None]:
    """What the checkpoint that a run starts from had reached on val, phase by phase, by command; {} without one."""
    if not weights:
        return {}
    known = checkpoint.load(weights, kind).training
    command = known.get("command")
    phases = known.get("val_by_phase", {}).items()
    reached = {name if " of " in name else f"{name} of {command}": val for name, val in phases}
    return {**reached, f"all of {command}": known["val"]} if known.get("val") else reached
