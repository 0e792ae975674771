"""`wsss up label_space:=FILE` with own classes, 3 and 60 of them: what every node of the set publishes and shows."""

import importlib
import json
import threading
from pathlib import Path

import numpy as np
import pytest
import yaml
from support.online_scenes import create_weights, put, recipe
from support.striped_scenes import StripedScene, written
from support.waiting import HANG_S, until

from wsss_ros import node_set
from wsss_ros.bags import codec
from wsss_ros.bags.cloud_codec import SEMANTIC_POINT
from wsss_ros.cli.labels_new import labels_new
from wsss_ros.inference import ImageSegmenter
from wsss_ros.labels import LabelSpace, labels_named
from wsss_ros.networks import checkpoint
from wsss_ros.scenes import open_scene
from wsss_ros.types import KINDS

pytest.importorskip("rclpy", reason="ROS 2 is not installed")
pytest.importorskip("viser", reason="the extra [view] is not installed")

import rclpy  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from sensor_msgs.msg import Image, PointCloud2  # noqa: E402
from std_msgs.msg import String  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from support.node_views import LATCHED, RELIABLE  # noqa: E402
from support.tag_page_node import PageClient  # noqa: E402
from support.viewer_client import ViewerClient  # noqa: E402

from wsss_ros.nodes.node import Node  # noqa: E402

pytestmark = pytest.mark.slow
SPACE = "/own"
CLOUDS = ("semantic_cloud", "semantic_map")
SHOWN = ("pallet", "floor", "fork lift")  # the last classes, so that their labels are the largest


class NodeSet:
    """The nodes of ``wsss up`` that know classes, in this process, over a scene that is replayed again and again."""

    def __init__(self, root: Path, count: int, environment: dict) -> None:
        self.root, file = root, root / "own.yaml"
        labels_new(file, [*(f"part {n}" for n in range(60)), *SHOWN][-count:])
        self.labels = labels_named(file)
        written(root, self.labels, [7], names=SHOWN)
        self.scene, self.shown = open_scene(root / "scene7", self.labels), StripedScene(7, self.labels, SHOWN).pair
        for number in range(1, 4):
            put(root / "online", self.labels, number, number, held_out=number == 3, names=SHOWN)
        weights = create_weights(root, self.labels)
        for path in weights.values():
            _give_the_shown(path, self.labels)
        self.images = ImageSegmenter(weights["image_weights"], "cpu")
        trainer = {"recipe": recipe(root), "round_scenes": 0, "steps": 2, "round_threads": 1, "min_frames": 1}
        of_nodes = {"online_trainer": trainer, "evaluator": {"write_period_s": 0.5}}
        parameters = {f"/**/{name}": {"ros__parameters": values} for name, values in of_nodes.items()}
        (root / "parameters.yaml").write_text(yaml.safe_dump(parameters))
        given = weights | {
            "bag": root / "scene7", "loop": "true", "label_space": file, "params_file": root / "parameters.yaml",
            "namespace": SPACE, "device": "cpu", "min_confidence": 0, "mapper": "true", "evaluate": "true",
            "evaluation_folder": root / "scores", "tag": "true", "tag_port": 0, "viewer": "true", "viewer_port": 0,
            "online": "true", "online_folder": root / "online",
        }  # fmt: skip
        self.context = rclpy.Context()
        rclpy.init(context=self.context, domain_id=int(environment["ROS_DOMAIN_ID"]))
        self.executor, self.nodes = SingleThreadedExecutor(context=self.context), {}
        for process in node_set.processes(node_set.arguments([f"{key}:={value}" for key, value in given.items()])):
            node = _node_class(process.module)(context=self.context, cli_args=process.ros_arguments())
            self.nodes[process.name] = node
            self.executor.add_node(node)
            assert node.start(), node.status()
        self._ended = False
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while not self._ended:
            self.executor.spin_once(timeout_sec=0.1)

    def status(self) -> str:
        """What the nodes say, for messages."""
        return str({name: node.status()[1] for name, node in self.nodes.items()})

    def end(self) -> None:
        self._ended = True
        self._thread.join(HANG_S)
        for node in self.nodes.values():
            node.close()
            node.destroy_node()
        rclpy.shutdown(context=self.context)


def _node_class(module: str) -> type[Node]:
    """The class of the node that a module of ``nodes/`` runs."""
    of_module = [each for each in vars(importlib.import_module(module)).values() if isinstance(each, type)]
    (found,) = (each for each in of_module if each.__module__ == module and issubclass(each, Node))
    return found


def _give_the_shown(path: str, labels: LabelSpace) -> None:
    """Let a network give the last classes only."""
    found = checkpoint.load(path)
    found.network.head.bias.data[-len(SHOWN) :] += 100.0
    checkpoint.save(path, found.network, found.config, labels)


@pytest.fixture(params=[3, 60])
def nodes(request, tmp_path, shared_ros_environment):
    made = NodeSet(tmp_path, request.param, shared_ros_environment)
    yield made
    made.end()


def test_own_classes(nodes, probe):
    labels = nodes.labels
    images = {name: probe.collect(Image, f"{SPACE}/semantic{name}/image_raw", RELIABLE) for name in ("", "_color")}
    clouds = {name: probe.collect(PointCloud2, f"{SPACE}/{name}", LATCHED) for name in CLOUDS}
    weights = {kind: probe.collect(String, f"{SPACE}/weights/{kind}", LATCHED) for kind in KINDS}
    page = PageClient(int(nodes.nodes["tag_page"].summary().rstrip("/").rpartition(":")[2]))
    with ViewerClient(nodes.nodes["viewer"].summary()) as viewer:
        until(
            lambda: all(map(seen, images.values())) and all(map(has_points, clouds.values())),
            nodes.status,
            nodes.status,
        )
        drawn = until(lambda: legend(viewer), "no class in the viewer", lambda: viewer.updates)
    until(lambda: set(scores(nodes)) == {"2d", "3d"}, "not scored", nodes.status)
    learner = until(lambda: page.status()["learner"], "no status of the learner", nodes.status)
    assert learner["classes"] == list(labels.names)
    assert page.post("/tags", {"about": "scene", "names": ["Pallet", "-fork_lift"]}) == (
        True,
        "sent for the scene: pallet, -fork lift",
    )
    assert probe.call(Trigger, f"{SPACE}/replay/pause", Trigger.Request()).success  # a round needs no more views
    assert page.post("/command", {"command": "train"}) == (True, "round 1 starts")
    decision = until(lambda: page.status()["learner"]["rounds"], nodes.status, page.status)[0]

    assert_images(nodes, images)
    for got in clouds.values():
        points = np.frombuffer(got[-1].data, SEMANTIC_POINT)
        assert set(np.unique(points["label"])) <= set(range(len(labels))[-3:])
        assert np.array_equal(colors_of(points["rgb"]), labels.colorize(points["label"].astype(np.uint8)))
    for name, color in drawn.items():
        assert tuple(color) == labels.colors[labels.index(name)] and name in SHOWN
    for entry in scores(nodes).values():
        assert tuple(entry["iou"]) == labels.names and entry["frames"] > 0 and entry["coverage"] == 100
    shown = [(each["name"], tuple(each["color"])) for each in page.status()["classes"]]
    assert shown == list(zip(labels.names, labels.colors, strict=True))
    assert decision["before"]["new"]["image_tags"] is not None and "failed" not in decision["why"], decision
    for got in weights.values():
        assert checkpoint.load(Path(got[-1].data)).labels == labels


def seen(got: list) -> bool:
    """Whether all four images of the scene have come."""
    return len({codec.stamp_ns(message.header) for message in got}) == 4


def has_points(got: list) -> bool:
    return bool(got) and got[-1].width * got[-1].height > 0


def assert_images(nodes, images: dict) -> None:
    """Label images and pictures are those of the network and of the label file."""
    found, drawn = map(by_stamp, images.values())
    for index in range(len(nodes.scene)):
        frame = nodes.scene.frame(index)
        expected = nodes.images(frame)[0]
        assert np.array_equal(codec.image_to_labels(found[frame.stamp_ns]), expected)
        assert np.array_equal(codec.color_to_rgb(drawn[frame.stamp_ns]), nodes.labels.colorize(expected))
        assert set(np.unique(expected)) <= set(range(len(nodes.labels))[-3:])


def colors_of(packed: np.ndarray) -> np.ndarray:
    """The colours (N 3) of 0x00RRGGBB in float32."""
    return packed.view(np.uint32)[:, None] >> np.array([16, 8, 0], np.uint32) & 255


def by_stamp(messages: list) -> dict:
    """The first message of each stamp: those before new weights."""
    found: dict = {}
    for message in messages:
        found.setdefault(codec.stamp_ns(message.header), message)
    return found


def scores(nodes) -> dict[str, dict]:
    """What the evaluator has written of each domain."""
    file = nodes.root / "scores" / "evaluation.json"
    return {entry["domain"]: entry for entry in json.loads(file.read_text())} if file.exists() else {}


def legend(viewer: ViewerClient) -> dict:
    """The colours of the classes that the viewer draws."""
    shown = [each for each in viewer.controls.values() if each.get("visible") and " · " in str(each.get("label"))]
    return {each["label"].partition(" · ")[0]: each["color"] for each in shown}
