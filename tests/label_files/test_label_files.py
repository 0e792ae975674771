"""What is written for scenes and bags: labels, pictures, pseudo-labels, the benchmark's files."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from support.box_cameras import REALSENSE
from support.striped_scenes import written
from test_inference import tiny

from wsss_ros.bags.bag import is_bag
from wsss_ros.bags.bag_scene import BagScene
from wsss_ros.bags.frames import BagFrames
from wsss_ros.bags.recording import BagConfig
from wsss_ros.bags.writing import write_bag
from wsss_ros.evaluation.offline import (
    IMAGE_LABELS,
    Comparison,
    FilePredictions,
    NetworkPredictions,
    evaluate_clouds,
    evaluate_images,
    noted_label_space,
)
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.label_files.labeller import Labeller
from wsss_ros.label_files.scannet_benchmark import benchmark
from wsss_ros.label_files.sources import Source
from wsss_ros.label_files.writing import segment
from wsss_ros.labels import RECOMMENDED, UNLABELLED, LabelSpace, TagList
from wsss_ros.scenes import open_scene, ply
from wsss_ros.scenes.images import read_uint16
from wsss_ros.types import BadInput


@pytest.fixture(scope="module")
def images(labels):
    return ImageSegmenter(tiny(labels, "image"), "cpu", "float32")


@pytest.fixture(scope="module")
def clouds(labels):
    return CloudSegmenter(tiny(labels, "cloud", inputs=("color",)), "cpu", "float32")


@pytest.fixture
def scene(labels, tmp_path):
    written(tmp_path / "scenes", labels, [0])
    return open_scene(tmp_path / "scenes" / "scene0", labels)


def test_a_scene(scene, images, clouds, labels, tmp_path):
    reported = []
    out = tmp_path / "deep" / "out"
    result = segment([Source.of_scene(scene)], out, Labeller(images, clouds), lambda *what: reported.append(what))
    assert (result.images, result.points, result.scenes) == (4, 600, ["scene0"])
    assert reported == [("scene0", done, 4) for done in (1, 2, 3, 4)]
    for index in range(4):
        expected, confidence = images(scene.frame(index))
        ids = read_uint16(out / "label-filt" / f"{index}.png")
        assert (ids == labels.to_ids(expected)).all()
        assert (np.asarray(Image.open(out / "label-color" / f"{index}.png")) == labels.colorize(expected)).all()
        grey = np.asarray(Image.open(out / "confidence" / f"{index}.png"))
        np.testing.assert_allclose(grey / 255, confidence, atol=1 / 255)
        assert (out / "overlay" / f"{index}.jpg").is_file()
    rows = ply.read(out / "scene0_vh_clean_2.labels.ply")
    expected, confidence = clouds(scene.cloud)
    assert (np.stack([rows[axis] for axis in "xyz"], 1) == scene.cloud.xyz).all()
    assert (rows["label"] == labels.to_ids(expected)).all() and (rows["confidence"] == confidence).all()
    assert (np.stack([rows[c] for c in ("red", "green", "blue")], 1) == labels.colorize(expected)).all()
    assert {"frames.png", "cloud.png", "segment.json"} <= {path.name for path in out.iterdir()}
    assert [path.name for path in out.parent.iterdir()] == ["out"]  # nothing hidden is left


def test_what_is_written_scores_like_the_networks(scene, images, clouds, labels, tmp_path):
    segment([Source.of_scene(scene)], tmp_path / "out", Labeller(images, clouds))
    assert noted_label_space(tmp_path / "out") == labels
    comparison, files = Comparison.between(labels, labels), FilePredictions(tmp_path / "out", labels)
    now = NetworkPredictions(images, clouds)
    for of_files, of_networks in (
        (evaluate_images(files, [scene], comparison), evaluate_images(now, [scene], comparison)),
        (evaluate_clouds(files, [scene], comparison), evaluate_clouds(now, [scene], comparison)),
    ):
        assert (of_files.matrix.counts == of_networks.matrix.counts).all() and of_files.matrix.counts.any()


def test_unsure_labels_are_unlabelled_in_every_file_and_count_as_misses(scene, images, clouds, labels, tmp_path):
    least = float(np.median(images(scene.frame(0))[1]))
    recommending = ImageSegmenter(tiny(labels, "image", min_confidence=least), "cpu", "float32")  # as images
    in_cloud = float(np.median(clouds(scene.cloud)[1]))
    for name, labeller in (
        ("given", Labeller(images, min_confidence=least)),
        ("recommended", Labeller(recommending)),
        ("cloud", Labeller(clouds=clouds, min_confidence=in_cloud)),
        ("all", Labeller(recommending, min_confidence=0.0)),
    ):
        segment([Source.of_scene(scene)], tmp_path / name, labeller)
    found, confidence = images(scene.frame(0))
    expected = np.where(confidence >= least, found, UNLABELLED).astype(np.uint8)
    dropped = expected == UNLABELLED
    assert 0.2 < dropped.mean() < 0.8
    for name in ("given", "recommended"):
        kinds = (IMAGE_LABELS, "label-color")
        ids, drawn = (np.asarray(Image.open(tmp_path / name / kind / "0.png")) for kind in kinds)
        assert (ids == labels.to_ids(expected)).all() and (drawn[dropped] == 0).all()
        note = json.loads((tmp_path / name / "segment.json").read_text())
        assert note["min_confidence"] == {"image": pytest.approx(least)}
    assert (np.asarray(Image.open(tmp_path / "all" / IMAGE_LABELS / "0.png")) == labels.to_ids(found)).all()
    rows = ply.read(tmp_path / "cloud" / "scene0_vh_clean_2.labels.ply")
    unsure = rows["confidence"] < in_cloud
    assert unsure.any() and ((rows["label"] == 0) == unsure).all() and not rows["red"][unsure].any()
    comparison = Comparison.between(labels, labels)
    files = evaluate_images(FilePredictions(tmp_path / "given", labels), [scene], comparison)
    networks = NetworkPredictions(recommending, min_confidence=RECOMMENDED)
    assert (evaluate_images(networks, [scene], comparison).matrix.counts == files.matrix.counts).all()
    kept = np.mean([images(scene.frame(index))[1] >= least for index in range(4)])
    assert files.compute()["coverage"] == pytest.approx(100 * kept)


def test_an_output_that_exists_is_left_alone(scene, images, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("dear")
    with pytest.raises(BadInput, match="out exists already; remove it"):
        segment([Source.of_scene(scene)], tmp_path / "out", Labeller(images))
    assert (tmp_path / "out" / "mine.txt").read_text() == "dear"


@pytest.mark.parametrize("error", [BadInput("2.jpg: broken"), OSError("disk full"), KeyboardInterrupt()])
def test_an_error_half_way_leaves_nothing(scene, images, tmp_path, error):
    def frames():
        yield scene.frame(0), None
        raise error

    source = replace(Source.of_scene(scene), frames=frames)
    with pytest.raises(type(error)):
        segment([source], tmp_path / "new" / "out", Labeller(images))
    assert not list((tmp_path / "new").iterdir())


def test_of_several_scenes_a_broken_one_is_left_out(labels, images, clouds, tmp_path):
    written(tmp_path / "scenes", labels, range(2))
    for path in (tmp_path / "scenes" / "scene1" / "color").iterdir():
        path.write_bytes(path.read_bytes()[:-300])  # with its size
    sources = [Source.of_scene(open_scene(tmp_path / "scenes" / name, labels)) for name in ("scene0", "scene1")]
    result = segment(sources, tmp_path / "out", Labeller(images, clouds))
    assert result.scenes == ["scene0"] and [name for name, _ in result.failed] == ["scene1"]
    assert "none of 4 frames can be read; the first:" in result.failed[0][1] and "0.jpg" in result.failed[0][1]
    assert result.images == 4 and result.broken == 1 and not result.unread
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["scene0"]
    with pytest.raises(BadInput, match="none of 2 scenes.*0.jpg"):
        segment([sources[1]] * 2, tmp_path / "other", Labeller(images))


def test_weights_of_two_label_spaces_do_not_mix(labels, images):
    first = LabelSpace("two", labels.names[:2], labels.colors[:2], labels.ids[:2])
    with pytest.raises(BadInput, match="'scannet20', the cloud network 'two'"):
        Labeller(images, CloudSegmenter(tiny(first, "cloud", inputs=("color",)), "cpu"))


# --- pseudo-labels ---------------------------------------------------------------------------------


@pytest.mark.slow
def test_pseudo_labels_are_tagged_classes_above_the_threshold(scene, images, clouds, labels, tmp_path):
    """By plain argmax over the tagged classes; and neither network would have kept to those by itself."""
    threshold = float(np.median(Labeller(images, threshold=0.0).image(scene.frame(0), scene.image_tags(0))[1]))
    segment([Source.of_scene(scene)], tmp_path / "out", Labeller(images, clouds, threshold))
    pseudo = open_scene(tmp_path / "out", labels)
    unlabelled = 0
    for index in range(4):
        scores = images.scores(scene.frame(index).rgb)[0].detach()
        tagged = torch.tensor([labels.index(name) for name in scene.image_tags(index)])
        best, at = torch.softmax(scores[tagged], 0).max(0)
        expected = np.where(best >= threshold, tagged[at], UNLABELLED)
        assert (pseudo.frame_truth(index) == expected).all()
        assert (expected == images(scene.frame(index))[0]).mean() < 1
        unlabelled += (expected == UNLABELLED).sum()
    assert 0 < unlabelled < 4 * 32 * 32
    assert set(labels.present(pseudo.cloud_truth())) <= set(scene.tags)


def test_pseudo_labels_make_a_scan_to_train_on(scene, images, clouds, labels, tmp_path):
    before = {path: path.stat().st_mtime_ns for path in scene.folder.rglob("*")}
    segment([Source.of_scene(scene, 2)], tmp_path / "out" / "scene0", Labeller(images, clouds, 0.0))
    pseudo = open_scene(tmp_path / "out" / "scene0", labels)
    assert len(pseudo) == 4 and pseudo.tags == scene.tags and pseudo.name == "scene0"
    with_labels = [index for index in range(4) if pseudo.frame_truth(index) is not None]
    assert len(with_labels) == 2 and all(pseudo.image_tags(i) == scene.image_tags(i) for i in with_labels)
    assert (pseudo.frame(1).rgb == scene.frame(1).rgb).all() and (pseudo.cloud.xyz == scene.cloud.xyz).all()
    assert pseudo.frame(1).stamp_ns == scene.frame(1).stamp_ns
    assert {path: path.stat().st_mtime_ns for path in scene.folder.rglob("*")} == before


def test_classes_that_nobody_judged_stay_unknown_with_pseudo_labels(scene, images, clouds, labels, tmp_path):
    tags = {"scene": ["wall", "?sofa"], "frames": {"1": ["wall", "-bed"]}, "complete": False}
    (scene.folder / "tags.csv").unlink()
    (scene.folder / "tags.json").write_text(json.dumps(tags))
    source = open_scene(scene.folder, labels)
    segment([Source.of_scene(source)], tmp_path / "scene0", Labeller(images, clouds, 0.0))
    pseudo = open_scene(tmp_path / "scene0", labels)
    assert pseudo.unknown == source.unknown and len(source.unknown) == 19
    assert pseudo.image_unknown(1) == source.image_unknown(1) and len(source.image_unknown(1)) == 18
    assert pseudo.image_tags(0) == ("wall",) and pseudo.image_unknown(0) == source.unknown, "those of the scene"


def test_without_tags_there_are_no_pseudo_labels(scene, images, clouds, tmp_path):
    source = replace(Source.of_scene(scene), tags=None, frames=lambda: ((scene.frame(i), None) for i in range(4)))
    with pytest.raises(BadInput, match="nothing to segment .4 frames without tags, 1 clouds without tags"):
        segment([source], tmp_path / "out", Labeller(images, clouds, 0.5))
    some = replace(source, frames=lambda: ((scene.frame(i), TagList(("wall",) if i else ())) for i in range(4)))
    result = segment([some], tmp_path / "out", Labeller(images, clouds, 0.5))
    assert result.images == 3 and result.left_out == {"frames without tags": 1, "clouds without tags": 1}


# --- the benchmark ---------------------------------------------------------------------------------


def test_the_benchmarks_files(scene, images, clouds, labels, tmp_path):
    (scene.folder / "pose" / "1.txt").write_text("-inf " * 16)  # a lost pose is still an image of the benchmark
    scene = open_scene(scene.folder, labels)
    result = benchmark([scene.folder], tmp_path / "out", images, clouds)
    assert (result.images, result.points) == (4, 600)
    lines = (tmp_path / "out" / "3d" / "scene0.txt").read_text().splitlines()
    assert [int(line) for line in lines] == labels.to_ids(clouds(scene.cloud)[0]).tolist()
    names = sorted(path.name for path in (tmp_path / "out" / "2d").iterdir())
    assert names == [f"scene0_{index:06d}.png" for index in range(4)]
    picture = Image.open(tmp_path / "out" / "2d" / "scene0_000003.png")
    assert picture.mode == "L" and picture.size == (640, 480)
    expected = labels.to_ids(images(scene.frame(2))[0])
    assert set(np.unique(np.asarray(picture))) == set(np.unique(expected)) and 0 not in np.asarray(picture)


def test_the_benchmark_wants_scans_and_its_own_classes(labels, images, clouds, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match="empty: neither .*_vh_clean_2.ply. nor images in 'color'"):
        benchmark([tmp_path / "empty"], tmp_path / "out", images, clouds)
    fruit = LabelSpace("fruit", ("apple",), ((1, 2, 3),), (1,))
    with pytest.raises(BadInput, match="weights for 'fruit'"):
        benchmark([tmp_path], tmp_path / "out", ImageSegmenter(tiny(fruit, "image"), "cpu"), None)
    assert not (tmp_path / "out").exists()


# --- bags ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name, compressed", [("room.mcap", False), ("room", True)])
def test_a_bag_is_segmented_like_its_scene(scene, images, clouds, labels, tmp_path, name, compressed):
    path = write_bag(scene, tmp_path / name, BagConfig(compressed=compressed, namespace="robot"))
    assert is_bag(path) and not is_bag(scene.folder)
    frames = BagFrames(path)
    assert len(frames) == 4 and frames.name == "room"
    assert len(frames.cloud()) > 100 and frames.cloud().rgb is not None
    result = segment([Source.of_bag(frames, 2)], tmp_path / "out", Labeller(images, clouds))
    assert result.images == 2 and result.points == len(frames.cloud())
    (first, second), chosen = frames.frames({0, 2}), sorted((tmp_path / "out" / "label-filt").iterdir())
    assert (first.name, second.name) == ("0", "2")
    for image in chosen:
        frame = next(frames.frames({int(image.stem)}))
        assert (read_uint16(image) == labels.to_ids(images(frame)[0])).all()
        assert frame.stamp_ns == scene.frame(int(image.stem)).stamp_ns
        difference = np.abs(frame.rgb.astype(int) - scene.frame(int(image.stem)).rgb)
        assert difference.mean() < 4 if compressed else not difference.any()
    assert len(ply.read(tmp_path / "out" / "room.labels.ply")) == result.points


@pytest.mark.parametrize(("roll_deg", "given", "turns"), [(90, None, 3), (90, 0, 0), (0, None, 0), (0, 2, 2)])
def test_images_of_a_turned_camera_are_turned_for_the_network(images, labels, tmp_path, roll_deg, given, turns):
    """The poses say it (None), or the user does; the files have the orientation of the camera."""
    replace(REALSENSE, roll_deg=roll_deg, views=2).write(tmp_path / "bag")
    bag, out = BagFrames(tmp_path / "bag"), tmp_path / "out"
    segment([Source.of_bag(bag)], out, Labeller(images, turns=given))
    for frame in bag.frames():
        written_ids = read_uint16(out / "label-filt" / f"{frame.name}.png")
        assert (written_ids == labels.to_ids(images(frame, turns=turns)[0])).all()
    scene = BagScene(tmp_path / "bag", labels)
    assert Source.of_scene(scene).turns() == (3 if roll_deg else 0)
