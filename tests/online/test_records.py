"""Plans, decisions and the log of all rounds on disk, and the picture of them."""

import json
import math
import os

import pytest

from wsss_ros.online import plot, records
from wsss_ros.online.records import Decision, Log, Plan
from wsss_ros.types import BadInput


def decision(number: int, promoted: bool = True, **scores) -> Decision:
    return Decision(number, promoted, "why", scores, scores, f"{number:04d}", {"seconds": 1.0})


def test_plans_and_decisions_read_back(tmp_path):
    plan = Plan(1, "0000", 7, 150, 4, ["s1"], [], [], {"new": ["s0"], "memory": [], "base": []})
    records.write(tmp_path, "plan.json", plan)
    assert records.read(tmp_path, "plan.json", Plan) == plan
    assert records.read(tmp_path, "decision.json", Decision) is None
    records.write(tmp_path, "decision.json", decision(1, new={"image_tags": math.nan, "cloud_tags": 0.5}))
    assert "NaN" not in (tmp_path / "decision.json").read_text()
    assert records.read(tmp_path, "decision.json", Decision).after == {"new": {"image_tags": None, "cloud_tags": 0.5}}
    (tmp_path / "plan.json").write_text("{")
    with pytest.raises(BadInput, match="plan.json: cannot be read"):
        records.read(tmp_path, "plan.json", Plan)


def test_the_log_survives_a_line_cut_short(tmp_path, caplog):
    path = tmp_path / "rounds.jsonl"
    log = Log(path)
    log.append(decision(1))
    log.append(decision(2, new={"image_tags": math.inf}))
    with open(path, "a") as file:
        file.write('{"round": 3, "prom')
    again = Log(path)
    assert [each.round for each in again.decisions] == [1, 2] and "cut short by a crash" in caplog.text
    again.append(decision(3))
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["round"] for line in lines] == [1, 2, 3] and lines[1]["after"]["new"]["image_tags"] is None
    assert [each.round for each in Log(path).decisions] == [1, 2, 3]


def test_a_full_disk_leaves_the_log_as_it_was(tmp_path, monkeypatch):
    log = Log(tmp_path / "rounds.jsonl")
    log.append(decision(1))
    before = log.path.read_bytes()

    def full(handle):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            log.append(decision(2))
    assert log.path.read_bytes() == before and len(log.decisions) == 1
    log.append(decision(2))
    assert [each.round for each in Log(log.path).decisions] == [1, 2]


def test_of_a_finished_training_the_small_files_stay(tmp_path):
    run = tmp_path / "run"
    (run / "log").mkdir(parents=True)
    candidate = [file.name for file in records.candidate_files(tmp_path)]
    gone = ("image.safetensors", "state.pt", "log/events", ".state.pt.x.partial")
    for name in (*gone, "config.yaml", "curves.json", *candidate):
        (run / name).write_text("x")
    records.delete_training(tmp_path, candidate)
    assert sorted(os.listdir(run)) == [*sorted(candidate), "config.yaml", "curves.json"]
    records.delete_training(tmp_path)
    records.delete_training(tmp_path / "nowhere")
    assert sorted(os.listdir(run)) == ["config.yaml", "curves.json"]


def test_the_picture_shows_every_round(tmp_path):
    def scores(value: float) -> dict:
        sets = {"new": value, "memory": value + 0.1, "base": None}
        return {name: {"image_tags": v, "cloud_tags": v, "agreement": v} for name, v in sets.items()}

    rounds = [Decision(n, n != 2, "", scores(0.1 * n), scores(0.1 * n + 0.1), "0001") for n in (1, 2, 4)]
    plot.draw([*rounds, Decision(3, False, "given up", {}, {}, "0001")], tmp_path / "rounds.png")
    plot.draw([], tmp_path / "none.png")
    assert (tmp_path / "rounds.png").read_bytes()[:4] == b"\x89PNG"
    assert (tmp_path / "rounds.png").stat().st_size > (tmp_path / "none.png").stat().st_size > 0
