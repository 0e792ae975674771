"""Which nodes run: the accumulator builds the cloud where nothing that is replayed has it."""

from pathlib import Path

import pytest
from support.tiny_scene import write_scene_folder

from wsss_ros import node_set
from wsss_ros.bags.bag import Bag
from wsss_ros.bags.recorder import Recorder
from wsss_ros.bags.recording import BagConfig, SceneRecording, Topic
from wsss_ros.scenes import open_scene
from wsss_ros.types import BadInput


def names(**given: str) -> list[str]:
    return [process.name for process in node_set.processes(node_set.arguments(given))]


def bag_with(recording: SceneRecording, path: Path, topics: dict[str, str]) -> str:
    """A bag of the recording with the topics ``topics``, by their names in the recording."""
    chosen = {topic.name: topic for topic in recording.topics if topic.name in topics}
    recorder = Recorder(path, [Topic(topics[name], *topic[1:]) for name, topic in chosen.items()])
    for raw in recording.raw():
        if raw.topic in topics:
            recorder.write(topics[raw.topic], raw.stamp_ns, bytes(raw.data))
    recorder.close()
    return str(path)


@pytest.fixture
def recording(labels, tmp_path) -> SceneRecording:
    return SceneRecording(open_scene(write_scene_folder(tmp_path / "scene", labels), labels), BagConfig(frames=2))


VIEWS = {name: name for name in ("/color/image_raw", "/color/camera_info", "/depth/image_rect", "/pose")}


@pytest.mark.parametrize(
    "topics, given, accumulated",
    [
        (VIEWS, {}, True),
        (VIEWS | {"/cloud": "/cloud"}, {}, False),
        (VIEWS | {"/cloud": "/lidar/points"}, {}, True),
        (VIEWS | {"/cloud": "/lidar/points"}, {"cloud_topic": "lidar/points"}, False),
        (VIEWS | {"/cloud": "/cloud"}, {"accumulate": "true"}, True),
        (VIEWS, {"accumulate": "false"}, False),
    ],
    ids=["no cloud", "cloud", "cloud of another name", "named cloud", "asked for", "not wanted"],
)
def test_a_bag_without_a_cloud_is_accumulated(recording, tmp_path, topics, given, accumulated):
    bag = bag_with(recording, tmp_path / "bag", topics)
    assert ("cloud_accumulator" in names(bag=bag, **given)) == accumulated
    replay = node_set.processes(node_set.arguments({"bag": bag, **given}))[-1]
    assert replay.parameters["subscribers"] == 1 + accumulated, "the replay waits for all that take images"


def test_a_cloud_topic_without_messages_is_no_cloud(recording, tmp_path):
    topics = [topic for topic in recording.topics if topic.name in {*VIEWS, "/cloud"}]
    recorder = Recorder(tmp_path / "bag", topics)
    for raw in recording.raw():
        if raw.topic in VIEWS:
            recorder.write(raw.topic, raw.stamp_ns, bytes(raw.data))
    recorder.close()
    assert "/cloud" not in {topic.name for topic in Bag(tmp_path / "bag").topics}
    assert "cloud_accumulator" in names(bag=str(tmp_path / "bag"))


def test_a_scene_folder_makes_its_cloud_and_live_topics_need_the_accumulator(labels, tmp_path):
    scene = write_scene_folder(tmp_path / "scene", labels)
    assert "cloud_accumulator" not in names(bag=str(scene))
    assert "cloud_accumulator" in names()


def test_a_broken_bag_is_left_to_the_replay_to_report(tmp_path):
    (tmp_path / "broken.mcap").write_bytes(b"no bag")
    assert "replay" in names(bag=str(tmp_path / "broken.mcap"))


@pytest.mark.parametrize("given", ["color_topic:=/2cam/image", "namespace:=robot-1", "depth_topic:=/cam era/depth"])
def test_names_that_ros_refuses_are_named(given):
    name = given.partition(":=")[0]
    with pytest.raises(BadInput, match=f"arguments: {name}: value error, not a name: letters, digits and _ with /"):
        node_set.arguments([given])


def test_names_as_ros_has_them():
    given = node_set.arguments(["color_topic:=/cam/image_raw/", "depth_topic:=~/depth", "namespace:=/robot1/front/"])
    assert (given.color_topic, given.depth_topic, given.namespace) == ("/cam/image_raw", "~/depth", "/robot1/front")
