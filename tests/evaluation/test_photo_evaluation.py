"""The image network on photographs: dense labels with any class and among tags, average precision of tags."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from support.photo_folders import TAGS, size_of, write_photos
from typer.testing import CliRunner

from wsss_ros.cli.main import app
from wsss_ros.evaluation.photos import TagScores, average_precision, evaluate_photos, without
from wsss_ros.inference import ImageSegmenter
from wsss_ros.scenes.photos import PhotoFolder
from wsss_ros.types import BadInput


def slow_average_precision(scores: list[float], present: list[bool]) -> float:
    """For each threshold from the highest: the precision there, times the recall that it adds."""
    total, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = [p for s, p in zip(scores, present, strict=True) if s >= threshold]
        recall = sum(chosen) / sum(present)
        total += (recall - before) * sum(chosen) / len(chosen)
        before = recall
    return total


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30))
def test_average_precision_is_the_slow_one(rows):
    scores, present = zip(*rows, strict=True)
    found = average_precision(np.array(scores, np.float32), np.array(present))
    if any(present) and not all(present):
        assert found == pytest.approx(slow_average_precision(scores, present))
    else:
        assert found is None


def test_average_precision_of_hand_computed_ranks():
    present = np.array([True, False, True, False])
    assert average_precision(np.array([4.0, 3.0, 2.0, 1.0]), present) == pytest.approx((1 + 2 / 3) / 2)
    assert average_precision(np.array([4.0, 1.0, 3.0, 2.0]), present) == 1
    assert average_precision(np.zeros(4), present) == 0.5


def test_unknown_tags_are_left_out():
    scores = TagScores(("a", "b", "c"))
    for logits, tags, known in (
        ((3, 1, 0), (1, 1, 0), (1, 1, 1)),
        ((2, 0, 0), (0, 0, 0), (0, 1, 1)),  # nobody knows whether there is an "a"
        ((1, 2, 0), (1, 0, 0), (1, 1, 1)),
        ((0, 3, 0), (0, 0, 0), (1, 0, 1)),  # nor here, whether there is a "b"
    ):
        scores.rows.append((np.array(logits, float), np.array(tags, bool), np.array(known, bool)))
    computed = scores.compute()
    assert computed["ap"] == {"a": 100, "b": 50, "c": None} and computed["map"] == 75
    assert computed["present"] == {"a": 2, "b": 1, "c": 0} and computed["known"] == {"a": 3, "b": 3, "c": 4}


class Guesser(ImageSegmenter):
    """Says: everything is a wall, or else the first class that it may say. All logits are its brightness.

    ``read`` counts the images for which it computed maps.
    """

    def __init__(self, labels):
        self.labels, self.read = labels, 0

    def maps(self, rgb):
        self.read += 1
        return torch.full((1, len(self.labels), 1, 1), float(rgb.mean()))

    def decide(self, maps, size, present=None):
        return np.full(size, 0 if present is None else int(present.argmax()), np.uint8), np.ones(size, np.float32)

    def tag_scores(self, maps, size):
        return maps[0, :, 0, 0].numpy()


@pytest.fixture
def folder(tmp_path, labels):
    """One photograph has dense labels: a counter on the left half, a desk in the first row of the right half."""
    folder = write_photos(tmp_path / "pictures")
    width, height = size_of(0)
    ids = np.zeros((height, width), np.uint8)
    ids[:, : width // 2] = labels.ids[labels.index("counter")]
    ids[0, width // 2 :] = labels.ids[labels.index("desk")]
    (folder / "label" / "kitchen").mkdir(parents=True)
    Image.fromarray(ids).save(folder / "label" / "kitchen" / "a.png")
    return folder


def scores_of(folder, labels, ignored=(), **options):
    return evaluate_photos(Guesser(labels), [PhotoFolder(folder, labels)], labels, ignored, **options)


def test_dense_labels_count_once_with_any_class_and_once_among_tags(folder, labels):
    width, height = size_of(0)
    counter, desk = labels.index("counter"), labels.index("desk")
    result = scores_of(folder, labels)
    assert result.labelled == 1 and len(result.tags.rows) == 4
    assert result.any_class.counts[counter, 0] == width // 2 * height and result.any_class.counts[desk, 0] == width // 2
    scores = result.compute()
    # The wall has no true pixel: it is not scored, and the mean is over counter and desk.
    assert scores["any"]["iou"]["wall"] is None and scores["any"]["miou"] == 0
    assert scores["any"]["count"] == width // 2 * (height + 1) and scores["tags"]["known"]["sink"] == 3

    class Among(Guesser):
        def decide(self, maps, size, present=None):
            best = np.full(20, 0) if present is None else np.flatnonzero(present)
            return np.full(size, best[-1], np.uint8), np.ones(size, np.float32)

    among = Among(labels)
    tagged = evaluate_photos(among, [PhotoFolder(folder, labels)], labels).compute()["tagged"]
    assert among.read == 4  # the network runs once for each photograph
    # Tags are wall and counter. The desk is no tag, so its pixels are missed and count against the counter.
    left, row = width // 2 * height, width // 2
    assert tagged["iou"]["counter"] == pytest.approx(100 * left / (left + row)) and tagged["iou"]["desk"] == 0


def test_ignored_classes_are_not_scored(folder, labels):
    scores = scores_of(folder, labels, ("desk", "wall")).compute()
    width, height = size_of(0)
    assert scores["any"]["count"] == width // 2 * height and "desk" not in scores["any"]["iou"]
    assert len(scores["classes"]) == 18 and "wall" not in scores["tags"]["ap"]
    assert without(labels, ["wall"]).names == labels.names[1:]
    with pytest.raises(BadInput, match="'bench' is not a class"):
        scores_of(folder, labels, ("bench",))


def test_photographs_that_cannot_be_scored_are_left_out(folder, labels):
    (folder / "living" / "c.PNG").write_bytes(b"no picture")
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(folder / "label" / "d.png")
    result = scores_of(folder, labels)
    assert [name for name, _ in result.left_out] == ["living/c", "d"] and len(result.tags.rows) == 2
    assert result.left_out[1][1].startswith("its labels have 5 x 5 pixels, the picture 72 x 64")
    for name in ("kitchen/a.png", "kitchen/b.webp"):
        (folder / name).write_bytes(b"")
    with pytest.raises(BadInput, match="no photograph can be scored; the first: .*a.png"):
        scores_of(folder, labels)


def test_some_of_the_photographs_and_progress(folder, labels):
    seen = []
    result = scores_of(folder, labels, count=2, progress=seen.append)
    assert len(result.tags.rows) == len(seen) == 2 and set(seen) < set(TAGS)


def run(*arguments):
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


@pytest.mark.slow
def test_the_command(folder, tmp_path):
    out = tmp_path / "out"
    result = run(folder, "--ignore", "desk", "--include", "*/*", "--out", out, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "3 photographs, 1 with dense labels" in result.output and "counter" in result.output
    report = json.loads((out / "evaluation.json").read_text())
    assert report["photos"]["labelled"] == 1 and report["ignored"] == ["desk"] and report["include"] == "*/*"
    assert report["photos"]["tags"]["present"]["wall"] == 2 and report["photos"]["tags"]["known"]["wall"] == 2
    assert min(Image.open(out / "confusion.png").size) > 500


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["{folder}", "--only", "3d"], "--only 3d does not apply to photographs"),
        (["{folder}", "{folder}/kitchen"], "photographs and scenes; evaluate them one after the other"),
        (["{folder}/kitchen", "--ignore", "desk"], "--ignore does not apply to scenes"),
        (["{folder}", "--split", "test"], "no row with split 'test'; its splits are train, val"),
    ],
)
def test_arguments_that_do_not_fit(folder, arguments, words):
    result = run(*(each.format(folder=folder) for each in arguments))
    assert result.exit_code == 1 and words in " ".join(result.output.split()), result.output
