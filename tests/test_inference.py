"""Both segmenters: sizes, labels, sampling, devices, weights."""

import dataclasses

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from wsss_ros import geometry
from wsss_ros.bench.ros_loads import patches
from wsss_ros.inference import CloudSegmenter, ImageSegmenter
from wsss_ros.labels import LabelSpace
from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import Checkpoint, NetworkConfig
from wsss_ros.networks.classifier import normalise_images, upsample
from wsss_ros.types import BadInput, Cloud, Frame

LIGHT_CLOUD = {"width": 0.125, "centres": (256, 128, 64, 32), "neighbours": (16, 8, 8, 8)}


def tiny(labels, kind: str, **fields) -> Checkpoint:
    torch.manual_seed(0)
    defaults = {"image": ("resnet", {"width": 0.125}), "cloud": ("pointnet2", LIGHT_CLOUD)}[kind]
    config = NetworkConfig(kind, *defaults, **fields)
    return Checkpoint(config.build(labels), config, labels, {}, "tiny")


@pytest.fixture(scope="module")
def image_segmenter(labels):
    return ImageSegmenter(tiny(labels, "image"), "cpu")


@pytest.fixture(scope="module")
def cloud_segmenter(labels):
    return CloudSegmenter(tiny(labels, "cloud", inputs=("color",)), "cpu", "float32", points=2000)


def noise(height: int, width: int) -> Frame:
    return Frame(np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8))


def cloud_of(count: int, seed: int = 0) -> Cloud:
    rng = np.random.default_rng(seed)
    return Cloud(rng.random((count, 3), np.float32) * 3, rng.integers(0, 256, (count, 3), dtype=np.uint8))


@pytest.mark.parametrize("size", [(480, 640), (97, 33), (1, 1)])
def test_every_pixel_has_a_label_and_a_confidence(image_segmenter, size):
    labels, confidence = image_segmenter(noise(*size))
    assert labels.shape == confidence.shape == size
    assert labels.max() < 20 and 0 <= confidence.min() <= confidence.max() <= 1


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_image_gets_the_labels_of_the_upright_one(labels, turns):
    """The network sees the upright image; labels and confidence come back in the orientation of the camera."""
    segmenter, frame = ImageSegmenter(tiny(labels, "image"), "cpu", "float32"), noise(48, 64)
    upright, sure = segmenter(frame)
    mounted = Frame(np.ascontiguousarray(np.rot90(frame.rgb, -turns)))
    turned, turned_sure = segmenter(mounted, turns=turns)
    assert turned.shape == mounted.rgb.shape[:2]
    assert np.mean(np.rot90(turned, turns) == upright) > 0.999
    np.testing.assert_allclose(np.rot90(turned_sure, turns), sure, atol=1e-5)
    assert np.mean(np.rot90(segmenter(mounted)[0], turns) == upright) < 0.9


def test_labels_are_the_argmax_of_the_scores(image_segmenter):
    frame = noise(48, 64)
    labels, confidence = image_segmenter(frame)
    scores = image_segmenter.scores(frame.rgb)[0].detach()
    assert np.array_equal(labels, scores.argmax(0).numpy())
    np.testing.assert_allclose(confidence, probability(scores.numpy()).max(axis=0), rtol=1e-5)


def probability(scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """The softmax over the first axis, in float64."""
    powers = np.exp(scores.astype(np.float64) / temperature)
    return powers / powers.sum(axis=0)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_the_temperature_changes_the_confidence_and_no_label(labels, image_segmenter, cloud_segmenter, temperature):
    """The confidence is the softmax of logits / temperature over the classes that may win."""
    frame, cloud, tags = noise(48, 64), cloud_of(500), np.zeros(20, np.float32)
    tags[[2, 5, 11]] = 1
    images = ImageSegmenter(tiny(labels, "image", temperature=temperature), "cpu")
    clouds = CloudSegmenter(tiny(labels, "cloud", inputs=("color",), temperature=temperature), "cpu", "float32")
    scores = images.scores(frame.rgb)[0].detach().numpy()
    for present, of in ((None, scores), (tags, scores[tags > 0])):
        found, confidence = images(frame, present)
        assert np.array_equal(found, image_segmenter(frame, present)[0])
        np.testing.assert_allclose(confidence, probability(of, temperature).max(axis=0), rtol=1e-4)
    xyz = (cloud.xyz - cloud.xyz.mean(0, dtype=np.float64)).astype(np.float32)
    found, confidence = clouds(cloud)
    assert np.array_equal(found, cloud_segmenter(cloud)[0])
    expected = probability(clouds.scores(xyz, cloud.rgb).detach().numpy().T, temperature).max(axis=0)
    np.testing.assert_allclose(confidence, expected, rtol=1e-3)


def test_classes_that_the_network_does_not_find_in_the_image_win_no_pixel(labels):
    frame = noise(48, 64)
    plain = ImageSegmenter(tiny(labels, "image"), "cpu")
    scores = plain.scores(frame.rgb)[0].detach().double()
    odds = tuple(np.random.default_rng(1).normal(size=20).tolist())
    likely = 1 / (1 + np.exp(-(scores.mean(dim=(1, 2)).numpy() + odds)))
    floor = float(np.sort(likely)[-6:-4].mean())  # five classes are above it
    segmenter = ImageSegmenter(tiny(labels, "image", presence_floor=floor, tag_log_odds=odds), "cpu")
    found, _ = segmenter(frame)
    kept = np.where((likely >= floor)[:, None, None], scores.numpy(), -np.inf)
    assert np.array_equal(found, kept.argmax(0)) and not np.array_equal(found, plain(frame)[0])
    # Where nothing is likely enough the likeliest is left, and tags that are given have the last word.
    strict = ImageSegmenter(tiny(labels, "image", presence_floor=0.9999, tag_log_odds=odds), "cpu")
    assert set(np.unique(strict(frame)[0])) == {likely.argmax()}
    tags = np.zeros(20, np.float32)
    tags[[3, 7]] = 1
    assert np.array_equal(strict(frame, tags)[0], plain(frame, tags)[0])


def test_long_side_sets_the_size_the_network_sees(labels):
    seen = []
    segmenter = ImageSegmenter(tiny(labels, "image", long_side=64), "cpu")
    segmenter.network.register_forward_pre_hook(lambda module, inputs: seen.append(tuple(inputs[0].shape[2:])))
    assert segmenter(noise(480, 640))[0].shape == (480, 640)
    assert seen == [(48, 64)]


@pytest.mark.parametrize("count", [1, 2, 3, 100, 2000, 2001, 9000, 2_000_000])
def test_every_point_has_a_label(cloud_segmenter, count):
    labels, confidence = cloud_segmenter(cloud_of(count))
    assert labels.shape == confidence.shape == (count,)
    assert labels.max() < 20 and 0 <= confidence.min() <= confidence.max() <= 1


def test_points_beside_the_sample_take_the_scores_of_their_three_nearest(cloud_segmenter):
    """Against the plain formula: all distances, three smallest, inverse distance weights."""
    cloud = cloud_of(3000)
    labels, _ = cloud_segmenter(cloud)
    chosen = np.sort(np.random.default_rng(0).choice(3000, 2000, replace=False))
    xyz = (cloud.xyz - cloud.xyz.mean(0, dtype=np.float64)).astype(np.float32)
    scores = cloud_segmenter.scores(xyz[chosen], cloud.rgb[chosen]).detach().double().numpy()
    distance = np.linalg.norm(xyz[:, None].astype(np.float64) - xyz[None, chosen], axis=2)
    near = np.argsort(distance, axis=1, kind="stable")[:, :3]
    weight = 1 / (np.take_along_axis(distance, near, 1) + 1e-8)
    expected = (scores[near] * (weight / weight.sum(1, keepdims=True))[:, :, None]).sum(1)
    assert (labels == expected.argmax(1)).mean() > 0.999


def test_a_wide_cloud_is_segmented_in_tiles(cloud_segmenter):
    """Each tile has as many points as a room has, and the tiles do not know each other."""
    rooms = [cloud_of(3000, seed) for seed in (1, 2)]
    far = Cloud(rooms[1].xyz + np.float32([40, 0, 0]), rooms[1].rgb)
    room = np.random.default_rng(3).permutation(np.repeat([0, 1], 3000))  # of each point; it keeps their order
    row = np.argsort(np.argsort(room, kind="stable"))
    both = Cloud(np.concatenate([rooms[0].xyz, far.xyz])[row], np.concatenate([rooms[0].rgb, far.rgb])[row])
    labels, confidence = cloud_segmenter(both)
    expected = [np.concatenate(values)[row] for values in zip(*map(cloud_segmenter, rooms), strict=True)]
    assert (labels == expected[0]).mean() > 0.999
    np.testing.assert_allclose(confidence, expected[1], atol=1e-3)


def test_a_tile_of_few_points_has_their_own_scores(cloud_segmenter):
    cloud, few = cloud_of(3000), cloud_of(4, seed=1)
    few.xyz[1] = few.xyz[0]  # one place, two colours
    far = few.xyz * np.float32(2) + np.float32([40, 0, 0])
    scores = cloud_segmenter.point_scores(Cloud(np.concatenate([cloud.xyz, far]), np.concatenate([cloud.rgb, few.rgb])))
    centred = far - far.mean(0, dtype=np.float64).astype(np.float32)
    expected = cloud_segmenter.scores(centred, few.rgb).detach()
    assert (expected[0] - expected[1]).abs().max() > 0.01
    np.testing.assert_allclose(scores[3000:], expected, atol=1e-3)


def test_the_scores_of_points_are_those_that_label_them(cloud_segmenter):
    cloud = cloud_of(5000)
    cloud.xyz[[3, 700]] = np.nan
    labels, confidence = (np.delete(values, [3, 700]) for values in cloud_segmenter(cloud))
    scores = cloud_segmenter.point_scores(cloud)
    assert np.array_equal(scores.argmax(1).numpy(), labels)
    np.testing.assert_allclose(torch.softmax(scores, 1).amax(1).numpy(), confidence, rtol=1e-5)


def test_a_network_sees_as_many_points_as_in_training(labels):
    given = tiny(labels, "cloud")
    trained = dataclasses.replace(given, config=dataclasses.replace(given.config, points=700))
    assert [CloudSegmenter(weights, "cpu").points for weights in (given, trained)] == [40_000, 700]
    assert CloudSegmenter(trained, "cpu", points=900).with_weights(given).points == 900
    np.testing.assert_array_equal(
        CloudSegmenter(trained, "cpu")(cloud_of(2000))[0], CloudSegmenter(given, "cpu", points=700)(cloud_of(2000))[0]
    )


def test_the_same_cloud_gets_the_same_labels(cloud_segmenter):
    first, second = (cloud_segmenter(cloud_of(5000))[0] for _ in range(2))
    assert np.array_equal(first, second)


def test_up_turns_the_cloud_upright(labels):
    """A network that reads height gives a lying cloud the labels of the standing one, told which way is up."""
    segmenter = CloudSegmenter(tiny(labels, "cloud", inputs=("height",)), "cpu")
    standing = Cloud(cloud_of(1000).xyz)
    lying = Cloud((standing.xyz @ geometry.upright(np.array([1.0, 0.0, 0.0]))).astype(np.float32))  # z became x
    expected = segmenter(standing)[1]
    np.testing.assert_allclose(segmenter(lying, up=(1.0, 0.0, 0.0))[1], expected, atol=1e-3)
    assert np.abs(segmenter(lying)[1] - expected).max() > 0.01


def test_far_from_the_origin_is_as_good_as_near(cloud_segmenter):
    near = cloud_of(1500)
    far = Cloud(near.xyz + np.float32(4096), near.rgb)
    again = Cloud(far.xyz - np.float32(4096), near.rgb)
    np.testing.assert_allclose(cloud_segmenter(far)[1], cloud_segmenter(again)[1], atol=1e-3)


def test_float64_in_utm_coordinates_gets_the_labels_of_the_same_cloud_at_the_origin(cloud_segmenter):
    near = cloud_of(1500)
    exact = np.round(near.xyz.astype(np.float64) * 2**20) / 2**20  # representable in float64 at both places
    at_origin = cloud_segmenter(Cloud(exact, near.rgb))
    utm = cloud_segmenter(Cloud(exact + [500_000.0, 4_649_776.0, 213.0], near.rgb))
    np.testing.assert_array_equal(utm[0], at_origin[0])
    np.testing.assert_array_equal(utm[1], at_origin[1])


def test_points_that_are_not_finite_get_no_label(cloud_segmenter):
    cloud = cloud_of(100)
    cloud.xyz[7, 1], cloud.xyz[8, 0] = np.nan, np.inf
    labels, confidence = cloud_segmenter(cloud)
    assert labels[[7, 8]].tolist() == [255, 255] and confidence[[7, 8]].tolist() == [0, 0]
    assert (np.delete(labels, [7, 8]) < 20).all()


@pytest.mark.parametrize("xyz", [np.zeros((0, 3), np.float32), np.full((5, 3), np.nan, np.float32)])
def test_nothing_to_segment(cloud_segmenter, xyz):
    with pytest.raises(BadInput, match="nothing to segment"):
        cloud_segmenter(Cloud(xyz, np.zeros((len(xyz), 3), np.uint8)))


@pytest.mark.parametrize(("inputs", "warnings"), [(("color", "height"), 1), (("color", "has_color"), 0), ((), 0)])
def test_a_cloud_without_colours_is_segmented_as_grey(labels, caplog, inputs, warnings):
    """Weights that have the input has_color know such clouds; others say once that it is new to them."""
    segmenter, cloud = CloudSegmenter(tiny(labels, "cloud", inputs=inputs), "cpu", "float32", 600), cloud_of(900)
    with caplog.at_level("WARNING", "wsss_ros"):
        colorless = [segmenter(Cloud(cloud.xyz)) for _ in range(3)][-1]
    assert caplog.text.count("no colours") == warnings
    assert bool(segmenter.color_problem(None)) == bool(warnings) and not segmenter.color_problem(cloud.rgb)
    segmenter.scores = lambda xyz, rgb, *fused: mid_grey(segmenter, xyz, labels, inputs)
    for got, expected in zip(colorless, segmenter(Cloud(cloud.xyz)), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


def mid_grey(segmenter, xyz, labels, inputs):
    """The scores of points whose colours, centred, are 0, and whose flag is 0."""
    zeros = {"color": np.zeros((len(xyz), 3)), "height": (xyz[:, 2] - np.quantile(xyz[:, 2], 0.01))[:, None]}
    features = [zeros.get(name, np.zeros((len(xyz), 1))) for name in inputs] or [np.zeros((len(xyz), 0))]
    features = torch.from_numpy(np.concatenate(features, 1).astype(np.float32))[None]
    return segmenter.network(torch.from_numpy(xyz)[None], features)[1][0]


def test_devices(labels):
    with pytest.raises(BadInput, match="use auto, cpu, cuda"):
        ImageSegmenter(tiny(labels, "image"), "gpu0")
    if not torch.cuda.is_available():
        with pytest.raises(BadInput, match="no CUDA GPU"):
            ImageSegmenter(tiny(labels, "image"), "cuda")


def test_a_segmenter_leaves_the_checkpoint_it_was_given_as_it_is(labels):
    given = tiny(labels, "image")
    before = {name: value.clone() for name, value in given.network.state_dict().items()}
    ImageSegmenter(given, "cpu")(noise(32, 32))
    after = given.network.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(before[name], after[name]) for name in before)


def test_weights_of_another_label_space_are_refused(labels, tmp_path):
    weights = tiny(labels, "image")
    checkpoint.save(tmp_path / "own", weights.network, weights.config, labels)
    other = LabelSpace("kitchen", ("cup", "pan"), ((1, 1, 1), (2, 2, 2)), (1, 2))
    assert ImageSegmenter(tmp_path / "own", "cpu", labels=labels).labels == labels
    with pytest.raises(BadInput, match="expected 'kitchen' of 2"):
        ImageSegmenter(tmp_path / "own", "cpu", labels=other)


def test_other_weights_in_a_segmenter_of_the_same_settings(labels, tmp_path):
    first, other = tiny(labels, "cloud", inputs=("color",)), tiny(labels, "cloud", inputs=("height",))
    segmenter = CloudSegmenter(first, "cpu", "bfloat16", points=600, threads=torch.get_num_threads())
    checkpoint.save(tmp_path / "other.safetensors", other.network, other.config, labels)
    swapped = segmenter.with_weights(tmp_path / "other.safetensors")
    assert (swapped.device, swapped.dtype, swapped.points) == (segmenter.device, segmenter.dtype, 600)
    assert swapped.file == str(tmp_path / "other.safetensors") and segmenter.file == ""
    assert (segmenter.config.inputs, swapped.config.inputs) == (("color",), ("height",))
    expected = CloudSegmenter(tmp_path / "other.safetensors", "cpu", "bfloat16", points=600)
    for got, wanted in zip(swapped(cloud_of(900)), expected(cloud_of(900)), strict=True):
        np.testing.assert_array_equal(got, wanted)
    foreign = LabelSpace("two", ("cup", "pan"), ((1, 2, 3), (4, 5, 6)), (1, 2))
    with pytest.raises(BadInput, match="label space 'two'"):
        segmenter.with_weights(checkpoint_of(foreign, tmp_path))


def checkpoint_of(labels, folder):
    made = tiny(labels, "cloud")
    checkpoint.save(folder / "foreign.safetensors", made.network, made.config, labels)
    return folder / "foreign.safetensors"


def test_an_empty_image_is_refused(image_segmenter):
    with pytest.raises(BadInput, match="nothing to segment"):
        image_segmenter(Frame(np.zeros((0, 5, 3), np.uint8)))


def test_bfloat16_is_close_to_float32(labels):
    frame = noise(64, 64)
    exact, quick = (ImageSegmenter(tiny(labels, "image"), "cpu", p)(frame)[1] for p in ("float32", "bfloat16"))
    assert np.abs(exact - quick).max() < 0.05


@pytest.mark.parametrize("size", [(480, 640), (1080, 1920)])
def test_labels_of_large_images_are_those_of_score_maps_at_full_size(size):
    """The weights that ship, against the plain way: resized by torch, all score maps at the size of the image."""
    segmenter = ImageSegmenter(device="cpu", precision="float32")
    rgb = patches(*size)
    whole = normalise_images(torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255)
    rows, columns = (round(side * segmenter.config.long_side / max(size)) for side in size)
    small = F.interpolate(whole, (rows, columns), mode="bilinear", align_corners=False, antialias=True)
    with torch.inference_mode():
        maps = segmenter.network(small.contiguous(memory_format=torch.channels_last))[1]
        scores = upsample(maps, size)[0].clone()
        scores[torch.from_numpy(segmenter.present_classes(maps, size)) < 0.5] = -torch.inf
    labels, confidence = segmenter(Frame(rgb))
    assert len(np.unique(labels)) > 2
    assert (labels == scores.argmax(dim=0).numpy()).mean() >= 0.999
    expected = (scores / segmenter.config.temperature).softmax(dim=0).amax(dim=0)
    np.testing.assert_allclose(confidence, expected.numpy(), atol=1e-3)
