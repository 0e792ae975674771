"""The set of processes that segments a stream: one description, which the launch file and `wsss up` both start.

`arguments` turns NAME:=VALUE texts into Arguments, `processes` turns those into Processes, `environment` has the
variables that all of them need. Nothing here starts a process.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from wsss_ros.bags.bag import Bag, is_bag
from wsss_ros.bags.cdr import CLOUD
from wsss_ros.config import Config, RosName, build, share
from wsss_ros.files import expanded
from wsss_ros.types import BadInput

# Seconds between the end of a replay and the end of the set: the last cloud may still be on its way.
LINGER_S = 2.0
# Seconds a node may take to end after SIGINT, and after the SIGTERM that then follows, before it is killed.
PATIENCE_S = (10.0, 5.0)
# Nodes with this variable end when the process that started them ends, also where it was killed.
END_WITH_PARENT = "WSSS_ROS_END_WITH_PARENT"

# The arguments that rename topics, by the names of the topics in the nodes: what the nodes take, and what they publish.
TOPIC_ARGUMENTS = {
    "color/image_raw": "color_topic",
    "color/camera_info": "camera_info_topic",
    "depth/image_rect": "depth_topic",
    "depth/camera_info": "depth_camera_info_topic",
    "pose": "pose_topic",
    "/tf": "tf_topic",
    "/tf_static": "tf_static_topic",
    "cloud": "cloud_topic",
    "lidar/points": "lidar_topic",
}
# What comes out, and what learning and its evaluation need.
FURTHER_ARGUMENTS = {
    "semantic/image_raw": "semantic_image_topic",
    "semantic/confidence": "semantic_confidence_topic",
    "semantic_color/image_raw": "semantic_color_topic",
    "semantic_overlay/image_raw": "semantic_overlay_topic",
    "semantic/points": "semantic_points_topic",
    "semantic_cloud": "semantic_cloud_topic",
    "semantic_map": "semantic_map_topic",
    "label_info": "label_info_topic",
    "tags/image": "image_tags_topic",
    "tags/scene": "scene_tags_topic",
    "weights/image": "image_weights_topic",
    "weights/cloud": "cloud_weights_topic",
    "online_trainer/status": "status_topic",
    "ground_truth/semantic/image_raw": "true_image_topic",
    "ground_truth/cloud": "true_cloud_topic",
}
_VIEW_PARAMETERS = ("pose_source", "fixed_frame", "transport", "depth_transport", "sync_tolerance_s")
PROFILES = ("FASTRTPS_DEFAULT_PROFILES_FILE", "FASTDDS_DEFAULT_PROFILES_FILE")  # Fast DDS reads either variable
NO_PROFILE = "none"


class Arguments(Config):
    """What can be chosen at the launch; None leaves it to the parameter file."""

    bag: str = Field("", description="A bag or a scene folder to replay; empty for live topics.")
    rate: float | None = Field(None, gt=0, le=100, description="Speed of the replay against the recording.")
    loop: bool | None = Field(None, description="Start the replay over at its end.")
    device: str | None = Field(None, description="auto, cpu, cuda or cuda:N, for both networks.")
    image_weights: str | None = Field(None, description="Checkpoint of the image network; else the one that ships.")
    cloud_weights: str | None = Field(None, description="Checkpoint of the cloud network; else the one that ships.")
    label_space: str | None = Field(None, description="Label file or checkpoint: classes of all nodes; else scannet20.")
    min_confidence: float | None = Field(
        None, ge=-1, le=1, description="Labels with less confidence become 255; -1: as the weights recommend, 0: none."
    )
    params_file: str = Field("", description="Parameters of all nodes; empty for config/segment.yaml.")
    profile: str = Field(
        "", description="Fast DDS profile of all nodes; empty: yours, else one for large messages; none: no profile."
    )
    namespace: RosName = Field("", description="Namespace of all nodes, and so of all topics with relative names.")
    force: bool = Field(False, description="Start also where such a set runs in the same namespace and domain already.")
    exit_on_failure: bool = Field(
        True,
        description="A node that fails, also at its start, ends the set with status 1; false: the others go on, and a "
        "node that cannot start waits for the lifecycle services.",
    )
    inputs_timeout_s: float | None = Field(
        None,
        ge=0,
        le=86_400,
        description="Seconds after which an input topic on which nothing has come ends the set with status 1; else 0: "
        "the nodes report it and wait, since a camera may be switched on later.",
    )
    image_segmenter: bool = Field(True, description="Segment images.")
    cloud_segmenter: bool = Field(True, description="Segment clouds.")
    rviz: bool = Field(False, description="Show images and clouds in RViz; the set then outlives the replay.")
    use_sim_time: bool | None = Field(None, description="Take the time from /clock; by default with a bag.")
    accumulate: bool | None = Field(
        None, description="Build `cloud` from depth and poses here; by default unless a replayed bag has it."
    )
    mapper: bool = Field(False, description="Build a semantic map from label images, depth (or LiDAR) and poses.")
    map_file: str | None = Field(None, description="File of this map: read at the start, written at the end.")
    label_names: str | None = Field(
        None, description="Names of the ids of another model's label images for the map, such as 'wall, floor, 7:car'."
    )
    online: bool = Field(False, description="Collect tagged scenes and learn from them while the nodes run.")
    online_folder: str | None = Field(None, description="Where scenes and weights are kept; else ~/.wsss_ros/online.")
    evaluate: bool = Field(False, description="Score what is published against ground_truth/* topics.")
    evaluation_folder: str | None = Field(None, description="Where the scores are written; else evaluation.")
    tag: bool = Field(False, description="Serve the web page to tag with.")
    tag_host: str | None = Field(None, description="Its address; else 127.0.0.1. 0.0.0.0 lets other machines tag.")
    tag_port: int | None = Field(None, ge=0, le=65_535, description="Its port; else 8080.")
    viewer: bool = Field(False, description="Serve a 3D page of cloud, camera and classes; outlives the replay.")
    viewer_host: str | None = Field(None, description="Its address; else 127.0.0.1. 0.0.0.0 lets other machines look.")
    viewer_port: int | None = Field(None, ge=0, le=65_535, description="Its port; else 8081.")
    pose_source: Literal["auto", "topic", "tf"] | None = Field(
        None, description="Where camera poses come from: topic, tf, or auto for the topic where it has a publisher."
    )
    fixed_frame: str | None = Field(None, description="World frame of poses and clouds; else map.")
    rotate: Literal["auto", "0", "90", "180", "270"] | None = Field(
        None, description="Degrees that turn images of a mounted camera to the right until they are upright; or auto."
    )
    transport: Literal["auto", "raw", "compressed"] | None = Field(
        None, description="Transport of the colour images; else auto: the first with a publisher, unless it is silent."
    )
    depth_transport: Literal["auto", "raw", "compressedDepth", "compressed"] | None = Field(
        None, description="Transport of the depth images; else auto."
    )
    sync_tolerance_s: float | None = Field(None, ge=0, le=1, description="Stamps of one view may differ by this much.")
    color_topic: RosName = Field(
        "color/image_raw", description="Colour images; compressed ones are taken from it + '/compressed'."
    )
    camera_info_topic: RosName = Field("color/camera_info", description="Calibration of the colour images.")
    depth_topic: RosName = Field("depth/image_rect", description="Depth images; compressed: it + '/compressedDepth'.")
    depth_camera_info_topic: RosName = Field(
        "", description="Calibration of the depth images, where they are not registered; empty: next to depth_topic."
    )
    pose_topic: RosName = Field("pose", description="Pose of the camera's optical frame in the fixed frame.")
    tf_topic: RosName = Field("/tf", description="Transforms; a robot with a namespace may have its own.")
    tf_static_topic: RosName = Field("/tf_static", description="Static transforms.")
    cloud_topic: RosName = Field("cloud", description="The accumulated cloud.")
    lidar_topic: RosName = Field("", description="Scans of a LiDAR, for the semantic map in place of depth images.")
    semantic_image_topic: RosName = Field(
        "semantic/image_raw", description="Result: label images; those of another model for the semantic map."
    )
    label_info_topic: RosName = Field("label_info", description="Names of the ids of the label images.")
    semantic_confidence_topic: RosName = Field("semantic/confidence", description="Result: confidence of each pixel.")
    semantic_color_topic: RosName = Field("semantic_color/image_raw", description="Result: images in class colours.")
    semantic_overlay_topic: RosName = Field("semantic_overlay/image_raw", description="Result: colours over images.")
    semantic_points_topic: RosName = Field("semantic/points", description="Result: labelled points of each view.")
    semantic_cloud_topic: RosName = Field("semantic_cloud", description="Result: the labelled cloud.")
    semantic_map_topic: RosName = Field("semantic_map", description="Result: the semantic map.")
    image_tags_topic: RosName = Field("tags/image", description="Tags of single images, for learning.")
    scene_tags_topic: RosName = Field("tags/scene", description="Tags of the present scene, for learning.")
    image_weights_topic: RosName = Field("weights/image", description="Path of new weights for the image network.")
    cloud_weights_topic: RosName = Field("weights/cloud", description="Path of new weights for the cloud network.")
    status_topic: RosName = Field("online_trainer/status", description="What learning does; the tag page shows it.")
    true_image_topic: RosName = Field("ground_truth/semantic/image_raw", description="Label images to score against.")
    true_cloud_topic: RosName = Field("ground_truth/cloud", description="The labelled cloud to score against.")


@dataclass(frozen=True)
class Process:
    """One node process. Those of this package are found by executable (`ros2 run`) or by module (`python -m`)."""

    executable: str
    package: str = "wsss_ros"
    module: str | None = None
    parameters: Mapping[str, bool | float | str] = field(default_factory=dict)
    params_file: str | None = None
    remaps: Mapping[str, str] = field(default_factory=dict)
    namespace: str = ""
    arguments: tuple[str, ...] = ()
    profile: str = ""  # of Fast DDS; see ``environment``
    ends_the_set: bool = False  # when it ends, the others end LINGER_S later
    needed: bool = True  # when it fails, the others end at once

    @property
    def name(self) -> str:
        """Name of the node."""
        return self.executable

    def ros_arguments(self) -> list[str]:
        """The words after the executable or module that give all of this to rclpy."""
        words = ["--ros-args", "-r", f"__node:={self.name}"]
        if self.namespace:
            words += ["-r", f"__ns:=/{self.namespace.strip('/')}"]
        if self.params_file:
            words += ["--params-file", self.params_file]
        for key, value in self.parameters.items():
            # The value is parsed as YAML. With quotes, a path such as 007 stays a text.
            words += ["-p", f"{key}:={json.dumps(value)}"]
        for old, new in self.remaps.items():
            words += ["-r", f"{old}:={new}"]
        return [*self.arguments, *words]


def arguments(given: Iterable[str] | Mapping[str, str]) -> Arguments:
    """Read `NAME:=VALUE` texts, or a mapping of such texts. An empty value counts as not given.

    Raises BadInput for a text without ``:=``, an unknown name (with the nearest known one) or a bad value.
    """
    if not isinstance(given, Mapping):
        given = dict(map(_split, given))
    return build(Arguments, {name: value for name, value in given.items() if value != ""}, "arguments")


def processes(given: Arguments) -> list[Process]:
    """The processes to start. Raises BadInput where a file that was named is missing."""
    accumulate = given.accumulate if given.accumulate is not None else not _has_cloud(given)
    sim_time = given.use_sim_time if given.use_sim_time is not None else bool(given.bag)
    topics = _view_topics(given) | {"cloud": given.cloud_topic}
    topics |= {topic: getattr(given, argument) for topic, argument in FURTHER_ARGUMENTS.items()}

    def node(executable: str, **parameters) -> Process:
        return _node(given, executable, topics, {"use_sim_time": sim_time} | parameters)

    awaited = {"inputs_timeout_s": given.inputs_timeout_s}
    views = {name: getattr(given, name) for name in _VIEW_PARAMETERS} | awaited
    network: dict[str, Any] = {"device": given.device, "min_confidence": given.min_confidence}
    weights = {kind: _weights(f"{kind}_weights", given) for kind in ("image", "cloud")}
    chosen = []
    if given.image_segmenter:
        chosen.append(node("image_segmenter", weights=weights["image"], rotate=given.rotate, **network, **views))
    if given.cloud_segmenter:
        # A cloud that is accumulated here has its reason for not coming in the accumulator.
        chosen.append(node("cloud_segmenter", weights=weights["cloud"], **network, **({} if accumulate else awaited)))
    if accumulate:
        chosen.append(node("cloud_accumulator", **views))
    if given.mapper:
        chosen.append(node("semantic_mapper", **_mapping(given), **(views | {"transport": None})))
    if given.online:
        learning = {f"{kind}_weights": path for kind, path in weights.items()} | {"round_device": given.device}
        chosen.append(node("online_trainer", folder=_absolute_path(given.online_folder), **learning, **views))
    if given.evaluate:
        chosen.append(node("evaluator", output=_absolute_path(given.evaluation_folder)))
    if given.tag:
        chosen.append(node("tag_page", host=given.tag_host, port=given.tag_port))
    if given.viewer:
        page = {"host": given.viewer_host, "port": given.viewer_port}
        chosen.append(node("viewer", **page, pose_source=given.pose_source, fixed_frame=given.fixed_frame))
    if given.bag:
        chosen.append(_replay(given, accumulate))
    if given.rviz:
        chosen.append(_rviz(given, sim_time))
    return chosen


def _mapping(given: Arguments) -> dict[str, Any]:
    """The parameters of the mapper that are arguments of the set."""
    points = "lidar" if given.lidar_topic else None
    return {"map_file": _absolute_path(given.map_file), "label_names": given.label_names, "points": points}


def _node(
    given: Arguments, executable: str, topics: Mapping[str, str], parameters: dict[str, Any], ends_the_set: bool = False
) -> Process:
    """A node of this package. Parameters that are None are left to the parameter file."""
    params_file = _existing("params_file", given.params_file) if given.params_file else share("config/segment.yaml")
    parameters = ({} if given.exit_on_failure else {"exit_on_failure": False}) | parameters
    parameters |= {"force": True} if given.force else {}
    if executable != "cloud_accumulator":  # it has no classes
        parameters["label_space"] = _label_file(given)
    return Process(
        executable,
        module=f"wsss_ros.nodes.{executable}",
        parameters={key: value for key, value in parameters.items() if value is not None},
        params_file=str(params_file),
        remaps={old: new for old, new in topics.items() if old != new},
        namespace=given.namespace,
        profile=_profile(given),
        ends_the_set=ends_the_set,
        needed=given.exit_on_failure,
    )


def _replay(given: Arguments, accumulate: bool) -> Process:
    # Where the cloud is built here, the recorded one must not mix with it.
    aside = {given.cloud_topic: "recorded/cloud"} if accumulate else {}
    parameters: dict[str, Any] = {"source": str(_existing("bag", given.bag)), "rate": given.rate, "loop": given.loop}
    # The accumulator is ready long before the segmenter has loaded its weights: the replay waits for all of them.
    parameters |= {"wait_for_subscribers_s": 60.0, "needs": ";".join(map(",".join, _needed_topics(given, accumulate)))}
    parameters["subscribers"] = max(1, given.image_segmenter + accumulate + given.online)
    return _node(given, "replay", aside, parameters, ends_the_set=not (given.rviz or given.viewer))


def doctor(given: Arguments, seconds: float) -> Process:
    """The process that listens to the inputs of this set for some seconds and prints what it finds."""
    topics = _view_topics(given) | {"cloud": given.cloud_topic}
    parameters: dict[str, Any] = {"seconds": seconds, "use_sim_time": bool(given.use_sim_time)}
    parameters |= {"fixed_frame": given.fixed_frame, "sync_tolerance_s": given.sync_tolerance_s}
    return Process(
        "doctor",
        module="wsss_ros.nodes.doctor",
        parameters={key: value for key, value in parameters.items() if value is not None},
        remaps={old: new for old, new in topics.items() if old != new},
        namespace=given.namespace,
        profile=_profile(given),
    )


def as_text(default: object) -> str:
    """A default as it is written on the command line; nothing for None."""
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def environment(current: Mapping[str, str], profile: str = "") -> dict[str, str]:
    """Variables to add to ``current``: the Fast DDS profile of ``profile``, and that nodes end with their parent.

    An empty ``profile`` is that of the user, else the one for large messages; ``none`` is none.
    """
    chosen = {END_WITH_PARENT: "1"}
    if profile == NO_PROFILE:
        return chosen | dict.fromkeys(PROFILES, "")
    if profile or not any(map(current.get, PROFILES)):
        chosen[PROFILES[0]] = profile or str(share("config/fastdds.xml"))
    return chosen


def _view_topics(given: Arguments) -> dict[str, str]:
    topics = {topic: getattr(given, argument) for topic, argument in TOPIC_ARGUMENTS.items() if topic != "cloud"}
    topics |= {"color/image_raw/compressed": f"{given.color_topic}/compressed"}
    return {topic: name for topic, name in topics.items() if name}


def _needed_topics(given: Arguments, accumulate: bool) -> list[list[str]]:
    """Lists of topics; a recording has to have one of each: those that were named, else all that nodes take."""
    endings = {"color_topic": ("", "/compressed"), "depth_topic": ("", "/compressed", "/compressedDepth")}
    views = given.image_segmenter or accumulate or given.online or given.mapper
    lists = {name: [getattr(given, name) + end for end in ends] for name, ends in endings.items() if views}
    lists |= {"cloud_topic": [given.cloud_topic]} if not views or (given.cloud_segmenter and not accumulate) else {}
    named = [topics for name, topics in lists.items() if getattr(given, name) != Arguments.model_fields[name].default]
    return named or [[topic for topics in lists.values() for topic in topics]]


def _rviz(given: Arguments, sim_time: bool) -> Process:
    """RViz. Its file has absolute topic names; remaps lead to a namespace and to other names of the inputs."""
    clouds = ("semantic/points", "semantic_cloud", "semantic_map")
    results = ("semantic_overlay/image_raw", "semantic_color/image_raw", *clouds)
    shown = {"color/image_raw": given.color_topic, "cloud": given.cloud_topic}
    shown |= {name: getattr(given, FURTHER_ARGUMENTS[name]) for name in results}
    remaps = {f"/{name}": _absolute(topic, given.namespace) for name, topic in shown.items()}
    return Process(
        "rviz2",
        package="rviz2",
        arguments=("-d", str(share("config/segment.rviz"))),
        needed=False,
        parameters={"use_sim_time": sim_time},
        remaps={name: topic for name, topic in remaps.items() if name != topic},
    )


def _absolute(topic: str, namespace: str) -> str:
    space = namespace.strip("/")
    return topic if topic.startswith("/") else f"/{space}/{topic}" if space else f"/{topic}"


def _profile(given: Arguments) -> str:
    return str(_existing("profile", given.profile)) if given.profile not in ("", NO_PROFILE) else given.profile


def _absolute_path(path: str | None) -> str | None:
    return path and str(expanded(path).absolute())


def _has_cloud(given: Arguments) -> bool:
    """Whether what is replayed has the topic that the cloud segmenter takes. A scene folder makes it."""
    path = expanded(given.bag)
    if not given.bag or not is_bag(path):
        return bool(given.bag)
    try:
        topics = Bag(path).topics
    except BadInput:
        return True  # the replay reports what is wrong with the bag
    return any(topic.msgtype == CLOUD and topic.name.strip("/") == given.cloud_topic.strip("/") for topic in topics)


def _weights(name: str, given: Arguments) -> str | None:
    path = getattr(given, name)
    return path and str(_existing(name, path))


def _label_file(given: Arguments) -> str | None:
    name = given.label_space
    return _absolute_path(name) if name and expanded(name).exists() else name


def _existing(name: str, path: str) -> Path:
    found = expanded(path).absolute()
    if not found.exists():
        raise BadInput(f"{name}:={path}: no such file or folder; expected a path that exists ({found} does not)")
    return found


def _split(text: str) -> tuple[str, str]:
    name, sign, value = text.partition(":=")
    if not sign:
        raise BadInput(f"'{text}': expected NAME:=VALUE, such as bag:=scene.mcap")
    return name.removeprefix("--"), value
