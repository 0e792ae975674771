"""Options that were renamed are read under both names."""

import logging

import pytest

from wsss_ros.cli import main, train
from wsss_ros.config import load, share
from wsss_ros.training.config import TrainConfig
from wsss_ros.types import BadInput


@pytest.mark.parametrize("command", ["evaluate", "segment"])
@pytest.mark.parametrize(
    ("option", "parameter"),
    [
        ("--image", "image_weights"),
        ("--image-weights", "image_weights"),
        ("--point", "cloud_weights"),
        ("--cloud-weights", "cloud_weights"),
    ],
)
def test_options_for_weights(command, option, parameter):
    words = ["scenes", "--out", "out", option, "file.safetensors"]
    context = main._import_command(command).make_context(command, words)
    assert context.params[parameter] == "file.safetensors"


def test_only_point_is_only_cloud(caplog):
    settings = load(TrainConfig, share("config/classify_rooms.yaml"))
    with caplog.at_level(logging.WARNING, "wsss_ros"):
        previous = train._only(settings, "point")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "is now called 'cloud'" in caplog.text
    assert previous == train._only(settings, "cloud")
    with pytest.raises(BadInput, match="--only both: expected image or cloud"):
        train._only(settings, "both")
