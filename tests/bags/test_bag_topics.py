"""Bags as people record them: poses of any kind, topics of any name. What is found is what was put in."""

import logging
from pathlib import Path

import numpy as np
import pytest
from support.robot_bags import BASE_FROM_OPTICAL, CAMERA, STEP_NS, odom_from_base, truth
from typer.testing import CliRunner

from wsss_ros.bags import cdr
from wsss_ros.bags.bag_scene import BagScene
from wsss_ros.bags.codec import pose_to_matrix
from wsss_ros.bags.frames import BagFrames
from wsss_ros.bags.recorder import Recorder
from wsss_ros.bags.recording import Topic
from wsss_ros.cli.main import app
from wsss_ros.training.sources import SourceConfig, open_source
from wsss_ros.types import BadInput, Camera, Cloud

COUNT, EVERY_NS = 10, 33_333_333  # images; and between two poses, none of which has the stamp of an image
OPTICAL = "camera_optical"
COLOR = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
DEPTH = np.linspace(1, 3, 48, dtype=np.float32).reshape(6, 8).round(3)

Messages = list[tuple[int, str, object]]


def record(path: Path, *parts: Messages) -> Path:
    messages = sorted((each for part in parts for each in part), key=lambda each: each[0])
    types = {topic: message.__msgtype__ for _, topic, message in messages}
    recorder = Recorder(path, [Topic(topic, msgtype) for topic, msgtype in types.items()])
    for stamp, topic, message in messages:
        recorder.write(topic, stamp, bytes(cdr.typestore().serialize_cdr(message, types[topic])))
    recorder.close()
    return path


def views(
    color="/camera/color/image_raw", depth="", info="", frame: str = OPTICAL, camera: Camera = CAMERA
) -> Messages:
    """Views at 10 Hz; empty names are those of the nodes, next to the colour images."""
    space = color.rpartition("/color/")[0]
    found: Messages = []
    for number in range(1, COUNT + 1):
        head = cdr.header(number * STEP_NS, frame)
        found += [
            (number * STEP_NS, color, cdr.image_message(head, COLOR, "rgb8")),
            (number * STEP_NS, depth or f"{space}/depth/image_rect", cdr.depth_message(head, DEPTH, "16UC1")),
            (number * STEP_NS, info or f"{space}/color/camera_info", cdr.info_message(head, camera)),
        ]
    return found


def stamps() -> range:
    return range(1, (COUNT + 2) * STEP_NS, EVERY_NS)


def with_covariance(pose: object) -> object:
    return cdr.make("geometry_msgs/msg/PoseWithCovariance", pose=pose, covariance=np.zeros(36))


def pose_of(matrix: np.ndarray) -> object:
    return cdr.pose_message(cdr.header(0, "x"), matrix).pose


def odometry(topic: str = "/odom", child: str = "base_link", at=odom_from_base, when=None) -> Messages:
    zero = cdr.make("geometry_msgs/msg/Vector3", x=0.0, y=0.0, z=0.0)
    twist = cdr.make("geometry_msgs/msg/Twist", linear=zero, angular=zero)
    still = cdr.make("geometry_msgs/msg/TwistWithCovariance", twist=twist, covariance=np.zeros(36))
    return [
        (
            stamp,
            topic,
            cdr.make(
                cdr.ODOMETRY,
                header=cdr.header(stamp, "odom"),
                child_frame_id=child,
                pose=with_covariance(pose_of(at(stamp))),
                twist=still,
            ),
        )
        for stamp in when or stamps()
    ]


def posed(topic: str, covariance: bool = False, when=None, at=lambda stamp: truth(stamp, "odom")) -> Messages:
    """Poses of the camera itself."""
    found: Messages = []
    for stamp in when or stamps():
        message = cdr.pose_message(cdr.header(stamp, "odom"), at(stamp))
        if covariance:
            inner = with_covariance(message.pose)
            message = cdr.make(cdr.POSE_WITH_COVARIANCE, header=message.header, pose=inner)
        found.append((stamp, topic, message))
    return found


def mounted(child: str = OPTICAL) -> Messages:
    """The place of the camera on the robot: a latched topic, recorded late."""
    return [(STEP_NS * COUNT, "/tf_static", cdr.tf_message(cdr.header(0, "base_link"), child, BASE_FROM_OPTICAL))]


def check(path: Path, count: int = COUNT, **choices: str) -> BagFrames:
    bag = BagFrames(path, **choices)
    frames = list(bag.views())
    assert len(frames) == count
    for frame in frames:
        np.testing.assert_allclose(frame.world_from_camera, truth(frame.stamp_ns, "odom"), atol=1e-9)
        np.testing.assert_array_equal(frame.rgb, COLOR)
        np.testing.assert_allclose(frame.depth_m, DEPTH, atol=1e-6)
        assert frame.camera == CAMERA
    return bag


# --- poses ---


def test_odometry_of_the_robot_gives_the_poses_of_the_camera(tmp_path):
    bag = check(record(tmp_path / "bag", views(), odometry(), mounted()))
    assert bag.parts["world_from_camera"] == "/odom" and not bag.camera_poses
    assert bag.turns() == 0 and bag.cloud() is not None


def test_odometry_of_the_camera_itself_needs_no_tf(tmp_path):
    at = lambda stamp: truth(stamp, "odom")  # noqa: E731
    check(record(tmp_path / "bag", views(), odometry("/zed/odom", OPTICAL, at)))


def test_odometry_without_the_place_of_the_camera_is_refused(tmp_path):
    path = record(tmp_path / "bag", views(), odometry())
    with pytest.raises(BadInput, match="/odom: these are poses of 'base_link', and the place of .*record /tf_static"):
        list(BagFrames(path).views())
    path = record(tmp_path / "other", views(), odometry(), mounted("lidar"))
    with pytest.raises(BadInput, match="'camera_optical' on it is unknown: no frame 'camera_optical' in TF"):
        list(BagFrames(path).views())


def test_of_several_odometries_the_user_names_one(tmp_path):
    path = record(tmp_path / "bag", views(), odometry(), odometry("/wheel/odom", at=lambda _: np.eye(4)), mounted())
    with pytest.raises(BadInput, match=r"several topics of odometry: /odom, /wheel/odom; name one \(--pose-topic\)"):
        list(BagFrames(path).views())
    check(path, pose_topic="/odom")


def test_tf_goes_before_odometry(tmp_path):
    path = tmp_path / "bag"
    moving = [
        (stamp, "/tf", cdr.tf_message(cdr.header(stamp, "odom"), "base_link", odom_from_base(stamp)))
        for stamp in stamps()
    ]
    bag = check(record(path, views(), mounted(), moving, odometry("/wheel/odom", at=lambda _: np.eye(4))))
    assert bag.parts["world_from_camera"] == ""


@pytest.mark.parametrize("covariance", [False, True])
def test_poses_of_another_name_are_offered_and_taken_when_they_are_named(tmp_path, covariance, labels):
    """They could be those of the robot, or a goal: they are not taken by themselves."""
    path = record(tmp_path / "bag", views(), posed("/tracker/camera_pose", covariance))
    kind = "PoseWithCovarianceStamped" if covariance else "PoseStamped"
    offer = rf"no poses \(if it is one of /tracker/camera_pose \({kind}\), name it: --pose-topic\)"
    with pytest.raises(BadInput, match=offer):
        BagScene(path, labels)
    check(path, pose_topic="/tracker/camera_pose")
    with pytest.raises(BadInput, match="no topic '/tracker/pose' of .*Odometry; there are /tracker/camera_pose"):
        BagFrames(path, pose_topic="/tracker/pose")


def test_the_pose_at_the_stamp_of_an_image_is_that_of_the_message(tmp_path):
    path = record(tmp_path / "bag", views(), posed("/pose", when=[n * STEP_NS for n in range(1, COUNT + 1)]))
    for frame in BagFrames(path).views():
        message = cdr.pose_message(cdr.header(0, "x"), truth(frame.stamp_ns, "odom"))
        np.testing.assert_array_equal(frame.world_from_camera, pose_to_matrix(message.pose))


def test_images_without_a_pose_are_counted_and_named(tmp_path, caplog):
    lost = range(4 * STEP_NS - 50, 9 * STEP_NS + 1)  # tracking was lost for more than half a second
    when = [stamp for stamp in stamps() if stamp not in lost and stamp < COUNT * STEP_NS - 3 * EVERY_NS]
    path = record(tmp_path / "bag", views(), posed("/pose", when=when))
    with caplog.at_level(logging.WARNING):
        frames = list(BagFrames(path).views())
    assert [frame.name for frame in frames] == ["0", "1", "2"]
    text = "7 of 10 views have no pose on /pose and are left out (images 3, 4, 5, 6, 7, 8, 9): the nearest pose is 0.0"
    assert text in caplog.text and "at most 0.5 s apart" in caplog.text
    for frame in frames:
        np.testing.assert_allclose(frame.world_from_camera, truth(frame.stamp_ns, "odom"), atol=1e-9)


def test_a_bag_none_of_whose_images_has_a_pose_names_the_other_topics(tmp_path):
    path = record(tmp_path / "bag", views(), posed("/pose", when=[50 * STEP_NS]), posed("/amcl_pose", covariance=True))
    with pytest.raises(BadInput, match=r"no image has a pose on /pose: .*--pose-topic\): /amcl_pose \(PoseWithCov"):
        list(BagFrames(path).views())


def test_poses_that_cannot_be_used_are_left_out(tmp_path, caplog):
    bad = posed("/pose")
    bad[4][2].pose.position.x = np.nan
    with caplog.at_level(logging.WARNING):
        check(record(tmp_path / "bag", views(), bad))
    assert "/pose: 1 poses are left out: pose position: nan" in caplog.text


def test_messages_without_a_stamp_have_the_time_of_their_recording(tmp_path, caplog):
    """Two images never collapse into one because a driver leaves the stamp 0."""
    messages = [*views(), *posed("/pose")]
    for _, _, message in messages:
        message.header.stamp.sec = message.header.stamp.nanosec = 0
    with caplog.at_level(logging.WARNING):
        bag = check(record(tmp_path / "bag", messages))
        list(bag.views())
    assert [frame.stamp_ns for frame in bag.frames()] == [n * STEP_NS for n in range(1, COUNT + 1)]
    assert caplog.text.count("/color/image_raw: messages have no stamp (header.stamp is 0); the times of") == 1


# --- names ---


def test_topics_of_any_name_are_found_by_their_messages(tmp_path):
    other = views("/left/pixels", "/left/range", "/left/lens", frame="left", camera=Camera(9.0, 9.0, 3.0, 2.0, 7, 5))
    one = record(tmp_path / "one", views("/eye/a", "/eye/b", "/eye/c"), posed("/pose"))
    bag = check(one)
    assert bag.parts == {"rgb": "/eye/a", "depth_m": "/eye/b", "camera": "/eye/c", "world_from_camera": "/pose"}
    two = record(tmp_path / "two", views("/eye/a", "/eye/b", "/eye/c"), other, posed("/pose"))
    with pytest.raises(BadInput, match=r"images of several cameras: /eye/a, /left/pixels; name one \(--color\)"):
        BagFrames(two)
    bag = BagFrames(two, color="/eye/a")
    assert bag.parts["camera"] == "/eye/c", "by its frame"
    assert not bag.has_views
    others = "/eye/b (Image), /left/pixels (Image), /left/range (Image)"
    assert bag.missing() == f"no depth (if it is one of {others}, name it: --depth-topic)"
    check(two, color="/eye/a", depth_topic="/eye/b")


def test_a_calibration_that_is_not_sure_is_offered(tmp_path):
    both = views("/eye/a", "/eye/b", "/x/c"), views("/eye/a", "/eye/b", "/y/c")
    path = record(tmp_path / "bag", both[0], [each for each in both[1] if each[1] == "/y/c"], posed("/pose"))
    assert BagFrames(path).missing().startswith("no camera_info (if it is one of /x/c (CameraInfo), /y/c (CameraInfo)")
    check(path, camera_info_topic="/y/c")


def test_a_cloud_next_to_several_cameras_is_segmented_and_the_cameras_are_listed(tmp_path, caplog):
    message = cdr.cloud_message(cdr.header(5, "map"), Cloud(np.ones((3, 3), np.float32)))
    path = record(tmp_path / "bag", views("/eye/a"), views("/left/pixels"), [(5, "/cloud", message)])
    with caplog.at_level(logging.WARNING):
        bag = BagFrames(path)
    assert bag.color == "" and len(bag.cloud()) == 3
    assert "images of several cameras: /eye/a, /left/pixels; name one (--color); only the cloud is taken" in caplog.text


def test_images_without_depth_are_counted_where_they_are_many(tmp_path, caplog):
    apart = [each for each in views() if not (each[1].endswith("rect") and each[0] > 4 * STEP_NS)]
    with caplog.at_level(logging.WARNING):
        check(record(tmp_path / "bag", apart, posed("/pose")), count=4)
    assert caplog.text.count("6 of 10 images have no depth within 20 ms of their stamp and are left out") == 1


def test_why_there_is_no_cloud_is_said(tmp_path, caplog):
    path = record(tmp_path / "bag", [each for each in views() if not each[1].endswith("camera_info")])
    with caplog.at_level(logging.WARNING):
        assert BagFrames(path).cloud() is None
    with pytest.raises(BadInput, match="no complete views: no camera_info; no poses"):
        next(BagFrames(path).views())
    text = "no cloud, and none can be fused from depth: no camera_info; no poses (record a topic pose, /tf or odometry)"
    assert text in caplog.text


def test_commands_and_training_take_the_names(tmp_path, labels):
    path = record(tmp_path / "bag", views("/eye/a", "/x/b", "/x/c"), posed("/eye/camera_pose"))
    names = {"depth_topic": "/x/b", "camera_info_topic": "/x/c", "pose_topic": "/eye/camera_pose"}
    options = [part for name, topic in names.items() for part in (f"--{name.replace('_', '-')}", topic)]
    done = CliRunner().invoke(app, ["bag", str(path), str(tmp_path / "out.mcap"), "--up", "none", *options])
    assert done.exit_code == 0, done.output
    check(tmp_path / "out.mcap")
    (scene,) = open_source(SourceConfig(path=str(path), **names), labels).scenes
    assert len(scene) == COUNT
