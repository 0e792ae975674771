"""Labels of images voted onto points: by hand, against the slow twin, and input that cannot be used."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from reference import fusion as reference
from scipy.spatial.transform import Rotation

from wsss_ros.fusion import FEATURES, PSEUDO_TRUTH, Fusion, FusionSettings, fuse, fusing, winners
from wsss_ros.fusion.torch_steps import TorchSteps
from wsss_ros.geometry import project
from wsss_ros.geometry.surfels import SurfelSettings, surfels
from wsss_ros.types import BadInput, Camera, Distortion, Frame

CAMERA = Camera(100.0, 100.0, 31.5, 23.5, 64, 48)
SECOND = 1_000_000_000


def frame(stamp_ns=0, depth_m=None, pose=None, camera=CAMERA):
    pose = np.eye(4) if pose is None else pose
    return Frame(np.zeros((camera.height, camera.width, 3), np.uint8), camera, depth_m, pose, stamp_ns, "view")


def wall(z, half_m=0.6, step=0.05):
    """Points of a wall at the depth z."""
    side = np.arange(-half_m, half_m + step / 2, step)
    x, y = np.meshgrid(side, side)
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], axis=1)


def labels(value, camera=CAMERA):
    return np.full((camera.height, camera.width), value, np.uint8)


def test_a_wall_hides_the_wall_behind_it():
    points = np.concatenate([wall(2.0, 0.3), wall(4.0, 0.5)])
    front, image = np.arange(len(points)) < len(wall(2.0, 0.3)), labels(2)
    image[:, 32:] = 1
    chosen = FusionSettings(fill="none", max_distance_m=8, dilation=1, surfels={"radius_m": 0.15})
    label, votes = fuse(points, [frame()], [image], chosen)
    assert votes.shape == (len(points), 3)
    assert (label[front] == np.where(points[front, 0] < 0.0, 2, 1)).all()
    hidden = ~front & (np.abs(points[:, :2]) < 0.45).all(axis=1)
    assert hidden.sum() > 100 and (label[hidden] == 255).all()
    outside = ~front & (np.abs(points[:, 0]) < 1.2) & (np.abs(points[:, 0]) > 0.8)
    assert (label[outside] != 255).all()
    distance = np.linalg.norm(points[front], axis=1)
    assert votes[front].sum(axis=1) == pytest.approx(1 - distance / 8, abs=1e-6)


def test_larger_surfels_hide_more():
    points = np.concatenate([wall(2.0, 0.3), wall(4.0, 0.9)])
    voted = []
    for dilation in (1, 2, 4):
        chosen = FusionSettings(fill="none", dilation=dilation, surfels={"radius_m": 0.15})
        voted.append((fuse(points, [frame()], [labels(0)], chosen).label != 255).sum())
    assert voted[0] > voted[1] > voted[2] >= len(wall(2.0, 0.3))


def test_the_time_of_the_points():
    points, stamps = wall(2.0), np.arange(len(wall(2.0))) * SECOND // 100
    label, votes = fuse(points, [frame(stamp_ns=SECOND)], [labels(0)], PSEUDO_TRUTH, stamps_ns=stamps)
    dt_s = np.abs(stamps - SECOND) / SECOND
    inside = (np.abs(points[:, 0]) < 0.63) & (np.abs(points[:, 1]) < 0.47)
    assert ((label == 0) == (inside & (dt_s < 0.1))).all()
    assert votes[label == 0, 0] == pytest.approx(
        ((1 - np.linalg.norm(points, axis=1) / 400) * (1 - dt_s / 0.1))[label == 0], rel=1e-5
    )


def test_a_point_seen_from_behind_gets_no_vote():
    points = wall(2.0)
    for towards, voted in (([0, 0, 0], True), ([0, 0, 9], False), ([np.nan] * 3, True)):
        viewpoints = np.broadcast_to(np.array(towards, float), points.shape)
        label = fuse(points, [frame()], [labels(0)], FusionSettings(fill="none"), viewpoints=viewpoints).label
        assert ((label == 0).sum() > 100) == voted


def test_points_without_votes_get_the_nearest_label_for_features_only():
    points = np.concatenate([wall(2.0), [[0.7, 0.0, 2.0], [-0.7, 0.0, 2.0], [9.0, 9.0, -9.0]]])
    image = labels(3)
    image[:, 32:] = 4
    assert fuse(points, [frame()], [image], FEATURES).label[-3:].tolist() == [4, 3, 4]
    assert fuse(points, [frame()], [image], PSEUDO_TRUTH).label[-3:].tolist() == [255, 255, 255]


def test_the_depth_of_the_frame_instead_of_surfels():
    points = np.concatenate([wall(2.0), wall(4.0)])
    depth_m = np.full((48, 64), 4.0, np.float32)
    depth_m[:, :32] = 2.0
    chosen = FusionSettings(fill="none", visibility="depth", dilation=0)
    label = fuse(points, [frame(depth_m=depth_m)], [labels(0)], chosen).label
    u = points[:, 0] / points[:, 2] * 100 + 31.5
    assert (
        label[np.abs(points[:, 1]) < 0.4]
        == np.where((u < 31.5) == (points[:, 2] == 2.0), 0, 255)[np.abs(points[:, 1]) < 0.4]
    ).all()
    near_edge = chosen.model_copy(update={"dilation": 4.0})
    wide = fuse(points, [frame(depth_m=depth_m)], [labels(0)], near_edge).label
    lost = (label == 0) & (wide != 0)
    assert lost.any() and (points[lost, 2] == 4.0).all() and (u[lost] < 31.5 + 5).all()


def test_labels_of_another_size_are_those_of_the_resized_image():
    points, small = wall(2.0), np.repeat(np.arange(4, dtype=np.uint8), 8)[None].repeat(24, axis=0)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    chosen = FusionSettings(fill="none")
    assert (
        fuse(points, [frame()], [small], chosen).label == fuse(points, [frame()], [large], chosen).label
    ).mean() > 0.99


def test_a_fusion_can_be_continued():
    points, whole, part, rest = wall(2.0), *(Fusion(wall(2.0), FEATURES, 5) for _ in range(3))
    for number in range(4):
        whole.add(frame(), labels(number))
    part.add(frame(), labels(0))
    rest.votes = part.votes.copy()
    for number in range(1, 4):
        assert rest.add(frame(), labels(number)) > 0.5 * len(points)
    np.testing.assert_array_equal(rest.votes, whole.votes)
    assert whole.frames == 4


@pytest.mark.parametrize(
    "change, message",
    [
        ({"camera": None}, "no camera"),
        ({"world_from_camera": None}, "no pose"),
        ({"world_from_camera": np.full((4, 4), np.nan)}, "NaN"),
        ({"labels": np.zeros((48, 48), np.uint8)}, "48x48 for an image of 64x48"),
        ({"labels": np.full((48, 64), 7, np.uint8)}, "label 7; expected labels below 5"),
        ({"depth": True}, "no depth"),
    ],
)
def test_frames_that_cannot_be_used_change_no_vote(change, message):
    chosen = FusionSettings(visibility="depth") if change.pop("depth", False) else FEATURES
    image = change.pop("labels", labels(0))
    fusion = Fusion(wall(2.0), chosen, 5)
    with pytest.raises(BadInput, match=message):
        fusion.add(replace(frame(), **change), image)
    assert not fusion.votes.any() and fusion.frames == 0


def test_clouds_that_cannot_be_used():
    with pytest.raises(BadInput, match="NaN"):
        Fusion(np.full((5, 3), np.nan), FEATURES)
    with pytest.raises(BadInput, match="3 stamps_ns for 5 points"):
        Fusion(np.zeros((5, 3)), FEATURES, stamps_ns=np.zeros(3, np.int64))
    assert len(fuse(np.zeros((0, 3)), [frame()], [labels(0)], FEATURES).label) == 0


def turned(random):
    """A pose near the origin that looks roughly along z."""
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_rotvec(random.normal(size=3) * 0.2).as_matrix()
    pose[:3, 3] = random.normal(size=3) * 0.3
    return pose


def with_torch(points, chosen, stamps=None, viewpoints=None):
    """The steps of a GPU, on the CPU."""
    fusion = Fusion(points, chosen, 3, stamps, viewpoints)
    discs = surfels(points, chosen.surfels)
    front = np.zeros_like(points) if viewpoints is None else fusing._towards(discs.normal, points, viewpoints)
    stamps = np.zeros(0, np.int64) if stamps is None else stamps
    fusion._steps = TorchSteps(points - fusion._origin, lambda: discs, front, stamps, "cpu")
    fusion.votes = np.zeros((len(points), 3), np.float32)
    return fusion


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1), dilation=st.sampled_from([0.5, 2.0, 8.0, 30.0]), tau=st.sampled_from([0.01, 0.1])
)
def test_votes_equal_the_twin(seed, dilation, tau):
    random = np.random.default_rng(seed)
    points = np.concatenate([wall(3.0, 0.7, 0.2), random.normal(size=(40, 3)) + (0, 0, 3), wall(1.5, 0.3, 0.1)])
    points += random.normal(size=points.shape) * 0.01
    stamps = random.integers(0, 4 * SECOND, len(points))
    viewpoints = random.normal(size=points.shape)
    frames = [frame(int(stamp), pose=turned(random)) for stamp in random.integers(0, 4 * SECOND, 4)]
    images = [random.choice(np.array([0, 1, 2, 255], np.uint8), (48, 64)) for _ in frames]
    chosen = FusionSettings(
        dilation=dilation, depth_tolerance=tau, max_dt_s=1.5, max_distance_m=4, surfel_max_dt_s=2, fill="none"
    )
    found = fuse(points, frames, images, chosen, 3, stamps, viewpoints)
    on_torch = with_torch(points, chosen, stamps, viewpoints)
    for view, image in zip(frames, images, strict=True):
        on_torch.add(view, image)
    np.testing.assert_allclose(on_torch.votes, found.votes, atol=1e-6)
    discs = surfels(points, chosen.surfels)
    expected = reference.fuse(points, frames, images, chosen, 3, discs, stamps, viewpoints)
    np.testing.assert_allclose(found.votes, expected, atol=1e-5)
    np.testing.assert_array_equal(found.label, winners(expected))


@pytest.mark.parametrize("threads", [1, 3])
def test_the_depth_image_equals_the_twin(threads):
    random = np.random.default_rng(1)
    points = random.normal(size=(400, 3)) * (2, 2, 1.5) + (0, 0, 3)
    camera, before = Camera(120.0, 110.0, 60.2, 50.7, 120, 101), torch.get_num_threads()
    seen = frame(pose=turned(random), camera=camera)
    fusion = Fusion(points, FusionSettings(dilation=6.0, surfels={"radius_m": 0.5}))
    torch.set_num_threads(threads)
    try:
        image = fusion.depth_image(seen)
    finally:
        torch.set_num_threads(before)
    discs = surfels(points, SurfelSettings(radius_m=0.5))
    expected = reference.drawn(points, discs, np.ones(400, bool), 6.0, camera, seen.world_from_camera, 400.0)
    assert (expected > 0).mean() > 0.5
    np.testing.assert_allclose(image, expected, rtol=1e-9)
    on_torch = with_torch(points, fusion.settings).depth_image(seen)
    np.testing.assert_allclose(on_torch, image, rtol=1e-12)


def test_a_lens_with_distortion_reads_labels_where_it_shows_the_point():
    bent = replace(CAMERA, distortion=Distortion("polynomial", (-0.3, 0.1, 0.001, -0.002)))
    points, image = wall(2.0, 0.9, 0.02), np.arange(64, dtype=np.uint8)[None].repeat(48, axis=0) // 16
    label = fuse(points, [frame(camera=bent)], [image], FusionSettings(fill="none")).label
    uv, _ = project(points, bent, np.eye(4))
    inside = (uv > -0.4).all(axis=1) & (uv[:, 0] < 63.4) & (uv[:, 1] < 47.4)
    assert (label[inside] == image[0, np.rint(uv[inside, 0]).astype(int)]).all()
    straight, _ = project(points, CAMERA, np.eye(4))
    beyond = inside & ((straight < -1).any(axis=1))  # only the lens shows these
    assert beyond.sum() > 20 and (label[beyond] != 255).all()
    on_torch = with_torch(points, FusionSettings(fill="none"))
    on_torch.add(frame(camera=bent), np.minimum(image, 2))
    np.testing.assert_array_equal(np.minimum(label, 2)[label != 255], on_torch.result().label[label != 255])


def test_surfels_are_computed_only_where_they_are_drawn(monkeypatch):
    asked = []
    monkeypatch.setattr(fusing, "surfels", lambda *arguments: asked.append(arguments) or surfels(*arguments))
    measured = frame(depth_m=np.full((48, 64), 2.0, np.float32))
    for visibility, times in (("depth", 0), ("surfels", 1)):
        fusion = Fusion(wall(2.0), FusionSettings(visibility=visibility))
        assert fusion.add(measured, labels(0)) == fusion.add(measured, labels(0)) > 100
        assert len(asked) == times
