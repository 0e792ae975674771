"""Densify: its losses against slow twins, its schedule, bootstrapping, and small runs that are killed and go on."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from reference import densify as slow
from support.paths import ROOT
from support.striped_scenes import StripedScene
from support.training_runs import GENTLE, cells, killed, phase_data, settings_for, versions

from wsss_ros import config, networks
from wsss_ros.inference import CloudSegmenter
from wsss_ros.labels import UNLABELLED
from wsss_ros.losses import classification_loss
from wsss_ros.methods.densify.clustering import Primitives
from wsss_ros.methods.densify.labels import DensifyLabels, DensifyLabelsPhase, PrimitiveClasses
from wsss_ros.methods.densify.phase import DensifyPhase
from wsss_ros.methods.densify.training import Densify
from wsss_ros.methods.teacher_labels import cloud_scores
from wsss_ros.networks.classifier import input_features
from wsss_ros.samples import scene_regions
from wsss_ros.samples.mixture import Source
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.run import train
from wsss_ros.types import BadInput

LIGHT = {"width": 0.125, "centres": [64, 32, 16, 8], "neighbours": [8, 8, 8, 8]}
DENSIFY = {
    "method": "densify",
    "epochs": 6,
    "batch": 3,
    "primitives": 5,
    "cluster_every": 2,
    "hand_made_epochs": 4,
    "match_from": 1,
    "groups": 3,
    "cloud": {**GENTLE, "schedule": "one_cycle"},
}
LABELS = {"method": "densify_labels", "epochs": 2, "batch": 3, "primitives": 5, "cloud": GENTLE}


@pytest.fixture(autouse=True)
def simple_regions(monkeypatch):
    monkeypatch.setattr(scene_regions, "regions", cells)


def networks_of(labels, kinds, cloud: str = "pointnet2") -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    options = LIGHT if cloud == "pointnet2" else {"planes": [8] * 8, "blocks": [1] * 8, "stem": 8, "voxel_m": 0.05}
    own = {
        "image": lambda: networks.build("image", "resnet", len(labels), {"width": 0.125}),
        "cloud": lambda: networks.build("cloud", cloud, len(labels), options, ("color",)),
    }
    return {kind: own[kind]().eval() for kind in kinds}  # no statistics of the batch


def started(scenes, labels, epoch: int = 2, cloud: str = "pointnet2", **options) -> tuple[Densify, object]:
    """The method at the start of an epoch with clusters, and a batch of all scenes."""
    method = Densify(config.build(DensifyPhase, {**DENSIFY, **options}), phase_data(scenes, labels))
    method.start(networks_of(labels, method.phase.networks, cloud), epoch)
    torch.manual_seed(epoch)
    method.prepare(epoch)
    samples = method.samples
    return method, samples.collate([samples.sample(k, np.random.default_rng(k)) for k in range(len(samples))])


# Losses.


@pytest.mark.parametrize(
    "options", [{}, {"matching": "naive"}, {"similarity": "cosine", "temperature": 0.5}, {"hand_made_epochs": 0}]
)
def test_the_terms_of_a_step_are_those_of_the_slow_twin(prepared, labels, options):
    method, batch = started(prepared, labels, **options)
    head = method.networks["cloud"].head
    with torch.no_grad():
        head.weight.mul_(5)
        terms = method.losses(batch)
        features, scores = method.networks["cloud"](batch.xyz, input_features(batch.xyz, batch.rgb, ("color",)))
    features, scores = features.double(), scores.double()
    mean = scores.mean(dim=1)
    cam = F.binary_cross_entropy_with_logits(mean, batch.cloud_tags.double(), reduction="sum") / 3
    centres, group = method.primitives.features.double(), method.group.tolist()
    assignment = [
        [-1 if point < 0 else int(method.primitives.assignment[point]) for point in scene]
        for scene in batch.superpoint.tolist()
    ]
    flat = features.flatten(0, 1)
    if options.get("similarity") == "cosine":
        flat = flat / flat.norm(dim=1, keepdim=True) / 0.5
    us = slow.primitive_loss(flat, centres, sum(assignment, []))
    mean_scores, matched = [], []
    for scene in range(3):
        means = slow.primitive_means(features[scene], assignment[scene])
        own = torch.stack(list(slow.primitive_means(scores[scene], assignment[scene]).values()))
        tags = batch.cloud_tags[scene].int().tolist()
        if options.get("matching") == "naive":
            found = slow.naive_match(own, tags)
        else:
            found = slow.match(torch.stack(list(means.values())), head.weight.detach().double(), tags)
        if group:
            found = spread(found, [group[number] for number in means])
        mean_scores.append(own)
        matched += found
    torch.testing.assert_close(terms["classification_3d"].double(), cam)
    torch.testing.assert_close(terms["primitives"].double(), us, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        terms["match"].double(), slow.match_loss(torch.cat(mean_scores), matched), rtol=1e-4, atol=1e-5
    )
    assert bool(group) == (options.get("hand_made_epochs") == 0) and min(sum(assignment, [])) == -1


def spread(found: list[int], group: list[int]) -> list[int]:
    """The classes of the primitives of a scene after their groups, one primitive after the other."""
    of_group = {g: {c for c, other in zip(found, group, strict=True) if other == g and c >= 0} for g in group}
    return [next(iter(of_group[g])) if len(of_group[g]) == 1 else -1 for g in group]


def test_matched_classes_teach_all_points_of_their_primitives(prepared, labels):
    method, batch = started(prepared, labels)
    head = method.networks["cloud"].head
    seen = []
    head.register_forward_hook(lambda _, given, scores: (scores.retain_grad(), seen.append(scores))[0])
    method.losses(batch)["match"].backward()
    taught = seen[0].grad.abs().sum(dim=2) > 0
    primitive = method.primitives.assignment[batch.superpoint.clamp(min=0)].masked_fill(batch.superpoint < 0, -1)
    for scene in range(3):
        chosen = set(primitive[scene][taught[scene]].tolist())
        assert -1 not in chosen and 0 < len(chosen) <= int(batch.cloud_tags[scene].sum())
        assert torch.equal(taught[scene], torch.isin(primitive[scene], torch.tensor(sorted(chosen))))


def test_losses_switched_off_are_not_computed(prepared, labels):
    names = {"classification": "classification_3d", "primitive": "primitives", "match": "match"}
    for option, name in names.items():
        method, batch = started(prepared, labels, **{option: 0})
        assert set(method.losses(batch)) == set(names.values()) - {name}
    method, batch = started(prepared, labels, primitive=0, match=0, classification_reduction="mean")
    assert not len(method.primitives.features) and (batch.superpoint == -1).all()
    terms = method.losses(batch)
    scores = method.networks["cloud"](batch.xyz, input_features(batch.xyz, batch.rgb, ("color",)))[1]
    torch.testing.assert_close(
        terms, {"classification_3d": classification_loss(scores.mean(dim=1), batch.cloud_tags, batch.cloud_known)}
    )


# Schedule and state.


def test_the_schedule_is_that_of_the_configuration(prepared, labels, monkeypatch):
    """Clusters at every second epoch, with their own features and groups from the fourth, matching from the first."""
    method, batch = started(prepared, labels, epoch=0)
    seen = [len(method.group)]
    for epoch in range(6):
        torch.manual_seed(epoch)
        before = method.primitives.features
        method.prepare(epoch)
        assert (method.primitives.features is before) == (epoch % 2 == 1)
        assert ("match" in method.losses(batch)) == (epoch >= 1)
        seen.append(len(method.group))
    assert seen == [0, 0, 0, 0, 0, 5, 5] and len(set(method.group.tolist())) <= 3
    once, _ = started(prepared, labels, epoch=0, cluster_every=0)
    before = once.primitives
    for epoch in range(1, 6):
        once.prepare(epoch)
    assert once.primitives is before
    trained = once.phase.continued(4, 2)
    assert (trained.match_from, trained.hand_made_epochs, trained.superpoints_per_primitive) == (0, 0, 4)


def test_a_clustering_leaves_the_network_as_it_is(prepared, labels):
    method, _ = started(prepared, labels)
    network = method.networks["cloud"].train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    method.prepare(2)
    assert network.training and all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_the_state_has_all_that_a_step_needs(prepared, labels):
    method, batch = started(prepared, labels, epoch=4)
    again = Densify(method.phase, phase_data(prepared, labels))
    again.start(method.networks, 5)
    again.load_state_dict(method.state_dict())
    assert len(again.group) == 5
    torch.testing.assert_close(again.losses(batch), method.losses(batch), rtol=0, atol=0)


def test_superpoints_of_several_sources_have_numbers_of_their_own(prepared, labels):
    sources = [Source(prepared[:1], name="a"), Source(prepared[1:], name="b")]
    method = Densify(config.build(DensifyPhase, DENSIFY), replace(phase_data(prepared, labels), sources=sources))
    samples = [method.samples.sample(k, np.random.default_rng(k)) for k in range(3)]
    of_scenes = [set(sample["superpoint"].tolist()) - {-1} for sample in samples]
    assert not of_scenes[0] & of_scenes[1] and not of_scenes[1] & of_scenes[2]
    method.start(networks_of(labels, ("cloud",)), 0)
    method.prepare(0)
    assert max(map(max, of_scenes)) < len(method.primitives.assignment)


# The image network.


def test_an_image_network_may_teach_and_learn(prepared, labels):
    """With the losses of the joint method, beside those of primitives."""
    both = {"image": GENTLE, "image_to_point": 2.0, "point_to_image": 3.0, "images_per_cloud": 2}
    method, batch = started(prepared, labels, **both)
    terms = method.losses(batch)
    assert set(terms) == {
        *("classification_3d", "primitives", "match", "classification_2d", "image_to_point", "point_to_image")
    }
    moved = {}
    for name, loss in terms.items():
        gradients = {
            kind: torch.autograd.grad(loss, list(each.parameters()), allow_unused=True, retain_graph=True)
            for kind, each in method.networks.items()
        }
        moved[name] = {kind for kind, found in gradients.items() if any(g is not None and g.any() for g in found)}
    of_images = {"classification_2d", "point_to_image"}
    assert moved == {name: {"image"} if name in of_images else {"cloud"} for name in terms}
    teaches, batch = started(prepared, labels, image_to_point=1.0)
    assert set(teaches.losses(batch)) == {"classification_3d", "primitives", "match", "image_to_point"}


@pytest.mark.slow
def test_the_sparse_network_learns_as_well(prepared, labels):
    method, batch = started(prepared, labels, cloud="minkunet")
    sum(method.losses(batch).values()).backward()
    assert all(p.grad.isfinite().all() for p in method.networks["cloud"].parameters() if p.grad is not None)


# Bootstrapping.


def labelling(scenes, labels, **options) -> DensifyLabels:
    method = DensifyLabels(config.build(DensifyLabelsPhase, {**LABELS, **options}), phase_data(scenes, labels))
    method.start({kind: of_stripes(each) for kind, each in networks_of(labels, method.phase.networks).items()}, 0)
    method.prepare(0)
    return method


def of_stripes(network: torch.nn.Module) -> torch.nn.Module:
    """The network, so that it predicts the three classes of striped scenes only, now one and now another."""
    with torch.no_grad():
        network.head.weight.mul_(50)
        network.head.bias.fill_(-1000)
        network.head.bias[[0, 1, 3]] = 0
        network.head.weight[[0, 1, 3]] -= network.head.weight[[0, 1, 3]].mean(dim=1, keepdim=True)
    return network


def test_points_whose_prediction_is_among_the_tags_are_kept(prepared, labels):
    ((samples, _),) = labelling(prepared, labels).parts
    kept = 0
    for scene, before in zip(samples.scenes, prepared, strict=True):
        network = of_stripes(networks_of(labels, ("cloud",))["cloud"])
        with torch.no_grad():
            predicted = cloud_scores(network, before, 256, ("color",)).argmax(dim=1).tolist()
        for point, label in enumerate(predicted):
            assert scene.cloud_truth[point] == (label if before.tags[label] else UNLABELLED)
        kept += int((scene.cloud_truth != UNLABELLED).sum())
    assert 0 < kept < sum(len(scene.xyz) for scene in prepared)


def test_primitives_alone_label_among_the_tags_as_well(prepared, labels):
    method = labelling(prepared, labels, labels_from="primitives", image=GENTLE)
    ((samples, _),) = method.parts
    for scene in samples.scenes:
        for found in (scene.cloud_truth, scene.frame_truth):
            assert set(np.unique(found).tolist()) <= {*np.flatnonzero(scene.tags).tolist(), UNLABELLED}
        assert (scene.cloud_truth != UNLABELLED).any()
    assert method.classes.votes.sum() == sum(scene.tags.sum() for scene in prepared)
    batch = samples.collate([samples.sample(k, np.random.default_rng(k)) for k in range(3)])
    assert {"labels_2d", "labels_3d"} <= set(method.losses(batch))


def test_a_point_has_the_class_of_the_nearest_primitive_with_a_class():
    centres = F.normalize(torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]), dim=1)
    votes = torch.tensor([[0.0, 3, 1], [0, 0, 0], [2, 0, 0]])
    classes = PrimitiveClasses(Primitives(centres, torch.zeros(0, dtype=torch.int64)), votes)
    points = torch.tensor([[5.0, 0.1], [2.0, 1.9], [1.9, 2.0], [0.0, 9.0]])
    assert classes.classes.tolist() == [1, -1, 0]
    assert classes.label(points).tolist() == [1, 1, 0, 0]
    assert classes.label(points, torch.tensor([1.0, 0, 0])).tolist() == [0] * 4
    assert classes.label(points, torch.tensor([0.0, 0, 1])).tolist() == [-1] * 4


# Data that says little, and wrong data.


@pytest.mark.parametrize("case", ["one tag", "all tags", "a scene without superpoints", "few superpoints"])
def test_data_that_says_little_gives_finite_losses(prepared, labels, case, monkeypatch):
    scenes, options = prepared, {}
    if "tag" in case:
        tags = np.ones(len(labels), np.float32) if case == "all tags" else np.eye(len(labels), dtype=np.float32)[0]
        scenes = [replace(scene, tags=tags) for scene in prepared]
    if case == "a scene without superpoints":
        scenes = [replace(prepared[0], xyz=prepared[0].xyz + np.float32(100)), *prepared[1:]]
        monkeypatch.setattr(
            scene_regions, "regions", lambda xyz, *_: cells(xyz, *_) if xyz[0, 0] < 50 else np.full(len(xyz), -1)
        )
    if case == "few superpoints":
        options = {"primitives": 300, "superpoints_per_primitive": 10}
    method, batch = started(scenes, labels, **options)
    terms = method.losses(batch)
    assert len(terms) == 3 and all(value.isfinite() for value in terms.values())
    sum(terms.values()).backward()
    assert all(p.grad.isfinite().all() for p in method.networks["cloud"].parameters() if p.grad is not None)
    if case == "few superpoints":
        assert len(method.primitives.features) == len(method.primitives.assignment) // 10


def test_data_without_any_superpoint_is_refused(prepared, labels, monkeypatch):
    monkeypatch.setattr(scene_regions, "regions", lambda points, *_: np.full(len(points), -1))
    with pytest.raises(BadInput, match="no scene has a superpoint"):
        started(prepared, labels)
    assert started(prepared, labels, primitive=0, match=0)


@pytest.mark.parametrize("name", ["scannet", "scannet_labels", "s3dis", "rooms"])
def test_the_configurations_describe_runs(name):
    settings = config.build(TrainConfig, yaml.safe_load((ROOT / f"config/densify_{name}.yaml").read_text()))
    assert {phase.method for phase in settings.phases} <= {"densify", "densify_labels"} and settings.image is None
    with torch.device("meta"):
        networks.build("cloud", settings.cloud.network, 20, settings.cloud.options, settings.cloud.inputs)


def test_the_defaults_are_the_papers():
    settings = config.build(TrainConfig, yaml.safe_load((ROOT / "config/densify_scannet.yaml").read_text()))
    (phase,) = settings.phases
    own = config.build(DensifyPhase, {"method": "densify", "epochs": 400})
    names = ("primitives", "cluster_every", "hand_made_epochs", "match_from", "groups", "similarity", "matching")
    assert [getattr(phase, name) for name in names] == [getattr(own, name) for name in names]
    assert [getattr(own, name) for name in names] == [300, 10, 250, 60, 120, "dot", "bipartite"]
    assert (phase.epochs, phase.batch, phase.cloud.schedule, phase.cloud.lr) == (400, 6, "one_cycle", 0.01)


# Runs.


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_killed_in_any_phase_it_ends_with_the_same_weights(scenes):
    """Six scenes make two steps an epoch: twelve steps of the first phase, four of the second."""
    phases = [DENSIFY, {**LABELS, "labels_from": "primitives"}]
    data = {"train": {"folder": str(scenes / "train")}, "frames_per_scene": 0, "cache": str(scenes / "cache")}
    common = {"phases": phases, "save_every_s": 0, "data": data, "image": None}
    runs = [settings_for(scenes, output=str(scenes / name), **common) for name in "ab"]
    losses = []
    train(runs[0], report=lambda progress: losses.append(progress.terms))
    for after in (4, 7, 2, 2):  # between two clusterings, with groups, at the end of an epoch, in the second phase
        assert killed(runs[1], after) == -9
    train(runs[1])
    assert versions(runs[0].output, ["cloud"]) == versions(runs[1].output, ["cloud"])
    assert {"classification_3d", "primitives", "match", "labels_3d"} <= {name for terms in losses for name in terms}
    segmenter = CloudSegmenter(f"{runs[0].output}/cloud.safetensors", "cpu")
    found, confidence = segmenter(StripedScene(0, segmenter.labels).cloud)
    assert len(found) == len(confidence) == 600
