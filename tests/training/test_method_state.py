"""What a method keeps between steps is saved with the run: killed anywhere, it ends with the same weights."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from support.paths import ROOT
from support.striped_scenes import written

from wsss_ros.networks import checkpoint
from wsss_ros.training.folder import RunFolder

SCRIPT = ROOT / "tests" / "support" / "ema_method.py"
PHASE = {"method": "ema", "epochs": 5, "batch": 4, "image": {"name": "adam", "lr": 0.01}}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory, labels) -> Path:
    folder = tmp_path_factory.mktemp("scenes")
    written(folder, labels, range(3))
    return folder


def configured(folder: Path, scenes: Path, devices: int) -> Path:
    """The configuration file of a run into ``folder``."""
    augment = {"long_side": [32, 40], "crop": 32}
    values = {
        "output": str(folder / "run"),
        "device": "cpu",
        "devices": devices,
        "save_every_s": 0,
        "data": {"train": {"folder": str(scenes)}, "frames_per_scene": 0, "cache": str(folder.parent / "cache")},
        "image": {"options": {"width": 0.125}, "long_side": 0, "augment": augment},
        "phases": [PHASE],
    }
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder / "config.yaml"


def trained(path: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """One call of the script, with the threads of a machine of one core."""
    own = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1", **environment}
    command = [sys.executable, str(SCRIPT), str(path), *arguments]
    return subprocess.run(command, cwd=ROOT, env=own, capture_output=True, text=True)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(folder / "run" / "image.safetensors").network.state_dict()


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.timeout(900)
@pytest.mark.parametrize("devices, kills", [(1, ("5", "7")), (2, ("8",))])
def test_killed_in_the_middle_of_a_phase_it_ends_with_the_same_weights(scenes, tmp_path, devices, kills):
    """Twelve images make three steps an epoch; labels are refreshed at epochs 0, 2 and 4."""
    whole = configured(tmp_path / "whole", scenes, devices)
    done = trained(whole)
    assert done.returncode == 0, done.stderr
    for kill_after in kills:  # the states are of the middle of an epoch, and of the end of one before new labels
        killed = configured(tmp_path / f"killed{kill_after}", scenes, devices)
        assert trained(killed, kill_after).returncode == -9
        state = RunFolder(killed.parent / "run").load_state()
        assert state["position"]["total"] == int(kill_after) - 1 and set(state["method"]) >= {"teacher", "labels"}
        done = trained(killed)
        assert done.returncode == 0 and "continuing after" in done.stderr, done.stderr
        assert same(weights(whole.parent), weights(killed.parent))


@pytest.mark.timeout(600)
def test_without_its_state_the_weights_would_differ(scenes, tmp_path):
    whole, killed = (configured(tmp_path / name, scenes, 1) for name in ("whole", "killed"))
    assert trained(whole).returncode == 0
    assert trained(killed, "5").returncode == -9
    assert trained(killed, FORGETFUL="1").returncode == 0
    assert not same(weights(whole.parent), weights(killed.parent))


def test_a_state_that_could_not_be_read_back_is_refused(tmp_path):
    state = {"networks": {}, "method": {"counts": [torch.zeros(2), {"seen": {1, 2}}]}}
    with pytest.raises(TypeError, match=r"state_dict\(\)\['counts'\]\[1\]\['seen'\] of the method is a set; expected"):
        RunFolder(tmp_path).save_state(state)


def test_a_state_of_an_older_version_is_read_under_the_names_of_today(tmp_path):
    old = {"place": {"phase": 1}, "networks": {"image": {}, "point": {}}, "optimisers": {"point": {}}, "scaler": {}}
    torch.save(old, tmp_path / "state.pt")
    state = RunFolder(tmp_path).load_state()
    assert (set(state["networks"]), set(state["optimisers"])) == ({"image", "cloud"}, {"cloud"})
    assert state["position"] == {"phase": 1} and state["method"] == {} and "place" not in state
