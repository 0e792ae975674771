"""Parameters of the nodes in the online demo, and the recipe of its rounds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from wsss_ros.bench.online_plan import Plan
from wsss_ros.config import share
from wsss_ros.files import write_text

_BASE_HELD_OUT = 4  # of the base rooms


def write(out: Path, seed: int, plan: Plan, base: Sequence[Path], has_truth: bool) -> Path:
    """Write ``recipe.yaml`` and ``parameters.yaml`` into ``out``; returns the latter, for all nodes.

    ``base`` are rooms that rounds may mix in. Without truth refused candidates are kept, for pictures.
    """
    out = out.absolute()
    recipe = _write_recipe(out, base)
    trainer = {
        "folder": str(out / "online"),
        "recipe": str(recipe),
        "round_scenes": plan.rooms - 1,
        "steps": plan.steps,
        "keep_refused": not has_truth,
        "keep_versions": max(2, plan.rounds + 1),  # the report and the pictures read all of them
        "base": 3.0,
        "end_silence_s": plan.silence_s,
        "seed": seed,
        "round_device": "cpu",
    }
    if not has_truth:
        trainer |= {"min_shift_m": 0.1, "min_turn_deg": 6.0}  # a hand-held camera moves little
    nodes = {
        "online_trainer": trainer,
        "evaluator": {"output": str(out / "evaluation"), "write_period_s": plan.write_period_s},
        "image_segmenter": {"device": "cpu", "threads": 1},
        "cloud_segmenter": {"device": "cpu", "threads": 1},
    }
    parameters = {f"/**/{name}": {"ros__parameters": values} for name, values in nodes.items()}
    return _write_yaml(out / "parameters.yaml", parameters)


def _write_recipe(out: Path, base: Sequence[Path]) -> Path:
    """The shipped recipe with these base rooms, the last ones held out."""
    recipe = yaml.safe_load(share("config/online.yaml").read_text())
    names = [room.name for room in base]
    parts = {"base": names[:-_BASE_HELD_OUT], "base_held_out": names[-_BASE_HELD_OUT:]}
    for part, chosen in parts.items():
        listed = out / f"{part}.txt"
        write_text(listed, "\n".join(chosen) + "\n")
        recipe[part] = {"folder": str(base[0].parent.absolute()), "scenes": str(listed)}
    return _write_yaml(out / "recipe.yaml", recipe, sort_keys=False)


def _write_yaml(path: Path, content: Any, **options: Any) -> Path:
    write_text(path, yaml.safe_dump(content, **options))
    return path
