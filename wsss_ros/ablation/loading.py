"""Reads the configuration of an experiment, whichever kind it is."""

from pathlib import Path

import yaml

from wsss_ros.ablation.experiment import ExperimentConfig
from wsss_ros.ablation.methods_settings import MethodsConfig
from wsss_ros.ablation.settings import AblationConfig
from wsss_ros.config import load


def load_experiment(path: str | Path) -> ExperimentConfig:
    """Read an experiment from a YAML file: with ``rows`` a comparison of methods, else the ablation.

    Raises BadInput for a missing or broken file and for invalid values.
    """
    return load(MethodsConfig if "rows" in _keys(Path(path)) else AblationConfig, path)


def _keys(path: Path) -> set[str]:
    """The keys of a YAML file; empty where it cannot be read, which ``load`` reports."""
    try:
        return set(yaml.safe_load(path.read_text()) or ())
    except (OSError, yaml.YAMLError):
        return set()
