"""`wsss doctor --topics` next to a small driver."""

import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

from support.node_views import BEST_EFFORT  # noqa: E402
from support.paths import ROOT  # noqa: E402
from support.view_messages import CLOCK, view  # noqa: E402
from support.waiting import output_of  # noqa: E402


def test_a_lens_with_distortion_is_named():
    from sensor_msgs.msg import CameraInfo

    from wsss_ros.nodes.doctor import DETAILS

    message = CameraInfo(width=64, height=48, k=[60.0, 0, 32, 0, 60, 24, 0, 0, 1], distortion_model="plumb_bob")
    message.d = [0.1, -0.2, 0.0, 0.0, 0.0]
    assert "fx 60.0, fy 60.0, plumb_bob distortion" in DETAILS["camera_info"](message)
    message.d = [0.0] * 5
    assert "no distortion" in DETAILS["camera_info"](message)


@pytest.mark.parametrize("fixed, found", [("map", "odom -> camera, at the stamps of the images"), ("world", "")])
def test_only_map_falls_back_to_odom(fixed, found):
    """As in the nodes; TF has odom only."""
    from types import SimpleNamespace

    from wsss_ros.geometry.transforms import LookupFailed
    from wsss_ros.nodes.doctor import DoctorNode

    def look_up(frame: str, camera: str) -> None:
        if frame != "odom":
            raise LookupFailed("frame", f"no frame '{frame}'")

    observed = {"colour": SimpleNamespace(frame="camera")}
    config, tf = SimpleNamespace(fixed_frame=fixed), SimpleNamespace(readable=True)
    node = SimpleNamespace(observed=observed, config=config, tf=tf, _lookup=look_up)
    assert DoctorNode._path_to_camera(node) == (found, "" if found else "no frame 'world'")


@pytest.fixture
def driver(probe):
    """Publishes views in the namespace /cam at 20 Hz, as long as the test runs."""

    def publish() -> None:
        for topic, message in view(CLOCK.next()).items():
            probe.publish_without_waiting(f"/cam/{topic}", message, BEST_EFFORT)

    timer = probe.node.create_timer(0.05, publish)
    yield
    probe.node.destroy_timer(timer)


def doctor(environment: dict, *words: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "wsss_ros.cli.main", "doctor", "--topics", "--seconds", "2", *words]
    environment = environment | {"PYTHONPATH": f"{ROOT}:{environment.get('PYTHONPATH', '')}", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT
    )
    text, _ = output_of(process)
    return process.returncode, text


def test_a_driver_that_is_found(driver, shared_ros_environment):
    matched = "100 % of the images have depth within 20 ms"
    for _ in range(5):  # on a busy machine discovery takes longer than two seconds, and single messages are lost
        status, text = doctor(shared_ros_environment, "namespace:=cam")
        if status == 0 and matched in text:
            break
    assert status == 0, text
    assert "ok    colour         /cam/color/image_raw, " in text and "rgb8, 64 x 48, frame 'camera_optical'" in text
    assert "16UC1, 64 x 48, 89 % known, 1.21 to 3.00 m" in text
    assert "fx 60.0, fy 60.0, no distortion" in text and "at 1.00, 2.00, 3.00 m" in text
    assert matched in text, text


def test_a_driver_under_other_names(driver, shared_ros_environment):
    silent = "fault colour         /color/image_raw: no message within 2 s, so no result at all: nobody publishes it; "
    expected = (
        f"{silent}/cam/color/image_raw has a publisher: remap with color_topic:=/cam/color/image_raw",
        "remap with depth_topic:=/cam/depth/image_rect",
        "ok    pose           /cam/pose, ",
    )
    for _ in range(5):
        status, text = doctor(shared_ros_environment, "pose_topic:=/cam/pose")
        if all(part in text for part in expected):
            break
    assert status == 1, text
    assert all(part in text for part in expected), text
