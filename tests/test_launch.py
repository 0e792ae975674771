"""The launch file and `wsss up` start the same set: what each node resolves its name, topics and parameters to."""

import json
import os
import stat
import sys
from pathlib import Path

import pytest
import rclpy
import rclpy.node
from support.paths import ROOT

from wsss_ros import node_set
from wsss_ros.types import BadInput

TOPICS = [
    "color/image_raw",
    "color/image_raw/compressed",
    "color/camera_info",
    "depth/image_rect",
    "depth/camera_info",
    "pose",
    "/tf",
    "cloud",
    "lidar/points",
    "semantic/image_raw",
    "semantic/points",
    "semantic_cloud",
    "tags/scene",
    "weights/cloud",
    "ground_truth/cloud",
    "online_trainer/status",
]

CASES = {
    "live": {},
    "replay": {"bag": "SCENE", "rate": "2", "loop": "true", "device": "cpu", "use_sim_time": ""},
    "robot": {
        "namespace": "robot",
        "color_topic": "/cam/rgb",
        "cloud_topic": "map_cloud",
        "semantic_points_topic": "/labels/points",
        "tf_topic": "tf",
        "depth_camera_info_topic": "/cam/depth/info",
        "pose_source": "tf",
        "fixed_frame": "odom",
        "transport": "compressed",
        "rotate": "90",
        "cloud_segmenter": "false",
        "bag": "SCENE",
        "accumulate": "true",
        "force": "true",
        "exit_on_failure": "false",
    },
    "learning": {
        "bag": "SCENE",
        "online": "true",
        "online_folder": "kept/here",
        "evaluate": "true",
        "tag": "true",
        "viewer": "true",
        "viewer_port": "0",
        "tag_host": "0.0.0.0",
        "tag_port": "0",
        "color_topic": "/cam/rgb",
        "scene_tags_topic": "/operator/tags",
        "cloud_weights_topic": "/fleet/weights",
        "true_cloud_topic": "truth",
        "status_topic": "learning",
        "device": "cpu",
    },
}


@pytest.fixture
def scene(tmp_path) -> Path:
    """A folder whose name a careless reader takes for a number."""
    folder = tmp_path / "1e3"
    folder.mkdir()
    return folder


def given_for(case: str, scene: Path) -> dict[str, str]:
    return {name: str(scene) if value == "SCENE" else value for name, value in CASES[case].items()}


def resolve(arguments: list[str]) -> dict:
    """Name, topics and parameters that rclpy itself reads from the arguments of a process."""
    context = rclpy.Context()
    rclpy.init(args=["node", *arguments], context=context)
    node = rclpy.node.Node("unnamed", context=context, automatically_declare_parameters_from_overrides=True)
    try:
        return {
            "name": node.get_fully_qualified_name(),
            "topics": {topic: node.resolve_topic_name(topic) for topic in TOPICS},
            "parameters": {name: parameter.value for name, parameter in node._parameters.items()},
        }
    finally:
        node.destroy_node()
        rclpy.shutdown(context=context)


def resolved_set(given: dict[str, str]) -> dict[str, dict]:
    processes = node_set.processes(node_set.arguments(given))
    return {process.name: resolve(process.ros_arguments()) for process in processes}


def test_all_nodes_with_classes_take_the_label_file(scene, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.yaml").write_text("classes: [pallet, floor]")
    nodes = resolved_set(given_for("learning", scene) | {"label_space": "own.yaml", "mapper": "true"})
    named = {n for n, node in nodes.items() if node["parameters"].get("label_space") == str(tmp_path / "own.yaml")}
    assert named == set(nodes) - {"cloud_accumulator"}
    others = resolved_set({"label_space": "s3dis"})
    assert others["image_segmenter"]["parameters"]["label_space"] == "s3dis"


def test_live_topics(scene):
    nodes = resolved_set(given_for("live", scene))
    assert set(nodes) == {"image_segmenter", "cloud_segmenter", "cloud_accumulator"}
    assert nodes["image_segmenter"]["name"] == "/image_segmenter"
    assert nodes["image_segmenter"]["topics"] == {topic: f"/{topic.lstrip('/')}" for topic in TOPICS}
    assert not any(node["parameters"]["use_sim_time"] for node in nodes.values())
    assert nodes["cloud_segmenter"]["parameters"]["points"] == 0, "from config/segment.yaml"


def test_a_bag_brings_replay_and_simulated_time(scene):
    nodes = resolved_set(given_for("replay", scene))
    assert set(nodes) == {"image_segmenter", "cloud_segmenter", "replay"}
    replay = nodes["replay"]["parameters"]
    assert (replay["source"], replay["rate"], replay["loop"]) == (str(scene), 2.0, True)
    assert not replay["use_sim_time"], "the node that publishes /clock does not subscribe to it"
    assert nodes["image_segmenter"]["parameters"]["use_sim_time"]
    assert nodes["image_segmenter"]["parameters"]["device"] == "cpu"
    assert nodes["image_segmenter"]["parameters"]["min_confidence"] == -1.0, "as the weights recommend"


def test_a_least_confidence_goes_to_both_segmenters():
    nodes = resolved_set({"min_confidence": "0.4"})
    for name in ("image_segmenter", "cloud_segmenter"):
        assert nodes[name]["parameters"]["min_confidence"] == 0.4


def test_the_nodes_that_take_inputs_of_the_robot_may_give_them_up():
    def given_to(**given: str) -> set[str]:
        nodes = node_set.processes(node_set.arguments({"online": "true", "viewer": "true"} | given))
        return {node.name for node in nodes if node.parameters.get("inputs_timeout_s") == 30.0}

    views = {"image_segmenter", "cloud_accumulator", "online_trainer"}
    assert given_to() == set(), "by default they wait"
    assert given_to(inputs_timeout_s="30") == views, "a missing cloud has its reason in the accumulator"
    assert given_to(inputs_timeout_s="30", accumulate="false") == views - {"cloud_accumulator"} | {"cloud_segmenter"}


def test_namespace_and_topics_of_a_robot(scene):
    nodes = resolved_set(given_for("robot", scene))
    assert nodes["image_segmenter"]["name"] == "/robot/image_segmenter"
    topics = nodes["image_segmenter"]["topics"]
    assert topics["color/image_raw"] == "/cam/rgb" and topics["color/image_raw/compressed"] == "/cam/rgb/compressed"
    assert topics["pose"] == "/robot/pose"
    assert topics["depth/camera_info"] == "/cam/depth/info"
    assert (topics["/tf"], topics["semantic/points"]) == ("/robot/tf", "/labels/points")
    assert nodes["cloud_accumulator"]["topics"]["cloud"] == "/robot/map_cloud"
    assert set(nodes) == {"image_segmenter", "cloud_accumulator", "replay"}, "a node can be left out"
    for name in ("image_segmenter", "cloud_accumulator"):
        given = nodes[name]["parameters"]
        assert (given["pose_source"], given["fixed_frame"], given["transport"]) == ("tf", "odom", "compressed")
        assert given["force"] and not given["exit_on_failure"]
    assert nodes["image_segmenter"]["parameters"]["rotate"] == "90"
    assert nodes["image_segmenter"]["parameters"]["points_stride"] == 2, "the parameter file matches in any namespace"
    assert nodes["replay"]["parameters"]["needs"].split(",")[:2] == ["/cam/rgb", "/cam/rgb/compressed"]


def test_a_recorded_cloud_does_not_mix_with_the_one_built_here(scene):
    given = {"bag": str(scene), "accumulate": "true"}
    nodes = resolved_set(given)
    assert nodes["replay"]["topics"]["cloud"] == "/recorded/cloud"
    assert nodes["cloud_accumulator"]["topics"]["cloud"] == nodes["cloud_segmenter"]["topics"]["cloud"] == "/cloud"


def test_learning_brings_the_trainer_the_evaluator_and_the_page(scene):
    nodes = resolved_set(given_for("learning", scene))
    served = {"tag_page", "viewer"}
    assert set(nodes) == {"image_segmenter", "cloud_segmenter", "replay", "online_trainer", "evaluator"} | served
    trainer, page, viewer = nodes["online_trainer"], nodes["tag_page"], nodes["viewer"]
    assert viewer["parameters"]["host"] == "127.0.0.1" and viewer["parameters"]["port"] == 0
    assert trainer["parameters"]["folder"] == str(Path("kept/here").absolute())
    assert trainer["parameters"]["round_device"] == "cpu" and trainer["parameters"]["use_sim_time"]
    assert trainer["topics"]["color/image_raw"] == page["topics"]["color/image_raw"] == "/cam/rgb"
    assert (page["parameters"]["host"], page["parameters"]["port"]) == ("0.0.0.0", 0)
    assert trainer["topics"]["tags/scene"] == page["topics"]["tags/scene"] == "/operator/tags"
    assert trainer["topics"]["online_trainer/status"] == page["topics"]["online_trainer/status"] == "/learning"
    assert nodes["cloud_segmenter"]["topics"]["weights/cloud"] == "/fleet/weights"
    assert nodes["evaluator"]["topics"]["ground_truth/cloud"] == "/truth"
    assert nodes["replay"]["parameters"]["subscribers"] == 2, "the trainer misses no view; the page subscribes by need"
    nodes = resolved_set({"tag": "true"})
    assert set(nodes) == {"image_segmenter", "cloud_segmenter", "cloud_accumulator", "tag_page"}
    assert nodes["tag_page"]["parameters"].get("host", "127.0.0.1") == "127.0.0.1"


def test_the_mapper_takes_labels_of_any_model_and_a_lidar():
    assert "semantic_mapper" not in resolved_set({})
    names = "wall, 7:car"
    given = {"mapper": "true", "map_file": "kept/map.npz", "label_names": names, "lidar_topic": "/velodyne/points"}
    given |= {"image_segmenter": "false", "semantic_image_topic": "/other/labels", "transport": "compressed"}
    mapper = resolved_set(given)["semantic_mapper"]
    assert mapper["parameters"]["map_file"] == str(Path("kept/map.npz").absolute())
    assert (mapper["parameters"]["label_names"], mapper["parameters"]["points"]) == (names, "lidar")
    assert mapper["topics"]["semantic/image_raw"] == "/other/labels"
    assert mapper["topics"]["lidar/points"] == "/velodyne/points"
    assert resolved_set({"mapper": "true"})["semantic_mapper"]["parameters"]["points"] == "depth"


def test_arguments_win_over_the_parameter_file_and_it_over_the_defaults(tmp_path, scene):
    mine = tmp_path / "mine.yaml"
    mine.write_text("/**/image_segmenter:\n  ros__parameters: {device: cuda, points_stride: 4}\n")
    of_file = resolved_set({"params_file": str(mine)})["image_segmenter"]["parameters"]
    assert (of_file["device"], of_file["points_stride"]) == ("cuda", 4)
    of_argument = resolved_set({"params_file": str(mine), "device": "cpu"})["image_segmenter"]["parameters"]
    assert (of_argument["device"], of_argument["points_stride"]) == ("cpu", 4)


def test_weights_are_made_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "42").write_bytes(b"")
    nodes = resolved_set({"cloud_weights": "42"})
    assert nodes["cloud_segmenter"]["parameters"]["weights"] == str(tmp_path / "42")
    assert nodes["image_segmenter"]["parameters"]["weights"] == ""


@pytest.mark.parametrize(
    "given, expected",
    [
        (
            {},
            "color/image_raw,color/image_raw/compressed,depth/image_rect,depth/image_rect/compressed,"
            "depth/image_rect/compressedDepth,cloud",
        ),
        ({"color_topic": "/rgb"}, "/rgb,/rgb/compressed"),
        ({"color_topic": "/rgb", "cloud_topic": "/map", "cloud_segmenter": "false"}, "/rgb,/rgb/compressed"),
        ({"color_topic": "/rgb", "cloud_topic": "/map"}, "/rgb,/rgb/compressed;/map"),
        ({"depth_topic": "/d"}, "/d,/d/compressed,/d/compressedDepth"),
        ({"image_segmenter": "false"}, "cloud"),
    ],
)
def test_a_recording_has_to_have_each_topic_that_was_named(scene, given, expected):
    processes = node_set.processes(node_set.arguments({"bag": str(scene)} | given))
    assert {each.name: each for each in processes}["replay"].parameters["needs"] == expected


@pytest.mark.parametrize("looks, shown_by", [("rviz", "rviz2"), ("viewer", "viewer"), ("", "")])
def test_the_set_ends_with_the_replay_unless_someone_watches(scene, looks, shown_by):
    given = {"bag": str(scene)} | ({looks: "true"} if looks else {})
    processes = {p.name: p for p in node_set.processes(node_set.arguments(given))}
    assert processes["replay"].ends_the_set is not bool(looks)
    assert {"rviz2", "viewer"} & set(processes) == {shown_by} - {""}


@pytest.mark.parametrize(
    "text, message",
    [
        ("bagg:=x", "'bag'"),
        ("rate:=0", "rate: input should be greater than 0, got '0'"),
        ("loop:=perhaps", "loop"),
        ("scene.mcap", "expected NAME:=VALUE, such as bag:=scene.mcap"),
        ("bag:=/nowhere/scene.mcap", "no such file or folder"),
        ("image_weights:=/nowhere/w", "no such file or folder"),
        ("params_file:=/nowhere/p.yaml", "no such file or folder"),
        ("pose_source:=gps", "pose_source: input should be 'auto', 'topic' or 'tf'"),
        ("profile:=/nowhere/p.xml", "no such file or folder"),
        ("tag_port:=70000", "tag_port: input should be less than or equal to 65535"),
    ],
)
def test_bad_arguments(text, message):
    with pytest.raises(BadInput, match=message.replace("(", r"\(")):
        node_set.processes(node_set.arguments([text]))


# --- the launch file itself ---

PROBE = f"""#!{sys.executable}
import faulthandler, json, pathlib, sys
faulthandler.dump_traceback_later(60, exit=True)  # Fast DDS sometimes hangs at the end of a participant
sys.path[:0] = [{str(ROOT)!r}, {str(ROOT / "tests")!r}]
from test_launch import resolve
answer = resolve(sys.argv[1:])
import os
answer["profile"] = os.environ.get("FASTRTPS_DEFAULT_PROFILES_FILE")
pathlib.Path({{out!r}}, pathlib.Path(sys.argv[0]).name).write_text(json.dumps(answer))
"""


@pytest.fixture
def probes(tmp_path, monkeypatch) -> Path:
    """An installed package wsss_ros whose executables only write down what they were started with."""
    out, prefix = tmp_path / "out", tmp_path / "prefix"
    executables = prefix / "lib" / "wsss_ros"
    index = prefix / "share" / "ament_index" / "resource_index" / "packages"
    for folder in (out, executables, index):
        folder.mkdir(parents=True)
    (index / "wsss_ros").touch()
    nodes = ("image_segmenter", "cloud_segmenter", "cloud_accumulator", "replay")
    for name in (*nodes, "online_trainer", "evaluator", "tag_page", "viewer"):
        (executables / name).write_text(PROBE.format(out=str(out)))
        (executables / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{prefix}:{os.environ.get('AMENT_PREFIX_PATH', '')}".rstrip(":"))
    monkeypatch.delenv("FASTRTPS_DEFAULT_PROFILES_FILE", raising=False)
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    return out


def launched(given: dict[str, str]) -> int:
    reason = "the launch file needs launch and launch_ros, which come with a ROS 2 installation and not from PyPI"
    pytest.importorskip("launch", reason=reason)
    pytest.importorskip("launch_ros", reason=reason)
    from launch.actions import IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource

    source = PythonLaunchDescriptionSource(str(ROOT / "launch" / "segment.launch.py"))
    return run_launch([IncludeLaunchDescription(source, launch_arguments=given.items())])


def run_launch(actions: list) -> int:
    """The status of a launch of these actions."""
    from launch import LaunchDescription, LaunchService

    service = LaunchService(noninteractive=True)
    service.include_launch_description(LaunchDescription(actions))
    return service.run()


@pytest.mark.parametrize("case", CASES)
def test_launch_file_starts_the_same_as_up(case, scene, probes):
    given = given_for(case, scene)
    assert launched(given) == 0
    answers = {file.name: json.loads(file.read_text()) for file in probes.iterdir()}
    assert {answer.pop("profile") for answer in answers.values()} == {str(ROOT / "config" / "fastdds.xml")}
    assert answers == resolved_set(given)


def test_a_failed_node_ends_the_launch_with_its_reason_as_the_last_line(probes, tmp_path, caplog):
    executables = tmp_path / "prefix" / "lib" / "wsss_ros"
    fails = "print('[ERROR] [1.5] [image_segmenter]: configure failed: no CUDA'); print('bye'); sys.exit(1)"
    for name, body in {"image_segmenter": fails, "cloud_segmenter": "time.sleep(3600)"}.items():
        (executables / name).write_text(f"#!{sys.executable}\nimport sys, time\n{body}\n")
    assert launched({}) == 1
    assert caplog.messages[-1].endswith("image_segmenter failed with status 1: configure failed: no CUDA")


def test_a_launch_file_that_includes_it_keeps_its_own_environment_and_names(scene, probes):
    """In a group with a namespace; the profile is that of these nodes only."""
    pytest.importorskip("launch_ros")
    from launch.actions import GroupAction, IncludeLaunchDescription
    from launch.launch_description_sources import PythonLaunchDescriptionSource
    from launch_ros.actions import PushRosNamespace

    source = PythonLaunchDescriptionSource(str(ROOT / "launch" / "segment.launch.py"))
    included = IncludeLaunchDescription(source, launch_arguments={"cloud_segmenter": "false"}.items())
    assert run_launch([GroupAction([PushRosNamespace("robot"), included])]) == 0
    answers = {file.name: json.loads(file.read_text()) for file in probes.iterdir()}
    assert {answer["name"] for answer in answers.values()} == {"/robot/image_segmenter", "/robot/cloud_accumulator"}
    assert "FASTRTPS_DEFAULT_PROFILES_FILE" not in os.environ


def test_every_argument_is_explained():
    pytest.importorskip("launch_ros")
    from importlib.machinery import SourceFileLoader
    from importlib.util import module_from_spec, spec_from_loader

    spec = spec_from_loader("segment", SourceFileLoader("segment", str(ROOT / "launch" / "segment.launch.py")))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    shown = module.generate_launch_description().get_launch_arguments()
    assert {argument.name for argument in shown} == set(node_set.Arguments.model_fields)
    assert all(len(argument.description) > 8 for argument in shown)


def test_launch_file_refuses_bad_arguments(probes):
    assert launched({"bag": "/nowhere/scene.mcap"}) == 1
    assert not list(probes.iterdir())
