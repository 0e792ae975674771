"""Steps of stage one on tiny scenes in float64: losses, weights and averages are those that its plain twin computes."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference.wsegpc_stage_one import StageOne
from support.striped_scenes import StripedScene
from torch import nn

from wsss_ros import config
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.methods.method import OptimiserConfig, PhaseData
from wsss_ros.methods.wsegpc import stage_one
from wsss_ros.methods.wsegpc.mixing import Mix
from wsss_ros.methods.wsegpc.phase import WsegpcPhase
from wsss_ros.methods.wsegpc.stage_two import WsegpcLabels, WsegpcLabelsPhase
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.mixture import Source
from wsss_ros.samples.prepared import prepare
from wsss_ros.samples.teachers import TeacherBatch
from wsss_ros.training import optimisation

NAMES = ("wall", "floor", "bed", "chair")
LABELS = LabelSpace("four", NAMES, tuple((40 * k, 0, 0) for k in range(4)), tuple(range(4)))
SGD = OptimiserConfig(lr=0.2, weight_decay=0.01, nesterov=False)
POINTS, VIEWS, CROP = 14, 2, 16


class TinyImages(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.head = nn.Conv2d(3, 3, 8, stride=8), nn.Linear(3, 4)

    def forward(self, images):
        features = torch.tanh(self.backbone(images))
        return features, self.head(features.movedim(1, -1)).movedim(-1, 1)


class TinyClouds(nn.Module):
    def __init__(self):
        super().__init__()
        self.backbone, self.norm, self.head = nn.Conv1d(6, 5, 1), nn.BatchNorm1d(5), nn.Linear(5, 4)

    def forward(self, xyz, inputs):
        features = torch.tanh(self.norm(self.backbone(torch.cat([xyz, inputs], dim=-1).mT))).mT
        return features, self.head(features)


def tiny_batch(seed: int) -> TeacherBatch:
    """Two clouds with two views each. One view has too few links, one class of a scene is unknown."""
    rng = torch.Generator().manual_seed(seed)
    counts = (6, 1, 4, 5)  # of the four views
    tags = torch.tensor([[1.0, 1, 0, 0], [1, 0, 1, 0]]).double()
    known = torch.tensor([[1.0, 1, 1, 1], [1, 1, 1, 0]]).double()
    of_images = {"image_tags": tags.repeat_interleave(VIEWS, 0), "image_known": known.repeat_interleave(VIEWS, 0)}
    without_floor = tags * torch.tensor([1.0, 0, 1, 1])
    images, teacher_images = torch.rand(2, 2 * VIEWS, 3, CROP, CROP, generator=rng).double()
    xyz, teacher_xyz = torch.randn(2, 2, POINTS, 3, generator=rng).double()
    return TeacherBatch(
        images=images,
        teacher_images=teacher_images,
        **of_images,
        xyz=xyz,
        teacher_xyz=teacher_xyz,
        rgb=torch.rand(2, POINTS, 3, generator=rng).double(),
        cloud_tags=without_floor,
        cloud_known=known,
        scene_tags=tags,
        scene_known=known,
        region=torch.randint(-1, 4, (2, POINTS), generator=rng),
        image_region=torch.randint(-2, 3, (2 * VIEWS, CROP // 4, CROP // 4), generator=rng),
        links_point=torch.randint(POINTS, (sum(counts),), generator=rng),
        links_uv=(CROP * torch.rand(sum(counts), 2, generator=rng) - 0.5).double(),
        links_count=counts,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> PhaseData:
    scenes = prepare([StripedScene(seed, LABELS) for seed in range(2)], LABELS, tmp_path_factory.mktemp("cache"), 0)
    image = ImageAugment(long_side=(32, 40), crop=32)
    return PhaseData([Source(scenes.scenes)], LABELS, image, CloudAugment(points=256), ("color",), 0.05)


VARIANTS = {
    "paper": {},
    "the authors' thresholds, and Mix3D": {"threshold": "accumulated", "mix3d": {"share": 1}},
    "table 3, the joint paper's losses": {"image_to_point_loss": "cam", "point_to_image_loss": "affinity"},
    "table 3, MSE; table 8, points and fixed": {
        **{"image_to_point_loss": "mse", "point_to_image_loss": "mse", "consistency": "point", "threshold": "fixed"},
        **{"eta": 0.4},
    },
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_steps_of_stage_one_are_those_of_the_plain_twin(data, monkeypatch, variant):
    torch.manual_seed(0)
    phase = config.build(
        WsegpcPhase,
        {
            **{"method": "wsegpc", "epochs": 1, "batch": 2, "images_per_cloud": VIEWS, "min_links": 2},
            **{
                "classification_warmup": 2,
                "guidance_warmup": 3,
                "rpc_warmup": 4,
                "ema_decay": 0.7,
                "image": SGD,
                "cloud": SGD,
            },
            **{"image_to_point": 0.5, "point_to_image": 0.7, **VARIANTS[variant]},
        },
    )
    method, networks = stage_one.Wsegpc(phase, data), {"image": TinyImages().double(), "cloud": TinyClouds().double()}
    modules = {kind: module.double() for kind, module in method.make_modules(networks).items()}
    method.modules = modules
    method.start(networks, 0)
    optimisers = [optimisation.build(networks[kind], SGD, modules.get(kind)) for kind in networks]
    twin = StageOne(phase, *({k: m.state_dict() for k, m in part.items()} for part in (networks, modules)), 4)
    for step in range(4):
        batch, mixed = tiny_batch(step), None
        if phase.mix3d.share:
            pair = (1, 0)
            mixed = pair, np.random.default_rng(step).random(3)
            drawn = Mix(np.array([pair]), np.random.default_rng(step))
            monkeypatch.setattr(stage_one, "random_mix", lambda count, drawn=drawn: drawn)
        terms = method.losses(batch)
        sum(terms.values()).backward()
        for optimiser in optimisers:
            optimiser.step()
            optimiser.zero_grad()
        method.after_step()
        expected = twin.step(batch, mixed, SGD.lr, SGD.weight_decay)
        assert terms.keys() == expected.keys()
        torch.testing.assert_close(terms, expected)
        for kind, network in networks.items():
            torch.testing.assert_close(dict(network.state_dict()), twin.weights[kind])
            torch.testing.assert_close(dict(method.teachers[kind].module.state_dict()), twin.teachers[kind])
        for kind, module in modules.items():
            torch.testing.assert_close(dict(module.state_dict()), twin.projections[kind])
    assert all(value > 0 for value in terms.values()), "all terms take part"
    if phase.threshold == "accumulated":
        assert {kind: counter.tolist() for kind, counter in method.counters.items()} == {
            kind: counter.counter for kind, counter in twin.counters.items()
        }
    method.finish()
    for kind, network in networks.items():
        torch.testing.assert_close(dict(network.state_dict()), twin.teachers[kind])


def test_stage_two_teaches_that_a_class_without_labels_is_absent(data):
    """Its cross entropy is the plain one: a class that no pseudo-label has loses to the others."""
    phase = {"method": "wsegpc_labels", "epochs": 1, "images_per_cloud": VIEWS, "image": SGD, "cloud": SGD}
    method = WsegpcLabels(config.build(WsegpcLabelsPhase, phase), data)
    method.class_weight = {kind: torch.tensor([1.0, 1.0, 0.0, 0.0]) for kind in ("image", "cloud")}
    scores = torch.randn(2, 4, 9, requires_grad=True)
    labels = torch.tensor([0, 1, UNLABELLED]).expand(2, 9 // 3, 3).reshape(2, 9)
    found = method._cross_entropy("cloud", scores, labels)
    torch.testing.assert_close(found, F.cross_entropy(scores, labels, ignore_index=UNLABELLED))
    gradient = torch.autograd.grad(found, scores)[0]
    assert (gradient[:, 2:].sum(dim=2) > 0).all()
