"""Every offline command works on a stored scene."""

import dataclasses

import numpy as np
import pytest
from support.scene_stream import LABELS, collect, store_in
from test_inference import tiny
from typer.testing import CliRunner

from wsss_ros import geometry
from wsss_ros.bags.frames import BagFrames
from wsss_ros.bags.writing import write_bag
from wsss_ros.cli.main import app
from wsss_ros.evaluation.offline import Comparison, NetworkPredictions, evaluate_clouds, evaluate_images
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.prepared import prepare
from wsss_ros.samples.samples import PairSamples
from wsss_ros.scenes import open_scene
from wsss_ros.types import BadInput


def test_a_scene_without_truth_goes_through_every_command(tmp_path):
    stored = collect(store_in(tmp_path / "store"), ("wall", "chair"), views=5)
    scene = open_scene(stored.folder, LABELS)
    (ready,) = prepare([scene], LABELS, tmp_path / "cache", 0).scenes
    pairs = PairSamples([ready], ImageAugment(long_side=(48, 64), crop=48), CloudAugment(points=512))
    sample = pairs.sample(0, np.random.default_rng(0))
    assert LABELS.tags(sample["cloud_tags"].numpy()) == ("wall", "chair") and len(sample["links_point"]) > 50

    networks = NetworkPredictions(
        ImageSegmenter(tiny(LABELS, "image"), "cpu", "float32"),
        CloudSegmenter(tiny(LABELS, "cloud", inputs=("color",)), "cpu", "float32"),
    )
    for evaluate, reason in ((evaluate_images, "none of its 5 frames has truth"), (evaluate_clouds, "have no truth")):
        with pytest.raises(BadInput, match=reason):
            evaluate(networks, [scene], Comparison.between(LABELS, LABELS))

    written = write_bag(scene, tmp_path / "scene.mcap")
    assert len(BagFrames(written)) == 5


def test_wsss_segment(tmp_path):
    stored = collect(store_in(tmp_path / "store"), views=3)
    out = tmp_path / "out"
    result = CliRunner().invoke(app, ["segment", str(stored.folder), "--out", str(out), "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert len(list(out.rglob("label-filt/*.png"))) == 3 and len(list(out.rglob("*_vh_clean_2.labels.ply"))) == 1


def test_the_kitchen(tmp_path, kitchen):
    """100 real frames with a person's tags: streamed, reopened, ready to train on."""
    source = open_scene(kitchen, LABELS)
    frames = [source.frame(k) for k in range(len(source))]
    poses = np.stack([frame.world_from_camera for frame in frames])
    upright = np.eye(4)
    upright[:3, :3] = geometry.upright(geometry.camera_up(poses))  # as the replay node turns it
    store = store_in(tmp_path)
    scene = store.create("kitchen")
    for k, frame in enumerate(frames):
        frame = dataclasses.replace(frame, world_from_camera=upright @ frame.world_from_camera)
        assert scene.end_reason(frame) == ""
        scene.add(frame)
        scene.tag_image(source.image_tags(k), frame.stamp_ns)
    assert 10 < scene.frames < 40 and scene.received == 100
    assert scene.image_tags == scene.frames and scene.tags == source.tags
    stored = store.finish(scene, "end of the recording")
    assert stored.bytes < 20e6
    (ready,) = prepare([open_scene(stored.folder, LABELS)], LABELS, tmp_path / "cache", 0, 320).scenes
    assert len(ready.images) == stored.frames and ready.links.min() > 1000 and len(ready.xyz) > 50_000
    assert LABELS.tags(ready.tags) == source.tags
    height = ready.xyz @ ready.upright_from_world[2, :3]
    assert 1.5 < np.percentile(height, 99) - np.percentile(height, 1) < 3.5  # it stands up
