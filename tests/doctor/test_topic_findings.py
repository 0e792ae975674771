"""What the doctor says about observed topics."""

from dataclasses import replace

import pytest

from wsss_ros.doctor import topics
from wsss_ros.doctor.topics import COMPRESSED, IMAGE, INFO, POSE, ROLES, Graph, Observed, Publisher, findings, similar

PERIOD = 100_000_000
KINDS = {"colour": IMAGE, "camera_info": INFO, "depth": IMAGE, "pose": POSE, "cloud": topics.CLOUD}


def observed(name: str, offset_ns: int = 0, **changes) -> Observed:
    stamps = [5 * 10**9 + offset_ns + index * PERIOD for index in range(20)]
    arrivals = [index / 10 for index in range(20)]
    frame = "map" if name in ("pose", "cloud") else "camera_optical"
    seen = Observed(f"/{name}", [Publisher("/driver", KINDS[name])], stamps, arrivals, frame, "rgb8")
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


def test_a_missing_input_with_similar_topics():
    given = graph(colour=gone("color/image_raw"))
    given.topics = {
        "/camera/camera/color/image_raw": IMAGE,
        "/camera/camera/depth/image_rect_raw": IMAGE,
        "/camera/camera/infra1/image_rect_raw": IMAGE,
        "/semantic_overlay/image_raw": IMAGE,
    }
    text = only(given, "fault")
    assert text == (
        "colour: /color/image_raw has no publisher, so no result at all; published are: "
        "color_topic:=/camera/camera/color/image_raw"
    )


def test_similar_topics():
    there = {
        "/k/depth/image_raw": IMAGE,
        "/k/depth_to_rgb/image_raw": IMAGE,
        "/k/rgb/image_raw/compressed": COMPRESSED,
        "/k/depth_to_rgb/image_raw/compressedDepth": COMPRESSED,
        "/k/rgb/camera_info": INFO,
        "/k/depth/camera_info": INFO,
    }
    roles = {role.name: role for role in ROLES}
    assert similar(roles["depth"], there)[0] == "/k/depth_to_rgb/image_raw"
    assert similar(roles["colour"], there) == ["/k/rgb/image_raw"]
    assert similar(roles["camera_info"], there)[0] == "/k/rgb/camera_info"


def test_without_a_cloud_one_is_built():
    assert texts(graph(cloud=gone("cloud")), "fault") == []
    assert any("cloud_accumulator builds it" in text for text in texts(graph(cloud=gone("cloud")), "ok"))


def test_a_publisher_that_sends_nothing():
    silent = observed("depth", stamps_ns=[], arrivals_s=[])
    assert "depth: /depth: 1 publishers (/driver), but no message within 5 s" in only(graph(depth=silent), "fault")


def test_quality_of_service_that_does_not_match():
    other = observed("colour", publishers=[Publisher("/driver", IMAGE, "durability")], stamps_ns=[], arrivals_s=[])
    assert "QoS does not match: /driver: durability; set qos_overrides" in only(graph(colour=other), "fault")


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
    assert "TF: frame 'map' is unknown, so no semantic points and no cloud; start odometry" in only(given, "fault")


def test_depth_of_another_camera():
    given = graph(depth=observed("depth", frame="depth_optical"))
    assert any(text.startswith("registration: depth in 'depth_optical' is brought") for text in texts(given, "ok"))
    given.extrinsic_fault = "no path"
    assert "TF does not connect them (no path); publish the extrinsic, or let the driver align" in only(given, "fault")


def test_clocks_that_differ():
    given = graph()
    given.late_s = [-3.0] * 20
    assert "3.0 s ahead of this machine's clock" in only(given, "note")
