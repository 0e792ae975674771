"""A robot for the online trainer: it publishes views of rooms and tags, calls services, reads the status."""

import contextlib
import itertools
import json
import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from geometry_msgs.msg import PoseStamped
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header, String
from std_srvs.srv import SetBool, Trigger
from support.online_stream import Room, settings
from support.ros_probe import NodeProcess, Probe
from support.waiting import until

from wsss_ros.networks import checkpoint
from wsss_ros.nodes import conversions
from wsss_ros.scenes import open_scenes
from wsss_ros.types import Frame

BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
RELIABLE = QoSProfile(depth=5)
TAGS = QoSProfile(depth=2000)
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
SPACE = "/robot"
PERIOD_S = 0.1
SHOWN_AGAIN_S = 5.0  # images are best effort: tags of a view that was lost find none
SEGMENTER = {"device": "cpu", "precision": "float32", "threads": 1}


def header(stamp_ns: int, frame_id: str) -> Header:
    made = Header(frame_id=frame_id)
    made.stamp.sec, made.stamp.nanosec = divmod(stamp_ns, 10**9)
    return made


def messages(frame: Frame) -> dict:
    """Return one view as messages by topic; the pose has no rotation."""
    optical = header(frame.stamp_ns, "camera_optical")
    info = CameraInfo(header=optical, width=frame.camera.width, height=frame.camera.height)
    info.k = frame.camera.matrix().ravel().tolist()
    pose = PoseStamped(header=header(frame.stamp_ns, "map"))
    pose.pose.position.x, pose.pose.position.y, pose.pose.position.z = frame.world_from_camera[:3, 3].tolist()
    return {
        "color/image_raw": conversions.image_message(optical, frame.rgb, "rgb8"),
        "depth/image_rect": conversions.image_message(optical, frame.depth_m, "32FC1"),
        "color/camera_info": info,
        "pose": pose,
    }


def stamped(stamp_ns: int) -> str:
    return f"@{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}"


class Robot:
    """Runs one trainer at a time; each start is a new process on the same folder."""

    def __init__(self, environment: dict, folder: Path, labels, **changes) -> None:
        self.environment, self.folder = environment, folder
        self.settings = settings(folder, labels) | changes
        self.online = Path(self.settings["folder"])
        self.probe = Probe(environment)
        self.statuses = self.probe.collect(String, f"{SPACE}/online_trainer/status", LATCHED)
        self.weights = {
            kind: self.probe.collect(String, f"{SPACE}/weights/{kind}", LATCHED) for kind in ("image", "cloud")
        }
        self.stamp_ns = 1000 * 10**9
        self.trainer: NodeProcess | None = None
        self._others: list[NodeProcess] = []
        self._starts = 0

    def start(self, until_active: bool = True, **changes) -> NodeProcess:
        self._starts += 1
        log = self.folder / f"trainer{self._starts}.log"
        self.statuses.clear()
        self.trainer = NodeProcess("online_trainer", self.environment, log, SPACE, **(self.settings | changes))
        if until_active:
            self.until(lambda status: True)
        return self.trainer

    def restart(self, **changes) -> None:
        """Start the trainer again, after its end if it still runs."""
        self.trainer.end()
        self.start(**changes)

    def start_node(self, name: str, **parameters) -> NodeProcess:
        """Start another node in the trainer's namespace."""
        log = self.folder / f"{name}{len(self._others)}.log"
        self._others.append(NodeProcess(name, self.environment, log, SPACE, **parameters))
        return self._others[-1]

    def close(self) -> None:
        for node in [*self._others, self.trainer]:
            if node is not None:
                node.end()
        self.probe.close()

    # --- status ---

    @property
    def status(self) -> dict:
        return json.loads(self.statuses[-1].data)

    def until(self, condition) -> dict:
        """Wait for a status that fits and return it. Raises AssertionError when the status does not change any more."""

        def fitting() -> dict | None:
            return self.status if self.statuses and condition(self.status) else None

        def last() -> str:
            return self.statuses[-1].data if self.statuses else "no status"

        return until(fitting, lambda: f"it never came; {last()}; {self.trainer.text[-3000:]}", last)

    def scene(self, **values):
        """Return a condition for ``until`` on the open scene: numbers are at least these, other values equal."""
        return lambda status: (
            status["scene"] is not None
            and all(
                status["scene"][key] >= value if isinstance(value, int) else status["scene"][key] == value
                for key, value in values.items()
            )
        )

    # --- what the robot does ---

    def show(self, room: Room, index: int) -> int:
        """Publish one view; return its stamp."""
        self.stamp_ns += int(PERIOD_S * 1e9)
        for topic, message in messages(room.frame(index, self.stamp_ns)).items():
            self.probe.publish_without_waiting(f"{SPACE}/{topic}", message, BEST_EFFORT)
        return self.stamp_ns

    def visit(self, room: Room, views: int = 4) -> list[int]:
        """Show a room until the scene has this many frames; return the stamps of the last views."""
        for _ in range(200):
            stamps = []
            for index in range(views):
                stamps.append(self.show(room, index))
                time.sleep(PERIOD_S)
            scene = self.status["scene"]
            if scene is not None and scene["frames"] >= views:
                return stamps
        raise AssertionError(f"the room was never seen: {self.status}; {self.trainer.text[-1500:]}")

    @contextlib.contextmanager
    def wandering(self, views: int = 5, times: int = 6) -> Iterator[None]:
        """Inside, the robot goes from room to room and tags each of its views, also while no trainer runs."""
        ends = threading.Event()

        def wander() -> None:
            for step in itertools.count():
                room = Room(step // (views * times))
                text = f"{stamped(self.show(room, step % views))} {', '.join(room.tags)}"
                self.probe.publish_without_waiting(f"{SPACE}/tags/image", String(data=text), TAGS)
                if ends.wait(PERIOD_S):
                    return

        thread = threading.Thread(target=wander)
        thread.start()
        try:
            yield
        finally:
            ends.set()
            thread.join()

    def tag(self, about: str, text: str) -> None:
        self.probe.send(f"{SPACE}/tags/{about}", String(data=text), TAGS)

    def tagged_scene(self, number: int) -> str:
        """Visit a room, tag its views, also with a class that is absent, finish the scene; return the answer."""
        room, shown_at = Room(number), -math.inf

        def all_tagged(status: dict) -> bool:
            nonlocal shown_at
            if time.monotonic() < shown_at + SHOWN_AGAIN_S:
                return self.scene(image_tags=4)(status)
            for stamp_ns in self.visit(room):
                self.tag("image", f"{stamped(stamp_ns)} {', '.join(room.tags)}, -toilet")
            shown_at = time.monotonic()
            return False

        self.until(all_tagged)
        answer = self.ask("finish_scene")
        assert answer.success, f"{answer.message}; {self.trainer.text[-1500:]}"
        self.until(lambda status: status["scene"] is None)
        return answer.message

    def ask(self, service: str):
        return self.probe.call(Trigger, f"{SPACE}/online_trainer/{service}", Trigger.Request())

    def pause(self, on: bool):
        return self.probe.call(SetBool, f"{SPACE}/online_trainer/pause", SetBool.Request(data=on))


def read_all(robot: Robot, labels) -> tuple[dict[str, tuple], list[str]]:
    """Read every file; return the stored scenes with their tags, and the history of the weights."""
    scenes, faults = {}, []
    if any(path.name[0] != "." for path in (robot.online / "scenes").iterdir()):
        opened, faults = open_scenes(robot.online / "scenes", labels)
        for scene in opened:
            assert len(scene) >= 3 and all(scene.frame(i).depth_m.any() for i in range(len(scene)))
            about = json.loads((scene.folder / "scene.json").read_text())
            assert len(scene.cloud) > 256 and about["frames"] == len(scene)
            scenes[scene.name] = scene.tags
    assert not faults and all(scenes.values())
    history = json.loads((robot.online / "weights/current.json").read_text())["history"]
    for version in (path for path in (robot.online / "weights").iterdir() if path.name.isdigit()):
        for kind in ("image", "cloud"):
            checkpoint.load(version / f"{kind}.safetensors", kind, labels)
    return scenes, history


def decided_rounds(robot: Robot) -> list[int]:
    """Return the numbers of the rounds in the log."""
    path = robot.online / "rounds.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line)["round"] for line in lines]
