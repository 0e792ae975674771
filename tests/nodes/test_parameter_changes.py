"""Changes of parameters while a node runs: each takes effect at once, or is refused with the reason."""

import ast
import importlib
import inspect
from typing import Literal, get_args, get_origin

import pytest

rclpy = pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.parameter import Parameter  # noqa: E402
from support.paths import ROOT  # noqa: E402

from wsss_ros.config import build  # noqa: E402
from wsss_ros.nodes import parameters  # noqa: E402
from wsss_ros.nodes.node import Node  # noqa: E402
from wsss_ros.types import BadInput  # noqa: E402

SETUP = ast.parse((ROOT / "setup.py").read_text())
NODES = next(ast.literal_eval(part.value) for part in SETUP.body if ast.unparse(part).startswith("NODES ="))
NAMES = (*NODES, "doctor")


@pytest.fixture(scope="module")
def context(shared_ros_environment):
    made = rclpy.Context()
    rclpy.init(context=made, domain_id=int(shared_ros_environment["ROS_DOMAIN_ID"]))
    yield made
    rclpy.shutdown(context=made)


@pytest.fixture(params=NAMES)
def node(request, context):
    """A node with a configuration, as between configure and cleanup."""
    module = importlib.import_module(f"wsss_ros.nodes.{request.param}")
    (kind,) = (
        each
        for _, each in inspect.getmembers(module, inspect.isclass)
        if issubclass(each, Node) and each.__module__ == module.__name__
    )
    made = kind(context=context)
    made.config = parameters.read(made, kind.model)
    yield made
    made.destroy_node()


def another_value(node: Node, name: str):
    """A valid value that is not the present one."""
    field, present = node.model.model_fields[name], node.get_parameter(name).value
    if get_origin(field.annotation) is Literal:
        candidates = list(get_args(field.annotation))
    elif isinstance(present, bool):
        candidates = [not present]
    elif isinstance(present, str):
        candidates = [f"{present}x", "0,1,0", "90"]
    else:
        low, high = parameters._bounds(field)
        candidates = [present + 1, present - 1, present / 2, low, high]
        candidates = [field.annotation(value) for value in candidates if value is not None]
    for value in candidates:
        values = {each: node.get_parameter(each).value for each in node.model.model_fields} | {name: value}
        try:
            build(node.model, values)
        except BadInput:
            continue
        if value != present:
            return value
    raise AssertionError(f"no other value for {name}")


def set_it(node: Node, name: str, value):
    return node.set_parameters([Parameter(name, value=value)])[0]


def test_each_parameter_takes_effect_at_once_or_is_refused_with_the_reason(node):
    live, at_start = (parameters.named(node.model, what) for what in ("live", "at_start"))
    assert "sensor_timeout_s" in live and "autostart" in at_start and live | at_start <= set(node.model.model_fields)
    for name in node.model.model_fields:
        before, value = node.get_parameter(name).value, another_value(node, name)
        result = set_it(node, name, value)
        assert result.successful is (name in live), (name, result.reason)
        assert node.describe_parameter(name).read_only is (name in at_start), name
        assert node.get_parameter(name).value == getattr(node.config, name) == (value if name in live else before), name
        if name in at_start:
            assert "read-only" in result.reason
        elif name not in live:
            assert f"'{name}' is read when the node is configured" in result.reason and "deactivate" in result.reason
            assert set_it(node, name, before).successful, "a parameter file with the present values is accepted"


def test_before_configure_each_is_accepted_and_then_read(node):
    node.config = None
    out = parameters.named(node.model, "at_start") | {"frame_id"}  # the previous name of fixed_frame wins over it
    given = {name: another_value(node, name) for name in node.model.model_fields if name not in out}
    for name, value in given.items():
        assert set_it(node, name, value).successful, name
    read = parameters.read(node, node.model)
    assert {name: getattr(read, name) for name in given} == given


def test_parameters_that_take_effect_at_once_are_read_where_they_are_used(node):
    sources = [inspect.getsource(each) for each in type(node).__mro__ if each.__module__.startswith("wsss_ros.nodes")]
    for name in parameters.named(node.model, "live"):
        assert any(f"self.config.{name}" in source for source in sources), name


def test_a_change_that_does_not_fit_is_refused(node):
    assert "sensor_timeout_s" in set_it(node, "sensor_timeout_s", -1.0).reason
    assert node.get_parameter("sensor_timeout_s").value == node.config.sensor_timeout_s == 5.0
