"""Runs that are interrupted or killed, and who may use the folder of a run."""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import yaml
from support.paths import ROOT
from support.striped_scenes import written
from support.training_runs import SHORT, settings_for, versions

from wsss_ros.processes.signals import Interrupted
from wsss_ros.training import run as training
from wsss_ros.training.progress import Progress
from wsss_ros.types import BadInput


def test_signals_stop_and_the_same_call_goes_on(root, tmp_path):
    """Stopped in each phase, at the end of an epoch and within one, with and without workers: the same weights."""
    whole, parts = (settings_for(root, output=str(tmp_path / name), phases=SHORT) for name in ("whole", "parts"))
    training.train(whole)
    steps, stops = [], {3: signal.SIGINT, 6: signal.SIGTERM, 8: signal.SIGINT, 10: signal.SIGTERM}

    def report(progress: Progress) -> None:
        if progress.terms:
            steps.append((progress.phase, progress.step))
            if len(steps) in stops:
                os.kill(os.getpid(), stops[len(steps)])

    for call, number in enumerate(stops.values()):
        again = parts.model_copy(update={"data": parts.data.model_copy(update={"workers": call % 2})})
        with pytest.raises(Interrupted, match=f"{number.name} after .*; the same command continues") as stopped:
            training.train(again, report=report)
        assert stopped.value.signal == number
    training.train(parts, report=report)
    assert len(steps) == len(set(steps)) == 12
    assert versions(tmp_path / "whole") == versions(tmp_path / "parts")
    assert (tmp_path / "whole/curves.json").read_text() == (tmp_path / "parts/curves.json").read_text()


@pytest.mark.timeout(900)
def test_a_killed_run_goes_on_as_if_nothing_had_been(finished, root, tmp_path):
    """The real command, killed with -9 at any moment, given again, against a run that was never interrupted."""
    settings, _, _ = finished
    values = {**settings.model_dump(mode="json"), "output": str(tmp_path / "run"), "save_every_s": 0}
    values["data"] = {**values["data"], "workers": 1}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(values))
    command = [sys.executable, "-m", "wsss_ros.cli.main", "train", str(tmp_path / "config.yaml")]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    state, deadline = tmp_path / "run" / "state.pt", time.monotonic() + 400
    while not state.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(random.uniform(0, 1))
    process.kill()
    process.communicate()
    assert state.exists() and process.returncode == -signal.SIGKILL
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "continuing after" in done.stderr and "classification_2d" in done.stdout
    assert versions(tmp_path / "run") == versions(settings.output)


def test_other_scenes_are_no_continuation(root, labels, tmp_path):
    written(tmp_path / "train", labels, range(6))
    written(tmp_path / "val", labels, [100])
    settings = settings_for(tmp_path, phases=SHORT[1:2])
    with pytest.raises(Interrupted):
        training.train(settings, report=lambda p: os.kill(os.getpid(), signal.SIGINT) if p.terms else None)
    (tmp_path / "train" / "scene3").rename(tmp_path / "scene3")
    with pytest.raises(BadInput, match=r"6 scenes and photographs, now there are 5; they differ in \['scene3'\]"):
        training.train(settings)


def test_one_process_at_a_time(root, tmp_path):
    settings = settings_for(root, output=str(tmp_path / "run"), phases=SHORT[1:2])
    code = "import sys, fcntl; f = open(sys.argv[1], 'w'); fcntl.lockf(f, 2); print('held', flush=True); input()"
    (tmp_path / "run").mkdir()
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run" / ".lock")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "held\n"
    with pytest.raises(BadInput, match="another process trains into it"):
        training.train(settings)
    other.communicate("\n")
