"""Parameters of the nodes: their descriptions, the file that ships, and names that no node has."""

import inspect

import pytest
import yaml
from support.paths import ROOT

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from wsss_ros.bags.playback import Playback  # noqa: E402
from wsss_ros.inference import CloudSegmenter, ImageSegmenter  # noqa: E402
from wsss_ros.nodes import parameters  # noqa: E402
from wsss_ros.nodes.cloud_accumulator import AccumulatorConfig  # noqa: E402
from wsss_ros.nodes.cloud_segmenter import CloudSegmenterConfig  # noqa: E402
from wsss_ros.nodes.evaluator import EvaluatorConfig  # noqa: E402
from wsss_ros.nodes.image_segmenter import ImageSegmenterConfig  # noqa: E402
from wsss_ros.nodes.online_trainer import OnlineTrainerConfig  # noqa: E402
from wsss_ros.nodes.recorder import RecorderConfig  # noqa: E402
from wsss_ros.nodes.replay import ReplayConfig  # noqa: E402
from wsss_ros.nodes.semantic_mapper import MapperConfig  # noqa: E402
from wsss_ros.nodes.tag_page import TagPageConfig  # noqa: E402
from wsss_ros.nodes.viewer import ViewerConfig  # noqa: E402

MODELS = {
    "image_segmenter": ImageSegmenterConfig,
    "cloud_segmenter": CloudSegmenterConfig,
    "cloud_accumulator": AccumulatorConfig,
    "semantic_mapper": MapperConfig,
    "online_trainer": OnlineTrainerConfig,
    "evaluator": EvaluatorConfig,
    "tag_page": TagPageConfig,
    "viewer": ViewerConfig,
    "replay": ReplayConfig,
}


@pytest.mark.parametrize(
    "model, core, others",
    [
        (ImageSegmenterConfig, ImageSegmenter, {}),
        (CloudSegmenterConfig, CloudSegmenter, {}),
        (ReplayConfig, Playback, {"start_paused": "paused"}),
    ],
)
def test_defaults_are_those_of_the_core(model, core, others):
    defaults = {name: parameter.default for name, parameter in inspect.signature(core).parameters.items()}
    shared = {name for name in model.model_fields if others.get(name, name) in defaults} - {"label_space"}
    assert len(shared) >= 3
    for name in shared:
        assert model.model_fields[name].default == defaults[others.get(name, name)], name


@pytest.mark.parametrize("model", [*MODELS.values(), RecorderConfig])
def test_every_parameter_has_a_description(model):
    assert all(field.description for field in model.model_fields.values())


def test_parameter_file_has_the_defaults_of_the_configuration():
    text = (ROOT / "config/segment.yaml").read_text()
    written = yaml.safe_load(text)
    assert text.count("\n/**/") == len(written), "a node has two sections, of which YAML takes the last"
    assert {key.removeprefix("/**/"): value["ros__parameters"] for key, value in written.items()} == {
        name: model().model_dump() for name, model in MODELS.items()
    }


def test_unknown_parameters_are_reported_with_the_nearest():
    (text,) = parameters.unknown(["overlay_alfa", "weights"], ["overlay_alpha", "weights", "device"])
    assert text == "unknown parameter 'overlay_alfa' is ignored; the nearest is 'overlay_alpha'"
