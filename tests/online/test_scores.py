"""The scores of two networks on scenes that only have tags."""

import math

import numpy as np
import pytest
import torch
from support.striped_scenes import StripedScene
from torchmetrics.functional.classification import multilabel_ranking_average_precision

from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.online.scores import Scorer, agreeing_links, tag_precision
from wsss_ros.types import BadInput, Cloud

# --- precision of tags ---


def test_precision_by_hand():
    tags = np.array([1, 0, 1, 0], np.float32)
    assert tag_precision(np.array([4.0, 1.0, 3.0, 2.0]), tags) == 1
    # the classes rank 2nd and 4th: (1/2 + 2/4) / 2
    assert tag_precision(np.array([3.0, 4.0, 1.0, 2.0]), tags) == pytest.approx(0.5)
    # equal scores count against: of 4 that score as much 2 are tagged
    assert tag_precision(np.zeros(4), tags) == pytest.approx(0.5)
    assert math.isnan(tag_precision(np.array([1.0, math.nan, 0.0, 0.0]), tags))
    assert math.isnan(tag_precision(np.array([math.inf, 0.0, 0.0, 0.0]), tags))


def test_precision_against_torchmetrics():
    rng = np.random.default_rng(0)
    for _ in range(200):
        scores, tags = rng.normal(size=6).astype(np.float32), np.zeros(6, np.float32)
        tags[rng.choice(6, rng.integers(1, 6), replace=False)] = 1
        # Theirs counts ties and full rows its own way; scores here differ and a row is never full.
        expected = multilabel_ranking_average_precision(torch.tensor(scores)[None], torch.tensor(tags)[None].int(), 6)
        assert tag_precision(scores, tags) == pytest.approx(float(expected), abs=1e-6)


# --- agreement ---


def test_agreement_is_among_the_tagged_classes():
    tags = np.array([1, 1, 0], np.float32)
    image = torch.tensor([[2.0, 1, 9], [1, 2, 9], [2, 1, 0]])
    point = torch.tensor([[3.0, 0, 0], [3, 0, 0], [1, 0, 5]])
    assert agreeing_links(image, point, tags) == 2
    assert math.isnan(agreeing_links(image, point * math.nan, tags))


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
    assert (scores["images"], scores["clouds"]) == (4, 1)
    assert 100 < scores["links"] <= 2 * 400  # frames with one tag are passed over


def test_networks_that_contradict_each_other_do_not_agree(labels, scene):
    scores = judged(labels, [scene], clouds=Points(labels, swapped=True))
    assert scores["agreement"] < 0.1 and scores["cloud_tags"] == 1


def test_the_prior_counts_and_frames_are_bounded(labels, scene):
    prior = torch.zeros(len(labels))
    prior[labels.index("bed")] = 1e6
    scores = judged(labels, [scene], priors=(prior, torch.zeros(len(labels))), frames=2)
    assert scores["image_tags"] < 0.7 and scores["cloud_tags"] == 1 and scores["images"] == 2


def test_weights_that_are_not_finite_score_nan(labels, scene):
    pixels = Pixels(labels)
    pixels.rows[0] = np.nan
    scores = judged(labels, [scene], images=pixels)
    assert math.isnan(scores["image_tags"]) and math.isnan(scores["agreement"]) and scores["cloud_tags"] == 1


def test_a_scene_that_cannot_be_read_is_left_out_and_no_scene_scores_nothing(labels, scene, caplog):
    class Broken(StripedScene):
        def frame(self, index):
            raise BadInput(f"frame {index} is cut short")

    broken = Broken(3, labels)
    assert judged(labels, [broken, scene]) == judged(labels, [scene])
    assert "frame 0 is cut short" in caplog.text
    nothing = {"image_tags": None, "cloud_tags": None, "agreement": None, "images": 0, "clouds": 0, "links": 0}
    assert judged(labels, []) == nothing


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
