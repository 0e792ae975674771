"""Preparing a set of scenes of which most are broken."""

import re
from pathlib import Path

import jaxtyping
import numpy as np
from support import sens_files
from support.scannet_scan import COLOR, DEPTH, camera_pose, recorded_views

from wsss_ros import geometry
from wsss_ros.samples.prepared import prepare
from wsss_ros.scenes import open_scenes, ply
from wsss_ros.scenes.scannet_write import write_scene


def test_a_set_of_broken_scenes_leaves_the_good_one(tmp_path, labels, monkeypatch):
    """Each fault is reported in one line with its file or reason; the good scene is prepared for training."""
    # Before Python 3.12, checking a value against the protocol Scene asks it for tags and cloud, which fail here.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    depth_m = (recorded_views(1)[0][2] / 1000).astype(np.float32)
    xyz = geometry.unproject(depth_m, DEPTH, camera_pose(0))[0].astype(np.float32)
    points = {"xyz": xyz, "rgb": np.full(xyz.shape, 99, np.uint8), "point_labels": np.zeros(len(xyz), np.uint8)}
    points["instances"] = np.full(len(xyz), -1, np.int32)

    def make(name: str) -> Path:
        write_scene(tmp_path / "scans" / name, labels=labels, **points, frames=[])
        for kind in ("color", "depth", "pose"):
            (tmp_path / "scans" / name / kind).rmdir()
        (tmp_path / "scans" / name / f"{name}.sens").write_bytes(recordings["good"])
        return tmp_path / "scans" / name

    views = recorded_views(3)
    recordings = {"good": sens_files.recording(COLOR, DEPTH, views)}
    good, lost, bad = make("good"), make("lost"), make("bad_sens")
    (lost / "lost.sens").write_bytes(sens_files.recording(COLOR, DEPTH, recorded_views(3, lost=(0, 1, 2))))
    (bad / "bad_sens.sens").write_bytes(b"no recording")
    (make("no_frames") / "no_frames.sens").unlink()
    (make("no_tags") / "no_tags_vh_clean_2.labels.ply").unlink()
    (make("bad_tags") / "tags.json").write_text('{"scene": ["soffa"]}')
    short = make("short") / "short_vh_clean_2.labels.ply"
    ply.write(short, ply.read(short)[:-5])
    mesh = make("bad_mesh") / "bad_mesh_vh_clean_2.ply"
    mesh.write_bytes(mesh.read_bytes()[:-99])
    (tmp_path / "scans" / "empty").mkdir()

    scenes, unopened = open_scenes(tmp_path / "scans", labels)
    prepared = prepare(scenes, labels, tmp_path / "cache", frames_per_scene=2, long_side=32)
    assert [scene.name for scene in prepared.scenes] == [good.name] and [name for name, _ in unopened] == ["empty"]
    assert len(prepared.scenes[0].images) == 2 and prepared.scenes[0].tags[0] == 1
    reasons = dict(prepared.left_out)
    expected = {
        "lost": "no usable frame",
        "bad_sens": "bad_sens.sens: starts with",
        "no_frames": "no usable frame",
        "no_tags": "no tags",
        "bad_tags": "tags.json, key 'scene': 'soffa'.*'sofa'",
        "short": "short_vh_clean_2.labels.ply: labels for 763 points, and short_vh_clean_2.ply has 768",
        "bad_mesh": "bad_mesh_vh_clean_2.ply: cut short",
    }
    assert reasons.keys() == expected.keys()
    for name, reason in expected.items():
        assert re.search(reason, reasons[name]) and "\n" not in reasons[name], (name, reasons[name])
