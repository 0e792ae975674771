"""WSegPC: pairs, mixing, averages and both stages against slow twins, and small runs that are killed and go on."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import yaml
from reference import wsegpc as slow
from support.paths import ROOT
from support.striped_scenes import StripedScene
from support.training_runs import GENTLE, cells, killed, phase_data, settings_for, versions

from wsss_ros import config, networks
from wsss_ros.labels import UNLABELLED
from wsss_ros.losses import contrastive_loss
from wsss_ros.methods.wsegpc import guidance
from wsss_ros.methods.wsegpc.mixing import random_mix
from wsss_ros.methods.wsegpc.phase import WsegpcPhase
from wsss_ros.methods.wsegpc.stage_one import Wsegpc, ramped
from wsss_ros.methods.wsegpc.stage_two import WsegpcLabels, WsegpcLabelsPhase, point_labels
from wsss_ros.networks.classifier import input_features, normalise_images, sample_bilinear, upsample
from wsss_ros.samples import scene_regions
from wsss_ros.samples.prepared import prepare
from wsss_ros.samples.samples import CloudBatch
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.run import train
from wsss_ros.types import BadInput, Cloud

CLOUD_NETWORKS = {
    "pointnet2": {"width": 0.125, "centres": [64, 32, 16, 8], "neighbours": [8, 8, 8, 8]},
    "minkunet": {"planes": [8] * 8, "blocks": [1] * 8, "stem": 8, "voxel_m": 0.05},
}
STAGE_ONE = {
    "method": "wsegpc",
    "epochs": 2,
    "batch": 3,
    "images_per_cloud": 2,
    "min_links": 10,
    "classification_warmup": 2,
    "guidance_warmup": 3,
    "rpc_warmup": 2,
    "ema_decay": 0.8,
    "image": GENTLE,
    "cloud": GENTLE,
}
WITHOUT_WARMUP = {"classification_warmup": 0, "guidance_warmup": 0, "rpc_warmup": 0}
STAGE_TWO = {"method": "wsegpc_labels", "epochs": 2, "batch": 2, "long_sides": [32], "image": GENTLE, "cloud": GENTLE}


@pytest.fixture(autouse=True)
def simple_regions(monkeypatch):
    monkeypatch.setattr(scene_regions, "regions", cells)


def started(scenes, labels, cloud_network: str = "pointnet2", **options) -> tuple[Wsegpc, object]:
    """The method in its first step, and a batch of all scenes."""
    torch.manual_seed(0)
    phase = config.build(WsegpcPhase, {**STAGE_ONE, **WITHOUT_WARMUP, **options})
    method = Wsegpc(phase, phase_data(scenes, labels))
    own = {
        "image": networks.build("image", "resnet", len(labels), {"width": 0.125}),
        "cloud": networks.build("cloud", cloud_network, len(labels), CLOUD_NETWORKS[cloud_network], ("color",)),
    }
    method.modules = method.make_modules(own)
    method.start({kind: network.eval() for kind, network in own.items()}, 0)  # no statistics of the batch
    samples = method.samples
    batch = samples.collate([samples.sample(k, np.random.default_rng(k)) for k in range(len(samples))])
    return method, batch


# Pairs and guidance (section 3.2).


def test_rows_are_drawn_from_all_tables_alike():
    torch.manual_seed(0)
    assert [rows.tolist() for rows in guidance.drawn([3, 0, 2], 99)] == [[0, 1, 2], [], [0, 1]]
    assert guidance.drawn([], 5) == []
    total = torch.zeros(10)
    for _ in range(2000):
        first, second = guidance.drawn([4, 6], 5)
        assert len(first) + len(second) == 5
        total[torch.cat([first, 4 + second])] += 1
    assert (total / 2000 - 0.5).abs().max() < 0.05


def test_pairs_are_read_at_their_points_and_pixels(prepared, labels):
    method, batch = started(prepared, labels)
    maps = torch.randn(len(batch.images), 5, 8, 8), torch.randn(len(batch.images), 20, 8, 8)
    points = torch.randn(3, 256, 4), torch.randn(3, 256, 20)
    found = list(guidance.scene_pairs(batch, maps, points, 1, 10**6))
    starts = np.concatenate([[0], np.cumsum(batch.links_count)])
    for scene, pairs in enumerate(found):
        rows = range(starts[2 * scene], starts[2 * scene + 2])
        for at, row in enumerate(rows):
            image = 2 * scene + (row >= starts[2 * scene + 1])
            pixel = sample_bilinear(maps[0][image], batch.links_uv[row][None], 32)[0]
            torch.testing.assert_close(pairs.image.features[at], pixel)
            assert torch.equal(pairs.cloud.scores[at], points[1][scene, batch.links_point[row]])
        assert len(pairs.image.features) == len(rows) and torch.equal(pairs.tags, batch.scene_tags[scene])
    few = list(guidance.scene_pairs(batch, maps, points, max(batch.links_count), 7))
    assert sorted(len(pairs.image.scores) for pairs in few)[-1] == 7


@pytest.mark.parametrize("name", ["contrastive", "mse", "affinity", "cam"])
def test_each_direction_teaches_one_network(prepared, labels, name):
    """Only the guided network and its projection get a gradient (figure 2)."""
    for learner, other, direction in (("cloud", "image", "image_to_point"), ("image", "cloud", "point_to_image")):
        both = {"image_to_point": 0, "point_to_image": 0, direction: 1.0, f"{direction}_loss": name}
        method, batch = started(prepared, labels, **both)
        assert set(method.modules) == ({learner} if name in guidance.PROJECTED else set())
        method.losses(batch)[direction].backward()
        got = {kind: [p.grad for p in network.backbone.parameters()] for kind, network in method.networks.items()}
        assert all(gradient is None for gradient in got[other])
        assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in got[learner])
        assert all(p.grad.abs().sum() > 0 for module in method.modules.values() for p in module.parameters())


def test_guidance_is_the_sum_of_the_scenes_and_rises_linearly(prepared, labels):
    method, batch = started(prepared, labels, image_to_point=0.05, point_to_image=0)
    with torch.no_grad():
        terms = method.losses(batch)
        image, _ = method.networks["image"](normalise_images(batch.images))
        cloud, _ = method.networks["cloud"](batch.xyz, input_features(batch.xyz, batch.rgb, ("color",)))
        total, links = (
            0.0,
            iter(zip(batch.links_point.split(batch.links_count), batch.links_uv.split(batch.links_count), strict=True)),
        )
        for scene in range(3):
            points, pixels = [], []
            for view in (2 * scene, 2 * scene + 1):
                point, uv = next(links)
                points.append(method.modules["cloud"](cloud[scene, point]))
                pixels.append(sample_bilinear(image[view], uv, 32))
            total += contrastive_loss(torch.cat(points), torch.cat(pixels))
    torch.testing.assert_close(terms["image_to_point"], 0.05 * total)
    assert [ramped(step, 4) for step in (0, 1, 3, 9)] == [0.25, 0.5, 1, 1] and ramped(0, 0) == 1


# Consistency with regions (section 3.3).


@pytest.mark.parametrize(
    "options", [{"centring": 0.5}, {"threshold": "fixed", "eta": 0.3}, {"consistency": "point", "eta": 0.0}]
)
def test_the_terms_of_a_step_are_those_of_the_slow_twin(prepared, labels, options):
    method, batch = started(prepared, labels, **options)
    with torch.no_grad():
        for parameter in method.teachers["cloud"].parameters():
            parameter.mul_(1.5)  # the teacher differs from the student
        make_sure(method.teachers["cloud"].module.head, method.teachers["cloud"](*cloud_input(batch))[1])
        make_sure(method.teachers["image"].module.head, method.teachers["image"](normalise_images(batch.images))[1])
        terms = method.losses(batch)
        point, centring = options.get("consistency") == "point", options.get("centring", 0.0)
        students, teachers = [], []
        of_cloud = method.networks["cloud"](batch.xyz, input_features(batch.xyz, batch.rgb, ("color",)))[1]
        taught = method.teachers["cloud"](*cloud_input(batch))[1]
        for scene in range(3):
            region = [-1] * 256 if point else batch.region[scene].tolist()
            possible = (batch.cloud_tags[scene] > 0).tolist()
            students.append(of_cloud[scene].double())
            if any(possible):
                scores = taught[scene].double()
                teachers.append(slow.regional_probabilities(scores - centring * scores.mean(dim=0), possible, region))
            else:
                teachers.append(torch.zeros(256, len(labels), dtype=torch.float64))
        assert_consistency(terms["rpc_3d"], torch.cat(students), torch.cat(teachers), method)
        students, teachers = [], []
        of_images = upsample(method.networks["image"](normalise_images(batch.images))[1], (8, 8))
        taught = upsample(method.teachers["image"](normalise_images(batch.teacher_images))[1], (8, 8))
        for image in range(6):
            cells = [(row, column) for row, column in np.ndindex(8, 8) if batch.image_region[image, row, column] != -2]
            region = [-1 if point else int(batch.image_region[image, row, column]) for row, column in cells]
            scores = torch.stack([taught[image, :, row, column] for row, column in cells]).double()
            scores = scores - centring * scores.mean(dim=0)
            possible = (batch.scene_tags[image // 2] > 0).tolist()
            students.append(torch.stack([of_images[image, :, row, column] for row, column in cells]).double())
            teachers.append(slow.regional_probabilities(scores, possible, region))
        assert_consistency(terms["rpc_2d"], torch.cat(students), torch.cat(teachers), method)
        mean = method.networks["image"](normalise_images(batch.images))[1].mean(dim=(2, 3)).view(3, 2, -1).mean(dim=1)
        torch.testing.assert_close(terms["classification_2d"], F.multilabel_soft_margin_loss(mean, batch.scene_tags))
        torch.testing.assert_close(
            terms["classification_3d"], F.multilabel_soft_margin_loss(of_cloud.mean(dim=1), batch.cloud_tags)
        )


def cloud_input(batch) -> tuple[torch.Tensor, torch.Tensor]:
    return batch.teacher_xyz, input_features(batch.teacher_xyz, batch.rgb, ("color",))


def make_sure(head: torch.nn.Linear, scores: torch.Tensor) -> None:
    """Scores as large as those of a trained network."""
    for part in (head.weight, head.bias):
        part.mul_(3 / scores.std())


def assert_consistency(found, student, probabilities, method) -> None:
    fixed = [method.phase.eta] * student.shape[1]
    possible = probabilities[probabilities.any(dim=1)]  # a cloud that lost its only class has none
    adaptive = slow.thresholds(slow.class_counts(possible), method.phase.eta)
    expected = slow.region_consistency_loss(
        student, probabilities, fixed if method.phase.threshold == "fixed" else adaptive
    )
    assert expected > 0
    torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-5)


def test_accumulated_thresholds_are_a_state(prepared, labels):
    method, batch = started(prepared, labels, threshold="accumulated")
    first = method.losses(batch)["rpc_3d"]
    counted = method.counters["cloud"].clone()
    assert first > 0 and 0 < counted.sum() <= 3 * 256
    again, _ = started(prepared, labels, threshold="accumulated")
    again.load_state_dict(method.state_dict())
    method.losses(batch), again.losses(batch)
    assert (
        torch.equal(method.counters["cloud"], again.counters["cloud"]) and again.counters["cloud"].sum() > counted.sum()
    )


def test_networks_end_as_the_averages_of_all_their_weights(prepared, labels):
    method, _ = started(prepared, labels)
    network = method.networks["cloud"]
    expected = None
    for step in range(3):
        with torch.no_grad():
            for value in network.state_dict().values():
                if value.is_floating_point():
                    value.add_(step + 1.0)
        now = {name: value.clone() for name, value in network.state_dict().items() if value.is_floating_point()}
        expected = expected or now
        expected = {name: 0.8 * expected[name] + 0.2 * now[name] for name in now}
        method.after_step()
    method.finish()
    statistics = [name for name in expected if "running_var" in name]
    assert statistics and method.steps == 3
    for name, value in expected.items():
        torch.testing.assert_close(network.state_dict()[name], value)


def test_a_short_phase_does_not_end_with_the_average_of_its_first_steps(prepared, labels):
    phase = config.build(WsegpcPhase, {**STAGE_ONE, "ema_decay": 0.999}).continued(1, 2)
    assert (phase.guidance_warmup, phase.rpc_warmup, phase.ema_warmup) == (0, 0, True)
    method, _ = started(prepared, labels, ema_decay=0.999, ema_warmup=True)
    weight, moved = method.networks["image"].head.bias, []
    for _ in range(20):
        with torch.no_grad():
            weight.add_(1.0)
        method.after_step()
        moved.append(float((weight.detach() - method.teachers["image"].module.head.bias).mean()))
    assert moved[0] == 0 and moved[-1] < 3  # with 0.999 it would be 19 steps behind


# Samples in two views.


def test_both_views_show_the_same_points_and_pixels(prepared, labels):
    method, batch = started(prepared, labels, removal={"floor": 0, "wall": 0}, views={"student": {"jitter_m": 0}})
    assert not torch.equal(batch.xyz, batch.teacher_xyz) and not torch.equal(batch.images, batch.teacher_images)
    for student, teacher in zip(batch.xyz, batch.teacher_xyz, strict=True):
        scale = torch.cdist(student, student) / torch.cdist(teacher, teacher).clamp(min=1e-3)
        assert scale[~torch.eye(256, dtype=torch.bool)].std() < 0.02
    assert batch.region.shape == (3, 256) and batch.image_region.shape == (6, 8, 8)
    assert torch.equal(batch.cloud_tags, batch.scene_tags)


def test_clouds_lose_their_floor_and_its_tag(prepared, labels):
    """Where the floor is removed, its class is absent from the cloud, but not from the images."""
    method, _ = started(prepared, labels, removal={"floor": 1, "wall": 0})
    floor, seen = labels.index("floor"), 0
    for index, scene in enumerate(method.samples.scenes):
        sample = method.samples.sample(index, np.random.default_rng(0))
        kept = torch.arange(len(labels)) != floor
        assert torch.equal(sample["cloud_tags"][kept], sample["scene_tags"][kept]) and sample["xyz"].shape == (256, 3)
        assert torch.equal(sample["scene_tags"], torch.from_numpy(np.array(scene.tags)))
        seen += int(sample["scene_tags"][floor] and not sample["cloud_tags"][floor])
        assert set(sample["region"].tolist()) <= set(scene.region.tolist())
    assert seen > 0


@pytest.mark.parametrize("count", [2, 3, 4])
def test_mixed_clouds_have_the_points_and_tags_of_both(count):
    torch.manual_seed(count)
    batch = CloudBatch(
        xyz=torch.randn(count, 5, 3),
        rgb=torch.rand(count, 5, 3),
        cloud_tags=torch.eye(count, 6),
        cloud_known=torch.ones(count, 6),
    )
    mix = random_mix(count)
    mixed = mix.clouds(batch)
    assert mixed.xyz.shape == ((count + 1) // 2, 10, 3) and set(mix.pairs.flatten()) == set(range(count))
    assert torch.equal(mix.own(mix.joined(batch.rgb)), batch.rgb)
    assert (mixed.cloud_tags.sum(dim=1) == 2).all()
    for own, before in zip(mix.own(mixed.xyz), batch.xyz, strict=True):
        torch.testing.assert_close(own - own.mean(dim=0), before - before.mean(dim=0))
    assert random_mix(1) is None


def test_only_the_student_sees_mixed_clouds(prepared, labels):
    method, batch = started(prepared, labels, mix3d={"share": 1})
    seen = []
    for who, network in (("student", method.networks["cloud"]), ("teacher", method.teachers["cloud"])):
        network.register_forward_pre_hook(lambda _, given, who=who: seen.append((who, given[0].shape[:2])))
    terms = method.losses(batch)
    assert seen == [("student", (2, 512)), ("teacher", (3, 256))] and all(value.isfinite() for value in terms.values())


# Stage two.


def test_pseudo_labels_are_the_likeliest_classes_of_the_regions(prepared, labels):
    method, _ = started(prepared, labels)
    scene, network = method.samples.scenes[0], method.networks["cloud"]
    network.head.weight.data.mul_(50)
    found = point_labels(network, scene, 10**6, ("color",))
    upright = np.asarray(scene.xyz) @ scene.upright_from_world[:3, :3].T
    xyz = torch.from_numpy((upright - upright.mean(axis=0)).astype(np.float32))[None]
    with torch.no_grad():
        color = torch.from_numpy(np.array(scene.rgb))[None].float() / 255
        scores = network(xyz, input_features(xyz, color, ("color",)))[1][0].double()
    expected = slow.regional_probabilities(scores, (np.asarray(scene.tags) > 0).tolist(), scene.region.tolist())
    assert (found == expected.argmax(dim=1).numpy()).mean() > 0.99
    assert set(found) <= set(np.flatnonzero(scene.tags)) and UNLABELLED not in found


# Data that says little, and wrong data.


class TenPoints(StripedScene):
    """A cloud too small to train on."""

    cloud = property(lambda self: Cloud(super().cloud.xyz[:10], super().cloud.rgb[:10]))


class FloorAlone(StripedScene):
    """One class, which is the floor."""

    tags = ("floor",)

    def image_tags(self, index: int) -> None:
        """The scene alone is tagged."""


@pytest.mark.parametrize("case", ["no regions", "no pairs", "one class", "one scene"])
def test_data_that_says_little_gives_finite_losses(prepared, labels, case, monkeypatch, tmp_path):
    scenes, options = prepared, {}
    if case == "no regions":
        monkeypatch.setattr(scene_regions, "regions", lambda points, *_: np.full(len(points), -1))
    if case == "no pairs":
        options = {"min_links": 10**6, "point_to_image_loss": "cam"}
    if case == "one class":
        scenes = prepare([FloorAlone(seed, labels) for seed in range(3)], labels, tmp_path, 0).scenes
        options = {"removal": {"floor": 1}}
    if case == "one scene":
        scenes, options = prepared[:1], {"mix3d": {"share": 1}}
    method, batch = started(scenes, labels, **options)
    terms = method.losses(batch)
    assert len(terms) == 6 and all(value.isfinite() for value in terms.values())
    sum(terms.values()).backward()
    gradients = [p.grad for network in method.networks.values() for p in network.parameters() if p.grad is not None]
    assert gradients and all(gradient.isfinite().all() for gradient in gradients)
    if case == "no pairs":
        assert terms["image_to_point"] == terms["point_to_image"] == 0
    if case == "one class" and not batch.cloud_tags.any():
        assert terms["rpc_3d"] == 0


def test_the_sparse_network_learns_as_well(prepared, labels):
    method, batch = started(prepared, labels, cloud_network="minkunet", mix3d={"share": 1})
    terms = method.losses(batch)
    sum(terms.values()).backward()
    assert all(p.grad.isfinite().all() for p in method.networks["cloud"].parameters() if p.grad is not None)
    assert method.modules["cloud"].weight.shape == (64, 8) and method.modules["cloud"].weight.grad.abs().sum() > 0


@pytest.mark.parametrize("name", ["scannet", "scannet_labels", "s3dis", "rooms"])
def test_the_configurations_describe_runs(name):
    """Their networks can be built, and their phases are those of the two stages."""
    path = ROOT / f"config/wsegpc_{name}.yaml"
    settings = config.build(TrainConfig, yaml.safe_load(path.read_text()))
    assert {phase.method for phase in settings.phases} <= {"wsegpc", "wsegpc_labels"}
    for kind in ("image", "cloud"):
        network = getattr(settings, kind)
        with torch.device("meta"):
            networks.build(kind, network.network, 20, network.options, getattr(network, "inputs", ()))


def test_scenes_that_cannot_be_used_are_refused_with_the_reason(prepared, labels, tmp_path):
    scenes = [TenPoints(1, labels), StripedScene(2, labels)]
    assert [reason for _, reason in prepare(scenes, labels, tmp_path, 0).left_out] == [
        "its cloud has 10 finite points; expected at least 256"
    ]
    with pytest.raises(BadInput, match="scene0: has no dense labels, which 'regions: truth' needs"):
        started(prepared, labels, regions="truth")
    phase = config.build(WsegpcLabelsPhase, {**STAGE_TWO, "cloud_teacher": "nowhere.safetensors"})
    with pytest.raises(BadInput, match="nowhere.safetensors"):
        WsegpcLabels(phase, phase_data(prepared, labels))


# Runs.


@pytest.mark.usefixtures("one_thread")
def test_killed_in_any_stage_it_ends_with_the_same_weights(scenes):
    """Six scenes make two steps an epoch: four of each of the three phases."""
    first = {**STAGE_ONE, "rpc_3d": 0, "rpc_2d": 0, "epochs": 1}
    second = {**STAGE_ONE, "threshold": "accumulated", "mix3d": {"share": 0.5}}
    phases = [first, second, {**STAGE_TWO, "batch": 3}]
    runs = [
        settings_for(scenes, output=str(scenes / name), phases=phases, save_every_s=0, data=data_of(scenes))
        for name in "ab"
    ]
    losses = []
    train(runs[0], report=lambda progress: losses.append(progress.terms))
    # In the first phase, between both phases of stage one, in the second one, before stage two, and in it.
    for after in (2, 2, 3, 3, 2):
        assert killed(runs[1], after) == -9
    train(runs[1])
    assert versions(runs[0].output) == versions(runs[1].output)
    assert {"classification_2d", "image_to_point", "rpc_3d", "labels_2d", "labels_3d"} <= {n for t in losses for n in t}


def data_of(root) -> dict:
    return {"train": {"folder": str(root / "train")}, "frames_per_scene": 0, "cache": str(root / "cache")}
