"""Typed, strict configuration: an unknown key is an error, whose message names the nearest known key.

A configuration class is in the module that uses it. It is the only place for defaults, ranges and descriptions: YAML
files, ROS parameters and command-line help are derived from it.
"""

import difflib
import functools
import logging
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError, model_validator

from wsss_ros.files import decode, parse_yaml
from wsss_ros.types import BadInput

Model = TypeVar("Model", bound="Config")
log = logging.getLogger("wsss_ros")
_ROS_NAME = re.compile(r"(?:~?/)?[A-Za-z_]\w*(?:/[A-Za-z_]\w*)*", re.ASCII)


def _ros_name(value: str) -> str:
    """The name without a slash at its end. ROS refuses others as its nodes start, and does not say which argument."""
    name = value.rstrip("/")
    if name and "{" not in name and not _ROS_NAME.fullmatch(name):
        raise ValueError("not a name: letters, digits and _ with / between the parts, none begins with a digit")
    return name


RosName = Annotated[str, AfterValidator(_ros_name)]  # of a topic or a namespace; it may be empty


class Config(BaseModel):
    """The base class of all configurations: frozen, and unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    renamed: ClassVar[dict[str, str]] = {}  # previous name of a key -> its current name

    @model_validator(mode="before")
    @classmethod
    def _read_previous_names(cls, values: Any) -> Any:
        """Accept previous names of keys, with one warning for each name."""
        if not isinstance(values, dict) or not cls.renamed.keys() & values.keys():
            return values
        for old in cls.renamed.keys() & values.keys():
            if cls.renamed[old] in values:
                raise ValueError(f"'{old}' is the previous name of '{cls.renamed[old]}'; give one of them")
            warn_renamed(old, cls.renamed[old])
        return {cls.renamed.get(key, key): value for key, value in values.items()}


@functools.cache
def warn_renamed(old: str, new: str) -> None:
    """Log a warning that a key has a new name, once for each key."""
    log.warning("the key '%s' is now '%s'; the previous name is still read", old, new)


def build(model: type[Model], values: dict, source: str = "configuration") -> Model:
    """Build a configuration from ``values``. Raises BadInput that names the ``source`` and every fault."""
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = "; ".join(_explain(fault, model) for fault in error.errors())
        raise BadInput(f"{source}: {faults}") from error


def load(model: type[Model], path: str | Path) -> Model:
    """Read a configuration from a YAML file. Raises BadInput for a missing or broken file and for invalid values."""
    path = Path(path)
    try:
        values = parse_yaml(decode(path.read_bytes())) or {}
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: cannot be read as YAML: {error}") from error
    if not isinstance(values, dict):
        raise BadInput(f"{path}: expected 'key: value' lines, got a {type(values).__name__}")
    return build(model, values, str(path))


def _explain(fault: Mapping[str, Any], model: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in fault["loc"])
    if fault["type"] == "extra_forbidden":
        known = sorted(_known_keys(model, fault["loc"][:-1]))
        near = difflib.get_close_matches(str(fault["loc"][-1]), known, n=1, cutoff=0.0)
        hint = f"; the nearest is '{near[0]}' of {', '.join(known)}" if near else ""
        return f"unknown key '{where}'{hint}"
    return f"{where}: {fault['msg'].lower()}, got {fault['input']!r}"


def _known_keys(model: type[BaseModel], path: tuple) -> set[str]:
    """The keys of the model at ``path``; if several models are possible there, the keys of all of them."""
    models = [model]
    for part in path:
        fields = [each.model_fields[part] for each in models if part in each.model_fields]
        if fields:
            models = [found for field in fields for found in _models(field.annotation)]
        elif isinstance(part, str):  # not a field but the tag of one of several models; a number is an index in a list
            models = [each for each in models if _has_tag(each, part)]
    return {key for each in models for key in each.model_fields}


def _has_tag(model: type[BaseModel], tag: str) -> bool:
    return any(tag in get_args(field.annotation) for field in model.model_fields.values())


def _models(annotation) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models(part)]


def share(name: str) -> Path:
    """The path of a file of ``config/`` or ``launch/``, in the source tree or where setup.py installed it.

    Raises BadInput when the file is not installed.
    """
    package = Path(__file__).resolve().parent
    roots = [
        package.parent,
        *(up / "share" / "wsss_ros" for up in package.parents),
        Path(sys.prefix) / "share/wsss_ros",
    ]
    for root in roots:
        if (root / name).exists():
            return root / name
    raise BadInput(f"'{name}' of wsss_ros is not installed; looked below {', '.join(map(str, roots))}")
