"""Fused labels as inputs of cloud networks: their channels, and clouds with and without them at inference."""

import dataclasses

import numpy as np
import pytest
import torch

from wsss_ros import networks
from wsss_ros.inference import CloudSegmenter
from wsss_ros.labels import UNLABELLED, LabelSpace
from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import Checkpoint, NetworkConfig
from wsss_ros.networks.classifier import FusedLabels, input_features
from wsss_ros.types import BadInput, Cloud

NARROW = {"voxel_m": 0.2, "encoder": [[4, 4]], "bottleneck": [4, 4], "decoder": [[4, 4]], "head": [4, 8, 20]}
INPUTS = ("fused_label", "fused_confidence")


def segmenter(labels: LabelSpace, points: int = 0, **fields) -> CloudSegmenter:
    """A network whose score of a class is large where the fused label of the voxel is this class."""
    torch.manual_seed(0)
    config = NetworkConfig("cloud", "sparse_unet", {**NARROW, "encoder": [], "decoder": [], "kernel": 1}, INPUTS)
    network = config.build(labels).eval()
    backbone = network.backbone
    backbone.bottleneck = backbone.last = torch.nn.Identity()
    network.head = torch.nn.Linear(21, 20, bias=False)
    torch.nn.init.eye_(network.head.weight)
    given = Checkpoint(network, dataclasses.replace(config, **fields), labels, {}, "fused")
    return CloudSegmenter(given, "cpu", "float32", points)


def cloud(count: int = 600) -> Cloud:
    """Points in voxels of one fused label each; a tenth have none."""
    rng = np.random.default_rng(0)
    xyz = rng.random((count, 3), np.float32) * 3
    label = rng.integers(0, 20, count).astype(np.uint8)
    label[::10] = UNLABELLED
    return Cloud(xyz, None, 0, label, rng.random(count, np.float32))


def test_a_label_is_one_hot_and_a_point_without_one_has_zeros():
    fused = FusedLabels.of(torch.tensor([[1, 255, 0]]), torch.tensor([[0.5, 0.9, 0.25]]), 3)
    found = input_features(torch.zeros(1, 3, 3), None, INPUTS, fused)
    assert found.tolist() == [[[0, 1, 0, 0.5], [0, 0, 0, 0], [1, 0, 0, 0.25]]]
    sure = FusedLabels.of(torch.tensor([[1, 255]], dtype=torch.uint8), None, 2)
    assert input_features(torch.zeros(1, 2, 3), None, ("fused_confidence",), sure).tolist() == [[[1], [0]]]
    rgb = torch.full((1, 3, 3), 0.75)
    both = input_features(torch.zeros(1, 3, 3), rgb, ("fused_label", "color"), fused)
    assert both[0, 0].tolist() == [0.25, 0.25, 0.25, 0, 1, 0]
    assert input_features(torch.zeros(1, 3, 3), rgb, ("color",), fused).shape == (1, 3, 3)  # unasked


def test_the_network_has_a_channel_for_each_class():
    for classes in (5, 20):
        built = networks.build("cloud", "sparse_unet", classes, NARROW, ("color", *INPUTS))
        assert built.backbone.in_features == 3 + classes + 1
    with pytest.raises(BadInput, match="have no fused labels; train it by the method 'fusion'"):
        input_features(torch.zeros(1, 3, 3), None, ("fused_label",))


def test_labels_reach_the_network_in_the_order_of_the_points(labels):
    given = cloud()
    given.xyz[:] = np.arange(600)[:, None] * 0.01  # three points a metre along a diagonal, in one tile
    given.fused_label[:] = (given.xyz[:, 0] - given.xyz[:, 0].mean() >= 0).astype(np.uint8) * 3
    given.xyz[5] = np.nan
    found, sure = segmenter(labels)(given)
    assert found[5] == UNLABELLED and sure[5] == 0
    rest = np.delete(np.arange(600), 5)
    assert (found[rest] == given.fused_label[rest]).all()
    sampled, _ = segmenter(labels, points=300)(given)
    assert (sampled[rest] == given.fused_label[rest]).mean() > 0.97  # others are interpolated at the border


def test_a_cloud_without_fused_labels_is_refused(labels):
    given = cloud()
    with pytest.raises(BadInput, match="no fused labels, and weights fused take them .* and an image network"):
        segmenter(labels)(Cloud(given.xyz))
    plain = CloudSegmenter(_saved(labels, ("height",)), "cpu", "float32")
    assert not plain.takes_fused_labels and len(plain(given)[0]) == 600  # unread


def test_a_checkpoint_says_how_its_labels_are_fused(labels, tmp_path):
    settings = {"max_dt_s": 10.0, "dilation": 2.0}
    saved = _saved(labels, INPUTS, fusion=settings)
    checkpoint.save(tmp_path / "cloud.safetensors", saved.network, saved.config, labels)
    loaded = checkpoint.load(tmp_path / "cloud.safetensors", "cloud", labels)
    assert loaded.config == saved.config and loaded.config.fusion == settings
    assert _saved(labels, ("color",)).config.fusion == {}


def _saved(labels: LabelSpace, inputs: tuple[str, ...], **fields) -> Checkpoint:
    config = NetworkConfig("cloud", "sparse_unet", NARROW, inputs, **fields)
    return Checkpoint(config.build(labels), config, labels, {}, "saved")
