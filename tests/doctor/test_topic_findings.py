"""What the doctor says about observed topics."""

from dataclasses import replace

import pytest

from wsss_ros.doctor.topics import ROLES, Graph, Observed, findings

PERIOD = 100_000_000


def observed(name: str, offset_ns: int = 0, **changes) -> Observed:
    stamps = [5 * 10**9 + offset_ns + index * PERIOD for index in range(20)]
    arrivals = [index / 10 for index in range(20)]
    frame = "map" if name in ("pose", "cloud") else "camera_optical"
    seen = Observed(f"/{name}", ["/driver"], stamps, arrivals, frame, "rgb8")
    return replace(seen, **changes)


def graph(**changes: Observed) -> Graph:
    return Graph({role.name: changes.get(role.name, observed(role.name)) for role in ROLES}, late_s=[0.03] * 20)


def texts(given: Graph, verdict: str) -> list[str]:
    return [f"{finding.subject}: {finding.text}" for finding in findings(given) if finding.verdict == verdict]


def only(given: Graph, verdict: str) -> str:
    (text,) = texts(given, verdict)
    return text


def gone(name: str) -> Observed:
    return Observed(f"/{name}")


def test_a_robot_as_it_should_be():
    assert texts(graph(), "fault") == texts(graph(), "note") == []
    fine = texts(graph(), "ok")
    assert fine[0] == "colour: /colour, 10.0 Hz, rgb8, frame 'camera_optical', from /driver"
    assert "clock: images arrive 30 ms after their stamps" in fine


def test_a_missing_input():
    text = only(graph(colour=replace(gone("colour"), why="nobody publishes it; remap")), "fault")
    assert text == "colour: /colour: no message within 5 s, so no result at all: nobody publishes it; remap"


def test_without_a_cloud_one_is_built():
    assert texts(graph(cloud=gone("cloud")), "fault") == []
    assert any("cloud_accumulator builds it" in text for text in texts(graph(cloud=gone("cloud")), "ok"))


def test_a_map_that_comes_seldom():
    silent = observed("cloud", stamps_ns=[], arrivals_s=[])
    assert "/cloud: no message within 5 s, though /driver offers it" in only(graph(cloud=silent), "note")


def test_a_message_that_cannot_be_read():
    assert only(graph(depth=observed("depth", fault="depth encoding: got '8UC3'")), "fault").endswith("got '8UC3'")


@pytest.mark.parametrize(
    "stamps, text", [([0] * 20, "all stamps are 0"), ([7] * 20, "all stamps are 7; the driver repeats one stamp")]
)
def test_stamps_that_are_wrong(stamps, text):
    assert any(text in each for each in texts(graph(depth=observed("depth", stamps_ns=stamps)), "fault"))


def test_a_calibration_may_have_one_stamp():
    frozen = observed("camera_info", stamps_ns=[7] * 20)
    assert texts(graph(camera_info=frozen), "fault") == []


def test_stamps_that_go_back():
    stamps = observed("colour").stamps_ns
    looped = graph(colour=observed("colour", stamps_ns=stamps[10:] + stamps[:10]))
    assert only(looped, "note") == "stamps: those of colour go back; two publishers, or a looped bag?"


def test_streams_that_never_meet():
    text = only(graph(depth=observed("depth", offset_ns=PERIOD // 2)), "fault")
    assert text.startswith("matching: 0 % of the images have depth within 20 ms (median 50 ms away); synchronise")


def test_poses_of_tf():
    given = graph(pose=gone("pose"))
    given.pose_from_tf = "map -> camera_optical"
    assert texts(given, "fault") == [] and "pose: from TF: map -> camera_optical" in texts(given, "ok")
    given.pose_from_tf, given.tf_fault = "", "frame 'map' is unknown"
    text = only(given, "fault")
    assert "/pose: nobody publishes it. TF: frame 'map' is unknown, so no semantic points" in text


def test_depth_of_another_camera():
    given = graph(depth=observed("depth", frame="depth_optical"))
    assert any(text.startswith("registration: depth in 'depth_optical' is brought") for text in texts(given, "ok"))
    given.extrinsic_fault = "no path"
    assert "TF does not connect them (no path); publish the extrinsic, or let the driver align" in only(given, "fault")


def test_the_calibration_of_another_camera():
    info = observed("camera_info", frame="infra1_optical", size=(848, 480), oddities=["K[1] is odd"])
    given = graph(camera_info=info, colour=observed("colour", size=(640, 480)))
    assert any("got 'infra1_optical' for images in 'camera_optical'" in text for text in texts(given, "note"))
    assert "camera_info: /camera_info: K[1] is odd" in texts(given, "note")
    assert "/camera_info: it is of 848 x 480 for images of 640 x 480; name" in only(given, "fault")


@pytest.mark.parametrize("changes", [{"frame": "depth_optical"}, {"size": (848, 480)}])
def test_depth_of_another_camera_needs_its_calibration(changes):
    given = graph(colour=observed("colour", size=(640, 480)), depth=observed("depth", **changes))
    assert texts(given, "fault") == []
    given.depth_info = "/depth/camera_info"
    assert "no message came on /depth/camera_info; name it (depth_camera_info_topic), or let" in only(given, "fault")


def test_a_leading_slash_is_the_same_frame():
    given = graph(depth=observed("depth", frame="/camera_optical"))
    given.depth_info = "/depth/camera_info"
    assert not any(text.startswith("registration") for text in texts(given, "ok") + texts(given, "fault"))


def test_a_simulated_clock_that_never_comes():
    given = graph()
    given.clock_fault, given.late_s = "no simulated time: use_sim_time is true", [-1e9] * 20
    assert only(given, "fault").startswith("clock: no simulated time")


def test_clocks_that_differ():
    given = graph()
    given.late_s = [-3.0] * 20
    assert "3.0 s ahead of this machine's clock" in only(given, "note")
