import pytest
import yaml
from pydantic import Field

from wsss_ros import config
from wsss_ros.online.settings import OnlineConfig
from wsss_ros.training.config import TrainConfig
from wsss_ros.types import BadInput


class Inner(config.Config):
    rate: float = Field(1.0, gt=0, description="x")


class Outer(config.Config):
    name: str = "a"
    inner: Inner = Inner()


def test_defaults_and_values():
    built = config.build(Outer, {"inner": {"rate": 2}})
    assert (built.name, built.inner.rate) == ("a", 2.0)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"nmae": "b"}, "unknown key 'nmae'; the nearest is 'name'"),
        ({"inner": {"rat": 1}}, "unknown key 'inner.rat'; the nearest is 'rate'"),
        ({"inner": {"rate": -1}}, "inner.rate: input should be greater than 0, got -1"),
        ({"name": 3, "inner": {"rate": "fast"}}, "name: .*inner.rate: "),
    ],
)
def test_faults_are_named(values, words):
    with pytest.raises(BadInput, match=words):
        config.build(Outer, values)


@pytest.mark.parametrize(
    ("phase", "words"),
    [
        ({"imgae": {}}, "unknown key 'phases.1.joint.imgae'; the nearest is 'image' of balanced_links, .* warmup"),
        ({"image": {"lr": 1, "momentun": 1}}, "'phases.1.joint.image.momentun'; the nearest is 'momentum' of frozen"),
        ({"method": "classify", "warmup_epochs": 1}, "warmup_epochs'; the nearest is .* of batch, cloud, epochs, im"),
        ({"method": "self_training", "cloud": {"lr": 1}}, "phases.1.self_training.image: field required"),
        ({"method": "recognise", "cloud": {"lr": 1}}, "phases.1.recognise.image: field required"),
        (
            {"method": "jiont"},
            "phases.1: input tag 'jiont' .* 'classify', 'joint', .*'self_training', 'shared_labels', 'supervised'",
        ),
    ],
)
def test_faults_in_lists_and_unions_are_named(phase, words):
    classify = {"method": "classify", "epochs": 1, "image": {"lr": 0.1}}
    phases = [classify, {"method": "joint", "epochs": 1, **phase}]
    with pytest.raises(BadInput, match=words):
        config.build(TrainConfig, {"output": "x", "data": {"train": {"folder": "x"}}, "phases": phases})


def test_configuration_is_frozen():
    with pytest.raises(ValueError, match="frozen"):
        Outer().name = "b"


def test_files(tmp_path):
    path = tmp_path / "c.yaml"
    path.write_text("inner: {rate: 3}\n")
    assert config.load(Outer, path).inner.rate == 3
    path.write_text("")
    assert config.load(Outer, path) == Outer()
    path.write_text("- a\n- b\n")
    with pytest.raises(BadInput, match="'key: value' lines, got a list"):
        config.load(Outer, path)
    path.write_text("a: [")
    with pytest.raises(BadInput, match="cannot be read as YAML"):
        config.load(Outer, path)
    with pytest.raises(BadInput, match="cannot be read as YAML"):
        config.load(Outer, tmp_path / "nowhere.yaml")


def _trains(path) -> bool:
    """Whether a file configures one training; experiments name their phases, the online learner's has no output."""
    values = yaml.safe_load(path.read_text())
    return "output" in values and isinstance(values.get("phases"), list)


TRAININGS = list(filter(_trains, sorted(config.share("config").glob("*.yaml"))))


@pytest.mark.parametrize("path", TRAININGS, ids=lambda path: path.name)
def test_the_shipped_training_configurations_are_valid(path):
    settings = config.load(TrainConfig, path)
    sets = [part.rooms for part in (settings.data.train, settings.data.val) if part and part.rooms]
    seeds = [seed for rooms in sets for seed in range(rooms.seed, rooms.seed + rooms.scenes)]
    assert len(seeds) == len(set(seeds))
    for phase in settings.phases:
        assert phase.networks and all(getattr(settings, kind) is not None for kind in phase.networks)


def test_every_field_has_a_description():
    """They become ROS parameter descriptions and help texts."""
    assert all(field.description for field in OnlineConfig.model_fields.values())


def test_what_is_not_installed_is_named():
    with pytest.raises(BadInput, match="'config/nothing.yaml' of wsss_ros is not installed"):
        config.share("config/nothing.yaml")


@pytest.mark.parametrize("data", [b"name: caf\xe9", "name: café".encode("utf-16")])
def test_other_encodings_than_utf_8_are_read(tmp_path, data):
    (tmp_path / "a.yaml").write_bytes(data)
    assert config.load(Outer, tmp_path / "a.yaml").name == "café"


@pytest.mark.parametrize("text", ["[" * 5000, "name: " + "9" * 5000])
def test_yaml_that_python_cannot_hold_is_refused(tmp_path, text):
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(BadInput, match="a.yaml: cannot be read as YAML"):
        config.load(Outer, tmp_path / "a.yaml")
