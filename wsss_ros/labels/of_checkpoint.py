"""The classes of a checkpoint, from the description in its header, without its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from wsss_ros.files import parse_json
from wsss_ros.labels.space import LabelSpace
from wsss_ros.types import BadInput

SUFFIX = ".safetensors"
FORMAT = "wsss_ros-1"
PREVIOUS_KINDS = {"point": "cloud"}  # name of a kind in older files -> its name now


def labels_of(path: str | Path) -> LabelSpace:
    """The classes of a checkpoint. Raises BadInput for a file that is not a checkpoint of wsss_ros."""
    path = existing(Path(path))
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise unreadable(path, error) from error
    try:
        return LabelSpace.from_dict(description_of(path, metadata)["labels"])
    except (KeyError, TypeError) as error:
        raise incomplete(path, error) from error


def description_of(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """The description of a network in the metadata of its file. Raises BadInput for one of another program."""
    try:
        description = parse_json(metadata["wsss_ros"])
    except (KeyError, ValueError) as error:
        raise BadInput(f"{path}: a safetensors file, but not of wsss_ros; expected one of 'wsss train'") from error
    if not isinstance(description, dict):
        raise incomplete(path, TypeError(type(description).__name__))
    if description.get("format") != FORMAT:
        raise BadInput(f"{path}: format '{description.get('format')}', expected '{FORMAT}'; train or convert it again")
    return description


def unreadable(path: Path, error: Exception) -> BadInput:
    """The error for a file that is not safetensors."""
    return BadInput(f"{path}: not a readable checkpoint ({error}); expected .safetensors of wsss_ros")


def incomplete(path: Path, error: Exception) -> BadInput:
    """The error for a description that lacks something."""
    return BadInput(f"{path}: its description of the network is incomplete ({error!r}); write it again")


def existing(path: Path) -> Path:
    """The path, or the one with the previous or later name of the network kind if only that file exists."""
    if path.exists():
        return path
    names = [*PREVIOUS_KINDS.items(), *((new, old) for old, new in PREVIOUS_KINDS.items())]
    others = [path.with_name(f"{path.stem.removesuffix(a)}{b}{path.suffix}") for a, b in names if path.stem.endswith(a)]
    return next((other for other in others if other.exists()), path)
