"""Run folders of a version that called the second network "point". ``older_run`` has one, interrupted and finished."""

import logging
import shutil
from pathlib import Path

import pytest
import torch
from support.striped_scenes import written

from wsss_ros import config
from wsss_ros.networks import checkpoint
from wsss_ros.training.config import TrainConfig
from wsss_ros.training.run import train

OLDER = Path(__file__).parent / "older_run"


@pytest.fixture
def settings(tmp_path, labels, monkeypatch) -> TrainConfig:
    """Those of the run, on its scenes. Its paths are relative, so it runs in a folder of its own."""
    written(tmp_path / "train", labels, range(4))
    written(tmp_path / "val", labels, [100])
    monkeypatch.chdir(tmp_path)
    config.warn_renamed.cache_clear()
    return config.load(TrainConfig, OLDER / "finished" / "config.yaml")


def test_its_configuration_is_read_with_one_warning(settings, caplog):
    assert settings.cloud.network == "pointnet2" and settings.phases[0].networks == ("cloud",)
    config.warn_renamed.cache_clear()
    caplog.set_level(logging.WARNING, "wsss_ros")
    config.load(TrainConfig, OLDER / "finished" / "config.yaml")
    assert caplog.text.count("the key 'point' is now 'cloud'") == 1


def test_both_names_at_once_are_refused(settings):
    values = settings.model_dump(mode="json")
    with pytest.raises(config.BadInput, match="'point' is the previous name of 'cloud'; give one of them"):
        config.build(TrainConfig, {**values, "point": values["cloud"]})


def test_a_finished_run_gives_its_scores_and_exports(settings, tmp_path):
    shutil.copytree(OLDER / "finished", tmp_path / "run")
    export = {"folder": str(tmp_path / "export"), "dtype": "float32"}
    exporting = config.build(TrainConfig, {**settings.model_dump(mode="json"), "export": export})
    assert train(exporting)["cloud"]["count"] == 600
    version = checkpoint.load(OLDER / "finished" / "point.safetensors", "cloud").version
    assert checkpoint.load(tmp_path / "export" / "cloud.safetensors", "cloud").version == version


def test_an_interrupted_run_continues_to_the_weights_it_would_have_reached(settings, tmp_path, caplog):
    caplog.set_level(logging.INFO, "wsss_ros")
    shutil.copytree(OLDER / "unfinished", tmp_path / "run")
    scores = train(settings)
    assert "continuing after 3 steps" in caplog.text
    then, now = (
        checkpoint.load(path).network.state_dict()
        for path in (OLDER / "finished" / "point.safetensors", tmp_path / "run" / "cloud.safetensors")
    )
    for name, value in then.items():  # equal on the machine that made it; another CPU may round otherwise
        torch.testing.assert_close(now[name], value, rtol=1e-2, atol=2e-3)
    assert scores["cloud"]["count"] == 600
