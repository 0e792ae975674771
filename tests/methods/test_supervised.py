"""Supervised training of the cloud network alone: clouds with labels, no images."""

import numpy as np
import torch
import torch.nn.functional as F
from support.painted_scene import PaintedScene

from wsss_ros import networks
from wsss_ros.labels import scannet20
from wsss_ros.methods import METHODS
from wsss_ros.methods.method import PhaseData
from wsss_ros.methods.supervised import SupervisedPhase
from wsss_ros.networks.classifier import input_features
from wsss_ros.samples.augment import CloudAugment, ImageAugment
from wsss_ros.samples.mixture import Source
from wsss_ros.samples.prepared import prepare
from wsss_ros.samples.samples import LabelledCloudBatch

INPUTS = ("color", "height", "has_color")


def phase(**kinds) -> SupervisedPhase:
    return SupervisedPhase(method="supervised", epochs=1, batch=2, **kinds)


def test_a_phase_of_the_cloud_network_alone_needs_no_other(tmp_path):
    """Its loss is the cross entropy of all points, with the colours of a dropped cloud as unknown."""
    scenes = prepare([PaintedScene()], scannet20(), tmp_path, 0, 96, truth=True).scenes
    cloud = CloudAugment(points=300, drop_color=0.5)
    data = PhaseData([Source(scenes)], scannet20(), ImageAugment(), cloud, INPUTS, 0.05)
    method = METHODS["supervised"](phase(cloud={"lr": 0.01}), data)
    network = networks.build("cloud", "pointnet2", 20, {"width": 0.25}, INPUTS).eval()
    method.start({"cloud": network}, 0)
    drawn = [method.samples.sample(0, np.random.default_rng(seed)) for seed in range(12)]
    colored, grey = (next(s for s in drawn if ("rgb" in s) == has) for has in (True, False))
    batch = method.samples.collate([colored, grey])
    assert isinstance(batch, LabelledCloudBatch) and not hasattr(batch, "images")
    losses = method.losses(batch)
    scores = network(batch.xyz, input_features(batch.xyz, batch.rgb, INPUTS))[1]
    expected = F.cross_entropy(scores.flatten(0, 1), batch.cloud_truth.flatten())
    assert losses.keys() == {"supervised_3d"}
    torch.testing.assert_close(losses["supervised_3d"], expected)


def test_both_networks_take_part_unless_the_cloud_network_learns_alone():
    adam = {"lr": 0.01}
    assert phase(cloud=adam).networks == ("cloud",)
    assert phase(image=adam).networks == phase(image=adam, cloud=adam).networks == ("image", "cloud")
