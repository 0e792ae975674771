"""The second stage of the image network, from its own pseudo-labels: formulas against slow twins, and small runs."""

import os
import signal

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from support.training_runs import ADAM, settings_for

from wsss_ros.cam import among_tags, class_weights, pseudo_labels
from wsss_ros.labels import UNLABELLED
from wsss_ros.methods.self_training import SelfTraining
from wsss_ros.networks import checkpoint
from wsss_ros.networks.classifier import averaged_scores, normalise_images
from wsss_ros.processes.signals import Interrupted
from wsss_ros.samples.augment import View, apply_view_to_labels
from wsss_ros.samples.labelled import LabelledImages
from wsss_ros.training.run import train

CLASSIFY = {"method": "classify", "epochs": 2, "batch": 8, "image": ADAM}
SECOND = {
    "method": "self_training",
    "epochs": 2,
    "batch": 4,
    "image": {"name": "adam", "lr": 0.002},
    "long_sides": [32, 40],
    "min_confidence": 0.3,
}


def test_pseudo_labels_are_those_of_the_slow_twin():
    rng = np.random.default_rng(0)
    scores = torch.from_numpy(rng.normal(0, 2, (5, 6, 7)))
    tags, known = torch.tensor([1.0, 0, 1, 0, 0]), torch.tensor([1.0, 1, 1, 0, 1])
    found = pseudo_labels(among_tags(scores, tags, known), tags, 0.6)
    for row, column in np.ndindex(6, 7):
        logits = scores[:, row, column].numpy()
        allowed = [0, 2, 3]  # tagged, tagged, unknown
        chances = np.exp(logits[allowed]) / np.exp(logits[allowed]).sum()
        best = int(chances.argmax())
        expected = allowed[best] if chances[best] >= 0.6 and allowed[best] != 3 else UNLABELLED
        assert found[row, column] == expected
    assert {0, 2, UNLABELLED} == set(found.unique().tolist())


def test_the_weight_of_a_class_falls_with_its_share():
    counts = [torch.tensor([90, 10, 0, 0]), torch.tensor([0, 4, 4, 0])]
    found = class_weights(counts, [0.75, 0.25], 0.4)
    shares = np.array([0.75 * 0.9, 0.75 * 0.1 + 0.25 * 0.5, 0.25 * 0.5])
    np.testing.assert_allclose(found[:3].numpy(), shares**-0.4, rtol=1e-6)
    assert found[3] == 0
    assert class_weights(counts, [0.75, 0.25], 0.0).tolist() == [1, 1, 1, 0]


def test_scores_are_averaged_over_sizes_and_mirrored_images():
    """A network without neighbourhoods gives the mean colour scores of each place, wherever it was computed."""
    image = torch.zeros(3, 32, 48, dtype=torch.uint8)
    image[:, :, 24:] = 200

    class Colours(torch.nn.Module):
        def forward(self, images):
            return images, F.avg_pool2d(images[:, :1], 4) + torch.linspace(0, 1, images.shape[3] // 4)

    left = averaged_scores(Colours(), image, [48, 96])
    assert left.shape == (1, 8, 12)
    dark, bright = (normalise_images(torch.full((1, 3, 1, 1), value / 255.0))[0, 0] for value in (0, 200))
    # The position that the network adds is mirrored away: every place has 0.5 on average.
    torch.testing.assert_close(left[0, 4, 2], dark[0, 0] + 0.5, atol=2e-2, rtol=0)
    torch.testing.assert_close(left[0, 4, 9], bright[0, 0] + 0.5, atol=2e-2, rtol=0)


def test_labels_of_a_view_follow_scale_flip_and_resolution():
    labels = np.arange(12, dtype=np.uint8).reshape(3, 4)  # of an image of 6 x 8 pixels
    plain = View((1.0, 1.0), (0.0, 0.0))
    twice = apply_view_to_labels(labels, (6, 8), plain, 8)
    assert np.array_equal(twice[:6], labels.repeat(2, axis=0).repeat(2, axis=1)) and (twice[6:] == UNLABELLED).all()
    mirrored = apply_view_to_labels(labels, (6, 8), View((-1.0, 1.0), (7.0, 0.0)), 8)
    assert np.array_equal(mirrored[:6], twice[:6, ::-1])
    coarse = apply_view_to_labels(labels, (6, 8), plain, 8, cell=2)
    assert np.array_equal(coarse[:3], labels) and (coarse[3:] == UNLABELLED).all()


@pytest.mark.usefixtures("one_thread")
def test_a_killed_phase_goes_on_to_the_same_weights(scenes):
    """Stopped in the first and in the second epoch: the teacher comes back, and labels alike."""
    runs = [settings_for(scenes, output=str(scenes / name), phases=[CLASSIFY, SECOND], cloud=None) for name in "ab"]
    train(runs[0])
    steps = []

    def report(progress):
        if "labels_2d" in progress.terms:
            steps.append(progress.terms["labels_2d"])
            if len(steps) in (2, 8):
                os.kill(os.getpid(), signal.SIGINT)

    for _ in range(2):
        with pytest.raises(Interrupted):
            train(runs[1], report=report)
    train(runs[1], report=report)
    whole, parts = (checkpoint.load(f"{run.output}/image.safetensors") for run in runs)
    assert whole.version == parts.version
    assert steps[0] > steps[-1] > 0


@pytest.mark.usefixtures("one_thread")
def test_dense_labels_are_used_on_request_only(scenes, monkeypatch):
    """Of a scene with dense labels a phase reads them with ``dense_labels``, and pseudo-labels are made without."""
    seen = []
    original = SelfTraining.start
    monkeypatch.setattr(SelfTraining, "start", lambda self, *a: (seen.append(self), original(self, *a))[1])
    for name, dense in (("pseudo", False), ("dense", True)):
        phases = [{**SECOND, "epochs": 1, "dense_labels": dense}]
        train(settings_for(scenes, output=str(scenes / name), phases=phases, cloud=None))
    pseudo, dense = (method.parts[0] for method in seen)
    assert not pseudo.with_truth and dense.with_truth
    assert all(scene.frame_truth is None for scene in pseudo.scenes)
    scene, frame = dense.item(0)
    assert np.array_equal(dense.labels_of(0), scene.frame_truth[frame])
    for index, given in enumerate(pseudo.labels):
        of_scene, frame = pseudo.item(index)
        assert {*given.unique().tolist()} <= {*np.flatnonzero(of_scene.image_tags[frame]).tolist(), UNLABELLED}
    assert any((given != UNLABELLED).any() for given in pseudo.labels)


@pytest.mark.usefixtures("one_thread")
def test_a_phase_may_have_its_own_augmentation_and_refine_its_labels(scenes, monkeypatch):
    seen = []
    original = SelfTraining.start
    monkeypatch.setattr(SelfTraining, "start", lambda self, *a: (seen.append(self), original(self, *a))[1])
    own = {"augment": {"long_side": [40, 44], "crop": 40}, "refine_steps": 3}
    for name, options in (("plain", {}), ("own", own)):
        settings = settings_for(
            scenes, output=str(scenes / name), phases=[{**SECOND, "epochs": 1, **options}], cloud=None
        )
        train(settings)
    plain, refined = (method.parts[0] for method in seen)
    assert (plain.settings.crop, refined.settings.crop) == (settings.image.augment.crop, 40)
    batch = refined.collate([refined.sample(0, np.random.default_rng(0))])
    assert batch.images.shape == (1, 3, 40, 40)
    # The same network labelled the same images: only the refinement differs.
    pairs = list(zip(plain.labels, refined.labels, strict=True))
    assert all(one.shape == other.shape for one, other in pairs)
    assert any((one != other).any() for one, other in pairs)


def test_images_are_unlabelled_before_the_phase_starts(scenes, labels):
    from wsss_ros.samples.augment import ImageAugment
    from wsss_ros.samples.prepared import prepare
    from wsss_ros.scenes import open_scenes

    opened, _ = open_scenes(scenes / "train", labels)
    prepared = prepare(opened, labels, scenes / "cache", 0)
    images = LabelledImages(prepared.scenes, ImageAugment(long_side=(32, 40), crop=32))
    batch = images.collate([images.sample(0, np.random.default_rng(0))])
    assert batch.image_labels.shape == (1, 8, 8) and (batch.image_labels == UNLABELLED).all()
