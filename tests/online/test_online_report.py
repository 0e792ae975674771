"""The report of learning on the stream: which scores belong to which round, and what is said of them."""

import json

import pytest
import torch

from wsss_ros.networks import checkpoint
from wsss_ros.networks.checkpoint import NetworkConfig
from wsss_ros.online import report as online_report
from wsss_ros.types import BadInput

CONFIGS = {
    "image": NetworkConfig("image", "resnet", {"width": 0.125}),
    "cloud": NetworkConfig("cloud", "pointnet2", {"width": 0.125}, ("color",)),
}


def latency(number: int) -> dict:
    """The clouds were not reported on without a round."""
    return {"image_segmenter": {"alone": 30.0, "beside": 30.0 + 10 * number}, "cloud_segmenter": {"beside": 90.0}}


def run(folder, labels, shift: float = 0.0):
    """Two rounds, the second one rejected; version 0001 scores 2 points more on new rooms and 1 less on old ones."""
    entries = []
    for number, name in enumerate(("0000", "0001")):
        for kind, domain in (("image", "2d"), ("cloud", "3d")):
            torch.manual_seed(number)
            network = CONFIGS[kind].build(labels)
            version = checkpoint.save(
                folder / "online/weights" / name / f"{kind}.safetensors", network, CONFIGS[kind], labels
            )
            base = {"2d": 10.0, "3d": 5.0}[domain]
            for told, change in (("new", 2.0 + shift), ("old", -1.0)):
                entries.append({"set": told, "version": version, "domain": domain, "miou": base + change * number})
    (folder / "evaluation").mkdir()
    (folder / "evaluation/evaluation.json").write_text(json.dumps(entries))
    decisions = [(1, True, "0001", "no score fell"), (2, False, "0001", "worse than before")]
    lines = [
        json.dumps({"round": r, "promoted": p, "version": v, "why": w, "more": {"segmenters_p95_ms": latency(r)}})
        for r, p, v, w in decisions
    ]
    (folder / "online/rounds.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def test_rounds_get_the_scores_of_the_weights_in_use(tmp_path, labels):
    runs = [online_report.read(run(tmp_path / str(seed), labels, shift=seed), seed) for seed in (0, 1)]
    keys = ("seed", "round", "set", "miou_2d", "miou_3d", "promoted")
    assert [tuple(entry[key] for key in keys) for entry in runs[0]] == [
        (0, 0, "new", 10.0, 5.0, None),
        (0, 0, "old", 10.0, 5.0, None),
        (0, 1, "new", 12.0, 7.0, True),
        (0, 1, "old", 9.0, 4.0, True),
        (0, 2, "new", 12.0, 7.0, False),
        (0, 2, "old", 9.0, 4.0, False),
    ]
    assert online_report.gains(runs, "new", "miou_2d").tolist() == [2.0, 3.0]
    assert "2D (images), rooms of the new kind, never tagged: +2.5 ± 0.7 points; up in 2 of 2 runs" in (
        online_report.verdict(runs)
    )
    online_report.write(runs, tmp_path / "docs", "wsss demo-online")
    page = (tmp_path / "docs/online.md").read_text()
    assert "| 2 | 0 of 2 | 0 of 2 | 12.5 ± 0.7 | 7.5 ± 0.7 | 9.0 ± 0.0 | 4.0 ± 0.0 |" in page
    assert "seed 1, round 2: not promoted: worse than before" in page
    times = "1.5 times, at most 1.7 in 4 rounds"
    costs = f"- image_segmenter: p95 latency 30 ms without a round, 45 ms with one ({times})"
    assert costs in page and "cloud_segmenter:" not in page
    assert json.loads((tmp_path / "docs/online.json").read_text())["entries"] == [*runs[0], *runs[1]]
    assert (tmp_path / "docs/online.png").read_bytes().startswith(b"\x89PNG")


def test_a_version_that_was_not_scored_is_named(tmp_path, labels):
    folder = run(tmp_path / "run", labels)
    file = folder / "evaluation/evaluation.json"
    file.write_text(json.dumps([entry for entry in json.loads(file.read_text()) if entry["set"] == "new"]))
    with pytest.raises(BadInput, match="nothing of 'old' was scored with version 0000"):
        online_report.read(folder, 0)
