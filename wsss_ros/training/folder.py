"""The folder of a training run: its configuration, its saved state and its results. Files are written atomically."""

import logging
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, TextIO

import torch
import yaml

from wsss_ros import config
from wsss_ros.files import lock, read_json, replace, writable_folder, write_json, write_text
from wsss_ros.labels.of_checkpoint import PREVIOUS_KINDS
from wsss_ros.training.config import TrainConfig
from wsss_ros.types import BadInput, few_of

log = logging.getLogger("wsss_ros")
# Options that may change when a run resumes: none of them changes a weight.
_CHANGEABLE = ("output", "export", "save_every_s", "data.workers", "data.cache")


class RunFolder:
    """The folder of one run.

    Its files: ``config.yaml git.json data.json state.pt curves.json log/ *.safetensors scores.json``.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.state_path = self.path / "state.pt"
        self._lock: TextIO | None = None

    def scores(self, settings: TrainConfig) -> dict | None:
        """The scores of the run if it is finished, else None. Raises BadInput when the folder holds another run."""
        if not (self.path / "config.yaml").is_file():
            return None
        stored = _stored_configuration(self.path / "config.yaml", type(settings))
        keys = differing(stored, settings.model_dump(mode="json"))
        kept = ("scores.json", "state.pt", "image.safetensors", "cloud.safetensors", "point.safetensors")
        if keys and any((self.path / name).exists() for name in kept):
            named = few_of(keys, 8)
            raise BadInput(f"{self.path} holds a run of another configuration: {named} differ; choose another output")
        if keys or not (self.path / "scores.json").is_file():
            return None
        return _renamed(read_json(self.path / "scores.json"))

    def claim(self, settings: TrainConfig) -> None:
        """Lock the folder for this process and write the run's configuration into it.

        Raises BadInput when another process has locked the folder.
        """
        writable_folder(self.path)
        try:
            self._lock = lock(self.path / ".lock", shared_by_forks=False)  # workers that load samples do not hold it
        except BlockingIOError as error:
            raise BadInput(f"{self.path}: another process trains into it; wait, or choose another output") from error
        write_text(self.path / "config.yaml", yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False))
        git = git_state()
        if self.state_path.exists() and (self.path / "git.json").is_file():
            if read_json(self.path / "git.json") != git:
                log.warning("%s continues with other code than it started with (git.json)", self.path)
        else:
            self.write_json("git.json", git)

    def release(self) -> None:
        """Unlock the folder."""
        if self._lock is not None:
            self._lock.close()

    def write_json(self, name: str, content: Any) -> None:
        """Write one JSON file of the folder atomically."""
        write_json(self.path / name, content)

    def save_state(self, state: dict) -> None:
        """Write the state of the run atomically. When this raises, the previous state is kept.

        Raises ValueError when a weight is not finite, and TypeError when a method's state holds anything but tensors
        and JSON values: ``load_state`` could not read it.
        """
        _check_plain(state["method"], "state_dict()")
        for kind, tensors in [*state["networks"].items(), *state.get("modules", {}).items()]:
            for name, value in tensors.items():
                if value.is_floating_point() and not torch.isfinite(value).all():
                    raise ValueError(f"{name} of the {kind} network is not finite")
        replace(self.state_path, lambda file: _save(state, file))

    def load_state(self) -> dict | None:
        """The saved state with its tensors on the CPU, or None when no state was saved.

        Raises BadInput when the file cannot be read.
        """
        if not self.state_path.is_file():
            return None
        try:
            return _with_current_names(torch.load(self.state_path, map_location="cpu", weights_only=True))
        except Exception as error:  # torch raises many types of exception
            raise BadInput(f"{self.state_path}: cannot be read ({error}); remove it to start over") from error


def _save(state: dict, file: BinaryIO) -> None:
    """Write a state to a file. Raises OSError when the disk is full, where torch itself raises a RuntimeError."""
    try:
        torch.save(state, file)
    except RuntimeError as error:
        raise error.__context__ if isinstance(error.__context__, OSError) else error from None


def _check_plain(value: Any, where: str) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            _check_plain(key, f"{where}, key {key!r}")
            _check_plain(part, f"{where}[{key!r}]")
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            _check_plain(part, f"{where}[{index}]")
    elif not isinstance(value, torch.Tensor | str | int | float | bool | None):
        raise TypeError(f"{where} of the method is a {type(value).__name__}; expected tensors and JSON values")


def _with_current_names(state: dict) -> dict:
    """A state that an older version may have saved, under the names of this version."""
    state = {"method": {}, "modules": {}, **state}
    if "place" in state:
        state["position"] = state.pop("place")
    return {**state, **{part: _renamed(state[part]) for part in ("networks", "optimisers")}}


def _renamed(by_kind: dict) -> dict:
    """The same values by the current network kinds: older files call the second kind "point"."""
    return {PREVIOUS_KINDS.get(kind, kind): value for kind, value in by_kind.items()}


def _stored_configuration(path: Path, model: type[TrainConfig]) -> Any:
    """The configuration of the run in the folder; options that did not exist then have their defaults."""
    values = yaml.safe_load(path.read_text())
    try:
        return config.build(model, values).model_dump(mode="json")
    except BadInput:  # it has an option that no longer exists, and therefore differs
        return values


def differing(old: Any, new: Any) -> list[str]:
    """The dotted keys in which two configurations differ, without the options that change no weight."""
    old, new = _flat(old), _flat(new)
    keys = [key for key in {**old, **new} if old.get(key, ...) != new.get(key, ...)]
    return [key for key in keys if not any(key == free or key.startswith(f"{free}.") for free in _CHANGEABLE)]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    parts: Iterable[tuple[Any, Any]]
    if isinstance(value, dict) and value:
        parts = value.items()
    elif isinstance(value, list) and any(isinstance(part, dict) for part in value):
        parts = enumerate(value)
    else:
        return {prefix: value}
    return {k: v for name, part in parts for k, v in _flat(part, f"{prefix}.{name}" if prefix else str(name)).items()}


def git_state() -> dict | None:
    """The commit of this package's source and whether the source has changed since; None outside a git repository."""
    here = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True, timeout=30).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", here.name)
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return None
