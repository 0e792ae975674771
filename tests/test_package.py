"""What ships agrees: requirements, versions, dependencies, RViz, the DDS profile."""

import ast
import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from support.paths import ROOT
from support.waiting import HANG_S, output_of

import wsss_ros
from wsss_ros import node_set
from wsss_ros.node_set import PROFILES, environment
from wsss_ros.processes import children

# Where the name of the import is not the name of the distribution.
DISTRIBUTION = {"PIL": "pillow", "yaml": "pyyaml", "open3d": "open3d-cpu", "backports": "backports.zstd"}
NEWER_STDLIB = {"compression"}
WITH_RCLPY = {"rcl_interfaces", "builtin_interfaces", "rosgraph_msgs", "std_msgs"}  # rclpy's wheel brings these
WHERE_INSTALLED = {"sensor_msgs_py", "tf2_msgs", "tf2_ros", "tf_transformations", "vision_msgs"}
OPTIONAL = {"viser", "msgspec", "websockets", "laspy", "OpenEXR"}  # extras; an error says how to install them
THROUGH_OTHERS = {"tensorboard"}  # torch.utils.tensorboard imports it


def third_party(folder: str) -> set[str]:
    names = set()
    for file in (ROOT / folder).rglob("*.py"):
        for part in ast.walk(ast.parse(file.read_text())):
            if isinstance(part, ast.Import):
                names |= {name.name.split(".")[0] for name in part.names}
            elif isinstance(part, ast.ImportFrom):
                names.add(part.module.split(".")[0])
    return names - set(sys.stdlib_module_names) - NEWER_STDLIB - {"wsss_ros"}


def is_ros(name: str) -> bool:
    return name in {"rclpy", "launch", "launch_ros"} | WHERE_INSTALLED or name.endswith(
        ("_msgs", "_srvs", "_interfaces")
    )


def setup_argument(name: str):
    tree = ast.parse((ROOT / "setup.py").read_text())
    return next(ast.literal_eval(k.value) for k in ast.walk(tree) if isinstance(k, ast.keyword) and k.arg == name)


def requirements() -> list[Requirement]:
    return [Requirement(text) for text in setup_argument("install_requires")]


def test_setup_requires_what_is_imported_and_nothing_else():
    imported = {DISTRIBUTION.get(name, name.replace("_", "-")) for name in third_party("wsss_ros") if not is_ros(name)}
    required = {requirement.name for requirement in requirements()} - {"open3d"}
    assert (imported | THROUGH_OTHERS) - OPTIONAL == required
    extras = {Requirement(text).name for texts in setup_argument("extras_require").values() for text in texts}
    assert extras & imported >= OPTIONAL


def test_package_xml_depends_on_the_ros_packages_that_are_imported():
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    depends = {element.text for element in package.iter("exec_depend")}
    wheels = {
        Requirement(text).name.removeprefix("ros-jazzy-").replace("-", "_")
        for text in setup_argument("extras_require")["ros"]
    }
    imported = {name for folder in ("wsss_ros", "launch") for name in third_party(folder) if is_ros(name)}
    assert imported <= depends
    assert imported - {"launch", "launch_ros"} - WITH_RCLPY - WHERE_INSTALLED <= wheels
    assert wheels <= depends


def test_package_xml_fits_setup():
    package = ElementTree.parse(ROOT / "package.xml").getroot()
    assert package.get("format") == "3" and package.findtext("export/build_type") == "ament_python"
    assert package.findtext("version") == setup_argument("version") == wsss_ros.__version__
    assert package.findtext("license") == setup_argument("license") == "Apache-2.0"
    assert (ROOT / "resource" / package.findtext("name")).is_file()


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12"])
def test_every_requirement_is_pinned_once_and_within_its_range(python):
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and line[0] != "#"]
    here = default_environment() | {"python_version": python, "python_full_version": f"{python}.0"}
    valid = [pin for pin in map(Requirement, lines) if pin.marker is None or pin.marker.evaluate(here)]
    pins = {pin.name: str(pin.specifier).removeprefix("==") for pin in valid}
    assert len(pins) == len(valid)
    extras = [Requirement(text) for texts in setup_argument("extras_require").values() for text in texts]
    for requirement in requirements() + extras:
        assert requirement.specifier.contains(pins[requirement.name]), f"{requirement} against {pins[requirement.name]}"
    assert pins["torch"] == "2.13.0"


def test_rviz_shows_what_the_nodes_publish():
    displays = yaml.safe_load((ROOT / "config/segment.rviz").read_text())["Visualization Manager"]["Displays"]
    topics = {display["Topic"]["Value"]: display["Topic"] for display in displays if "Topic" in display}
    images = {"/color/image_raw", "/semantic_overlay/image_raw", "/semantic_color/image_raw"}
    assert set(topics) == images | {"/semantic/points", "/semantic_cloud", "/semantic_map", "/cloud"}
    for cloud in ("/semantic_cloud", "/semantic_map", "/cloud"):
        assert topics[cloud]["Durability Policy"] == "Transient Local"


def test_rviz_gets_remaps_to_the_topics_of_its_file():
    text = (ROOT / "config/segment.rviz").read_text()

    def remaps(**given: str) -> dict[str, str]:
        processes = node_set.processes(node_set.arguments({"rviz": "true", **given}))
        return dict(next(process.remaps for process in processes if process.name == "rviz2"))

    assert remaps() == {}
    assert remaps(color_topic="/cam/rgb") == {"/color/image_raw": "/cam/rgb"}
    moved = remaps(namespace="robot", color_topic="rgb", cloud_topic="/map/points")
    assert all(f"Value: {name}\n" in text for name in moved) and len(moved) == 7
    assert (moved.pop("/color/image_raw"), moved.pop("/cloud")) == ("/robot/rgb", "/map/points")
    assert all(topic == f"/robot{name}" for name, topic in moved.items())


EXCHANGE = """
import array, sys, time, rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import UInt32
role, count, patience_s = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
rclpy.init()
node = rclpy.create_node(role)
large, answers = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT), set()
if role == "receiver":
    back = node.create_publisher(UInt32, "answer", 10)
    node.create_subscription(PointCloud2, "cloud", lambda m: back.publish(UInt32(data=m.width)), large)
    rclpy.spin(node)
publisher = node.create_publisher(PointCloud2, "cloud", large)
node.create_subscription(UInt32, "answer", lambda m: answers.add(m.data), 10)
def send(number, points, patience_s):
    data = array.array("B", bytes(points * 24))
    publisher.publish(PointCloud2(height=1, width=number, point_step=24, data=data))
    until = time.monotonic() + patience_s
    while number not in answers and time.monotonic() < until:
        rclpy.spin_once(node, timeout_sec=0.02)
    return number in answers
while not send(0, 1, 0.2):  # small ones arrive as soon as the two have discovered each other
    pass
for number in range(1, count + 1):
    print("arrived" if send(number, 300_000, patience_s) else "lost", flush=True)
"""


@pytest.mark.slow
@pytest.mark.parametrize("profile, count, patience_s", [(True, 10, HANG_S), (False, 4, 1.5)])
def test_best_effort_clouds_arrive_with_the_profile_and_only_with_it(ros_environment, profile, count, patience_s):
    variables = {key: value for key, value in ros_environment.items() if key != "FASTRTPS_DEFAULT_PROFILES_FILE"}
    if profile:
        variables |= environment({})
    variables["RMW_IMPLEMENTATION"] = "rmw_fastrtps_cpp"
    command, numbers = [sys.executable, "-c", EXCHANGE], [str(count), str(patience_s)]
    pipes = dict(stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    receiver = subprocess.Popen([*command, "receiver", *numbers], env=variables, stderr=subprocess.DEVNULL)
    sender = subprocess.Popen([*command, "sender", *numbers], env=variables, **pipes)
    try:
        results, errors = output_of(sender)
    finally:
        children.end([receiver, sender], [])
    assert sender.returncode == 0, errors
    arrived = results.split().count("arrived")
    assert arrived == count if profile else arrived < count


def test_a_profile_of_the_users_own_is_left_alone():
    unset, mine = dict.fromkeys(PROFILES, ""), {"FASTRTPS_DEFAULT_PROFILES_FILE": "/mine.xml"}
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" not in environment(mine)
    assert Path(environment(os.environ | unset)["FASTRTPS_DEFAULT_PROFILES_FILE"]).name == "fastdds.xml"
    assert environment(mine, "/other.xml")["FASTRTPS_DEFAULT_PROFILES_FILE"] == "/other.xml"
    assert {name: environment(mine, "none")[name] for name in PROFILES} == unset


def test_license_is_complete():
    text = (ROOT / "LICENSE").read_text()
    assert re.search(r"Apache License\s+Version 2.0, January 2004", text) and "END OF TERMS AND CONDITIONS" in text


def test_changelog_is_in_the_form_that_catkin_tools_read():
    """REP-132: title, then a section for each version, newest first; each is a bullet list."""
    lines = (ROOT / "CHANGELOG.rst").read_text().splitlines()
    assert lines[1] == f"Changelog for package {wsss_ros.__name__}" and lines[0] == lines[2] == "^" * len(lines[1])
    heads = [at - 1 for at, line in enumerate(lines) if line and set(line) == {"-"}]
    titles = [lines[at] for at in heads]
    assert all(len(lines[at + 1]) == len(lines[at]) and lines[at + 2].startswith("* ") for at in heads)
    versions = titles[titles[0] == "Forthcoming" :]
    dated = [re.fullmatch(r"(\d+)\.(\d+)\.(\d+) \(\d{4}-\d{2}-\d{2}\)", title) for title in versions]
    assert all(dated) and dated[0][0].startswith(f"{wsss_ros.__version__} (")
    numbers = [tuple(map(int, match.groups())) for match in dated]
    assert numbers == sorted(numbers, reverse=True)
    text = [line for at, line in enumerate(lines[3:], start=3) if line and not {at, at - 1} & set(heads)]
    assert all(line.startswith(("* ", "  ")) for line in text)
