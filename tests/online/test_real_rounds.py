"""Real rounds in processes of their own: a good one is promoted, one with wrong tags is not."""

import os

import pytest
from support.online_rounds import log_lines
from support.online_scenes import put, settings
from support.waiting import until

from wsss_ros.networks import checkpoint
from wsss_ros.online.learner import Learner


@pytest.mark.timeout(1800)
def test_a_good_round_is_promoted_and_one_with_shuffled_tags_is_not(tmp_path, labels):
    """From tags alone on scenes the networks never saw; then tags are shuffled on purpose."""
    config = settings(tmp_path, labels, round_threads=1)
    for number in range(1, 9):
        put(config.folder, labels, number, number, held_out=number % 4 == 0)
    learning = Learner(config)
    try:
        learning.start_round()
        assert nice_of(learning) == min(19, os.getpriority(os.PRIO_PROCESS, os.getpid()) + 10)
        good = until(learning.poll, progress=learning.progress)
        assert good.took("image") and good.took("cloud") and learning.versions.current().name == "0001", good.why
        assert good.after["new"]["image_tags"] > good.before["new"]["image_tags"] + 0.3
        weights = learning.versions.current()
        assert checkpoint.load(weights.image, "image", labels).training["command"] == "online round"
        for number in range(9, 17):
            put(config.folder, labels, number, number, held_out=number % 4 == 0, wrong=number % 4 != 0)
        learning.start_round()
        bad = until(learning.poll, progress=learning.progress)
        assert not bad.promoted and learning.versions.current() == weights
        assert bad.why.startswith("image network refused, worse than before: ") and bad.version == "0001"
        assert "cloud network refused, worse than before: " in bad.why
        before, after = (scores["memory"]["image_tags"] for scores in (bad.before, bad.after))
        assert f"tags from images on memory {before:.3f} to {after:.3f}" in bad.why and after < before - 0.02
        assert log_lines(learning)[1]["why"] == bad.why
        assert (learning.folder / "rounds.png").read_bytes()[:4] == b"\x89PNG"
        assert not (learning.folder / "rounds/0002/run/image.safetensors").exists()
    finally:
        learning.close()


def nice_of(learning: Learner) -> int:
    """Return the priority of the process of the round."""
    until(lambda: learning.progress()["doing"] != "starting")
    return os.getpriority(os.PRIO_PROCESS, learning._process.pid)
