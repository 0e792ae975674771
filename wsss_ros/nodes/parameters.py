"""ROS parameters from a configuration model and back. Names, defaults, ranges and descriptions come from the model."""

import difflib
from typing import Any, ClassVar, Literal, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import Field
from pydantic.fields import FieldInfo
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.exceptions import InvalidParameterException, InvalidParameterTypeException, InvalidParameterValueException
from rclpy.parameter import Parameter

from wsss_ros.config import Config, Model, build
from wsss_ros.nodes.qos import OVERRIDES
from wsss_ros.types import BadInput

_REFUSED = (InvalidParameterException, InvalidParameterTypeException, InvalidParameterValueException)


class NodeConfig(Config):
    """Parameters that all nodes have.

    Each class names those of its own parameters that are ``live`` (a change takes effect at once) or are read
    ``at_start`` only. All others are read when the node is configured; until the cleanup, a change of them is refused.
    """

    live: ClassVar[tuple[str, ...]] = ("sensor_timeout_s", "inputs_timeout_s")
    at_start: ClassVar[tuple[str, ...]] = ("autostart", "exit_on_failure", "force")

    autostart: bool = Field(
        True, description="Configure and activate at start; false waits for the lifecycle services."
    )
    exit_on_failure: bool = Field(
        True,
        description="End the process with status 1 where configuring or activating at the start fails; false: wait for "
        "the lifecycle services.",
    )
    force: bool = Field(
        False, description="Start also where a node of this name runs in the namespace and domain already."
    )
    sensor_timeout_s: float = Field(
        5.0, ge=0.1, le=600, description="Silence on an input after which diagnostics and the log warn."
    )
    inputs_timeout_s: float = Field(
        0.0,
        ge=0,
        le=86_400,
        description="Seconds after the activation at which a needed input without a single message ends the process "
        "with status 1; 0: wait for it, however long, and report it.",
    )


def declare(node: Any, model: type[Config]) -> dict[str, str]:
    """Declare every field of ``model``. A given value that does not fit is replaced by the default.

    Returns the faults of the given values by parameter name, one sentence each, for ``read``. A later change takes
    effect at once, or it is refused with the reason: it does not fit, or ``node.config`` is in use and the parameter is
    read at configure.
    """
    faults: dict[str, str] = {}
    for name, field in model.model_fields.items():
        descriptor = _descriptor(model, name)
        try:
            node.declare_parameter(name, field.default, descriptor)
        except _REFUSED as error:
            faults[name] = f"parameter '{name}': {error}; expected {_expected(field)}"
            node.declare_parameter(name, field.default, descriptor, ignore_override=True)
    node.add_on_set_parameters_callback(lambda changes: _check(node, model, changes, faults))
    node.add_post_set_parameters_callback(lambda changes: _apply(node, model, changes))
    return faults


def read(node: Any, model: type[Model], faults: dict[str, str] | None = None) -> Model:
    """Return the parameters as one validated configuration. Raises BadInput that lists every fault."""
    if faults:
        raise BadInput("; ".join(faults.values()))
    return build(model, {name: node.get_parameter(name).value for name in model.model_fields}, "parameters")


def unknown(given: list[str], known: list[str]) -> list[str]:
    """Return one sentence for each given parameter that the node does not have, with the nearest that it has."""
    texts = []
    for name in given:
        if name not in known and not name.startswith(OVERRIDES):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            texts.append(f"unknown parameter '{name}' is ignored; the nearest is '{near[0] if near else '-'}'")
    return texts


def unused_overrides(given: list[str], known: list[str]) -> list[str]:
    """Return one sentence for each given ``qos_overrides.*`` that names no topic or policy of the node.

    A node may subscribe later, such as to compressed images once they are published; the override then applies.
    """
    possible = [name for name in known if name.startswith(OVERRIDES)]
    texts = []
    for name in given:
        if name.startswith(OVERRIDES) and name not in possible:
            near = next(iter(difflib.get_close_matches(name, possible, 1, 0.0)), "-")
            texts.append(f"'{name}' has no effect so far: the node has no such topic now; the nearest is '{near}'")
    return texts


def named(model: type[Config], what: Literal["live", "at_start"]) -> set[str]:
    """The parameters that ``model`` and its base classes name in ``live`` or ``at_start``."""
    return {name for each in model.__mro__ for name in vars(each).get(what, ())}


def _check(node: Any, model: type[Config], changes: list[Parameter], faults: dict[str, str]) -> SetParametersResult:
    current = {name: node.get_parameter(name).value for name in model.model_fields}
    ours = {change.name: change.value for change in changes if change.name in current}
    if not ours:
        return SetParametersResult(successful=True)
    try:
        build(model, current | ours, "parameters")
    except BadInput as error:
        return SetParametersResult(successful=False, reason=str(error))
    fixed = [name for name, value in ours.items() if name not in named(model, "live") and value != current[name]]
    if node.config is not None and fixed:
        reason = (
            f"'{fixed[0]}' is read when the node is configured, and it is configured: deactivate and clean it up "
            "(ros2 lifecycle set), set the parameter, then configure and activate it"
        )
        return SetParametersResult(successful=False, reason=reason)
    for name in ours:
        faults.pop(name, None)
    return SetParametersResult(successful=True)


def _apply(node: Any, model: type[Config], changes: list[Parameter]) -> None:
    if node.config is not None and any(change.name in model.model_fields for change in changes):
        node.config = read(node, model)


def _descriptor(model: type[Config], name: str) -> ParameterDescriptor:
    field = model.model_fields[name]
    low, high = _bounds(field)
    read_only = name in named(model, "at_start")
    when = "Takes effect at once." if name in named(model, "live") else "Read at configure."
    descriptor = ParameterDescriptor(description=f"{field.description} {'Read at start.' if read_only else when}")
    descriptor.read_only = read_only
    descriptor.additional_constraints = _expected(field)
    # "rate:=2" and "rotate:=90" are integers for ROS; the model turns them into a float and a choice.
    descriptor.dynamic_typing = field.annotation is float or get_origin(field.annotation) is Literal
    if field.annotation is float:
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


def _expected(field: FieldInfo) -> str:
    if get_origin(field.annotation) is Literal:
        return "one of " + ", ".join(map(str, get_args(field.annotation)))
    low, high = _bounds(field)
    kind = getattr(field.annotation, "__name__", str(field.annotation))
    return kind if low is None and high is None else f"{kind} from {low} to {high}"
