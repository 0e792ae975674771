"""Evaluation of labels on scenes with truth, by ScanNet's rules.

There is one confusion matrix over all scenes. Every pixel and every point counts. Truth outside the classes is skipped;
an invalid prediction is a miss. IoU = hits / (hits + misses + false alarms), where false alarms count only on pixels
and points whose truth is scored.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, UInt8

from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.files import read_json
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import LabelSpace
from wsss_ros.scenes import ply
from wsss_ros.scenes.derived import up_of
from wsss_ros.scenes.frame_choice import spread
from wsss_ros.scenes.images import read_uint16
from wsss_ros.types import BadInput, Scene

log = logging.getLogger("wsss_ros")

IMAGE_LABELS = "label-filt"  # folder of PNGs with class ids, one for each frame
NOTE = "segment.json"  # file that records the source, the weights and the label space of predictions
POINT_LABELS = ".labels.ply"  # end of the file name of a labelled cloud

Among = Literal["all", "shared"]


class NoTruth(BadInput):
    """A scene has no truth to score."""


class UnusablePrediction(BadInput):
    """A prediction is missing, broken or of the wrong size.

    This ends the evaluation: scores without the prediction would be too high.
    """


@runtime_checkable
class Predictions(Protocol):
    """Labels for scenes, from networks or from files. Both methods may raise UnusablePrediction."""

    def image(self, scene: Scene, index: int) -> UInt8[np.ndarray, "H W"]:
        """Labels of one frame."""

    def cloud(self, scene: Scene) -> UInt8[np.ndarray, "N"]:
        """Labels of the scene's cloud."""


@dataclass(frozen=True)
class Comparison:
    """The scored classes, which truth and predictions share, and the tables that map the labels of both to them.

    ``labels`` has the shared classes under the names of the truth. The tables map labels of truth and of predictions to
    these classes; other labels become 255. ``present`` is a multi-hot vector of the classes that the network may
    predict, None for all.
    """

    labels: LabelSpace
    truth_table: UInt8[np.ndarray, "256"]
    prediction_table: UInt8[np.ndarray, "256"]
    among: Among
    present: Float32[np.ndarray, "C"] | None

    @classmethod
    def between(cls, truth: LabelSpace, predicted: LabelSpace, among: Among = "all") -> "Comparison":
        """Compare two label spaces. True classes that the predictions do not have are skipped.

        The paper (Table 4) scores "only on the overlapped class" and does not define how a prediction of another class
        counts. With ``among="all"``, the default, the network may predict all its classes, and a prediction of a class
        that is not shared is a miss; labels from files are scored in the same way. With ``among="shared"`` the network
        may predict shared classes only, so it knows the classes of the data set.
        Raises BadInput when no class is shared.
        """
        shared = truth.shared(predicted)
        if not shared:
            raise BadInput(
                f"label spaces '{truth.name}' ({', '.join(truth.names)}) and '{predicted.name}' "
                f"({', '.join(predicted.names)}) share no class; use weights trained for the scenes' classes"
            )
        of_truth, of_prediction, names = zip(*shared, strict=True)
        equal = len(shared) == len(truth) == len(predicted)
        space = LabelSpace(
            truth.name if equal else f"{truth.name} and {predicted.name}",
            names,
            tuple(truth.colors[index] for index in of_truth),
            tuple(truth.ids[index] for index in of_truth),
        )
        present = np.zeros(len(predicted), np.float32)
        present[list(of_prediction)] = 1
        tables = truth.table_to(space), predicted.table_to(space)
        return cls(space, *tables, among, None if equal or among == "all" else present)


@dataclass
class NetworkPredictions:
    """Predictions of networks. With ``present``, a multi-hot vector, they predict its classes only.

    Labels with less confidence than ``min_confidence`` are unlabelled, and so misses (-1: than the weights recommend).
    """

    images: ImageSegmenter | None = None
    clouds: CloudSegmenter | None = None
    present: Float32[np.ndarray, "C"] | None = None
    min_confidence: float = 0.0

    def image(self, scene: Scene, index: int) -> UInt8[np.ndarray, "H W"]:
        """Labels of one frame by the image network."""
        found = self.images(scene.frame(index), present=self.present)
        return self.images.drop_unsure(*found, self.min_confidence)

    def cloud(self, scene: Scene) -> UInt8[np.ndarray, "N"]:
        """Labels of the scene's cloud by the cloud network."""
        found = self.clouds(scene.cloud, up_of(scene), self.present)
        return self.clouds.drop_unsure(*found, self.min_confidence)


@dataclass(frozen=True)
class FilePredictions:
    """Predictions in a folder, as ``wsss segment`` writes them; ``labels`` is the label space of their class ids.

    The predictions of a scene are in ``folder/NAME`` or, for a single scene, in ``folder`` itself:
    ``label-filt/FRAME.png`` and ``*.labels.ply``. A file ``folder/NAME.txt`` in the benchmark's format, one id on each
    line, is read, too. The benchmark's images are not read: they are on the pixels of the colour camera, but the truth
    is on those of the depth camera.
    """

    folder: Path
    labels: LabelSpace

    def image(self, scene: Scene, index: int) -> UInt8[np.ndarray, "H W"]:
        """Labels of one frame. Raises UnusablePrediction when they are missing or broken."""
        path = self._of(scene) / IMAGE_LABELS / f"{scene.frame(index).name or index}.png"
        if not path.is_file():
            raise UnusablePrediction(f"{path}: no such prediction; segment '{scene.name}' with the frames scored here")
        try:
            return self.labels.from_ids(read_uint16(path, "image of class ids"))
        except BadInput as error:
            raise UnusablePrediction(str(error)) from error

    def cloud(self, scene: Scene) -> UInt8[np.ndarray, "N"]:
        """Labels of the scene's cloud. Raises UnusablePrediction when they are missing or broken."""
        try:
            return self.labels.from_ids(self._cloud_ids(scene))
        except UnusablePrediction:
            raise
        except BadInput as error:
            raise UnusablePrediction(str(error)) from error

    def _of(self, scene: Scene) -> Path:
        return self.folder / scene.name if (self.folder / scene.name).is_dir() else self.folder

    def _cloud_ids(self, scene: Scene) -> np.ndarray:
        text, found = self.folder / f"{scene.name}.txt", sorted(self._of(scene).glob(f"*{POINT_LABELS}"))
        if text.is_file() and not found:
            return read_ids(text)
        if len(found) != 1:
            what = f"{len(found)} files" if found else "no file"
            raise UnusablePrediction(
                f"{self._of(scene)}: {what} '*{POINT_LABELS}', and no {text}; expected one for this scene"
            )
        vertices = ply.read(found[0])
        if "label" not in vertices.dtype.names:
            raise UnusablePrediction(f"{found[0]}: has {', '.join(vertices.dtype.names)}; expected a property 'label'")
        return _checked_ids(found[0], vertices["label"])


def noted_label_space(folder: Path) -> LabelSpace | None:
    """The label space in the note (``NOTE``) of a folder of predictions or of its first scene; None without a note.

    Raises BadInput when the note is broken.
    """
    notes = [folder / NOTE, *sorted(folder.glob(f"*/{NOTE}"))]
    path = next((path for path in notes if path.is_file()), None)
    if path is None:
        return None
    try:
        return LabelSpace.from_dict(read_json(path)["labels"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadInput(f"{path}: {error!r}; expected the note of 'wsss segment', with 'labels'") from error


def read_ids(path: Path) -> np.ndarray:
    """Read class ids from a text file, one on each line. Raises UnusablePrediction naming the file."""
    try:
        return _checked_ids(path, np.array(path.read_text().split(), np.int64))
    except (ValueError, OverflowError) as error:
        raise UnusablePrediction(f"{path}: {error}; expected one class id on each line") from error


def _checked_ids(path: Path, ids: np.ndarray) -> np.ndarray:
    ids = ids.astype(np.int64)
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < 65536:
        found = f"class ids from {ids.min()} to {ids.max()}"
        raise UnusablePrediction(f"{path}: {found}; expected 0 to 65535 (0: no class)")
    return ids


@dataclass
class Evaluation:
    """The result for one domain.

    ``scenes`` holds (name, mIoU in percent or None) of each scored scene, ``left_out`` (name, reason) of the others;
    ``images`` is the number of scored images. ``unread`` has (name, reason) of the frames that cannot be read, and
    ``broken`` counts the scenes of ``left_out`` that cannot.
    """

    matrix: ConfusionMatrix
    scenes: list[tuple[str, float | None]] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    images: int = 0
    unread: list[tuple[str, str]] = field(default_factory=list)
    broken: int = 0

    def compute(self) -> dict:
        """The scores and the counts of the matrix (rows: true classes; last column: no class), ready for JSON."""
        counts: dict = {"images": self.images} if self.images else {}
        counts |= {"unread": dict(self.unread)} if self.unread else {}
        return {
            **self.matrix.compute(),
            **counts,
            "classes": list(self.matrix.labels.names),
            "confusion": self.matrix.counts.tolist(),
            "scenes": dict(self.scenes),
            "left_out": dict(self.left_out),
        }


def evaluate_images(
    predictions: Predictions,
    scenes: Iterable[Scene],
    comparison: Comparison,
    frames_per_scene: int = 0,
    progress: Callable[[str], None] = lambda scene: None,
) -> Evaluation:
    """Score ``frames_per_scene`` frames spread evenly over each scene (0: all). Frames without truth are skipped.

    A frame that cannot be read is left out, and so is a scene without truth or without a frame that can be read, with
    the reason. ``progress`` is called with the name of each scene when it is done. Raises BadInput when no scene is
    left, and UnusablePrediction as ``predictions`` do.
    """

    def score(scene: Scene, result: Evaluation) -> None:
        unread: list[tuple[str, str]] = []
        before = result.images
        for index in spread(len(scene), frames_per_scene):
            where = f"{scene.name}, frame {index}"
            try:
                if (truth := scene.frame_truth(index)) is not None:
                    _update(result.matrix, comparison, predictions.image(scene, index), truth, where)
                    result.images += 1
            except UnusablePrediction:
                raise
            except (BadInput, OSError) as error:
                unread.append((where, str(error)))
        if result.images == before and unread:
            raise BadInput(f"none of its {len(scene)} frames can be scored; {unread[0][1]}")
        if result.images == before:
            raise NoTruth(f"none of its {len(scene)} frames has truth")
        result.unread += unread

    return _evaluate(scenes, comparison, score, progress, "images")


def evaluate_clouds(
    predictions: Predictions,
    scenes: Iterable[Scene],
    comparison: Comparison,
    progress: Callable[[str], None] = lambda scene: None,
) -> Evaluation:
    """Score every point of every scene. The rest, and the exceptions, are as for ``evaluate_images``."""

    def score(scene: Scene, result: Evaluation) -> None:
        if (truth := scene.cloud_truth()) is None:
            raise NoTruth("its points have no truth")
        _update(result.matrix, comparison, predictions.cloud(scene), truth, f"{scene.name}, cloud")

    return _evaluate(scenes, comparison, score, progress, "clouds")


def _update(
    matrix: ConfusionMatrix, comparison: Comparison, predicted: np.ndarray, truth: np.ndarray, where: str
) -> None:
    if predicted.shape != truth.shape:
        sizes = [" x ".join(map(str, reversed(array.shape))) for array in (predicted, truth)]
        raise UnusablePrediction(
            f"{where}: predictions of size {sizes[0]}, truth of size {sizes[1]}; predict at the size of the truth"
        )
    matrix.update(comparison.prediction_table[predicted], comparison.truth_table[truth])


def _evaluate(
    scenes: Iterable[Scene],
    comparison: Comparison,
    score: Callable[[Scene, Evaluation], None],
    progress: Callable[[str], None],
    what: str,
) -> Evaluation:
    result = Evaluation(ConfusionMatrix(comparison.labels))
    for scene in scenes:
        part = Evaluation(ConfusionMatrix(comparison.labels))
        try:
            score(scene, part)
        except UnusablePrediction:
            raise
        except (BadInput, OSError) as error:
            result.left_out.append((scene.name, str(error)))
            result.broken += not isinstance(error, NoTruth)
        else:
            result.matrix.add(part.matrix)
            result.scenes.append((scene.name, part.matrix.compute()["miou"]))
            result.images, result.unread = result.images + part.images, result.unread + part.unread
        progress(scene.name)
    if not result.matrix.counts.any():
        reasons = "; ".join(f"{name}: {reason}" for name, reason in result.left_out[:3])
        raise BadInput(
            f"no {what} of {len(result.scenes) + len(result.left_out)} scenes can be scored"
            f"{f' ({reasons})' if reasons else ', their truth has none of the classes'}; provide labelled scenes"
        )
    return result


# --- for training ----------------------------------------------------------------------------------


def score_images(
    segmenter: ImageSegmenter, scenes: Sequence[Scene], labels: LabelSpace, frames_per_scene: int
) -> ConfusionMatrix:
    """Score an image network by ``evaluate_images``; returns one confusion matrix over all scenes."""
    comparison = Comparison.between(labels, segmenter.labels)
    return logged(evaluate_images(NetworkPredictions(images=segmenter), scenes, comparison, frames_per_scene)).matrix


def score_clouds(segmenter: CloudSegmenter, scenes: Sequence[Scene], labels: LabelSpace) -> ConfusionMatrix:
    """Score a cloud network by ``evaluate_clouds``; returns one confusion matrix over all scenes."""
    comparison = Comparison.between(labels, segmenter.labels)
    return logged(evaluate_clouds(NetworkPredictions(clouds=segmenter), scenes, comparison)).matrix


def logged(result: Evaluation) -> Evaluation:
    """Return the result, after a warning for each scene and frame that is left out."""
    for name, reason in [*result.left_out, *result.unread]:
        log.warning("%s is not scored: %s", name, reason)
    return result
