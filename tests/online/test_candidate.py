"""The candidate of a round: part of the way from the old weights to the trained ones."""

from dataclasses import replace

import torch

from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import NetworkConfig
from wsss_ros.online.records import RUN, candidate_files
from wsss_ros.online.round import unchanged_networks
from wsss_ros.online.round_training import write_candidate
from wsss_ros.online.versions import Version

CONFIGS = {
    "image": NetworkConfig("image", "resnet", {"width": 0.125}),
    "cloud": NetworkConfig("cloud", "pointnet2", {"width": 0.125}, ("color",)),
}


def saved(folder, labels, seed: int) -> dict[str, dict[str, torch.Tensor]]:
    """A network of each kind, its statistics not those of a fresh one; returns their weights."""
    weights = {}
    for kind, config in CONFIGS.items():
        torch.manual_seed(seed)
        network = config.build(labels)
        for name, value in network.state_dict().items():
            if "running" in name:
                value.uniform_(0.5, 1.5)
        if kind == "image":
            config = replace(config, presence_floor=0.2, tag_log_odds=(float(seed),) * len(labels))
        checkpoint.save(folder / f"{kind}.safetensors", network, config, labels, {"seed": seed})
        weights[kind] = network.state_dict()
    return weights


def test_the_candidate_is_a_share_of_the_way(tmp_path, labels):
    before, trained = saved(tmp_path / "old", labels, 0), saved(tmp_path / RUN, labels, 1)
    checkpoint.set_calibration(tmp_path / "old" / "image.safetensors", 2.5, 0.3)
    old = Version("0000", *(tmp_path / "old" / f"{kind}.safetensors" for kind in CONFIGS), {})
    write_candidate(tmp_path, old, 0.25)
    for kind, file in zip(CONFIGS, candidate_files(tmp_path), strict=True):
        made = checkpoint.load(file, kind, labels)
        assert made.training == {"seed": 1, "new_share": 0.25}
        kept = (made.config.temperature, made.config.min_confidence)
        assert kept == ((2.5, 0.3) if kind == "image" else (1.0, 0.0)), "the calibration is that of the start"
        assert set(made.config.tag_log_odds) <= {0.0}, "the log-odds come from the few scenes of the round"
        for name, value in made.network.state_dict().items():
            if value.is_floating_point():
                torch.testing.assert_close(value, 0.75 * before[kind][name] + 0.25 * trained[kind][name])
    checkpoint.set_calibration(tmp_path / RUN / "image.safetensors", 2.5, 0.3)
    write_candidate(tmp_path, old, 1.0)
    versions = [checkpoint.load(file).version for file in candidate_files(tmp_path)]
    assert versions == [checkpoint.load(tmp_path / RUN / f"{kind}.safetensors").version for kind in CONFIGS]


def test_networks_with_the_same_weights_are_unchanged_whatever_else_their_files_say(tmp_path, labels):
    for name, seed in (("old", 0), ("same", 0), ("other", 1)):
        saved(tmp_path / name, labels, seed)
    checkpoint.set_calibration(tmp_path / "same" / "image.safetensors", 2.5, 0.3)

    def pair(image: str, cloud: str):
        return tmp_path / image / "image.safetensors", tmp_path / cloud / "cloud.safetensors"

    assert unchanged_networks(pair("old", "old"), pair("same", "same")) == ["image", "cloud"]
    assert unchanged_networks(pair("old", "old"), pair("other", "same")) == ["cloud"]
    assert unchanged_networks(pair("old", "old"), pair("same", "other")) == ["image"]
