"""Samples of several sources: which source each comes from, and how common its tags are there."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.photo_folders import write_photos
from support.striped_scenes import StripedScene

from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.loading import Share, shares_of
from wsss_ros.samples.mixture import PairsWithPhotos, Source, dense, mixed, photographs, posed, weights_of
from wsss_ros.samples.photos import prepare_photos
from wsss_ros.samples.prepared import prepare
from wsss_ros.samples.priors import SourcePriors
from wsss_ros.samples.samples import ImageSamples, PairSamples
from wsss_ros.scenes.photos import PhotoFolder
from wsss_ros.types import BadInput

IMAGE, CLOUD = ImageAugment(long_side=(32, 48), crop=32), CloudAugment(points=256)


@pytest.fixture(scope="module")
def sources(tmp_path_factory, labels):
    place = tmp_path_factory.mktemp("sources")
    striped = [prepare([StripedScene(seed, labels) for seed in seeds], labels, place, 0) for seeds in ((0, 1), (2,))]
    photos, _ = prepare_photos(PhotoFolder(write_photos(place / "pictures"), labels), labels, place)
    first, second = (found.scenes for found in striped)
    return [Source(first, None, "rooms", 2.0), Source(photos=photos, name="pictures"), Source(second, None, "office")]


def images_of(source: Source) -> ImageSamples:
    return ImageSamples(source.images, IMAGE)


def pairs_of(source: Source) -> PairSamples:
    return PairSamples(source.scenes, IMAGE, CLOUD)


def test_a_mixture_has_the_samples_of_its_sources_one_after_the_other(sources):
    mixture = mixed(sources, images_of)
    assert len(mixture) == 16 and shares_of(mixture) == [Share(8, 2.0), Share(4, 1.0), Share(4, 1.0)]
    assert mixture.names[0] == "rooms: scene0#0" and mixture.names[9] == "pictures: kitchen/b"
    for index, source, at in ((7, 0, 7), (8, 1, 0), (11, 1, 3), (12, 2, 0), (15, 2, 3)):
        own = images_of(sources[source]).sample(at, np.random.default_rng(index))
        sample = mixture.sample(index, np.random.default_rng(index))
        assert int(sample.pop("image_source")) == source
        assert sample.keys() == own.keys() and all(torch.equal(sample[name], own[name]) for name in own)
    batch = mixture.collate([mixture.sample(index, np.random.default_rng(0)) for index in (0, 9, 15)])
    assert batch.image_source.tolist() == [0, 1, 2] and batch.images.shape == (3, 3, 32, 32)


def test_one_source_is_not_changed(sources):
    alone = mixed(sources[:1], images_of)
    assert isinstance(alone, ImageSamples) and shares_of(alone) == [Share(8, 1.0)]
    assert alone.collate([alone.sample(0, np.random.default_rng(0))]).image_source is None


def test_pairs_come_from_posed_sources_only(sources):
    mixture = mixed(sources, pairs_of, posed)
    assert mixture.names == ["rooms: scene0", "rooms: scene1", "office: scene2"]
    batch = mixture.collate([mixture.sample(index, np.random.default_rng(index)) for index in (2, 0)])
    assert batch.image_source.tolist() == batch.cloud_source.tolist() == [2, 0]
    assert weights_of(sources, posed) == [2 / 3, 0, 1 / 3] and weights_of(sources) == [0.5, 0.25, 0.25]
    with pytest.raises(BadInput, match="none of the sources rooms, pictures, office has dense labels; add such a"):
        mixed(sources, pairs_of, dense, "dense labels")


def test_a_source_without_samples_is_named(sources, labels, tmp_path):
    scene = StripedScene(0, labels)
    scene.image_tags = lambda index: ()
    untagged = Source(prepare([scene], labels, tmp_path, 0).scenes, None, "silent")
    with pytest.raises(BadInput, match="source 'silent': no tagged image in 1 scenes"):
        mixed([*sources, untagged], images_of)


def test_photographs_are_drawn_by_weight_next_to_pairs(sources):
    many = [*sources, Source(photos=sources[1].photos, name="more", weight=3.0)]
    samples = PairsWithPhotos(mixed(many, pairs_of, posed), mixed(many, images_of, photographs), 4)
    assert len(samples) == 3 and samples.names[2] == "office: scene2"
    assert shares_of(samples) == [Share(2, 2.0), Share(1, 1.0)]
    batch = samples.collate([samples.sample(index, np.random.default_rng(index)) for index in (0, 2, 1)])
    assert batch.photos.images.shape == (12, 3, 32, 32) and batch.images.shape == (3, 3, 32, 32)
    everything = batch.to(torch.device("cpu")).all_images()
    assert len(everything.images) == len(everything.image_tags) == 15
    assert everything.image_source.tolist() == [0, 2, 0, *batch.photos.image_source.tolist()]
    of_pairs = [samples.sample(0, np.random.default_rng(seed))[1] for seed in range(100)]
    drawn = [int(photo["image_source"]) for photos in of_pairs for photo in photos]
    assert set(drawn) == {1, 3} and 0.65 < np.mean(np.array(drawn) == 3) < 0.85
    again = samples.collate([samples.sample(index, np.random.default_rng(index)) for index in (0, 2, 1)])
    assert torch.equal(again.photos.images, batch.photos.images)


def odds(present: float, of: int) -> float:
    return math.log((present + 1) / (of + 1 - present))


def test_each_image_gets_the_prior_of_its_source(sources, labels):
    priors = SourcePriors(sources, 0.5, weights_of(sources))
    wall, sofa, sink = (labels.index(name) for name in ("wall", "sofa", "sink"))
    # Of four photographs three show a wall, but in one nobody could judge it; two show a sofa; one of three no sink.
    rows = priors.of_images(torch.tensor([1, 2, 1]), torch.device("cpu"))
    assert rows.shape == (3, len(labels)) and torch.equal(rows[0], rows[2])
    assert rows[0, [wall, sofa, sink]].tolist() == pytest.approx([0.5 * odds(3, 3), 0.5 * odds(2, 4), 0.5 * odds(0, 3)])
    assert torch.equal(rows[1], SourcePriors(sources[2:], 0.5, [1.0]).mixed()[0])
    assert not priors.of_clouds(torch.tensor([1]), torch.device("cpu")).any()


def test_for_inference_the_frequencies_are_mixed_by_weight(sources, labels):
    share, weights = 0.75, weights_of(sources)
    images, clouds = SourcePriors(sources, share, weights).mixed()
    alone = [SourcePriors([source], 1.0, [1.0]) for source in sources]
    frequency = sum(w * torch.sigmoid(each.mixed()[0]) for w, each in zip(weights, alone, strict=True))
    torch.testing.assert_close(images, share * torch.logit(frequency))
    of_clouds = 2 / 3 * torch.sigmoid(alone[0].mixed()[1]) + 1 / 3 * torch.sigmoid(alone[2].mixed()[1])
    torch.testing.assert_close(clouds, share * torch.logit(of_clouds))


def test_a_class_that_a_source_never_judged_takes_no_part_in_the_mix(sources, labels):
    sink = labels.index("sink")
    photos = sources[1].photos
    known = photos.image_known.copy()
    known[:, sink] = 0
    blind = Source(photos=replace(photos, image_known=known))
    mixed_odds = SourcePriors([sources[0], blind], 1.0, [0.5, 0.5]).mixed()[0]
    assert mixed_odds[sink] == pytest.approx(SourcePriors([sources[0]], 1.0, [1.0]).mixed()[0][sink])
