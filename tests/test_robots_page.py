"""docs/robots.md: its launch lines have arguments that exist, and its messages are those of the nodes."""

import re
import shlex

import pytest
from support.paths import ROOT

from wsss_ros import node_set
from wsss_ros.cli.main import COMMANDS

PAGE = (ROOT / "docs/robots.md").read_text()
LINES = re.findall(r"^    (.+)$", PAGE, re.MULTILINE)
OURS = [line for line in LINES if re.match(r"ros2 launch wsss_ros |wsss ", line)]
ROBOTS = ("RealSense (D400)", "Azure Kinect", "OAK-D", "ZED", "TurtleBot 4", "rtabmap", "Nav2")
SOURCE = "\n".join(path.read_text() for path in sorted((ROOT / "wsss_ros").rglob("*.py")))
MESSAGES = re.findall(r"^\| `([^`]+)` \|", PAGE.partition("## Messages")[2], re.MULTILINE)


def given(line: str) -> list[str]:
    return [word for word in shlex.split(line.partition(" # ")[0]) if ":=" in word]


@pytest.mark.parametrize("line", OURS)
def test_launch_lines_have_known_arguments(line):
    words = shlex.split(line.partition(" # ")[0])
    if words[0] == "wsss":
        assert words[1] in COMMANDS
    else:
        assert words[3] == "segment.launch.py"
    assert node_set.processes(node_set.arguments([word for word in given(line) if not word.endswith("...")]))


@pytest.mark.parametrize("robot", ROBOTS)
def test_every_robot_has_a_launch_line_and_a_source(robot):
    section = PAGE.partition(f"## {robot}\n")[2].partition("\n## ")[0]
    assert "    ros2 launch wsss_ros segment.launch.py color_topic:=" in section
    assert "Source: [" in section


def test_arguments_in_the_text_exist():
    known = set(node_set.Arguments.model_fields)
    ours = "".join(
        line for line in PAGE.splitlines(True) if not line.startswith("    ros2 launch") or "wsss_ros" in line
    )
    drivers = {"align_depth.enable", "enable_sync", "camera_model", "publish_tf_from_calibration"}
    named = set(re.findall(r"`?\b([a-z_][a-z_.]+):=", ours)) - drivers
    assert named <= known, named - known


@pytest.mark.parametrize("message", MESSAGES)
def test_messages_are_those_of_the_nodes(message):
    joined = re.sub(r'"\s*\n\s*f?"', "", SOURCE)  # texts that go over several lines of source
    assert message in joined, f"no source has '{message}'"


def test_there_are_enough_messages():
    assert len(MESSAGES) >= 25
