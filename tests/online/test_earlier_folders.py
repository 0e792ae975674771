"""Folders of the online learner written before the second network kind was called cloud are still used as they are."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from support.earlier_files import write_earlier_checkpoint, write_earlier_version
from support.online_rounds import act
from support.online_scenes import put, settings
from support.waiting import until

from wsss_ros.networks import checkpoint
from wsss_ros.online import round, versions
from wsss_ros.online.learner import Learner
from wsss_ros.online.progress import LearnerLink, RoundProgress
from wsss_ros.online.records import RUN, candidate_files, delete_training
from wsss_ros.online.round_training import write_candidate
from wsss_ros.online.versions import Versions
from wsss_ros.types import BadInput


@pytest.fixture
def config(tmp_path, labels):
    """Settings of a learner whose folder has version 0000 and three scenes, as the package wrote them before."""
    made = settings(tmp_path, labels, round_scenes=2, steps=3)
    weights = Path(made.folder) / "weights"
    write_earlier_version(weights, "0000", Path(made.image_weights), Path(made.cloud_weights), round=0, begun_with=[])
    (weights / "current.json").write_text('{"version": "0000", "history": ["0000"], "settled": 0}')
    for number in (1, 2, 3):
        put(made.folder, labels, seed=number, number=number, held_out=number == 3)
    return made


def test_a_version_with_the_previous_name_is_used_and_rolled_back_to(config, labels):
    weights, files = Path(config.folder) / "weights", (Path(config.image_weights), Path(config.cloud_weights))
    before = {path.name: path.read_bytes() for path in (weights / "0000").iterdir()}
    store = Versions(weights, 10, *files)
    assert store.current().cloud == weights / "0000/point.safetensors"
    assert checkpoint.load(store.current().cloud, "cloud", labels).config.kind == "cloud"
    versions.make(weights, "0001", store.current().image, store.current().cloud, {"round": 1})
    store.use("0001", 1)
    assert store.current().cloud == weights / "0001/cloud.safetensors"
    assert Versions(weights, 10, *files).rollback() == "0000"
    assert Versions(weights, 10, *files).current().cloud.name == "point.safetensors"
    assert {path.name: path.read_bytes() for path in (weights / "0000").iterdir()} == before, "nothing in it changed"


def test_a_damaged_file_of_the_previous_name_is_noticed(config):
    weights = Path(config.folder) / "weights"
    (weights / "0000/point.safetensors").chmod(0o644)
    (weights / "0000/point.safetensors").write_text("something else")
    with pytest.raises(BadInput, match="0000: point.safetensors changed since it was written"):
        versions.at(weights, "0000")


@pytest.mark.slow
def test_a_round_starts_from_it_and_promotes_a_version_of_the_present_name(config, labels):
    """A real round, planned in the folder and performed in this process."""
    learning = Learner(config)
    learning._plan()
    learning.close()
    folder = learning.folder / "rounds/0001"
    config = config.model_copy(update={"tolerance": 1.0, "significance": 0.0})
    decision = round.decide(config, folder, LearnerLink(RoundProgress()))
    assert decision.judged and decision.promoted, decision.why
    made = versions.at(learning.folder / "weights", "0001")
    assert made.cloud.name == "cloud.safetensors" and checkpoint.load(made.cloud, "cloud", labels)


@pytest.mark.usefixtures("acted_rounds")
def test_an_unfinished_round_goes_on(config):
    first = Learner(config)
    assert first.due() and first.start_round() == 1
    first.close()
    again = Learner(config)
    act(again, "promote")
    assert again.start_round() == 1
    decision = until(again.poll)
    assert decision.version == again.versions.current().name == "0001"
    assert again.rollback().startswith("Weights are back from version 0001 to 0000")
    again.close()
    state = json.loads((again.folder / "weights/current.json").read_text())
    assert state == {"version": "0000", "history": ["0000"], "settled": 1}


def test_a_training_that_was_finished_under_the_previous_name_gives_the_candidate(config, tmp_path, labels):
    """The round was killed after its training and before its candidate."""
    old = versions.at(Path(config.folder) / "weights", "0000")
    (tmp_path / RUN).mkdir()
    shutil.copy(config.image_weights, tmp_path / RUN / "image.safetensors")
    write_earlier_checkpoint(Path(config.cloud_weights), tmp_path / RUN / "point.safetensors")
    write_candidate(tmp_path, old, 0.5)
    made = checkpoint.load(candidate_files(tmp_path)[1], "cloud", labels).network.state_dict()
    for name, value in checkpoint.load(old.cloud).network.state_dict().items():
        torch.testing.assert_close(made[name], value)


def test_a_refused_candidate_with_the_previous_name_is_found_and_kept(tmp_path):
    names = ["candidate_image.safetensors", "candidate_point.safetensors"]
    (tmp_path / RUN).mkdir()
    for name in (*names, "state.pt"):
        (tmp_path / RUN / name).touch()
    files = candidate_files(tmp_path)
    delete_training(tmp_path, [file.name for file in files])
    assert [file.name for file in files] == names == sorted(path.name for path in (tmp_path / RUN).iterdir())
