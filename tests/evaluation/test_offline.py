"""Scores against two independent implementations, and everything that must not be scored silently."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.striped_scenes import StripedScene
from test_inference import tiny
from torchmetrics.classification import MulticlassJaccardIndex

from wsss_ros.evaluation import offline
from wsss_ros.evaluation.confusion_matrix import ConfusionMatrix
from wsss_ros.evaluation.offline import Comparison, FilePredictions, NetworkPredictions, UnusablePrediction
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import UNLABELLED, LabelSpace, s3dis, scannet20
from wsss_ros.scenes import ply
from wsss_ros.types import BadInput


class LabelledScene(StripedScene):
    """A scene of random truth over some classes, with everything that truth can hold."""

    def __init__(self, seed: int, labels, classes):
        super().__init__(seed, labels)
        rng = np.random.default_rng([7, seed])
        self.images = rng.choice([*classes, UNLABELLED], (len(self), 32, 32)).astype(np.uint8)
        self.points = rng.choice([*classes, UNLABELLED], 600).astype(np.uint8)

    def frame_truth(self, index):
        return self.images[index]

    def cloud_truth(self):
        return self.points


def guesses(truth: np.ndarray, seed: int, classes) -> np.ndarray:
    rng = np.random.default_rng([8, seed])
    return np.where(rng.random(truth.shape) < 0.4, truth, rng.choice(classes, truth.shape)).astype(np.uint8)


def write_predictions(folder: Path, scene, images, points, labels) -> None:
    (folder / scene.name / "label-filt").mkdir(parents=True)
    for index, image in enumerate(images):
        ids = labels.to_ids(image).astype(np.uint16)
        Image.fromarray(ids).save(folder / scene.name / "label-filt" / f"{index}.png")
    rows = np.zeros(len(points), [("x", "<f4"), ("label", "<u2")])
    rows["label"] = labels.to_ids(points)
    ply.write(folder / scene.name / f"{scene.name}_vh_clean_2.labels.ply", rows)


def scannet_script(pairs, valid_ids: list[int]) -> tuple[dict[int, float], float]:
    """ScanNet's evaluate_semantic_label.py in plain Python: IoU by class id, and the mean of those that have one."""
    confusion: dict[tuple[int, int], int] = {}
    for predicted, truth in pairs:
        for p, t in zip(predicted.ravel().tolist(), truth.ravel().tolist(), strict=True):
            if t in valid_ids:
                confusion[t, p] = confusion.get((t, p), 0) + 1
    ious = {}
    for label in valid_ids:
        tp = confusion.get((label, label), 0)
        fn = sum(count for (t, p), count in confusion.items() if t == label and p != label)
        fp = sum(count for (t, p), count in confusion.items() if p == label and t != label)
        if tp + fp + fn:
            ious[label] = tp / (tp + fp + fn)
    return ious, sum(ious.values()) / len(ious)


@pytest.fixture(scope="module")
def scored(labels, tmp_path_factory):
    """Three scenes whose truth lacks classes 12-19, with predictions on disk that name up to class 15, and none."""
    folder = tmp_path_factory.mktemp("predictions")
    scenes = [LabelledScene(seed, labels, range(12)) for seed in range(3)]
    images, points = [], []
    for seed, scene in enumerate(scenes):
        images.append(np.stack([guesses(t, seed, [*range(16), UNLABELLED]) for t in scene.images]))
        points.append(guesses(scene.points, seed + 50, [*range(16), UNLABELLED]))
        write_predictions(folder, scene, images[-1], points[-1], labels)
    return scenes, FilePredictions(folder, labels), images, points


@pytest.mark.parametrize("domain", ["2d", "3d"])
def test_equals_scannets_script_and_torchmetrics(scored, labels, domain):
    scenes, files, images, points = scored
    comparison = Comparison.between(labels, labels)
    if domain == "2d":
        result = offline.evaluate_images(files, scenes, comparison)
        pairs = list(zip(np.concatenate(images), np.concatenate([scene.images for scene in scenes]), strict=True))
    else:
        result = offline.evaluate_clouds(files, scenes, comparison)
        pairs = list(zip(points, (scene.points for scene in scenes), strict=True))
    score = result.compute()

    ious, mean = scannet_script([(labels.to_ids(p), labels.to_ids(t)) for p, t in pairs], list(labels.ids))
    assert score["miou"] == pytest.approx(100 * mean)
    got = {id: score["iou"][name] for id, name in zip(labels.ids, labels.names, strict=True)}
    assert {id for id, iou in got.items() if iou is not None} == set(ious)
    assert all(got[id] == pytest.approx(100 * iou) for id, iou in ious.items())
    assert got[labels.ids[13]] == 0 and got[labels.ids[19]] is None  # predicted where none is; nowhere at all

    # torchmetrics, with a 21st class for "no class" that only predictions have
    index = MulticlassJaccardIndex(21, average="none", ignore_index=255)
    for p, t in pairs:
        invalid_is_20 = np.where(p == UNLABELLED, 20, p).astype(np.int64)
        index.update(torch.from_numpy(invalid_is_20), torch.from_numpy(t.astype(np.int64)))
    theirs = index.compute().numpy()[:20]
    known = np.array([iou is not None for iou in got.values()])
    np.testing.assert_allclose(100 * theirs[known], [iou for iou in got.values() if iou is not None], rtol=1e-5)


def test_the_mean_equals_torchmetrics_macro(labels):
    rng = np.random.default_rng(1)
    truth = rng.choice([*range(9), 255], 5000).astype(np.uint8)
    predicted = np.where(rng.random(5000) < 0.5, truth, rng.integers(0, 14, 5000)).astype(np.uint8)
    predicted[predicted == 255] = 3
    theirs = MulticlassJaccardIndex(20, average="macro", ignore_index=255)
    theirs.update(torch.from_numpy(predicted.astype(np.int64)), torch.from_numpy(truth.astype(np.int64)))
    ours = ConfusionMatrix(labels).update(predicted, truth).compute()
    assert ours["miou"] == pytest.approx(100 * float(theirs.compute()), rel=1e-5)


def test_one_matrix_over_all_scenes_and_a_mean_for_each(scored, labels):
    scenes, files, _, points = scored
    result = offline.evaluate_clouds(files, scenes, Comparison.between(labels, labels))
    alone = [ConfusionMatrix(labels).update(p, s.points) for p, s in zip(points, scenes, strict=True)]
    assert (result.matrix.counts == sum(matrix.counts for matrix in alone)).all()
    assert [miou for _, miou in result.scenes] == pytest.approx([matrix.compute()["miou"] for matrix in alone])


def test_frames_are_spread_and_progress_names_scenes(scored, labels):
    scenes, files, *_ = scored
    seen = []
    result = offline.evaluate_images(files, scenes, Comparison.between(labels, labels), 2, seen.append)
    assert result.images == 6 and seen == [scene.name for scene in scenes]


class Bare(StripedScene):
    def frame_truth(self, index):
        return None

    def cloud_truth(self):
        return None


class Broken(LabelledScene):
    """Its second frame cannot be read; by then the first has been scored."""

    def frame(self, index):
        if index:
            raise BadInput("1.jpg: cannot be decoded")
        return super().frame(index)


class Locked(LabelledScene):
    """None of its frames can be read."""

    def frame(self, index):
        raise BadInput("no.jpg: cannot be decoded")


def test_scenes_without_truth_and_broken_ones_are_left_out(scored, labels):
    scenes, files, *_ = scored
    files = NetworkPredictions(images=ImageSegmenter(tiny(labels, "image"), "cpu"))
    good = offline.evaluate_images(files, scenes[:1], Comparison.between(labels, labels))
    others = [Bare(1, labels), scenes[0], Broken(2, labels, range(12))]
    result = offline.evaluate_images(files, others, Comparison.between(labels, labels))
    assert [name for name, _ in result.left_out] == ["scene1"] and "truth" in result.left_out[0][1]
    assert [name for name, _ in result.unread] == [f"scene2, frame {index}" for index in (1, 2, 3)]
    assert "1.jpg" in result.unread[0][1] and result.compute()["unread"] == dict(result.unread) and not result.broken
    first = ConfusionMatrix(labels).update(files.image(others[2], 0), others[2].frame_truth(0))
    assert (result.matrix.counts == good.matrix.counts + first.counts).all() and result.images == 5
    result = offline.evaluate_images(
        files, [scenes[0], Locked(3, labels, range(12))], Comparison.between(labels, labels)
    )
    assert result.broken == 1 and "none of its 4 frames can be scored; no.jpg" in result.left_out[0][1]


def test_no_truth_anywhere(labels, tmp_path):
    files, comparison = FilePredictions(tmp_path, labels), Comparison.between(labels, labels)
    for evaluate in (offline.evaluate_images, offline.evaluate_clouds):
        with pytest.raises(BadInput, match="2 scenes can be scored.*scene0.*truth"):
            evaluate(files, [Bare(0, labels), Bare(1, labels)], comparison)


# --- predictions in files --------------------------------------------------------------------------


@pytest.fixture
def one(labels, tmp_path):
    scene = LabelledScene(0, labels, range(12))
    write_predictions(tmp_path, scene, scene.images, scene.points, labels)
    return scene, FilePredictions(tmp_path, labels), tmp_path / scene.name, Comparison.between(labels, labels)


def test_a_missing_prediction_is_named_and_not_left_out(one):
    scene, files, folder, comparison = one
    (folder / "label-filt" / "2.png").unlink()
    with pytest.raises(UnusablePrediction, match="label-filt/2.png: no such prediction"):
        offline.evaluate_images(files, [scene], comparison)
    next(folder.glob("*.ply")).unlink()
    with pytest.raises(UnusablePrediction, match=r"no file '\*.labels.ply', and no .*scene0.txt"):
        offline.evaluate_clouds(files, [scene], comparison)


def test_predictions_of_another_size_are_refused(one, labels):
    scene, files, folder, comparison = one
    Image.fromarray(np.zeros((16, 32), np.uint16)).save(folder / "label-filt" / "1.png")
    with pytest.raises(UnusablePrediction, match="scene0, frame 1: predictions of size 32 x 16, truth of size 32 x 32"):
        offline.evaluate_images(files, [scene], comparison)
    next(folder.glob("*.ply")).unlink()
    (files.folder / "scene0.txt").write_text("1\n" * 599)
    with pytest.raises(UnusablePrediction, match="scene0, cloud: predictions of size 599, truth of size 600"):
        offline.evaluate_clouds(files, [scene], comparison)


@pytest.mark.parametrize(
    "text, words", [("1\nwall\n", "wall.*expected one class id"), ("-3\n", "from -3"), ("1e99", "1e99")]
)
def test_broken_prediction_files_are_named(one, text, words):
    scene, files, folder, comparison = one
    (folder / "label-filt" / "0.png").write_bytes(b"\x89PNG nothing")
    with pytest.raises(UnusablePrediction, match="label-filt/0.png"):
        offline.evaluate_images(files, [scene], comparison)
    next(folder.glob("*.ply")).unlink()
    (files.folder / "scene0.txt").write_text(text)
    with pytest.raises(UnusablePrediction, match=f"scene0.txt: .*{words}"):
        offline.evaluate_clouds(files, [scene], comparison)


def test_text_of_the_benchmark_scores_like_the_ply(one, labels):
    scene, files, folder, comparison = one
    first = offline.evaluate_clouds(files, [scene], comparison)
    next(folder.glob("*.ply")).unlink()
    (files.folder / "scene0.txt").write_text("".join(f"{id}\n" for id in labels.to_ids(scene.points)))
    second = offline.evaluate_clouds(files, [scene], comparison)
    assert (first.matrix.counts == second.matrix.counts).all()
    assert first.compute()["miou"] == 100


# --- another label space ---------------------------------------------------------------------------


def test_only_shared_classes_are_scored_and_others_predicted_are_misses():
    """By hand: truth floor, bookcase, clutter, floor; ScanNet's network says floor, bookshelf, wall, cabinet."""
    truth_space, space = s3dis(), scannet20()
    comparison = Comparison.between(truth_space, space)
    assert comparison.labels.names == ("floor", "wall", "window", "door", "table", "chair", "sofa", "bookcase")
    truth = np.array([truth_space.index(name) for name in ("floor", "bookcase", "clutter", "floor")], np.uint8)
    predicted = np.array([space.index(name) for name in ("floor", "bookshelf", "wall", "cabinet")], np.uint8)
    matrix = ConfusionMatrix(comparison.labels)
    matrix.update(comparison.prediction_table[predicted], comparison.truth_table[truth])
    score = matrix.compute()
    assert score["iou"]["floor"] == 50 and score["iou"]["bookcase"] == 100  # the cabinet misses a floor
    assert score["iou"]["wall"] is None and score["count"] == 3  # clutter is not asked for, so no false alarm
    assert comparison.present is None


def test_a_network_restricted_to_the_shared_classes_predicts_only_these(labels):
    comparison = Comparison.between(s3dis(), labels, "shared")
    assert labels.tags(comparison.present) == (
        "wall", "floor", "chair", "sofa", "table", "door", "window", "bookshelf",
    )  # fmt: skip
    images = ImageSegmenter(tiny(labels, "image"), "cpu")
    clouds = CloudSegmenter(tiny(labels, "cloud", inputs=("color",)), "cpu")
    scene, shared = StripedScene(0, labels), set(np.flatnonzero(comparison.present))
    free, held = NetworkPredictions(images, clouds), NetworkPredictions(images, clouds, comparison.present)
    scores = images.scores(scene.frame(0).rgb)[0].detach().numpy()
    allowed = np.where(comparison.present[:, None, None] > 0, scores, -np.inf)
    assert (held.image(scene, 0) == allowed.argmax(0)).all() and set(np.unique(held.cloud(scene))) <= shared
    assert not set(np.unique(free.image(scene, 0))) <= shared or not set(np.unique(free.cloud(scene))) <= shared


def test_spaces_without_a_common_class_are_refused(labels):
    other = LabelSpace("fruit", ("apple",), ((1, 2, 3),), (1,))
    with pytest.raises(BadInput, match="'scannet20'.*'fruit' .apple. share no class"):
        Comparison.between(labels, other)


def test_equal_spaces_share_all_classes(labels):
    comparison = Comparison.between(labels, labels, "shared")
    assert comparison.present is None and comparison.labels.names == labels.names
    assert (comparison.truth_table[:20] == np.arange(20)).all() and comparison.truth_table[255] == 255
