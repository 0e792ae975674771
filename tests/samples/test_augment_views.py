"""Views of a student and its teacher: points and pixels keep their places."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from wsss_ros.samples import augment_views
from wsss_ros.samples.augment_views import CloudViewSettings, ViewSettings

STUDENT, TEACHER = ViewSettings().student, ViewSettings().teacher
STILL = CloudViewSettings(flip=False, rotated=0)


def cloud(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 2, (count, 3))


def views(view: CloudViewSettings, count: int = 400) -> np.ndarray:
    """Many views of two points on the x axis and the y axis, 1 m from the origin."""
    rng, xyz = np.random.default_rng(0), np.eye(3)[:2]
    return np.stack([augment_views.cloud_view(xyz, view, rng) for _ in range(count)])


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), count=st.integers(0, 30))
def test_points_keep_their_rows_and_the_cloud_its_shape(seed, count):
    """Up to scale and jitter both views are the same solid: all distances between rows agree."""
    xyz, rng = cloud(seed, count), np.random.default_rng(seed)
    for view in (STUDENT, TEACHER):
        moved = augment_views.cloud_view(xyz, view, rng)
        assert moved.shape == xyz.shape
        before, after = (np.linalg.norm(p[:, None] - p[None], axis=2) for p in (xyz, moved))
        most = 2 * view.most_jitter_m * np.sqrt(3) if view.jitter_m else 1e-5
        assert (after >= view.scale[0] * before - most).all() and (after <= view.scale[1] * before + most).all()
        # a turn about z, a mirror and a scale: heights are scaled, nothing else happens to them
        if count:
            scale = (moved[:, 2] @ xyz[:, 2]) / (xyz[:, 2] @ xyz[:, 2])
            np.testing.assert_allclose(moved[:, 2], scale * xyz[:, 2], atol=2 * view.most_jitter_m)


@pytest.mark.parametrize("view, most", [(TEACHER, 5), (STUDENT.model_copy(update={"jitter_m": 0.0}), 30)])
def test_half_of_the_views_are_turned_within_the_limits_and_mirrored(view, most):
    seen = views(view)
    x, y = seen[:, 0], seen[:, 1]
    away = np.degrees(np.abs(np.arctan2(x[:, 1], x[:, 0])))
    angle = np.minimum(away, 180 - away)
    assert 0.4 < (angle > 1e-6).mean() < 0.6
    assert 0.9 * most < angle.max() <= most + 1e-6
    for flipped in (x[:, 0] < 0, y[:, 1] < 0):
        assert 0.4 < flipped.mean() < 0.6


def test_the_teacher_changes_neither_size_nor_surface():
    np.testing.assert_allclose(np.linalg.norm(views(TEACHER), axis=2), 1, atol=1e-6)


def test_the_scale_is_common_to_all_points_and_fills_its_range():
    seen = np.linalg.norm(views(STILL.model_copy(update={"scale": (0.8, 1.2)})), axis=2)
    np.testing.assert_allclose(seen[:, 0], seen[:, 1])
    assert 0.8 <= seen.min() < 0.82 and 1.18 < seen.max() <= 1.2


def test_jitter_has_its_deviation_and_its_limit():
    xyz, view = np.zeros((20_000, 3)), STILL.model_copy(update={"jitter_m": 0.005})
    noise = augment_views.cloud_view(xyz, view, np.random.default_rng(0))
    assert noise.std() == pytest.approx(0.005, rel=0.02)
    assert np.abs(noise.mean()) < 1e-4
    wide = STILL.model_copy(update={"jitter_m": 0.05})
    assert np.abs(augment_views.cloud_view(xyz, wide, np.random.default_rng(0))).max() == 0.02


def test_without_changes_a_view_is_the_cloud():
    xyz = cloud(0, 20)
    np.testing.assert_allclose(augment_views.cloud_view(xyz, STILL, np.random.default_rng(0)), xyz, rtol=1e-6)


def test_a_seed_gives_a_view():
    xyz = cloud(0, 20)
    first, again, other = (augment_views.cloud_view(xyz, STUDENT, np.random.default_rng(s)) for s in (1, 1, 2))
    assert (first == again).all() and (first != other).any()


JITTER = (0.3, 0.3, 0.3, 0.1)


def test_both_views_of_an_image_show_the_same_pixels():
    """Colours change, but a linear ramp stays a ramp with its dark end where it was."""
    ramp = torch.linspace(0.2, 0.5, 8).expand(3, 3, 8, 8).contiguous()
    for view in augment_views.image_views(ramp, JITTER, 0.5, np.random.default_rng(0)):
        assert (view.diff(dim=3) > 0).all()
        torch.testing.assert_close(view, view[:, :, :1].expand_as(view))


def test_the_teacher_gets_half_of_the_jitter():
    grey = torch.full((300, 3, 2, 2), 0.5)
    student, teacher = augment_views.image_views(grey, (0.3, 0, 0, 0), 0.5, np.random.default_rng(0))
    for view, most in ((student, 0.3), (teacher, 0.15)):
        change = (view / grey - 1).abs().amax(dim=(1, 2, 3))
        assert 0.95 * most < change.max() <= most + 1e-5
    same, still = augment_views.image_views(grey[:2], JITTER, 0.0, np.random.default_rng(0))
    torch.testing.assert_close(still, grey[:2])
    again = augment_views.image_views(grey[:2], JITTER, 0.0, np.random.default_rng(0))[0]
    assert torch.equal(same, again), "a seed gives a view"


def test_no_images_have_no_views():
    nothing = torch.zeros(0, 3, 4, 4)
    assert [len(view) for view in augment_views.image_views(nothing, JITTER, 0.5, np.random.default_rng(0))] == [0, 0]
