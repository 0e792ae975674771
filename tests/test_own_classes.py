"""A label file of one's own, of 3 and of 60 classes, through the commands: from tags to weights, labels and maps."""

import json
import logging
import re

import numpy as np
import pytest
import torch
import yaml
from rich.console import Console
from safetensors.numpy import save_file
from support.messages import by_topic
from support.online_scenes import create_weights
from support.striped_scenes import StripedScene, written
from support.training_runs import GENTLE, values_for
from typer.testing import CliRunner

from wsss_ros import config
from wsss_ros.bags.bag_scene import BagScene
from wsss_ros.cli import replay, tag, view
from wsss_ros.cli.main import COMMANDS, _import_command, app
from wsss_ros.cli.options import classes_named
from wsss_ros.evaluation.offline import noted_label_space
from wsss_ros.labels import labels_named, scannet20
from wsss_ros.networks import checkpoint
from wsss_ros.training import network_files
from wsss_ros.training.config import TrainConfig
from wsss_ros.types import KINDS, BadInput

SHOWN = ("pallet", "floor", "fork lift")  # the last classes, so that their labels are the largest; ScanNet has a floor
PHASE = {"method": "joint", "epochs": 1, "batch": 4, "warmup_epochs": 0, "image": GENTLE, "cloud": GENTLE}


def run(*arguments) -> str:
    result = CliRunner().invoke(app, [*map(str, arguments)], env={"COLUMNS": "200"})
    assert result.exit_code == 0, result.output + result.stderr
    return result.output


@pytest.fixture(scope="module", params=[3, 60])
def own(request, tmp_path_factory):
    """A folder with own.yaml, written by the command, scenes of it, and ``start``: networks for ScanNet's classes."""
    root = tmp_path_factory.mktemp(f"own{request.param}")
    names = [*(f"part {n}" for n in range(60)), *SHOWN][-request.param :]
    run("labels", "new", root / "own.yaml", *names)
    labels = labels_named(root / "own.yaml")
    assert labels.names == tuple(names) and len(set(labels.colors)) == request.param
    written(root / "train", labels, range(2), names=SHOWN)
    written(root / "val", labels, [7], names=SHOWN)
    (root / "start").mkdir()
    return root, labels, create_weights(root / "start", scannet20())


def training(root, start, **changes) -> dict:
    values = values_for(root, labels=str(root / "own.yaml"), phases=[PHASE], **changes)
    for kind in KINDS:
        values[kind]["weights"] = start[f"{kind}_weights"]
    return values


@pytest.mark.parametrize("kind", KINDS)
def test_rows_of_shared_classes_are_kept(own, kind, caplog):
    root, labels, start = own
    ours = getattr(config.build(TrainConfig, training(root, start)), kind)
    fresh = network_files.create(kind, ours.model_copy(update={"weights": ""}), labels, 5).state_dict()
    with caplog.at_level(logging.INFO, "wsss_ros"):
        found = network_files.create(kind, ours, labels, 5).state_dict()
    given = checkpoint.load(ours.weights).network.state_dict()
    here, there = labels.index("floor"), scannet20().index("floor")
    for name, value in found.items():
        if name.startswith("head."):
            others = torch.arange(len(labels)) != here
            assert torch.equal(value[here], given[name][there]) and torch.equal(value[others], fresh[name][others])
        else:
            assert torch.equal(value, given[name]), name
    assert "has other classes ('scannet20'): the rows of its head are kept for floor; random rows for" in caplog.text
    assert network_files.earlier_scores(ours.weights, kind, labels) == {}


def test_fused_labels_of_other_classes_are_refused(own, tmp_path):
    labels, inputs = own[1], ("fused_label",)
    options = {"width": 0.125, "centres": (64, 32, 16, 8), "neighbours": (8, 8, 8, 8)}
    given = checkpoint.NetworkConfig("cloud", "pointnet2", options, inputs)
    checkpoint.save(tmp_path / "cloud.safetensors", given.build(scannet20()), given, scannet20())
    ours = network_files.CloudNetworkConfig(options=options, inputs=inputs, weights=str(tmp_path / "cloud.safetensors"))
    with pytest.raises(BadInput, match="its input fused_label has the classes of 'scannet20', expected those of 'own'"):
        network_files.create("cloud", ours, labels, 0)


def test_a_checkpoint_says_which_classes_there_are(own, tmp_path):
    """Nothing says what the truth has: own classes or ScanNet's, whose ids are the same numbers."""
    root, labels, _ = own
    paths = create_weights(tmp_path, labels)
    assert classes_named(paths["image_weights"]) == classes_named("", "", paths["cloud_weights"]) == labels
    assert classes_named(str(root / "own.yaml"), paths["image_weights"]) == labels and classes_named("") == scannet20()
    words = ["evaluate", str(root / "val"), "--only", "2d", "--image-weights", paths["image_weights"]]
    refused = CliRunner().invoke(app, words, env={"COLUMNS": "500"})
    expected = f"has the classes of 'own' .*the truth may have these or others: say which: --labels {tmp_path}"
    assert refused.exit_code == 1 and re.search(expected, refused.stderr), refused.stderr
    with pytest.raises(BadInput, match="not a readable checkpoint"):
        classes_named(str(tmp_path / "none.safetensors"))
    assert labels_named(paths["image_weights"]) == labels  # what nodes, configurations and online rounds call
    save_file({"a": np.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(BadInput, match="a safetensors file, but not of wsss_ros"):
        labels_named(tmp_path / "other.safetensors")
    shown = run("tags", root / "val" / "scene7", "--labels", paths["cloud_weights"])
    assert "4 images with tags, of the classes of 'own'" in shown


def test_the_viewer_labels_with_networks_of_its_classes_only(own, tmp_path, capsys):
    weights = {"image": create_weights(tmp_path, own[1])["image_weights"], "cloud": ""}
    found = view._networks(Console(width=200), own[1], weights, 0.0, "cpu")
    assert found.images.labels == own[1] and found.clouds is None
    assert "the cloud network that ships has other classes than 'own'" in capsys.readouterr().out
    with pytest.raises(BadInput, match="image.safetensors: its classes are not those of 'scannet20'"):
        view._networks(Console(), scannet20(), weights, 0.0, "cpu")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("labels", "bench")])
def test_labels_of_every_command_may_be_a_checkpoint(name):
    of_frames = ("fuse", "select")  # where --labels are label images
    for option in _import_command(name.replace("-", "_")).params:
        if option.name == "label_space" or option.name == "labels" and name not in of_frames:
            assert "checkpoint" in option.help, option.name


def test_commands_that_start_a_node_give_it_the_checkpoint(monkeypatch, tmp_path):
    """Their nodes read it by ``labels_named``."""
    started = []
    for module in (tag, replay):
        monkeypatch.setattr(module, "run", lambda nodes: started.extend(nodes) or 0)
    for words in (["tag"], ["replay", str(tmp_path)]):
        for given, expected in ((["--labels", "own/image.safetensors"], "own/image.safetensors"), ([], "scannet20")):
            run(*words, *given)
            assert started[-1].parameters["label_space"] == expected


@pytest.mark.slow
def test_the_commands(own):
    root, labels, start = own
    (root / "train.yaml").write_text(yaml.safe_dump(training(root, start)))
    run("train", root / "train.yaml")
    networks = {kind: root / "run" / f"{kind}.safetensors" for kind in KINDS}
    for path in networks.values():
        assert checkpoint.load(path).labels == labels
    weights = [word for kind in KINDS for word in (f"--{kind}-weights", networks[kind])]
    space, scene = ("--labels", root / "own.yaml"), root / "val" / "scene7"
    shown = StripedScene(7, labels, SHOWN)

    run(
        "segment", root / "val", "--out", root / "out", *weights, "--device", "cpu", "--pseudo-labels", "--threshold", 0
    )
    run("evaluate", root / "val", *space, "--predictions", root / "out", "--out", root / "scores")
    report = json.loads((root / "scores" / "evaluation.json").read_text())
    assert report["truth"] == "own" and np.shape(report["2d"]["confusion"])[0] == len(labels)
    assert report["3d"]["count"] == np.sum(report["3d"]["confusion"]) == 600
    rows = np.flatnonzero(np.sum(report["3d"]["confusion"], axis=1))
    assert [labels.names[i] for i in rows] == sorted(shown.tags, key=labels.index)
    for kind in KINDS:
        run("calibrate", networks[kind], root / "val", "--out", root / "calibrated", "--write", "--device", "cpu")
    assert checkpoint.load(networks["image"]).labels == labels

    run("bag", scene, root / "scene.mcap", *space)
    assert set(BagScene(root / "scene.mcap", labels).tags) == set(shown.tags)
    assert len(by_topic(root / "scene.mcap")["/ground_truth/semantic/image_raw"]) == 4
    words = ("fuse", root / "scene.mcap", "--labels", "/ground_truth/semantic/image_raw")
    run(*words, "--label-space", root / "own.yaml", "--out", root / "true", "--visibility", "depth")
    words = ("fuse", scene, "--out", root / "fused", *weights[:2], "--device", "cpu", "--min-confidence", 0)
    run(*words, "--visibility", "depth")  # the labels are what matters here, not what hides a point
    for made in ("out", "true", "fused"):
        assert noted_label_space(root / made) == labels
    run("select", root / "val", "--out", root / "select", *weights[:2])
    assert "fork_lift" in run("tags", scene, *space).replace(" ", "_")
    assert f"next: wsss evaluate {root / 'val'} --labels {root / 'own.yaml'}" in run("check", root / "val", *space)
