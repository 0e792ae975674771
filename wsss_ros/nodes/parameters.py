"""ROS parameters from a configuration model, and back: names, defaults, ranges and descriptions come from the model."""

import difflib
from typing import Any, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic.fields import FieldInfo
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterException, InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.parameter import Parameter

from wsss_ros.config import Config, build
from wsss_ros.types import BadInput

_REFUSED = (InvalidParameterException, InvalidParameterTypeException, InvalidParameterValueException)


def declare(node: Node, model: type[Config]) -> dict[str, str]:
    """Declare every field of ``model``. A given value that does not fit is replaced by the default.

    Returns the faults of the given values by parameter name, one sentence each; ``read`` takes them.
    Later changes are checked when they are set and are answered with the reason if they do not fit.
    """
    faults: dict[str, str] = {}
    for name, field in model.model_fields.items():
        try:
            node.declare_parameter(name, field.default, _descriptor(field))
        except _REFUSED as error:
            faults[name] = f"parameter '{name}': {error}; wanted {_wanted(field)}"
            node.declare_parameter(name, field.default, _descriptor(field), ignore_override=True)
    node.add_on_set_parameters_callback(lambda changes: _judge(model, changes, faults))
    return faults


def read(node: Node, model: type[Config], faults: dict[str, str] | None = None) -> Config:
    """The parameters as one validated configuration. Raises BadInput that lists every fault."""
    if faults:
        raise BadInput("; ".join(faults.values()))
    return build(model, {name: node.get_parameter(name).value for name in model.model_fields}, "parameters")


def unknown(given: list[str], known: list[str]) -> list[str]:
    """One sentence for each given parameter that this node does not have, with the nearest that it has."""
    told = []
    for name in given:
        if name not in known and not name.startswith("qos_overrides."):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            told.append(f"unknown parameter '{name}' is ignored; the nearest is '{near[0] if near else '-'}'")
    return told


def _judge(model: type[Config], changes: list[Parameter], faults: dict[str, str]) -> SetParametersResult:
    ours = {change.name: change.value for change in changes if change.name in model.model_fields}
    try:
        build(model, ours, "parameters")
    except BadInput as error:
        return SetParametersResult(successful=False, reason=str(error))
    for name in ours:
        faults.pop(name, None)
    return SetParametersResult(successful=True)


def _descriptor(field: FieldInfo) -> ParameterDescriptor:
    low, high = _bounds(field)
    descriptor = ParameterDescriptor(description=f"{field.description} Read at configure.")
    descriptor.additional_constraints = _wanted(field)
    if field.annotation is float:
        # "rate:=2" is an integer to ROS; the model makes a float of it.
        descriptor.dynamic_typing = True
        if low is not None and high is not None:
            descriptor.floating_point_range = [FloatingPointRange(from_value=float(low), to_value=float(high))]
    elif field.annotation is int and low is not None and high is not None:
        descriptor.integer_range = [IntegerRange(from_value=int(low), to_value=int(high), step=1)]
    return descriptor


def _bounds(field: FieldInfo) -> tuple[Any, Any]:
    low = high = None
    for rule in field.metadata:
        low = rule.ge if isinstance(rule, Ge) else rule.gt if isinstance(rule, Gt) else low
        high = rule.le if isinstance(rule, Le) else rule.lt if isinstance(rule, Lt) else high
    return low, high


def _wanted(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return "one of " + ", ".join(map(str, get_args(field.annotation)))
    low, high = _bounds(field)
    kind = getattr(field.annotation, "__name__", str(field.annotation))
    return kind if low is None and high is None else f"{kind} from {low} to {high}"
