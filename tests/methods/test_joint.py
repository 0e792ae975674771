"""The joint method: which loss moves which network, when, and that the sum is eq. 12."""

import dataclasses
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from reference.losses import class_balance, image_to_point_loss, point_to_image_loss
from support.painted_scene import PaintedScene

from wsss_ros import cam, config, networks
from wsss_ros.labels import scannet20
from wsss_ros.methods import METHODS
from wsss_ros.methods.joint import Joint, JointPhase
from wsss_ros.methods.method import Method, PhaseData
from wsss_ros.methods.supervised import Supervised, SupervisedPhase
from wsss_ros.networks.classifier import normalise_images
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.mixture import Source
from wsss_ros.samples.prepared import prepare
from wsss_ros.samples.samples import ImageSamples, PairSamples

INPUTS = ("color",)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory, labels):
    return prepare([PaintedScene()], labels, tmp_path_factory.mktemp("cache"), 0, 80, truth=True).scenes


def batch_of(scenes, images: int = 1):
    image = ImageAugment(long_side=(64, 96), crop=48)
    source = PairSamples(scenes, image, CloudAugment(points=700), truth=True, images=images)
    return source.collate([source.sample(0, np.random.default_rng(seed)) for seed in (1, 2)])


@pytest.fixture(scope="module")
def batch(scenes):
    return batch_of(scenes)


def pair() -> dict[str, torch.nn.Module]:
    torch.manual_seed(0)
    light = {"width": 0.25, "centres": [64, 32, 16, 8], "neighbours": [8, 8, 8, 8]}
    both = {
        "image": networks.build("image", "resnet", 20, {"depth": 18, "width": 0.125}),
        "cloud": networks.build("cloud", "pointnet2", 20, light, INPUTS),
    }
    for network in both.values():
        network.eval()  # batch statistics would differ between two calls
    return both


def phase(**changes) -> JointPhase:
    return config.build(JointPhase, {"method": "joint", "epochs": 2, **changes})


def joint(scenes, epoch: int = 0, **changes) -> Joint:
    method = Joint(phase(**changes), data_of(scenes))
    method.start(pair(), epoch)
    return method


def data_of(scenes) -> PhaseData:
    image = ImageAugment(long_side=(64, 96), crop=48)
    return PhaseData([Source(scenes)], scannet20(), image, CloudAugment(points=700), INPUTS, 0.05)


def moved(method: Joint, loss: torch.Tensor) -> set[str]:
    """Names of the networks that the loss has a gradient for."""
    found = set()
    for name, network in method.networks.items():
        parameters = list(network.parameters())
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True, retain_graph=True)
        if any(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients):
            found.add(name)
    return found


def judged(batch, known: float, tags: float):
    """The batch with other values for the sixth class."""
    changed = {}
    for name, value in (("known", known), ("tags", tags)):
        for kind in ("image", "cloud"):
            changed[f"{kind}_{name}"] = getattr(batch, f"{kind}_{name}").clone()
            changed[f"{kind}_{name}"][:, 5] = value
    return dataclasses.replace(batch, **changed)


@pytest.mark.parametrize("name", ["classify", "joint"])
def test_a_class_that_nobody_judged_teaches_nothing(scenes, batch, name):
    method = METHODS[name](config.build(METHODS[name].Phase, {"method": name, "epochs": 1}), data_of(scenes))
    method.start(pair(), 0)
    unknown, either_way, absent, present = (
        method.losses(judged(batch, *values)) for values in ((0, 0), (0, 1), (1, 0), (1, 1))
    )
    for term in ("classification_2d", "classification_3d"):
        assert unknown[term] == either_way[term] and unknown[term] < absent[term] and absent[term] != present[term]


def test_every_method_is_one_row_and_one_file():
    for name, method in METHODS.items():
        own, folder = f"wsss_ros.methods.{name}", f"wsss_ros.methods.{name.partition('_')[0]}."  # of a large method
        assert issubclass(method, Method) and (method.__module__ == own or method.__module__.startswith(folder))
        assert get_args(method.Phase.model_fields["method"].annotation) == (name,)


def test_a_phase_for_trained_networks_has_no_warm_up():
    trained = phase(warmup_epochs=1).continued(epochs=7, batch=3)
    assert (trained.epochs, trained.batch, trained.warmup_epochs) == (7, 3, 0)


BEYOND = {"balanced_links": True, "centred_features": True, "correlated": "batch", "seed_centring": 0.5}


@pytest.mark.parametrize("options", [{}, BEYOND])
def test_gradients_flow_as_in_figure_2(scenes, batch, options):
    method = joint(scenes, **options)
    terms = method.losses(batch)
    assert {name: moved(method, loss) for name, loss in terms.items()} == {
        "classification_2d": {"image"},
        "classification_3d": {"cloud"},
        "image_to_point": {"cloud"},
        "point_to_image": {"image"},
    }


def test_the_head_of_the_image_network_is_not_moved_by_features(scenes, batch):
    """Eq. 11 compares features: it stops at the backbone."""
    method = joint(scenes)
    head = method.networks["image"].head.weight
    (gradient,) = torch.autograd.grad(method.losses(batch)["point_to_image"], head, allow_unused=True)
    assert gradient is None


def test_the_first_epochs_go_without_3d_to_2d(scenes, batch):
    for epoch, there in ((0, False), (1, False), (2, True)):
        terms = joint(scenes, epoch, warmup_epochs=2).losses(batch)
        assert ("point_to_image" in terms) is there and "image_to_point" in terms


def test_losses_switched_off_are_not_computed(scenes, batch):
    assert set(joint(scenes, image_to_point=0, point_to_image=0).losses(batch)) == {
        "classification_2d",
        "classification_3d",
    }


@pytest.mark.parametrize(
    "confidence, reduction, images, centring, balanced, correlated",
    [
        ("sigmoid", "mean", 1, 0.0, False, "image"),
        ("logit", "sum", 1, 0.0, False, "image"),
        ("none", "mean", 3, 0.0, False, "image"),
        ("sigmoid", "sum", 3, 0.7, True, "image"),
        ("sigmoid", "mean", 1, 0.0, True, "batch"),
        ("logit", "mean", 3, 0.7, False, "batch"),
    ],
)
def test_the_joint_losses_are_the_papers_formulas(
    scenes, confidence, reduction, images, centring, balanced, correlated
):
    """Eqs. 5-11 from the networks' outputs at each link, read one by one, in float64, and the options beyond them."""
    settings = dict(confidence=confidence, class_reduction=reduction, seed_centring=centring, balanced_links=balanced)
    method = joint(scenes, image_to_point=2.0, point_to_image=0.5, correlated=correlated, **settings)
    batch = batch_of(scenes, images)
    from wsss_ros.networks.classifier import input_features, normalise_images

    with torch.no_grad():
        terms = method.losses(batch)
        z2, a2 = method.networks["image"](normalise_images(batch.images))
        z3, a3 = method.networks["cloud"](batch.xyz, input_features(batch.xyz, batch.rgb, INPUTS))
    start, to_point, to_image, links = 0, [], [], []
    for k, count in enumerate(batch.links_count):
        rows = slice(start, start + count)
        start += count
        features, scores = (bilinear(m[k].double(), batch.links_uv[rows], 48) for m in (z2, a2))
        points = batch.links_point[rows]
        cloud = k // images
        assert torch.equal(batch.pixel_tags()[k], batch.image_tags[k])
        found = cam.seed_labels(scores - centring * a2[k].double().mean(dim=(1, 2)), batch.image_tags[k])
        assert set(found.tolist()) <= set(batch.image_tags[k].nonzero().ravel().tolist())
        links.append((features, z3[cloud, points].double(), a3[cloud, points].double(), found))
        weight = cam.confidence(scores, confidence) * (class_balance(found) if balanced else 1)
        to_point.append(image_to_point_loss(a3[cloud, points], found, weight, reduction))
    assert len(to_point) == 2 * images
    groups = links if correlated == "image" else [map(torch.cat, zip(*links, strict=True))]
    for features, points, scores, found in groups:
        weight = cam.confidence(scores, confidence) * (class_balance(found) if balanced else 1)
        to_image.append(point_to_image_loss(features, points, weight))
    assert terms["image_to_point"].item() == pytest.approx(2.0 * sum(to_point).item() / len(to_point), rel=1e-4)
    assert terms["point_to_image"].item() == pytest.approx(0.5 * sum(to_image).item() / len(to_image), rel=1e-4)


def bilinear(cells: torch.Tensor, uv: torch.Tensor, size: int) -> torch.Tensor:
    """A map read at pixels of its image, cell by cell: the slow twin of ``classifier.read``."""
    depth, height, width = cells.shape
    found = []
    for u, v in uv.double().tolist():
        x = min(max((u + 0.5) * width / size - 0.5, 0), width - 1)
        y = min(max((v + 0.5) * height / size - 0.5, 0), height - 1)
        x0, y0 = min(int(x), width - 2), min(int(y), height - 2)
        fx, fy = x - x0, y - y0
        top = (1 - fx) * cells[:, y0, x0] + fx * cells[:, y0, x0 + 1]
        bottom = (1 - fx) * cells[:, y0 + 1, x0] + fx * cells[:, y0 + 1, x0 + 1]
        found.append((1 - fy) * top + fy * bottom)
    return torch.stack(found)


@pytest.mark.parametrize("options", [{}, BEYOND])
def test_no_links_at_all_cost_nothing(scenes, batch, options):
    nothing = {"links_count": (0, 0), "links_point": batch.links_point[:0], "links_uv": batch.links_uv[:0]}
    terms = joint(scenes, **options).losses(type(batch)(**{**vars(batch), **nothing}))
    assert terms["image_to_point"].item() == terms["point_to_image"].item() == 0
    sum(terms.values()).backward()


def test_a_cloud_without_links_counts_with_zero(scenes, batch):
    method = joint(scenes)
    full = method.losses(batch)
    first = batch.links_count[0]
    without = dict(vars(batch))
    without |= {"links_count": (first, 0), "links_point": batch.links_point[:first], "links_uv": batch.links_uv[:first]}
    terms = method.losses(type(batch)(**without))
    assert 0 < terms["image_to_point"].item() < full["image_to_point"].item()
    sum(terms.values()).backward()


def test_the_tag_prior_is_added_to_the_averaged_scores(scenes, batch):
    """All three images show a wall, one a picture; the log-odds of 4 in 5 and of 2 in 5, and of 1 in 5 for others."""
    plain, with_prior = joint(scenes), joint(scenes, tag_prior=1.0)
    names = scenes[0].image_tags.shape[1]
    expected = torch.full((names,), float(np.log(1 / 4)))
    expected[0], expected[10] = np.log(4), np.log(2 / 3)
    torch.testing.assert_close(with_prior.priors.images[0], expected)
    assert torch.equal(plain.priors.images[0], torch.zeros(names))
    terms, shifted = plain.losses(batch), with_prior.losses(batch)
    assert not torch.isclose(terms["classification_2d"], shifted["classification_2d"])
    assert torch.equal(terms["image_to_point"], shifted["image_to_point"])


def test_photographs_enter_the_classification_of_images_only(scenes, batch):
    """Eq. 2 is then the mean over all images; the links, and so all other losses, are those of the pairs."""
    method = joint(scenes)
    alone = method.losses(batch)
    image = ImageSamples(scenes, ImageAugment(long_side=(64, 96), crop=48))
    photos = image.collate([image.sample(index, np.random.default_rng(index)) for index in (0, 1, 2)])
    terms = method.losses(replace(batch, photos=photos))
    scores = cam_means(method, photos.images)
    of_photos = F.binary_cross_entropy_with_logits(scores, photos.image_tags)
    expected = (2 * alone["classification_2d"] + 3 * of_photos) / 5
    torch.testing.assert_close(terms["classification_2d"], expected)
    for name in ("classification_3d", "image_to_point", "point_to_image"):
        torch.testing.assert_close(terms[name], alone[name])


def cam_means(method: Joint, images: torch.Tensor) -> torch.Tensor:
    """The averaged scores of images, eq. 1."""
    return method.networks["image"](normalise_images(images))[1].mean(dim=(2, 3))


def test_supervised_learning_sees_labelled_pixels_and_points_alone(scenes, batch):
    asked = config.build(SupervisedPhase, {"method": "supervised", "epochs": 1})
    method = Supervised(asked, data_of(scenes))
    method.start(pair(), 0)
    terms = method.losses(batch)
    blank = dict(vars(batch))
    blank |= {name: torch.full_like(blank[name], 255) for name in ("image_truth", "cloud_truth")}
    nothing = method.losses(type(batch)(**blank))
    assert all(terms[name] > 1 and nothing[name] == 0 for name in terms)
