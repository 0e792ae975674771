"""Labels that both networks give together: formulas against slow twins, and small runs."""

import os
import signal

import numpy as np
import pytest
import torch
from support.photo_folders import write_photos
from support.striped_scenes import StripedScene
from support.training_runs import ADAM, GENTLE, settings_for, versions

from wsss_ros import config, networks
from wsss_ros.cam import among_tags, pseudo_labels
from wsss_ros.labels import UNLABELLED
from wsss_ros.methods.method import PhaseData
from wsss_ros.methods.shared_labels import SharedLabels, SharedLabelsPhase, View, projected, shared_probabilities
from wsss_ros.processes.signals import Interrupted
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.mixture import Source
from wsss_ros.samples.photos import prepare_photos
from wsss_ros.samples.prepared import prepare
from wsss_ros.scenes.photos import PhotoFolder
from wsss_ros.training.run import train

ALONE = [
    {"method": "classify", "epochs": 2, "batch": 8, "image": ADAM},
    {"method": "classify", "epochs": 2, "batch": 4, "cloud": ADAM},
]
SHARED = {
    "method": "shared_labels",
    "epochs": 2,
    "batch": 3,
    "images_per_cloud": 2,
    "long_sides": [32],
    "min_confidence": 0.3,
    "image": GENTLE,
    "cloud": GENTLE,
}


def random_views(rng: np.random.Generator) -> tuple[torch.Tensor, list[View]]:
    """The probabilities of nine points, and three views of 2 x 3 cells that show some of them; 4 classes."""
    of_cloud = torch.from_numpy(rng.dirichlet(np.ones(4), 9))
    views = []
    for possible in ([1, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 0]):
        probability = rng.dirichlet(np.ones(4), 6) * possible
        probability /= probability.sum(axis=1, keepdims=True)
        shown = np.sort(rng.choice(8, 5, replace=False))  # the last point is in no view
        cell = torch.from_numpy(rng.integers(6, size=5))
        views.append(View(torch.from_numpy(probability.T.reshape(4, 2, 3)), torch.from_numpy(shown), cell))
    return of_cloud, views


@pytest.mark.parametrize("seed", range(5))
def test_the_probabilities_of_a_point_are_the_mean_of_the_cloud_and_of_its_views(seed):
    of_cloud, views = random_views(np.random.default_rng(seed))
    shared = shared_probabilities(of_cloud, views)
    for point in range(9):
        told = []
        for view in views:
            for shown, cell in zip(view.points.tolist(), view.cell.tolist(), strict=True):
                if shown == point:
                    told.append(view.probability[:, cell // 3, cell % 3])
        expected = of_cloud[point] if not told else (sum(told) / len(told) + of_cloud[point]) / 2
        torch.testing.assert_close(shared[point], expected)
    assert torch.equal(shared[8], of_cloud[8])


@pytest.mark.parametrize("seed", range(5))
def test_a_cell_has_the_mean_of_its_points_among_the_classes_of_the_view(seed):
    of_cloud, views = random_views(np.random.default_rng(seed))
    shared = shared_probabilities(of_cloud, views)
    for view in views:
        found = projected(shared, view)
        possible = (view.probability > 0).flatten(1).any(dim=1)
        for cell in range(6):
            points = view.points[view.cell == cell]
            own = view.probability[:, cell // 3, cell % 3]
            if len(points):
                own = shared[points].mean(dim=0) * possible
                own = own / own.sum()
            torch.testing.assert_close(found[:, cell // 3, cell % 3], own)


def test_only_tags_become_labels_where_they_are_sure():
    scores = torch.log(torch.tensor([[0.1, 0.8, 0.1], [0.4, 0.2, 0.4], [0.5, 0.1, 0.4]]))
    probability = among_tags(scores.T, torch.tensor([1.0, 0.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])).T
    torch.testing.assert_close(probability, torch.tensor([[0.5, 0, 0.5], [0.5, 0, 0.5], [5 / 9, 0, 4 / 9]]))
    chances = torch.tensor([[0.6, 0, 0.4], [0.4, 0, 0.6], [0.55, 0, 0.45]])
    labels = pseudo_labels(chances.T, torch.tensor([1.0, 0, 0]), 0.58)
    assert labels.tolist() == [0, UNLABELLED, UNLABELLED]


@pytest.mark.usefixtures("one_thread")
def test_a_killed_phase_goes_on_to_the_same_weights(scenes):
    """Stopped in the first and in the second epoch: the teachers come back, and label alike."""
    runs = [settings_for(scenes, output=str(scenes / name), phases=[*ALONE, SHARED]) for name in "ab"]
    train(runs[0])
    steps = []

    def report(progress):
        if "labels_3d" in progress.terms:
            steps.append(progress.terms)
            if len(steps) in (1, 4):
                os.kill(os.getpid(), signal.SIGINT)

    for _ in range(2):
        with pytest.raises(Interrupted):
            train(runs[1], report=report)
    train(runs[1], report=report)
    assert versions(runs[0].output) == versions(runs[1].output)
    assert set(steps[0]) == {"labels_2d", "classification_2d", "labels_3d"}
    assert steps[0]["labels_3d"] > steps[-1]["labels_3d"] > 0


@pytest.mark.usefixtures("one_thread")
def test_labels_are_among_the_tags_and_no_dense_label_is_read(scenes, labels, monkeypatch):
    """All views of a point, and the point, have the same label where it is sure and the tags of the view have it."""
    seen = []
    original = SharedLabels.start
    monkeypatch.setattr(SharedLabels, "start", lambda self, *a: (seen.append(self), original(self, *a))[1])
    train(settings_for(scenes, output=str(scenes / "run"), phases=[*ALONE, {**SHARED, "epochs": 1}]))
    for scene, frames in zip(seen[0].parts[0][0].scenes, seen[0].parts[0][0].frames, strict=True):
        assert {*np.unique(scene.cloud_truth).tolist()} <= {*np.flatnonzero(scene.tags).tolist(), UNLABELLED}
        assert (scene.cloud_truth != UNLABELLED).any() and len(frames) == 4
        for frame in frames:
            tags = {*np.flatnonzero(scene.image_tags[frame]).tolist(), UNLABELLED}
            assert {*np.unique(scene.frame_truth[frame]).tolist()} <= tags


@pytest.mark.usefixtures("one_thread")
def test_with_scene_tags_alone_all_images_are_labelled_among_them(tmp_path, labels):
    scene = StripedScene(0, labels)
    scene.image_tags = lambda index: None
    source = Source(prepare([scene], labels, tmp_path, 0).scenes)
    crops, points = ImageAugment(long_side=(32, 40), crop=32), CloudAugment(points=256)
    phase = config.build(SharedLabelsPhase, {**SHARED, "min_confidence": 0.0})
    method = SharedLabels(phase, PhaseData([source], labels, crops, points, ("color",), 0.05))
    torch.manual_seed(0)
    light = {"width": 0.125, "centres": [64, 32, 16, 8], "neighbours": [8, 8, 8, 8]}
    both = {
        "image": networks.build("image", "resnet", len(labels), {"width": 0.125}),
        "cloud": networks.build("cloud", "pointnet2", len(labels), light, ("color",)),
    }
    method.start(both, 0)
    method.prepare(0)
    ((samples, _),) = method.parts
    tags = {*np.flatnonzero(source.scenes[0].tags).tolist()}
    for found in (samples.scenes[0].cloud_truth, *samples.scenes[0].frame_truth):
        assert {*np.unique(found).tolist()} <= tags, "each point and pixel has a label"


def test_photographs_take_no_part_in_the_tag_priors(tmp_path, labels):
    photos, _ = prepare_photos(PhotoFolder(write_photos(tmp_path / "pictures"), labels), labels, tmp_path)
    rooms = Source(prepare([StripedScene(0, labels)], labels, tmp_path, 0).scenes)
    crops, points = ImageAugment(long_side=(32, 40), crop=32), CloudAugment(points=256)
    phase = config.build(SharedLabelsPhase, {**SHARED, "tag_prior": 1.0})
    alone, both = (
        SharedLabels(phase, PhaseData(sources, labels, crops, points, ("color",), 0.05)).tag_priors()
        for sources in ([rooms], [rooms, Source(photos=photos, weight=3.0)])
    )
    for mixed, of_rooms in zip(both, alone, strict=True):
        torch.testing.assert_close(mixed, of_rooms)


@pytest.mark.usefixtures("one_thread")
def test_a_network_that_only_teaches_stays(scenes):
    both = train_versions(scenes, "start", ALONE)
    only_cloud = {key: value for key, value in SHARED.items() if key != "image"}
    after = train_versions(scenes, "cloud", [*ALONE, {**only_cloud, "epochs": 1}])
    assert after[0] == both[0] and after[1] != both[1]


def train_versions(scenes, name: str, phases: list[dict]) -> list[str]:
    run = settings_for(scenes, output=str(scenes / name), phases=phases)
    train(run)
    return versions(run.output)
