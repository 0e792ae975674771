"""The set of processes that segments a stream: one description, which the launch file and `wsss up` both start.

`arguments` turns NAME:=VALUE texts into Arguments, `processes` turns those into Processes, `environment` has the
variables that all of them need, `has_failed` and `failure` judge the end of one. Nothing here starts a process.
"""

import json
import re
import signal
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import Field

from wsss_ros.config import Config, build, share
from wsss_ros.types import BadInput

# Seconds between the end of a replay and the end of the set: the last cloud may still be on its way.
LINGER_S = 2.0
# Seconds a node may take to end after SIGINT, and after the SIGTERM that then follows, before it is killed.
PATIENCE_S = (10.0, 5.0)
# Signals that ask the set, or a process of it, to end.
ENDINGS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Nodes with this variable end when the process that started them ends, also where it was killed.
END_WITH_PARENT = "WSSS_ROS_END_WITH_PARENT"

# The topics that the nodes take, by their names in the nodes: the arguments that rename them.
TOPIC_ARGUMENTS = {
    "color/image_raw": "color_topic",
    "color/camera_info": "camera_info_topic",
    "depth/image_rect": "depth_topic",
    "pose": "pose_topic",
    "cloud": "cloud_topic",
}
_LOGGED_ERROR = re.compile(r"(?:\x1b\[\d*m)*\[(?:ERROR|FATAL)\] \[[\d.]+\] \[[^]]*\]: ([^\x1b]*)")  # by rclpy
_PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"


class Arguments(Config):
    """What can be chosen at the launch; None leaves it to the parameter file."""

    bag: str = Field("", description="A bag or a scene folder to replay; empty for live topics.")
    rate: float | None = Field(None, gt=0, le=100, description="Speed of the replay against the recording.")
    loop: bool | None = Field(None, description="Start the replay over at its end.")
    device: str | None = Field(None, description="auto, cpu, cuda or cuda:N, for both networks.")
    image_weights: str | None = Field(None, description="Checkpoint of the image network; else the one that ships.")
    cloud_weights: str | None = Field(None, description="Checkpoint of the cloud network; else the one that ships.")
    min_confidence: float | None = Field(
        None, ge=-1, le=1, description="Labels with less confidence become 255; -1: as the weights recommend, 0: none."
    )
    params_file: str = Field("", description="Parameters of all nodes; empty for config/segment.yaml.")
    namespace: str = Field("", description="Namespace of all nodes, and so of all topics with relative names.")
    force: bool = Field(
        False, description="Start also where such a set runs in the same namespace and domain already."
    )
    exit_on_failure: bool = Field(
        True,
        description="A node that fails, also at its start, ends the set with status 1; false: the others go on, and a "
        "node that cannot start waits for the lifecycle services.",
    )
    rviz: bool = Field(False, description="Show images and clouds in RViz; the set then outlives the replay.")
    use_sim_time: bool | None = Field(None, description="Take the time from /clock; by default with a bag.")
    accumulate: bool | None = Field(
        None, description="Build `cloud` from depth and poses here; by default where no bag is replayed."
    )
    online: bool = Field(False, description="Collect tagged scenes and learn from them while the nodes run.")
    online_folder: str | None = Field(None, description="Where scenes and weights are kept; else ~/.wsss_ros/online.")
    evaluate: bool = Field(False, description="Score what is published against ground_truth/* topics.")
    tag: bool = Field(False, description="Serve the web page to tag with.")
    tag_host: str | None = Field(None, description="Its address; else 127.0.0.1. 0.0.0.0 lets other machines tag.")
    tag_port: int | None = Field(None, ge=0, le=65_535, description="Its port; else 8080.")
    viewer: bool = Field(False, description="Serve a 3D page of cloud, camera and classes; outlives the replay.")
    viewer_host: str | None = Field(None, description="Its address; else 127.0.0.1. 0.0.0.0 lets other machines look.")
    viewer_port: int | None = Field(None, ge=0, le=65_535, description="Its port; else 8081.")
    color_topic: str = Field("color/image_raw", description="Colour images; JPEGs are taken from it + '/compressed'.")
    camera_info_topic: str = Field("color/camera_info", description="Calibration of the colour images.")
    depth_topic: str = Field("depth/image_rect", description="Depth registered to the colour images.")
    pose_topic: str = Field("pose", description="Pose of the camera's optical frame in the map.")
    cloud_topic: str = Field("cloud", description="The accumulated cloud.")


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


class Tail:
    """The end of what a process writes, for the reason of its failure."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=50)

    def add(self, line: str) -> None:
        """Take one line."""
        if line.strip():
            self._lines.append(line)

    def reason(self) -> str:
        """The last line that was logged as an error, or the last line where a traceback came after it."""
        for line in reversed(self._lines):
            if line.startswith("Traceback"):
                break
            if text := _LOGGED_ERROR.match(line):
                return text[1]
        return self._lines[-1] if self._lines else "it wrote nothing"


def has_failed(status: int, asked: bool) -> bool:
    """A process that was asked to end may end with any status, even while it starts, but not crash or be killed."""
    return status < 0 and -status not in ENDINGS if asked else status != 0


def failure(name: str, status: int, reason: str) -> str:
    """One sentence about a process that has failed."""
    if status >= 0:
        return f"{name} failed with status {status}: {reason}"
    number = -status
    known = signal.Signals(number).name if number in signal.valid_signals() else f"signal {number}"
    return f"{name} was ended by {known}; its last line: {reason}"


def arguments(given: Iterable[str] | Mapping[str, str]) -> Arguments:
    """Read `NAME:=VALUE` texts, or a mapping of such texts. An empty value counts as not given.

    Raises BadInput for a text without ``:=``, an unknown name (with the nearest known one) or a bad value.
    """
    if not isinstance(given, Mapping):
        given = dict(map(_split, given))
    return build(Arguments, {name: value for name, value in given.items() if value != ""}, "arguments")


def processes(given: Arguments) -> list[Process]:
    """The processes to start. Raises BadInput where a file that was named is missing."""
    params_file = _existing("params_file", given.params_file) if given.params_file else share("config/segment.yaml")
    accumulate = given.accumulate if given.accumulate is not None else not given.bag
    sim_time = given.use_sim_time if given.use_sim_time is not None else bool(given.bag)

    def node(executable: str, remaps: Mapping[str, str], ends_the_set: bool = False, **parameters) -> Process:
        if not given.exit_on_failure:
            parameters["exit_on_failure"] = False
        if given.force:
            parameters["force"] = True
        given_parameters = {key: value for key, value in parameters.items() if value is not None}
        module = f"wsss_ros.nodes.{executable}"
        return Process(
            executable,
            module=module,
            parameters=given_parameters,
            params_file=str(params_file),
            remaps={old: new for old, new in remaps.items() if old != new},
            namespace=given.namespace,
            ends_the_set=ends_the_set,
            needed=given.exit_on_failure,
        )

    views, cloud = _view_topics(given), {"cloud": given.cloud_topic}
    image_weights, cloud_weights = _weights("image_weights", given), _weights("cloud_weights", given)
    of_both: dict[str, Any] = {"use_sim_time": sim_time, "device": given.device, "min_confidence": given.min_confidence}
    chosen = [
        node("image_segmenter", views, weights=image_weights, **of_both),
        node("cloud_segmenter", cloud, weights=cloud_weights, **of_both),
    ]
    if accumulate:
        chosen.append(node("cloud_accumulator", views | cloud, use_sim_time=sim_time))
    if given.online:
        kept = given.online_folder and str(Path(given.online_folder).expanduser().absolute())
        learning: dict[str, Any] = {"folder": kept, "image_weights": image_weights, "cloud_weights": cloud_weights}
        learning |= {"round_device": given.device, "use_sim_time": sim_time}
        chosen.append(node("online_trainer", views | cloud, **learning))
    if given.evaluate:
        chosen.append(node("evaluator", {}, use_sim_time=sim_time))
    if given.tag:
        chosen.append(node("tag_page", views, use_sim_time=sim_time, host=given.tag_host, port=given.tag_port))
    if given.viewer:
        page: dict[str, Any] = {"host": given.viewer_host, "port": given.viewer_port, "use_sim_time": sim_time}
        chosen.append(node("viewer", views | cloud, **page))
    if given.bag:
        # Where the cloud is built here, the recorded one must not mix with it.
        aside = {given.cloud_topic: "recorded/cloud"} if accumulate else {}
        # The accumulator is ready long before the segmenter has loaded its weights: the replay waits for all of them.
        replayed = {"source": str(_existing("bag", given.bag)), "wait_for_subscribers_s": 60.0}
        replayed["subscribers"] = 1 + accumulate + given.online
        replayed["needs"] = ",".join(_replayed_topics(given))
        ends = not (given.rviz or given.viewer)
        chosen.append(node("replay", aside, ends_the_set=ends, rate=given.rate, loop=given.loop, **replayed))
    if given.rviz:
        chosen.append(_rviz(given, sim_time))
    return chosen


def as_text(default: object) -> str:
    """A default as it is written on the command line; nothing for None."""
    return "" if default is None else str(default).lower() if isinstance(default, bool) else str(default)


def environment(current: Mapping[str, str]) -> dict[str, str]:
    """Variables to add to ``current``: the Fast DDS profile for large messages, unless the user has chosen one."""
    profile = {} if current.get(_PROFILE) else {_PROFILE: str(share("config/fastdds.xml"))}
    return {END_WITH_PARENT: "1"} | profile


def _view_topics(given: Arguments) -> dict[str, str]:
    topics = {topic: getattr(given, argument) for topic, argument in TOPIC_ARGUMENTS.items() if topic != "cloud"}
    return topics | {"color/image_raw/compressed": f"{given.color_topic}/compressed"}


def _replayed_topics(given: Arguments) -> list[str]:
    """What the nodes take of a recording; it has some of these."""
    color, depth = given.color_topic, given.depth_topic
    return [color, f"{color}/compressed", depth, f"{depth}/compressedDepth", given.cloud_topic]


def _rviz(given: Arguments, sim_time: bool) -> Process:
    """RViz. Its file has absolute topic names; remaps lead to a namespace and to other names of the inputs."""
    results = ("semantic_overlay/image_raw", "semantic_color/image_raw", "semantic/points", "semantic_cloud")
    shown = {"color/image_raw": given.color_topic, "cloud": given.cloud_topic} | {name: name for name in results}
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


def _weights(name: str, given: Arguments) -> str | None:
    path = getattr(given, name)
    return path and str(_existing(name, path))


def _existing(name: str, path: str) -> Path:
    found = Path(path).expanduser().absolute()
    if not found.exists():
        raise BadInput(f"{name}:={path}: no such file or folder; expected a path that exists ({found} does not)")
    return found


def _split(text: str) -> tuple[str, str]:
    name, sign, value = text.partition(":=")
    if not sign:
        raise BadInput(f"'{text}': expected NAME:=VALUE, such as bag:=scene.mcap")
    return name.removeprefix("--"), value
