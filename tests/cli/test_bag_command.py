"""The command `wsss bag`."""

import os

from support.messages import by_topic
from support.tiny_scene import write_scene_folder
from typer.testing import CliRunner

from wsss_ros.bags.bag import Bag
from wsss_ros.cli.main import app


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
