import pytest
from pydantic import Field

from wsss_ros import config
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


def test_the_shipped_training_configuration_is_valid():
    settings = config.load(config.ClassifyConfig, config.share("config/classify_rooms.yaml"))
    train, val = settings.data.train.rooms, settings.data.val.rooms
    assert not set(range(train.seed, train.seed + train.scenes)) & set(range(val.seed, val.seed + val.scenes))


def test_every_field_has_a_description():
    """They become ROS parameter descriptions and help texts."""
    nodes = (config.ImageSegmenterConfig, config.CloudSegmenterConfig, config.AccumulatorConfig, config.ReplayConfig)
    for model in nodes:
        assert all(field.description for field in model.model_fields.values()), model


def test_what_is_not_installed_is_named():
    with pytest.raises(BadInput, match="'config/nothing.yaml' of wsss_ros is not installed"):
        config.share("config/nothing.yaml")
