"""The ablation in small: every row of two seeds on striped scenes, interrupted, resumed, scored and reported."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image
from support.earlier_files import write_earlier_checkpoint
from support.striped_scenes import written
from typer.testing import CliRunner

from wsss_ros import config
from wsss_ros.ablation import experiment, one_run, results, rows, schedule
from wsss_ros.ablation.rows import ROWS
from wsss_ros.ablation.settings import AblationConfig
from wsss_ros.cli import main as cli
from wsss_ros.methods.joint import JointPhase
from wsss_ros.methods.supervised import SupervisedPhase
from wsss_ros.networks import checkpoint
from wsss_ros.types import BadInput

ADAM = {"name": "adam", "lr": 0.01}
# The fixture trains a dozen runs; on a busy machine that takes its time.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
# All rows of one seed, and of another what the verdict needs.
TRAINED = [*((row, 0) for row in ROWS), ("cls", 1), ("both", 1)]


def settings_for(root: Path, **changes) -> AblationConfig:
    values = {
        "output": str(root / "runs"),
        "results": str(root / "docs" / "results"),
        "seeds": [0, 1],
        "device": "cpu",
        "data": {
            "train": {"folder": str(root / "train")},
            "val": {"folder": str(root / "val")},
            "cache": str(root / "cache"),
            "frames_per_scene": 0,
            "val_frames_per_scene": 2,
        },
        "other": {"folder": str(root / "other")},
        "image": {
            "options": {"width": 0.125, "stride": 8},
            "long_side": 32,
            "augment": {"long_side": [32, 40], "crop": 32, "jitter": [0.1, 0.1, 0.1, 0]},
        },
        "cloud": {
            "options": {"width": 0.125, "centres": [64, 32, 16, 8], "neighbours": [8, 8, 8, 8]},
            "augment": {"points": 256},
        },
        "pretrain": {"seed": 5, "phases": [{"method": "classify", "epochs": 1, "batch": 8, "image": ADAM}]},
        "classify": [
            {"method": "classify", "epochs": 1, "batch": 8, "image": ADAM},
            {"method": "classify", "epochs": 1, "batch": 4, "cloud": ADAM},
        ],
        "joint": {"method": "joint", "epochs": 2, "batch": 3, "warmup_epochs": 1, "image": ADAM, "cloud": ADAM},
        **changes,
    }
    return config.build(AblationConfig, values)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory, labels) -> Path:
    root = tmp_path_factory.mktemp("ablation")
    written(root / "train", labels, range(6))
    written(root / "val", labels, range(100, 102))
    written(root / "other", labels, range(200, 202))
    return root


@pytest.fixture(scope="module")
def done(scenes) -> dict:
    """Everything trained once: most runs here, some in processes of their own, one of these interrupted."""
    settings = settings_for(scenes)
    schedule.prepare_scenes(settings, experiment.runs(settings))
    found = {"settings": settings, "cache": sorted(path.name for path in (scenes / "cache").iterdir())}
    apart = [settings.run_of("both", 1)]
    every = [*experiment.runs(settings, seeds=[0]), *experiment.runs(settings, ["cls", "both"], [1])[1:]]
    for run in every:
        if run not in apart:
            one_run.train_and_score(run, settings, "by hand")
    found["interrupted"] = []

    def interrupt(event) -> None:
        found["interrupted"].append(event)
        if event.phase == "1 joint":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        schedule.run_all(settings, every, 2, "wsss bench ablation", interrupt)
    found["state"] = (scenes / "runs/seed1/both/state.pt").is_file()
    found["resumed"] = []
    found["failures"] = schedule.run_all(settings, every, 2, "wsss bench ablation", found["resumed"].append)
    return found


# --- what is trained ---


def test_rows_leave_out_what_they_say():
    joint = config.build(JointPhase, {"method": "joint", "epochs": 7, "batch": 3, "point_to_image": 2.5, "image": ADAM})
    found = {}
    for row in ROWS:
        phase = rows.phase_of(row, joint)
        assert (phase.epochs, phase.batch, phase.image) == (7, 3, joint.image)
        if isinstance(phase, JointPhase):
            found[row] = (phase.image_to_point, phase.point_to_image, phase.confidence)
    assert found == {
        "cls": (0, 0, "sigmoid"),
        "3d_to_2d_plain": (0, 2.5, "none"),
        "3d_to_2d": (0, 2.5, "sigmoid"),
        "2d_to_3d_plain": (1, 0, "none"),
        "2d_to_3d": (1, 0, "sigmoid"),
        "both": (1, 2.5, "sigmoid"),
    }
    assert isinstance(rows.phase_of("supervised", joint), SupervisedPhase)


def test_runs_start_from_the_phase_one_of_their_seed(scenes):
    settings = settings_for(scenes)
    chosen = experiment.runs(settings, ["both", "cls"], [3])
    assert [run.name for run in chosen] == ["pretrain", "seed3/phase_one", "seed3/cls", "seed3/both"]
    pretrain, first, _, both = (experiment.training_of(run, settings) for run in chosen)
    assert pretrain.cloud is None and pretrain.seed == 5
    assert (Path(first.image.weights), first.cloud.weights) == (scenes / "runs/pretrain/image.safetensors", "")
    assert Path(both.cloud.weights) == scenes / "runs/seed3/phase_one/cloud.safetensors"
    assert both.seed == 3 and both.data.val is None
    assert len(experiment.runs(settings)) == 1 + 2 + 2 * 7


@pytest.mark.parametrize(
    "rows_asked, changes, message",
    [
        (["bothe"], {}, "no row 'bothe'.*cls, 3d_to_2d_plain"),
        ([], {"classify": [{"method": "classify", "epochs": 1, "image": ADAM}]}, "no phase trains the cloud network"),
    ],
)
def test_what_cannot_be_trained_is_refused(scenes, rows_asked, changes, message):
    with pytest.raises(BadInput, match=message):
        experiment.runs(settings_for(scenes, **changes), rows_asked)


@pytest.mark.parametrize("name", ["ablation", "ablation_cpu"])
def test_the_configurations_that_ship_are_valid(name):
    settings = config.load(AblationConfig, config.share(f"config/{name}.yaml"))
    assert len(settings.seeds) >= 3 and len(experiment.runs(settings)) >= 3 * 8
    assert settings.other.rooms.style == "other"
    train, val = settings.data.train.rooms, settings.data.val.rooms
    assert train.seed + train.scenes <= val.seed


def test_sources_are_not_for_ablations():
    settings = config.load(AblationConfig, config.share("config/ablation.yaml")).model_dump(mode="json")
    data = {**settings["data"], "train": None, "sources": [{"path": "a"}]}
    with pytest.raises(BadInput, match="train on one folder of scenes; give data.train"):
        config.build(AblationConfig, {**settings, "data": data})


# --- training it ---


def test_an_interrupted_child_saves_and_goes_on(done):
    assert done["state"]
    assert not done["failures"]
    by_name = {event.run.name: event.what for event in done["resumed"] if event.what in ("kept", "done")}
    assert by_name.pop("seed1/both") == "done"
    assert len(by_name) == 11 and set(by_name.values()) == {"kept"}
    steps = [event for event in done["resumed"] if event.phase == "1 joint"]
    assert steps[-1].step == steps[-1].steps == 4


def test_an_interrupted_run_goes_on_where_it_stood(done, tmp_path):
    """Interrupted after a step and called again, with the same weights as a run in one go."""
    settings = done["settings"]
    run, moved = settings.run_of("cls", 0), settings.model_copy(update={"output": str(tmp_path), "save_every_s": 0.0})
    (tmp_path / "seed0").mkdir()
    (tmp_path / "seed0/phase_one").symlink_to(Path(settings.output) / "seed0/phase_one")
    seen: list[int] = []

    def stop(progress) -> None:
        if progress.phase == "1 joint":
            seen.append(progress.step)
            if len(seen) == 3:
                raise RuntimeError("power cut")

    with pytest.raises(RuntimeError, match="power cut"):
        one_run.train_and_score(run, moved, "first", stop)
    assert not one_run.is_finished(run, moved)
    one_run.train_and_score(run, moved, "second", lambda p: seen.append(p.step) if p.phase == "1 joint" else None)
    assert one_run.is_finished(run, moved)
    # The step in which the power went was not saved and is done again.
    assert seen == [1, 2, 3, 3, 4]
    for kind in ("image", "cloud"):
        first, second = (
            checkpoint.load(Path(output) / "seed0/cls" / f"{kind}.safetensors").version
            for output in (settings.output, tmp_path)
        )
        assert first == second


def test_scenes_are_decoded_once_for_all_runs(done, scenes):
    assert len(done["cache"]) == 12  # with and without truth
    assert sorted(path.name for path in (scenes / "cache").iterdir()) == done["cache"]


def test_rows_differ_in_what_their_losses_are(done):
    terms = {}
    for row in ROWS:
        curves = json.loads((Path(done["settings"].output) / "seed0" / row / "curves.json").read_text())
        terms[row] = [sorted(epoch) for epoch in curves[-1]["epochs"]]
    alone = ["classification_2d", "classification_3d"]
    assert terms["cls"] == [alone, alone]
    assert terms["3d_to_2d"] == terms["3d_to_2d_plain"] == [alone, [*alone, "point_to_image"]]
    assert terms["both"] == [[*alone, "image_to_point"], [*alone, "image_to_point", "point_to_image"]]
    assert terms["supervised"] == [["supervised_2d", "supervised_3d"]] * 2


def test_another_phase_one_is_noticed(done):
    """A row's folder notes which weights it started from; a phase one that is trained again has others."""
    settings, run = done["settings"], done["settings"].run_of("cls", 0)
    note = Path(settings.output) / run.name / "start.json"
    before = note.read_text()
    assert json.loads(before) == {
        kind: checkpoint.load(Path(settings.output) / "seed0/phase_one" / f"{kind}.safetensors").version
        for kind in ("image", "cloud")
    }
    note.write_text(before.replace(json.loads(before)["cloud"], "0123"))
    try:
        with pytest.raises(BadInput, match="started from other weights than .*seed0/phase_one/cloud.safetensors"):
            one_run.is_finished(run, settings)
    finally:
        note.write_text(before)


def test_other_scoring_is_done_again(done):
    run, settings = done["settings"].run_of("cls", 0), done["settings"]
    assert one_run.is_finished(run, settings)
    data = settings.data.model_copy(update={"val_frames_per_scene": 3})
    assert not one_run.is_finished(run, settings.model_copy(update={"data": data}))


def test_what_starts_from_a_failed_run_is_not_started(scenes, tmp_path):
    changes = {"output": str(tmp_path / "runs"), "image": {"weights": str(tmp_path / "none.safetensors")}}
    settings = settings_for(scenes, pretrain=None, **changes)
    events = []
    failures = schedule.run_all(settings, experiment.runs(settings, ["cls"], [0]), 1, report=events.append)
    assert [event.run.name for event in failures] == ["seed0/phase_one", "seed0/cls"]
    assert "none.safetensors" in failures[0].message and "logs" in failures[0].message
    assert "phase_one failed" in failures[1].message


# --- what came out ---


def test_results_have_an_entry_for_every_run_and_set(done):
    entries = results.collect(done["settings"])
    assert [(e["row"], e["seed"], e["set"]) for e in entries] == [
        (row, seed, chosen)
        for row, seed in sorted(TRAINED, key=lambda pair: (list(ROWS).index(pair[0]), pair[1]))
        for chosen in ("val", "other")
    ]
    for entry in entries:
        assert 0 <= entry["miou_2d"] <= 100 and 0 <= entry["miou_3d"] <= 100
        assert (entry["epochs"], entry["steps"]) == (2, 4)
        assert entry["seconds"] > 0 and "torch" in entry["machine"]
    assert len({entry["weights"] for entry in entries}) == 9
    commands = {(entry["row"], entry["seed"]): entry["command"] for entry in entries}
    assert commands["both", 1] == "wsss bench ablation" and commands["both", 0] == "by hand"


def test_scores_are_those_of_the_networks(done, labels):
    """The mIoU of one entry is what counting pixels by hand gives."""
    from wsss_ros.inference import ImageSegmenter
    from wsss_ros.training.scene_set import open_scene_set

    settings = done["settings"]
    entry = next(e for e in results.collect(settings) if (e["row"], e["seed"], e["set"]) == ("both", 0, "other"))
    segment = ImageSegmenter(Path(settings.output) / "seed0/both/image.safetensors", "cpu")
    hits, either = np.zeros(20), np.zeros(20)
    for scene in open_scene_set(settings.other, labels)[0]:
        for index in (0, 2):  # evenly spread over four
            found, truth = segment(scene.frame(index))[0], scene.frame_truth(index)
            for c in range(20):
                hits[c] += ((found == c) & (truth == c)).sum()
                either[c] += ((found == c) | (truth == c)).sum()
    known = either > 0
    assert entry["miou_2d"] == pytest.approx(100 * (hits[known] / either[known]).mean(), abs=1e-3)


def test_runs_are_read_that_name_the_cloud_network_point(done, tmp_path):
    """Files as they were written before the second network was called cloud give the same results."""
    before, settings = done["settings"], done["settings"].model_copy(update={"output": str(tmp_path), "seeds": (1,)})
    for row in ("phase_one", "cls", "both"):
        shutil.copytree(Path(before.output) / f"seed1/{row}", tmp_path / f"seed1/{row}")
        write_earlier_run(tmp_path / f"seed1/{row}", before.output)
    assert not list(tmp_path.rglob("cloud*"))
    expected = [entry for entry in results.collect(before) if entry["seed"] == 1]
    assert len(expected) == 4
    assert results.collect(settings) == expected


def write_earlier_run(folder: Path, previous_output: str) -> None:
    """Rename in a copied run: files, keys, and paths of the weights it started from."""
    write_earlier_checkpoint(folder / "cloud.safetensors", folder / "point.safetensors")
    (folder / "cloud.safetensors").unlink()
    for file in [*folder.glob("scores_*.json"), folder / "start.json"]:
        content = json.loads(file.read_text())
        file.write_text(json.dumps({"point" if key == "cloud" else key: value for key, value in content.items()}))
    text = re.sub(r"^(\s*)cloud:", r"\1point:", (folder / "config.yaml").read_text(), flags=re.MULTILINE)
    text = text.replace(f"{previous_output}/seed1", str(folder.parent))
    (folder / "config.yaml").write_text(text.replace("cloud.safetensors", "point.safetensors"))


def test_the_command_reports_and_says_what_failed(done, scenes, tmp_path, monkeypatch):
    settings = done["settings"]
    file = tmp_path / "small.yaml"
    file.write_text(yaml.safe_dump(settings.model_dump(mode="json")))
    answer = CliRunner().invoke(cli.app, ["bench", "ablation", str(file), "--report-only"])
    assert answer.exit_code == 0, answer.output
    entries = json.loads((scenes / "docs/results.json").read_text())
    assert len(entries) == 18
    page = (scenes / "docs/results.md").read_text()
    for part in ("| 33.3 |", "| 49.6 |", "| 54.4 |", "`supervised`", "## Verdict", "torch", "wsss bench", str(file)):
        assert part in page
    for name in ("cams", "curves"):
        picture = scenes / f"docs/results_{name}.png"
        assert picture.stat().st_size < 500_000 and picture.name in page
        assert np.asarray(Image.open(picture).convert("RGB")).std() > 5
    assert "- Missing: `3d_to_2d_plain` of seed 1; `3d_to_2d` of seed 1; " in page
    # One run's folder holds another configuration: it is named, the rest is reported.
    kept = scenes / "runs/seed1/cls/config.yaml"
    before = kept.read_text()
    kept.write_text(before.replace("seed: 1", "seed: 8"))
    answer = CliRunner().invoke(cli.app, ["bench", "ablation", str(file), "--rows", "cls,both"])
    kept.write_text(before)
    assert answer.exit_code == 1
    assert "seed1/cls: FAILED" in answer.output and "7 of 7" in answer.output
    assert "seed0/both: was finished" in answer.output
    assert len(json.loads((scenes / "docs/results.json").read_text())) == 16
    assert "Missing: `cls` of seed 1" in (scenes / "docs/results.md").read_text()
