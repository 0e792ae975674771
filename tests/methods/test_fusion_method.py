"""The method of 2D3DNet: what the networks get and learn, times of points, stored labels, runs that are killed."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from support.paths import ROOT
from support.striped_scenes import StripedScene
from support.training_runs import ADAM, PHASES, killed, settings_for, versions

from wsss_ros import config, geometry, networks
from wsss_ros.evaluation import fused_scenes
from wsss_ros.fusion import FusionSettings, fuse, share_of_winner
from wsss_ros.fusion.network_input import FusedInput
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import UNLABELLED
from wsss_ros.methods import fusion as fusion_method
from wsss_ros.methods.fusion import Fusion2d3d, FusionPhase, frames_of, image_scores, nearest_stamps
from wsss_ros.methods.method import PhaseData
from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import Checkpoint, NetworkConfig
from wsss_ros.samples import selection
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.mixture import Source
from wsss_ros.samples.prepared import prepare
from wsss_ros.scenes import open_scenes
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.run import train
from wsss_ros.types import BadInput, Cloud

INPUTS = ("fused_label", "fused_confidence")
SEEN = {"visibility": "depth", "dilation": 0, "depth_tolerance": 0.05}
SURE = {**SEEN, "dilation": 2, "max_distance_m": 1.7, "fill": "none"}
PHASE = {"method": "fusion", "epochs": 2, "batch": 3, "cloud": ADAM, "pseudo_truth": SURE}
NARROW = {"voxel_m": 0.2, "encoder": [[8, 8]], "bottleneck": [8, 8], "decoder": [[8, 8]], "head": [8, 8, 8]}


class ByColour(torch.nn.Module):
    """Scores the class whose colour a pixel has; the first class of ``order`` wins where nothing is bright."""

    def __init__(self, labels, order=("wall", "floor", "bed")):
        super().__init__()
        self.classes = torch.tensor([labels.index(name) for name in order])
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, images):
        scores = torch.full((len(images), 20, *images.shape[2:]), -9.0)
        scores[:, self.classes] = images * self.weight
        return scores, scores


@pytest.fixture
def prepared(tmp_path, labels):
    return prepare([StripedScene(seed, labels) for seed in range(3)], labels, tmp_path, 0, 32).scenes


def started(prepared, labels, order=("wall", "floor", "bed"), fusion=None, **options) -> Fusion2d3d:
    given = config.build(FusedInput, {"settings": SEEN, **(fusion or {})})
    cloud = CloudAugment(points=300, rotation_deg=180)
    data = PhaseData([Source(prepared)], labels, ImageAugment(), cloud, INPUTS, 0.05, given)
    method = Fusion2d3d(config.build(FusionPhase, {**PHASE, **options}), data)
    torch.manual_seed(0)
    cloud_network = networks.build("cloud", "sparse_unet", 20, NARROW, INPUTS)
    method.start({"image": ByColour(labels, order), "cloud": cloud_network}, 0)
    return method


def test_input_and_labels_are_two_fusions_of_the_labels_of_images(prepared, labels):
    method = started(prepared, labels)
    for scene, found in zip(prepared, method.samples.scenes, strict=True):
        flat = [each.argmax(0).to(torch.uint8).numpy() for each in image_scores(ByColour(labels), scene.images)]
        every = fuse(scene.xyz, frames_of(scene), flat, config.build(FusionSettings, SEEN), 20)
        few = fuse(scene.xyz, frames_of(scene), flat, config.build(FusionSettings, SURE), 20)
        np.testing.assert_array_equal(found.fused_label, every.label)
        np.testing.assert_array_equal(found.fused_confidence, share_of_winner(every.votes))
        np.testing.assert_array_equal(found.cloud_truth, few.label)
        assert (found.fused_label != UNLABELLED).all() and 0.3 < (found.cloud_truth != UNLABELLED).mean() < 1


def test_the_loss_is_the_cross_entropy_of_the_labelled_points(prepared, labels):
    method = started(prepared, labels)
    drawn = [method.samples.sample(number, np.random.default_rng(number)) for number in range(3)]
    batch = method.samples.collate(drawn)
    network = method.networks["cloud"].eval()
    one_hot = F.one_hot(batch.fused_label, 20).float()
    scores = network(batch.xyz, torch.cat([one_hot, batch.fused_confidence[..., None]], 2))[1]
    on = batch.cloud_truth != UNLABELLED
    assert 0 < on.sum() < on.numel()
    losses = method.losses(batch)
    assert losses.keys() == {"fused_3d"}
    torch.testing.assert_close(losses["fused_3d"], F.cross_entropy(scores[on], batch.cloud_truth[on]))
    nothing = dataclasses.replace(batch, cloud_truth=torch.full_like(batch.cloud_truth, UNLABELLED))
    assert method.losses(nothing)["fused_3d"].item() == 0


def test_only_the_labels_to_learn_know_tags(prepared, labels):
    """The colours of the classes are exchanged, so that the image network is always wrong."""
    wrong = ("floor", "bed", "wall")
    free, tagged = (started(prepared, labels, wrong, image_tags=tags).samples.scenes for tags in ("none", "scene"))
    by_image = started(prepared, labels, wrong, image_tags="image").samples.scenes
    outside = []
    for a, b, c, scene in zip(free, tagged, by_image, prepared, strict=True):
        np.testing.assert_array_equal(a.fused_label, b.fused_label)
        present = {*np.flatnonzero(scene.tags), UNLABELLED}
        outside.append(not set(np.unique(a.cloud_truth)) <= present)
        assert set(np.unique(b.cloud_truth)) <= present and set(np.unique(c.cloud_truth)) <= present
    assert any(outside)


def test_a_point_has_the_time_of_the_frame_that_sees_it_from_nearest(prepared):
    scene = prepared[0]
    poses = scene.poses.copy()
    poses[1, 2, 3], poses[2, 0, 3], poses[3, 2, 3] = -0.2, 5.0, 0.1  # farther, elsewhere, nearer
    depth_mm = np.array(scene.depth_mm)
    depth_mm[1], depth_mm[3, :, 16:] = 1700, 0  # what the farther one sees; the nearer one sees half
    depth_mm[3, :, :16] = 1400
    moved = dataclasses.replace(scene, poses=poses, depth_mm=depth_mm)
    found = nearest_stamps(moved)
    for row in range(0, 600, 7):
        best, expected = np.inf, None
        for frame in frames_of(moved):
            point = scene.xyz[row : row + 1].astype(np.float64)
            uv, depth = geometry.project(point, frame.camera, frame.world_from_camera)
            distance = np.linalg.norm(scene.xyz[row] - frame.world_from_camera[:3, 3])
            if geometry.visible(uv, depth, frame.depth_m, 0.05)[0] and distance < best:
                best, expected = distance, frame.stamp_ns
        assert found[row] == (fusion_method._UNSEEN_NS if expected is None else expected)
    assert {0, 3_000_000_000} <= set(found)


def test_the_time_filter_keeps_the_votes_of_near_frames(prepared, labels):
    """Each scene is seen by four frames from one place: the first one is the nearest, and alone with the limit."""
    short = {**SEEN, "fill": "none", "max_dt_s": 0.5}
    method = started(prepared, labels, timed=True, pseudo_truth=short)
    for scene, found in zip(prepared, method.samples.scenes, strict=True):
        first = next(iter(image_scores(ByColour(labels), scene.images))).argmax(0).to(torch.uint8).numpy()
        frame = next(frames_of(scene))
        alone = fuse(scene.xyz, [frame], [first], config.build(FusionSettings, {**SEEN, "fill": "none"}), 20)
        np.testing.assert_array_equal(found.cloud_truth, alone.label)


def test_coupled_input_is_the_label_to_learn_where_there_is_one(prepared, labels):
    free = started(prepared, labels).samples.scenes
    coupled = started(prepared, labels, fusion={"preferred": SURE}).samples.scenes
    for a, b in zip(free, coupled, strict=True):
        on = b.cloud_truth != UNLABELLED
        np.testing.assert_array_equal(b.fused_label[on], b.cloud_truth[on])
        np.testing.assert_array_equal(b.fused_label[~on], a.fused_label[~on])


def test_labels_are_computed_once_for_the_same_image_network(scenes, labels, monkeypatch):
    opened = open_scenes(scenes / "train", labels)[0]
    found = prepare(opened, labels, scenes / "cache", 0, 32).scenes
    before = started(found, labels).samples.scenes
    monkeypatch.setattr(fusion_method, "image_scores", None)  # not called
    after = started(found, labels).samples.scenes
    for a, b in zip(before, after, strict=True):
        for name in ("fused_label", "fused_confidence", "cloud_truth"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    with pytest.raises(TypeError):
        started(found, labels, ("floor", "bed", "wall"), pseudo_truth={**SURE, "dilation": 1})  # other labels to learn


def test_scenes_are_chosen_that_show_most_classes(labels, tmp_path, monkeypatch):
    """Written out: the scenes of the first images of the greedy choice."""
    scenes = prepare([StripedScene(seed, labels) for seed in range(6)], labels, tmp_path, 0, 32).scenes
    labelled = []

    def counted(network, images, long_side=0):
        labelled.append(len(images))
        return image_scores(network, images, long_side)

    monkeypatch.setattr(fusion_method, "image_scores", counted)
    method = started(scenes, labels, scenes=3)
    assert len(method.samples) == 3 and labelled == [4] * 6  # also those of the chosen scenes are labelled once
    maps = [labels_of_images(scene, labels) for scene in scenes]
    shown = [np.stack([selection.presence(each, 20) for each in of_scene]) for of_scene in maps]
    order = selection.diverse(np.concatenate(shown), 24) // 4
    expected = [f"scene{number}" for number in dict.fromkeys(order.tolist())][:3]
    assert method.samples.names == [scene.name for scene in method.samples.scenes] == expected
    torch.manual_seed(3)
    any_of_them = started(scenes, labels, scenes=4, choice="random").samples.names
    assert len(set(any_of_them)) == 4 and started(scenes, labels, scenes=9).samples.names == [s.name for s in scenes]


def labels_of_images(scene, labels):
    return [each.argmax(0).to(torch.uint8).numpy() for each in image_scores(ByColour(labels), scene.images)]


def test_what_cannot_work_is_refused(prepared, labels):
    with pytest.raises(BadInput, match="labels and does not learn in this phase"):
        config.build(FusionPhase, {**PHASE, "image": ADAM})
    with pytest.raises(BadInput, match="no point of 3 scenes gets a label to learn"):
        started(prepared, labels, pseudo_truth={**SURE, "max_distance_m": 0.1})
    data = PhaseData([Source(prepared)], labels, ImageAugment(), CloudAugment(accumulated=0.5), INPUTS, 0.05)
    with pytest.raises(BadInput, match="accumulated: the method 'fusion'"):
        Fusion2d3d(config.build(FusionPhase, PHASE), data)


# Scenes at inference.


def cloud_weights(labels, **fields) -> Checkpoint:
    torch.manual_seed(0)
    fusion = config.build(FusedInput, {"settings": SEEN}).model_dump(mode="json")
    settings = NetworkConfig("cloud", "sparse_unet", NARROW, INPUTS, fusion=fusion, **fields)
    return Checkpoint(settings.build(labels), settings, labels, {}, "fused")


def image_weights(labels) -> Checkpoint:
    torch.manual_seed(0)
    settings = NetworkConfig("image", "resnet", {"width": 0.125})
    return Checkpoint(settings.build(labels).eval(), settings, labels, {}, "image")


def test_a_scene_is_fused_as_its_cloud_network_learned_it(labels, tmp_path):
    """Training and inference give a point the same input."""
    scene, weights = StripedScene(1, labels), image_weights(labels)
    images, clouds = ImageSegmenter(weights, "cpu", "float32"), CloudSegmenter(cloud_weights(labels), "cpu", "float32")
    (fused,) = fused_scenes.fused_scenes([scene], clouds, images)
    assert (fused.name, len(fused), fused.tags) == (scene.name, 4, scene.tags)
    prepared = prepare([scene], labels, tmp_path, 0, 32).scenes[0]
    flat = [each.argmax(0).to(torch.uint8).numpy() for each in image_scores(weights.network, prepared.images)]
    expected = fuse(prepared.xyz, frames_of(prepared), flat, config.build(FusionSettings, SEEN), 20)
    same = fused.cloud.fused_label == expected.label
    assert same.mean() > 0.99  # scores that are nearly equal may fall to either side
    off = fused.cloud.fused_confidence[same] - share_of_winner(expected.votes)[same]
    assert (np.abs(off) < 1e-6).mean() > 0.99 and len(np.unique(expected.label)) > 1
    found, _ = clouds(fused.cloud)
    assert found.max() < 20
    assert fused_scenes.fused_scenes([scene], None, images) == [scene]


def test_points_that_are_not_finite_and_scenes_without_frames(labels):
    images, clouds = ImageSegmenter(image_weights(labels), "cpu"), CloudSegmenter(cloud_weights(labels), "cpu")
    scene, fusion = StripedScene(1, labels), fused_scenes.fusion_of(clouds, images)
    xyz = scene.cloud.xyz.copy()
    xyz[3] = np.nan
    frames = [scene.frame(index) for index in range(4)]
    unposed = dataclasses.replace(frames[0], camera=None)
    found = fused_scenes.with_fused_labels(Cloud(xyz), [*frames, unposed], images, fusion)
    assert found.fused_label[3] == UNLABELLED and found.fused_confidence[3] == 0
    assert (np.delete(found.fused_label, 3) != UNLABELLED).all()
    with pytest.raises(BadInput, match="no frame has a camera and a pose"):
        fused_scenes.with_fused_labels(Cloud(xyz), [unposed], images, fusion)
    with pytest.raises(BadInput, match="cloud weights fused take fused labels of images; segment or score"):
        fused_scenes.fused_scenes([scene], clouds, None)


# Runs.


def run_settings(root, output: str) -> TrainConfig:
    cloud = {"network": "sparse_unet", "options": NARROW, "inputs": list(INPUTS), "augment": {"points": 256}}
    first = {**PHASES[0], "epochs": 1}
    changes = {"cloud": {**cloud, "fusion": {"settings": SEEN}}, "phases": [first, PHASE], "save_every_s": 0}
    return settings_for(root, output=str(root / output), **changes)


@pytest.mark.usefixtures("one_thread")
def test_killed_in_any_phase_it_ends_with_the_same_weights(scenes):
    """Its networks are scored on fused clouds, and the checkpoint says how they are fused."""
    runs = [run_settings(scenes, name) for name in "ab"]
    scores = train(runs[0])
    for after in (1, 2, 2):  # in the first phase, then twice in the second
        assert killed(runs[1], after) == -9
    assert train(runs[1]) == scores and scores["cloud"]["miou"] >= 0
    assert versions(runs[0].output) == versions(runs[1].output)
    saved = checkpoint.load(scenes / "a" / "cloud.safetensors", "cloud").config
    assert config.build(FusedInput, saved.fusion) == runs[0].cloud.fusion and saved.inputs == INPUTS


@pytest.mark.parametrize("name", ["rooms", "scannet"])
def test_the_configurations_describe_runs(name):
    settings = config.build(TrainConfig, yaml.safe_load((ROOT / f"config/fusion_{name}.yaml").read_text()))
    assert settings.phases[-1].method == "fusion"
    for kind in ("image", "cloud"):
        network = getattr(settings, kind)
        with torch.device("meta"):
            networks.build(kind, network.network, 20, network.options, getattr(network, "inputs", ()))
