"""Views that come before their cameras are known: they wait for a while, and get their points."""

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from support.simulated_segmenter import SimulatedSegmenter  # noqa: E402
from support.view_messages import CAMERA, camera_info, depth_image, image, pose  # noqa: E402

from wsss_ros.geometry.transforms import LookupFailed  # noqa: E402
from wsss_ros.nodes import view_cameras, view_inputs  # noqa: E402
from wsss_ros.nodes.health import sync_report  # noqa: E402

STAMPS = [1_000 * 10**9 + number * 10**8 for number in range(6)]


class Transforms:
    """TF that has no transform until ``come``."""

    readable = True

    def __init__(self) -> None:
        self.why, self.users = "frame", []

    def start(self, came, need) -> None:
        self.users.append(came)

    def lookup(self, target: str, source: str, stamp_ns: int) -> np.ndarray:
        if self.why:
            raise LookupFailed(self.why, f"no '{source}'")
        return np.eye(4)

    def come(self) -> None:
        self.why = ""
        for came in self.users:
            came()


class Watched(SimulatedSegmenter):
    """Keeps what is reported."""

    def __init__(self, **parameters) -> None:
        self.reported: list[str] = []
        super().__init__(0.01, **parameters)
        self.tf = self.inputs._cameras._tf = Transforms()

    def report_problem(self, cause: str, text: str, level: int = 0) -> None:
        self.reported.append(text)

    def take(self, stamps, frame_id: str = "depth_optical") -> None:
        for stamp in stamps:
            depth = depth_image(stamp)
            depth.header.frame_id = frame_id
            for topic, message in (
                ("color/image_raw", image(stamp)),
                ("depth/image_rect", depth),
                ("pose", pose(stamp)),
            ):
                self.guarded(self.callbacks[topic], message)
            self.work()

    def work(self) -> None:
        while self._worker.step():
            pass

    def calibrate(self, *names: str) -> None:
        for name in names:
            matrix = np.column_stack([CAMERA.matrix(), np.zeros(3)]).ravel().tolist()
            self.guarded(self.callbacks[f"{name}/camera_info"], camera_info(STAMPS[0], p=matrix))


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    for module in (view_cameras, view_inputs):
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


@pytest.mark.parametrize("why", ["frame", "connection", "future"])
def test_views_wait_for_the_place_of_the_depth_camera(clock, why):
    node = Watched()
    node.calibrate("color", "depth")
    node.tf.why = why
    node.take(STAMPS[:4])
    assert len(node.labels.stamps) == 4 and not node.points.stamps
    node.tf.come()
    node.work()
    assert node.points.stamps == STAMPS[:4] and not node.reported


@pytest.mark.parametrize("why, wait_s", [("frame", view_cameras.GRACE_S), ("future", 0.5)])
def test_they_do_not_wait_for_ever_and_the_refusal_says_what_tf_says(clock, why, wait_s):
    node = Watched()
    node.calibrate("color", "depth")
    node.tf.why = why
    node.take(STAMPS[:2])
    clock[0] += wait_s + 0.1
    node.take(STAMPS[2:3])
    assert node.reported[-1].startswith("depth not registered: depth is in frame 'depth_optical', color in frame")
    assert "align_depth.enable:=true" in node.reported[-1] and node.reported[-1].endswith("; TF: no 'depth_optical'")
    assert not node.points.stamps
    node.tf.come()
    node.take(STAMPS[3:])
    assert set(STAMPS[3:]) <= set(node.points.stamps)


def test_waiting_views_are_bounded_and_counted(clock, monkeypatch):
    monkeypatch.setattr(view_inputs, "MOST_EARLY", 3)
    node = Watched()
    node.take(STAMPS[:2])
    assert node.health.dropped["view before camera_info"] == 1
    node.calibrate("color", "depth")
    node.take(STAMPS[2:])
    assert node.health.dropped["view before tf_static"] == 2
    node.tf.come()
    node.work()
    assert node.points.stamps == STAMPS[3:]


def test_registered_depth_waits_for_nothing(clock):
    node = Watched()
    node.calibrate("color")
    node.take(STAMPS, "camera_optical")
    assert node.points.stamps == STAMPS and not node.tf.users


def test_stamps_that_never_match_are_told_after_the_timeout_also_with_a_slow_stream(clock):
    """A pose a second needs ten seconds for ten messages."""
    node = Watched()
    node.calibrate("color")
    problems = []
    for second in range(7):
        stamp = STAMPS[0] + second * 10**9
        node.guarded(node.callbacks["pose"], pose(stamp + 5 * 10**8))
        for part in (0, 10**8):
            node.guarded(node.callbacks["color/image_raw"], image(stamp + part))
            node.guarded(node.callbacks["depth/image_rect"], depth_image(stamp + part))
        problems.append([text for _, text in sync_report(node.inputs.sync, "points", None, node.inputs._patience())[0]])
        clock[0] += 1
    assert problems[:6] == [[]] * 6
    assert problems[6][0].startswith("no stamps within 0.02 s of each other; the newest, in seconds: color 1006.100")


def test_the_calibration_of_another_camera_is_reported_while_it_lasts(clock):
    node = Watched()
    other = camera_info(STAMPS[0])
    other.header.frame_id = "infra1_optical"
    node.guarded(node.callbacks["color/camera_info"], other)
    node.take(STAMPS[:1], frame_id="camera_optical")
    (text,) = [text for _, text in node.inputs._cameras.problems()]
    assert text.startswith("camera_info frame: got 'infra1_optical' for images in 'camera_optical'; is it")
    node.calibrate("color")
    assert node.inputs._cameras.problems() == []


def test_two_cameras_on_one_camera_info_are_reported(clock):
    node = Watched()
    two = [camera_info(STAMPS[0]), camera_info(STAMPS[0], k=[99.0, 0.0, 31.5, 0.0, 99.0, 23.5, 0.0, 0.0, 1.0])]
    for number in range(6):
        node.guarded(node.callbacks["color/camera_info"], two[number % 2])
    (text,) = [text for _, text in node.inputs._cameras.problems()]
    assert text.startswith("camera_info: two calibrations come in turn, fx 60.0 and 99.0: two cameras publish it")


@pytest.mark.parametrize(
    "depth, info",
    [
        ("/camera/depth/image_raw", "/camera/depth/camera_info"),
        ("/camera/depth/image_raw/compressedDepth", "/camera/depth/camera_info"),
        ("/camera/depth/image_raw/compressed", "/camera/depth/camera_info"),
        ("depth", "/camera_info"),
    ],
)
def test_the_calibration_of_depth_is_next_to_its_images_in_any_transport(depth, info):
    node = Watched()
    node.resolve_topic_name = lambda name, only_expand=False: depth if name == view_cameras.DEPTH else name
    assert view_cameras.depth_info_topic(node) == info


def test_images_without_stamps_get_no_points_and_the_report_says_why(clock):
    """With all stamps 0, any depth and any pose would fit any image."""
    node = Watched()
    node.calibrate("color")
    node.take([0] * 6, frame_id="camera_optical")
    assert len(node.labels.stamps) == 6 and not node.points.stamps
    problems, values = sync_report(node.inputs.sync, "semantic/points")
    assert problems[0][1].startswith(
        "the stamps of color, depth, pose are 0, so no semantic/points: its driver has to fill"
    )
    assert values["sync without a stamp"] == "18"
