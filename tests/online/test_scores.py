"""The scores of two networks on scenes that only have tags."""

import math

import numpy as np
import pytest
import torch
from support.striped_scenes import StripedScene

from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.online.scores import MEASURES, Scorer
from wsss_ros.types import BadInput, Cloud


class ByColour:
    """Stands for both networks: a class scores as much as the colour is like its own."""

    points = 400

    def __init__(self, labels, swapped: bool = False):
        self.rows = np.full((len(labels), 3), -1e3)
        for name, color in StripedScene.COLORS.items():
            self.rows[labels.index(name)] = color
        if swapped:
            a, b = labels.index("wall"), labels.index("floor")
            self.rows[[a, b]] = self.rows[[b, a]]

    def _scores(self, rgb: np.ndarray) -> torch.Tensor:
        off = np.abs(rgb[:, None].astype(np.float64) - self.rows).sum(axis=2)
        return torch.from_numpy(-off / 255).float()


class Pixels(ByColour, ImageSegmenter):
    def scores(self, rgb):
        return self._scores(rgb.reshape(-1, 3)).T.reshape(1, -1, *rgb.shape[:2])


class Points(ByColour, CloudSegmenter):
    def scores(self, xyz, rgb):
        return self._scores(rgb)


def judged(labels, scenes, **changes) -> dict:
    zeros = torch.zeros(len(labels))
    parts = {"images": Pixels(labels), "clouds": Points(labels), "priors": (zeros, zeros), "frames": 8, **changes}
    return Scorer(labels=labels, visibility_m=0.05, **parts).score(scenes)


@pytest.fixture
def scene(labels):
    """One of wall and floor."""
    return next(s for s in map(lambda n: StripedScene(n, labels), range(20)) if set(s.pair) == {"wall", "floor"})


def test_perfect_networks_score_perfectly(labels, scene):
    scores = judged(labels, [scene])
    assert scores["image_tags"] == scores["cloud_tags"] == 1
    assert scores["agreement"] > 0.9  # pixels at the border see the other half
    assert scores["image_consistency"] > 0.9 and scores["cloud_consistency"] > 0.8
    assert (scores["images"], scores["clouds"]) == (4, 1)
    assert 100 < scores["links"] <= 2 * 400  # frames with one tag are passed over
    counts = {measure: {name: len(own) for name, own in scores["values"][measure].items()} for measure in MEASURES}
    assert counts == {
        "image_tags": {scene.name: 4},
        "image_consistency": {scene.name: 2},
        "cloud_tags": {scene.name: 1},
        "cloud_parts": {scene.name: 4},
        "cloud_consistency": {scene.name: 1},
        "image_labels": {},
        "cloud_labels": {},
    }


def test_a_cloud_network_that_confuses_two_classes_is_found_out_by_parts_and_the_image_network_is_not_blamed(
    labels, scene
):
    """The tags of the whole cloud do not show it: both classes are there."""
    scores, alone = judged(labels, [scene], clouds=Points(labels, swapped=True)), judged(labels, [scene])
    assert scores["agreement"] < 0.1
    assert scores["cloud_parts"] < alone["cloud_parts"] == 1
    assert all(scores[measure] == alone[measure] for measure in MEASURES if measure != "cloud_parts")


class Noise(Points):
    """Chooses classes at random, others in each call."""

    def __init__(self, labels):
        super().__init__(labels)
        self.rng = np.random.default_rng(0)

    def scores(self, xyz, rgb):
        return torch.from_numpy(self.rng.normal(size=(len(xyz), len(self.rows)))).float()


class Constant(Points):
    def scores(self, xyz, rgb):
        return torch.arange(len(self.rows)).float().expand(len(xyz), -1)


@pytest.mark.parametrize("clouds", [Noise, Constant])
def test_neither_noise_nor_one_class_everywhere_is_consistent(labels, scene, clouds):
    assert abs(judged(labels, [scene], clouds=clouds(labels))["cloud_consistency"]) < 0.15


def test_classes_that_nobody_could_judge_take_no_part(labels, scene):
    class Unsure(StripedScene):
        unknown = ("bed",)

        def image_unknown(self, index):
            return self.unknown

    prior = torch.zeros(len(labels))
    prior[labels.index("bed")] = 1e6
    priors = {"priors": (prior, prior)}
    unsure, sure = (kind(scene.rng_seed, labels) for kind in (Unsure, StripedScene))
    assert judged(labels, [unsure], **priors)["image_tags"] == 1 > judged(labels, [sure], **priors)["image_tags"]
    assert judged(labels, [unsure], **priors)["cloud_tags"] == 1 > judged(labels, [sure], **priors)["cloud_tags"]


def test_the_prior_counts_and_frames_are_bounded(labels, scene):
    prior = torch.zeros(len(labels))
    prior[labels.index("bed")] = 1e6
    scores = judged(labels, [scene], priors=(prior, torch.zeros(len(labels))), frames=2)
    assert scores["image_tags"] < 0.7 and scores["cloud_tags"] == 1 and scores["images"] == 2


def test_weights_that_are_not_finite_score_nan(labels, scene):
    pixels = Pixels(labels)
    pixels.rows[0] = np.nan
    scores = judged(labels, [scene], images=pixels)
    nans = {key for key, value in scores.items() if isinstance(value, float) and math.isnan(value)}
    assert nans == {"image_tags", "image_consistency", "agreement"} and scores["cloud_tags"] == 1


def test_a_scene_that_cannot_be_read_is_left_out_and_no_scene_scores_nothing(labels, scene, caplog):
    class Broken(StripedScene):
        def frame(self, index):
            raise BadInput(f"frame {index} is cut short")

    broken = Broken(3, labels)
    assert judged(labels, [broken, scene]) == judged(labels, [scene])
    assert "frame 0 is cut short" in caplog.text
    assert {key: value for key, value in judged(labels, []).items() if value} == {"values": dict.fromkeys(MEASURES, {})}


def test_a_cloud_without_points_is_left_out(labels, scene, caplog):
    class Empty(StripedScene):
        @property
        def cloud(self):
            whole = super().cloud
            return Cloud(whole.xyz * np.nan, whole.rgb)

    assert judged(labels, [Empty(2, labels)])["clouds"] == 0
    assert "no finite point" in caplog.text


def test_a_cloud_without_colours_is_scored(labels):
    class Colorless(StripedScene):
        @property
        def cloud(self):
            return Cloud(super().cloud.xyz)

    class Flat(Points):
        def scores(self, xyz, rgb):
            assert rgb is None
            return torch.zeros(len(xyz), len(self.rows))

    assert judged(labels, [Colorless(1, labels)], clouds=Flat(labels))["clouds"] == 1


def test_with_scene_tags_alone_the_images_are_scored_as_one_and_each_view_may_show_what_the_scene_has(labels, scene):
    class OfScene(StripedScene):
        given = True

        @property
        def tags(self):
            return super().tags if self.given else ()

        def image_tags(self, index):
            return None

        def _left(self, index):
            return super()._left(1)  # all views show the same

    whole = OfScene(scene.rng_seed, labels)
    scores = judged(labels, [whole])
    assert scores["image_tags"] == scores["cloud_tags"] == 1 and scores["cloud_parts"] is None
    assert scores["image_consistency"] > 0.9 and (scores["images"], scores["clouds"]) == (1, 1)
    prior = torch.zeros(len(labels))
    prior[labels.index("bed")] = 1e6
    # bed first: the two tags are second and third of all classes
    assert judged(labels, [whole], priors=(prior, prior))["image_tags"] == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert judged(labels, [whole], images=Noisy(labels))["image_consistency"] < 0.3
    whole.given = False
    assert judged(labels, [whole])["images"] == 0, "no tags at all"


class Noisy(Pixels):
    """Pixels with random scores."""

    def scores(self, rgb):
        random = np.random.default_rng(int(rgb.sum())).normal(size=(1, len(self.rows), *rgb.shape[:2]))
        return torch.from_numpy(random).float()


def test_what_networks_have_observed_is_not_computed_again(labels, scene, monkeypatch):
    zeros = torch.zeros(len(labels))
    priors = torch.linspace(-2, 2, len(labels))
    parts = {"labels": labels, "visibility_m": 0.05, "frames": 8}
    seen = {}
    first = Scorer(Pixels(labels), Points(labels), priors=(zeros, zeros), **parts).score([scene], seen)
    assert list(seen) == [scene.name]
    monkeypatch.setattr(Scorer, "observe", lambda *_: pytest.fail("it observes again"))
    again = Scorer(Pixels(labels), Points(labels), priors=(zeros, zeros), **parts)
    assert again.score([scene], seen) == first
    with pytest.raises(pytest.fail.Exception, match="observes again"):
        Scorer(Pixels(labels), Points(labels), priors=(priors, priors), **parts).score([scene])


def test_dense_labels_of_simulated_scenes_only_are_read(labels, scene, monkeypatch):
    zeros = torch.zeros(len(labels))

    def scored(simulated: bool, **networks) -> dict:
        given = {"images": Pixels(labels), "clouds": Points(labels), **networks}
        return Scorer(labels=labels, priors=(zeros, zeros), visibility_m=0.05, frames=8, **given).score(
            [scene], simulated=simulated
        )

    simulated = scored(True)
    assert simulated["image_labels"] == 1 and simulated["cloud_labels"] > 0.7  # borders
    assert len(simulated["values"]["image_labels"][scene.name]) == len(scene)
    swapped = scored(True, images=Pixels(labels, swapped=True))
    assert swapped["image_labels"] == 0 and swapped["cloud_labels"] == simulated["cloud_labels"]
    monkeypatch.setattr(StripedScene, "frame_truth", lambda *_: pytest.fail("it reads dense labels"))
    real = scored(False)
    assert real["image_labels"] is real["cloud_labels"] is None
