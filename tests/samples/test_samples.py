"""Augmented samples and their links: whatever happens to image and cloud, a link joins the same place of the world."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.painted_scene import PaintedScene, place
from support.striped_scenes import StripedScene

from wsss_ros.labels import scannet20
from wsss_ros.networks.classifier import sample_bilinear
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.prepared import prepare
from wsss_ros.samples.samples import CloudSamples, ImageSamples, PairSamples
from wsss_ros.types import BadInput

PLAIN = (0.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    return prepare([PaintedScene()], scannet20(), tmp_path_factory.mktemp("cache"), 0, 80, truth=True).scenes


def pairs(scenes, crop=48, long_side=(48, 120), points=900, **options):
    image = ImageAugment(long_side=long_side, crop=crop, jitter=PLAIN)
    return PairSamples(scenes, image, CloudAugment(points=points, rotation_deg=180.0), **options)


@given(
    seed=st.integers(0, 10_000),
    crop=st.integers(32, 80),
    points=st.sampled_from([300, 900, 5000]),
    images=st.integers(1, 4),
)
def test_links_follow_both_augmentations(painted, seed, crop, points, images):
    sample = pairs(painted, crop, points=points, images=images).sample(0, np.random.default_rng(seed))
    assert sample["images"].shape == (images, 3, crop, crop) and len(sample["image_tags"]) == images
    counts = sample["links_count"].tolist()
    links = zip(sample["images"], sample["links_point"].split(counts), sample["links_uv"].split(counts), strict=True)
    for image, point, uv in links:
        follow(sample["rgb"], image, point, uv)


def follow(rgb, image, point, uv):
    crop = image.shape[-1]
    inside = ((uv > 1) & (uv < crop - 2)).all(dim=1)  # at the border a pixel is mixed with the padding
    world, told = place(255 * sample_bilinear(image, uv[inside], crop).numpy()), place(255 * rgb[point[inside]].numpy())
    # The crop shows at a link's pixel the place that the point's colour names, to 2 cm (8-bit colours, resampling).
    assert np.abs(world[:, :2] - told[:, :2]).max(initial=0) < 0.05
    assert np.abs(np.median(world - told, axis=0)).max() < 0.02


@given(seed=st.integers(0, 10_000))
def test_augmented_clouds_are_rigid_or_mirrored_and_stand_upright(painted, seed):
    sample = pairs(painted).sample(0, np.random.default_rng(seed))
    xyz, world = sample["xyz"].numpy(), place(255 * sample["rgb"].numpy())
    some = np.random.default_rng(seed).integers(len(xyz), size=(200, 2))
    moved, original = (np.linalg.norm(a[some[:, 0]] - a[some[:, 1]], axis=1) for a in (xyz, world))
    assert np.abs(moved - original).max() < 0.03
    climbs = -(world[:, 1] - world[:, 1].mean())  # the world's up is -y
    assert np.abs(xyz[:, 2] - climbs).max() < 0.02


def test_hidden_points_have_no_link(painted):
    sample = pairs(painted, crop=64, long_side=(64, 64), points=3500).sample(0, np.random.default_rng(1))
    linked = place(255 * sample["rgb"][sample["links_point"]].numpy())
    expected = PaintedScene._surface(linked[:, 0], linked[:, 1])
    assert len(linked) > 500 and np.abs(linked[:, 2] - expected).max() < 0.05


def test_few_points_are_repeated_and_many_are_not(painted):
    count = len(painted[0].xyz)
    for wanted, most in ((count // 2, 1), (3 * count, 20)):
        cloud = CloudSamples(painted, CloudAugment(points=wanted)).sample(0, np.random.default_rng(0))
        rows, hits = np.unique(cloud["xyz"].numpy(), axis=0, return_counts=True)
        assert cloud["xyz"].shape == (wanted, 3) and hits.max() <= most
        assert len(rows) == min(wanted, count)


def test_truth_views_follow_the_crop(painted):
    sample = pairs(painted, crop=64, long_side=(64, 110), truth=True).sample(0, np.random.default_rng(4))
    truth, red = sample["image_truth"][0], 255 * sample["images"][0, 0]
    known = truth != 255
    sure = known & ((red - 127).abs() > 12)  # next to the border between both labels resampling may disagree
    assert sure.float().mean() > 0.4
    assert ((red > 127) == (truth == 1))[sure].all()
    assert (sample["cloud_truth"] == (255 * sample["rgb"][:, 0] > 127.5)).all()


def test_a_sample_depends_on_its_generator_alone(painted):
    source = pairs(painted)
    first, again, other = (source.sample(0, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["xyz"], other["xyz"])


def test_max_links_thins_at_random(painted):
    sample = pairs(painted, max_links=50).sample(0, np.random.default_rng(2))
    assert len(sample["links_point"]) == len(sample["links_uv"]) == 50


def test_batches_pack_links_in_order(painted):
    source = pairs(painted, images=3, truth=True)
    both = [source.sample(0, np.random.default_rng(seed)) for seed in (0, 1)]
    batch = source.collate(both)
    assert batch.images.shape == (6, 3, 48, 48) and batch.xyz.shape == (2, 900, 3)
    assert batch.image_tags.shape == batch.image_known.shape == (6, len(scannet20()))
    assert batch.cloud_tags.shape == batch.cloud_known.shape == (2, len(scannet20()))
    assert batch.image_truth.shape == (6, 48, 48)
    assert batch.links_count == tuple(count for sample in both for count in sample["links_count"].tolist())
    assert torch.equal(batch.links_uv[sum(batch.links_count[:3]) :], both[1]["links_uv"])
    assert torch.equal(batch.to(torch.device("cpu")).links_point, batch.links_point)


def test_clouds_without_colours_make_samples_without(tmp_path, labels):
    class Grey(StripedScene):
        @property
        def cloud(self):
            return dataclasses.replace(super().cloud, rgb=None)

    scenes = prepare([Grey(0, labels)], labels, tmp_path, 0).scenes
    assert "rgb" not in CloudSamples(scenes, CloudAugment(points=256)).sample(0, np.random.default_rng(0))
    both = prepare([Grey(0, labels), StripedScene(1, labels)], labels, tmp_path, 0).scenes
    for source in (CloudSamples(both, CloudAugment(points=256)), pairs(both)):
        grey, colored = (source.sample(k, np.random.default_rng(0)) for k in (0, 1))
        batch = source.collate([grey, colored])
        assert batch.rgb[0].isnan().all() and torch.equal(batch.rgb[1], colored["rgb"])
        assert source.collate([grey, grey]).rgb is None


def test_colours_are_dropped_from_a_share_of_the_samples(painted):
    half, never = (CloudSamples(painted, CloudAugment(points=300, drop_color=share)) for share in (0.5, 0.0))
    drawn = [half.sample(0, np.random.default_rng(seed)) for seed in range(200)]
    assert 70 < sum("rgb" in sample for sample in drawn) < 130
    for seed, sample in enumerate(drawn[:20]):  # all else is the same as without it
        other = never.sample(0, np.random.default_rng(seed))
        assert all(torch.equal(sample[name], other[name]) for name in sample)


def test_images_without_tags_are_left_out(tmp_path, labels):
    scene = StripedScene(0, labels)
    scene.image_tags = lambda index: ("wall",) if index else None
    scenes = prepare([scene], labels, tmp_path, 0).scenes
    images = ImageSamples(scenes, ImageAugment(crop=32))
    assert images.names == ["scene0#1", "scene0#2", "scene0#3"]
    scene.image_tags = lambda index: ()
    untagged = prepare([scene], labels, tmp_path, 0).scenes
    with pytest.raises(BadInput, match="no tagged image in 1 scenes"):
        ImageSamples(untagged, ImageAugment())
    with pytest.raises(BadInput, match="no tagged image sees its cloud in 1 scenes"):
        pairs(untagged)
    mixed = pairs([*untagged, *scenes])
    assert mixed.names == ["scene0"] and "no tagged image sees" in mixed.left_out[0][1]


def test_with_scene_tags_alone_the_images_may_show_what_the_scene_has(tmp_path, labels):
    """What the scene lacks is absent from each image; an image whose own list leaves nothing is not used."""
    scene = StripedScene(0, labels)
    lists = {1: (), 2: ()}
    scene.image_tags = lists.get
    scene.image_unknown = lambda index: scene.pair[:1] if index == 2 else ()
    scenes = prepare([scene], labels, tmp_path, 0).scenes
    both, first = set(scene.pair), set(scene.pair[:1])
    found = pairs(scenes, images=4)
    assert not found.left_out and found.frames[0].tolist() == [0, 2, 3]
    batch = found.collate([found.sample(0, np.random.default_rng(0))])
    assert not batch.image_tags.any() and {*labels.tags(batch.cloud_tags[0].numpy())} == both
    allowed = [{*labels.tags(row)} for row in batch.pixel_tags().numpy()]
    assert sorted(map(len, allowed))[-2:] == [2, 2] and all(row in (both, first) for row in allowed)
    for row, known in zip(allowed, batch.image_known.numpy(), strict=True):
        assert {*labels.tags(1 - known)} == row, "known are the classes that the image cannot show"
    scene.image_tags = lambda index: tuple(scene.pair) if index else None
    tagged = pairs(prepare([scene], labels, tmp_path, 0).scenes)
    assert tagged.frames[0].tolist() == [1, 2, 3], "with a tagged image the others stay out"
    drawn = tagged.collate([tagged.sample(0, np.random.default_rng(0))])
    assert torch.equal(drawn.pixel_tags(), drawn.image_tags)


def test_collate_of_images_alone(painted):
    source = ImageSamples(painted, ImageAugment(crop=32, long_side=(32, 64)))
    batch = source.collate([source.sample(i, np.random.default_rng(i)) for i in range(3)])
    assert batch.images.shape == (3, 3, 32, 32) and not hasattr(batch, "xyz")
    assert batch.image_tags.sum(dim=1).tolist() == [2, 1, 1]
