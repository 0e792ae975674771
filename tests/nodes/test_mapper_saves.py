"""The semantic mapper in this process: saves that take long, on real DDS; and the names of its classes."""

import threading
from types import SimpleNamespace

import numpy as np
import pytest
from support.waiting import until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from support.node_views import BEST_EFFORT  # noqa: E402
from support.view_messages import CAMERA, CLOCK, HEIGHT, WIDTH, camera_info, depth_image, depths, header, pose  # noqa: E402

from wsss_ros.fusion.map_files import AboutMap, read_map, write_map  # noqa: E402
from wsss_ros.fusion.semantic_map import SemanticMap  # noqa: E402
from wsss_ros.nodes import conversions, label_info, semantic_mapper  # noqa: E402
from wsss_ros.nodes.label_views import PosedIds  # noqa: E402
from wsss_ros.nodes.qos import MAP  # noqa: E402
from wsss_ros.nodes.semantic_mapper import SemanticMapperNode  # noqa: E402

IDS = np.full((HEIGHT, WIDTH), 7, np.uint8)
NAMES = "7:wall, 9:chair"


class SlowDisk:
    """Takes the place of ``write_map``: each write waits until it may end."""

    def __init__(self) -> None:
        self.begun = self.ended = self.together = 0
        self.may_end = threading.Semaphore(0)
        self.full = False

    def write(self, path, about, state) -> None:
        self.begun += 1
        self.together = max(self.together, self.begun - self.ended)
        self.may_end.acquire()
        if self.full:
            self.ended += 1
            raise OSError("no space left on device")
        write_map(path, about, state)
        self.ended += 1


@pytest.fixture
def disk(monkeypatch) -> SlowDisk:
    made = SlowDisk()
    monkeypatch.setattr(semantic_mapper, "write_map", made.write)
    yield made
    made.may_end.release(100)


@pytest.fixture
def spun(probe, built_mapper):
    """Builds a mapper that an executor spins on its own thread."""
    stops = []

    def build(**parameters) -> SemanticMapperNode:
        node = built_mapper(label_names=NAMES, **parameters)
        executor = SingleThreadedExecutor(context=node.context)
        executor.add_node(node)
        thread = threading.Thread(target=executor.spin, daemon=True)
        thread.start()
        stops.append((executor, thread))
        return node

    yield build
    for executor, thread in stops:
        executor.shutdown()
        thread.join()


def ask(probe, name: str):
    """The answer of a service of the map, which is still to come."""
    client = probe.node.create_client(Trigger, f"/semantic_mapper/{name}")
    until(client.service_is_ready, f"no service {name}")
    return client.call_async(Trigger.Request())


def sees_another_view(probe, node: SemanticMapperNode) -> None:
    before = node.map.views

    def seen() -> bool:
        if node.map.views == before:
            show(probe)
        return node.map.views > before

    until(seen, "the map does not take views")


def show(probe) -> None:
    stamp = CLOCK.next()
    labels = conversions.image_message(header(stamp, "camera_optical"), IDS, "mono8")
    sent = {"semantic/image_raw": labels, "depth/image_rect": depth_image(stamp)}
    sent |= {"color/camera_info": camera_info(stamp), "pose": pose(stamp)}
    for topic, message in sent.items():
        probe.send(f"/{topic}", message, BEST_EFFORT)


def views_on(path) -> int:
    return int(read_map(path)[1]["clock"][0])


def test_views_are_taken_while_a_map_is_written_and_each_save_answers_when_it_is_on_disk(probe, spun, disk, tmp_path):
    path = tmp_path / "map.npz"
    node = spun(map_file=str(path))
    sees_another_view(probe, node)
    views, first = node.map.views, ask(probe, "save")
    until(lambda: disk.begun == 1, "nothing is written")
    most = node.map.views  # more than one view may have been on its way
    second = ask(probe, "save")
    for _ in range(2):
        sees_another_view(probe, node)
    assert disk.begun == 1 and not first.done() and not path.exists()
    disk.may_end.release()
    until(first.done, "the first save does not answer")
    assert first.result().success and views <= views_on(path) <= most < node.map.views
    until(lambda: disk.begun == 2, "the second save is not made")
    assert not second.done() and disk.together == 1
    disk.may_end.release()
    until(second.done, "the second save does not answer")
    assert second.result().message.startswith("map saved: ") and views_on(path) == node.map.views


def test_services_asked_for_at_once_are_done_in_their_order(probe, spun, disk, tmp_path):
    path = tmp_path / "map.npz"
    node = spun(map_file=str(path))
    node.use_view(seen(1))
    voxels, answers = len(node.map), []
    for place, name in enumerate(("save", "reset", "save", "reset", *["save"] * 11)):  # more than DDS keeps
        answers.append(ask(probe, name))
        until(lambda place=place: disk.begun and node.map_services.pending > place, "the request is not taken")
    disk.may_end.release(20)
    until(lambda: all(each.done() for each in answers), "not all answer")
    counts = [int(each.result().message.split(": ")[1].split()[0]) for each in answers]
    assert counts == [voxels, voxels] + 13 * [0] and disk.together == 1


def test_a_deactivation_waits_for_the_save_and_then_saves_what_has_changed_since(built_mapper, disk, tmp_path):
    path = tmp_path / "map.npz"
    node = built_mapper(map_file=str(path), label_names=NAMES)
    node.use_view(seen(1))
    saving = threading.Thread(target=node.map_services.after_all, args=(node.save,))
    saving.start()
    until(lambda: disk.begun == 1, "nothing is written")
    node.use_view(seen(2))
    ending = threading.Thread(target=node.trigger_deactivate)
    ending.start()
    assert disk.begun == 1
    disk.may_end.release()
    until(lambda: disk.begun == 2, "the map is not saved again")
    disk.may_end.release()
    ending.join()
    saving.join()
    assert disk.together == 1 and disk.ended == 2 and views_on(path) == 2


def test_a_map_that_could_not_be_written_is_saved_at_the_end_and_one_that_started_over_is_not(
    built_mapper, disk, tmp_path
):
    path = tmp_path / "map.npz"
    node = built_mapper(map_file=str(path), label_names=NAMES)
    disk.may_end.release(10)
    node.use_view(seen(1))
    disk.full = True
    with pytest.raises(semantic_mapper.BadInput, match="map not saved: no space left"):
        node.save()
    disk.full = False
    node.trigger_deactivate()
    assert views_on(path) == 1
    node.trigger_activate()
    node.use_view(seen(2))
    node.reset()
    node.trigger_deactivate()
    assert views_on(path) == 1, "the empty map does not replace the saved one"


def seen(stamp_ns: int) -> PosedIds:
    return PosedIds(IDS, depths(), CAMERA, np.eye(4), stamp_ns)


# --- what the labels of the map mean ---


class Names:
    """Takes the place of the publisher of a LabelInfo."""

    def __init__(self, kind, topic: str, qos, **options) -> None:
        self.topic, self.qos, self.sent = topic, qos, []

    def publish(self, message) -> None:
        self.sent.append({each.class_id: each.class_name for each in message.class_map})


@pytest.fixture
def published(monkeypatch) -> list[Names]:
    """The publishers of LabelInfo of a mapper; vision_msgs is not in the wheels of ROS."""
    made: list[Names] = []
    create, destroy = SemanticMapperNode.create_publisher, SemanticMapperNode.destroy_publisher

    def create_publisher(node, kind, *given, **options):
        if kind is not SimpleNamespace:
            return create(node, kind, *given, **options)
        made.append(Names(kind, *given, **options))
        return made[-1]

    def destroy_publisher(node, publisher):
        return made.remove(publisher) if publisher in made else destroy(node, publisher)

    monkeypatch.setattr(label_info, "LabelInfo", SimpleNamespace)
    monkeypatch.setattr(label_info, "VisionClass", SimpleNamespace)
    monkeypatch.setattr(SemanticMapperNode, "create_publisher", create_publisher)
    monkeypatch.setattr(SemanticMapperNode, "destroy_publisher", destroy_publisher)
    return made


def test_a_map_of_assumed_classes_starts_over_when_the_names_come_and_one_of_named_classes_does_not(built_mapper):
    node = built_mapper(autosave=False)
    node.use_view(seen(1))
    assert len(node.map) and "floor" in node.space.names
    node.names.take({7: "wall", 9: "chair"})
    node.use_view(seen(2))
    assert node.space.names == ("wall", "chair") and node.map.views == 1
    assert any("starts over" in text for _, text in node.health.problems())
    node.names.take({7: "chair", 9: "dog"})
    node.use_view(seen(3))
    assert node.space.names == ("wall", "chair") and node.map.views == 2
    assert set(node.map.cloud().labels.tolist()) <= {0, 1}


def test_the_map_publishes_what_its_labels_mean_and_again_when_that_changes(built_mapper, published, tmp_path):
    path = tmp_path / "map.npz"
    node = built_mapper(map_file=str(path), label_names=NAMES, autosave=False)
    (names,) = published
    assert names.topic == "/semantic_map/label_info" and names.qos == MAP
    assert node.count_publishers("/semantic_map/label_names") == 1, "the same as text"
    assert names.sent[-1] == {0: "wall", 1: "chair"}, "places among the classes of the map, not ids of the label images"
    node.use_view(seen(1))
    other = SemanticMap(node.config, 3)
    write_map(path, AboutMap(("floor", "chair", "wall"), "map", node.config.voxel_size_m), other.state())
    node.load()
    assert names.sent[-1] == {0: "floor", 1: "chair", 2: "wall"}
    node.reset()
    assert names.sent[-1] == {0: "wall", 1: "chair"}
    for transition in (node.trigger_deactivate, node.trigger_cleanup):
        transition()
    assert not published, "nothing names classes of a map that is not there"
    node.trigger_configure()
    (names,) = published
    assert names.sent == [{0: "floor", 1: "chair", 2: "wall"}], "those of the file"
