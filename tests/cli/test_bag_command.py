"""The command `wsss bag`."""

import os

import numpy as np
from support.messages import by_topic
from support.simulated_room import CAMERA, frames, write_tum
from support.tiny_scene import write_scene_folder
from typer.testing import CliRunner

from wsss_ros.bags.bag import Bag
from wsss_ros.bags.bag_scene import BagScene
from wsss_ros.cli.main import app
from wsss_ros.labels import scannet20


def wsss(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["bag", *map(str, arguments)])
    return result.exit_code, result.output


def test_the_command(tmp_path, labels):
    scene_folder = write_scene_folder(tmp_path / "scene", labels)
    out = tmp_path / "out.mcap"
    status, output = wsss(scene_folder, out, "--every", 2, "--namespace", "robot1", "--compressed")
    assert status == 0 and "ros2 bag play" in output, output
    assert "/robot1/color/image_raw/compressed" in {topic.name for topic in Bag(out).topics}
    assert len(by_topic(out)["/robot1/pose"]) == 3
    status, output = wsss(scene_folder, out)
    assert status == 1 and "exists already" in output and "--overwrite" in output
    assert wsss(scene_folder, out, "--overwrite", "--storage", "sqlite3")[0] == 1
    assert wsss(scene_folder, tmp_path / "folder", "--storage", "sqlite3")[0] == 0
    assert sorted(os.listdir(tmp_path / "folder")) == ["folder.db3", "metadata.yaml"]
    (tmp_path / "empty").mkdir()
    status, output = wsss(tmp_path / "empty", tmp_path / "b.mcap")
    assert status == 1 and "expected one scene folder" in output


def test_options_of_scene_folders(tmp_path):
    """A room in TUM's layout without intrinsics, with 2000 depth values per metre, becomes a bag with these."""
    (tmp_path / "t").mkdir()
    write_tum(tmp_path / "t", frames(), per_metre=2000)
    (tmp_path / "t" / "intrinsics.txt").unlink()
    out = tmp_path / "t.mcap"
    status, output = wsss(tmp_path / "t", out, "--up", "none")
    assert status == 1 and "--intrinsics fx,fy,cx,cy" in output
    options = "--layout", "tum", "--depth-scale", 2000, "--intrinsics", "57,58,33.2,23.1"
    status, output = wsss(tmp_path / "t", out, "--up", "none", *options)
    assert status == 0, output
    found = BagScene(out, scannet20()).frame(0)
    assert found.camera == CAMERA and found.stamp_ns == frames()[0].stamp_ns
    np.testing.assert_allclose(found.depth_m, frames()[0].depth_m, atol=2e-3)
    np.testing.assert_allclose(found.world_from_camera, frames()[0].world_from_camera, atol=1e-6)
    status, output = wsss(out, tmp_path / "again.mcap", *options)
    assert status == 1 and "is a bag, to which layout tum does not apply" in output
