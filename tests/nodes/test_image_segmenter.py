"""The image segmenter as a process of its own on real DDS, with a tiny scene and a tiny network."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from reference import conversions as reference
from support.waiting import output_of, until

pytest.importorskip("rclpy", reason="ROS 2 is not installed")

import simplejpeg  # noqa: E402
from rclpy.qos import ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image, PointCloud2  # noqa: E402
from support.node_views import (  # noqa: E402
    BEST_EFFORT,
    RELIABLE,
    answered,
    has_answer,
    poses_between_the_views,
    send,
    until_answered,
)
from support.ros_probe import ROOT, NodeProcess  # noqa: E402
from support.tiny_networks import CONFIGS, ON_ONE_THREAD  # noqa: E402
from support.view_messages import (  # noqa: E402
    BAD_VIEWS,
    CAMERA,
    CLOCK,
    HEIGHT,
    WIDTH,
    camera_info,
    colors,
    depths,
    header,
    image,
    view,
)

from wsss_ros.bags import cloud_codec  # noqa: E402
from wsss_ros.inference import ImageSegmenter  # noqa: E402
from wsss_ros.labels import LabelSpace  # noqa: E402
from wsss_ros.networks import checkpoint  # noqa: E402
from wsss_ros.types import Frame  # noqa: E402

pytestmark = pytest.mark.slow
OUTPUTS = {
    "semantic/image_raw": Image,
    "semantic/confidence": Image,
    "semantic_color/image_raw": Image,
    "semantic_overlay/image_raw": Image,
    "semantic/points": PointCloud2,
}


@pytest.fixture(scope="module")
def segmenter(started, weights) -> NodeProcess:
    return started("image_segmenter", weights=weights["image"], points_stride=2, sensor_timeout_s=1.0, **ON_ONE_THREAD)


@pytest.fixture(scope="module")
def images(probe, segmenter) -> dict[str, list]:
    got = {name: probe.collect(kind, segmenter.topic(name), RELIABLE) for name, kind in OUTPUTS.items()}
    until_answered(lambda: send(probe, segmenter, view(CLOCK.next())), *got.values())
    return got


@pytest.fixture(scope="module")
def expected(weights, labels):
    """Labels and confidence of the test image, by the core itself."""
    return ImageSegmenter(weights["image"], "cpu", "float32")(Frame(colors()))


def test_image_results(probe, segmenter, images, expected, labels):
    stamp = CLOCK.next()
    send(probe, segmenter, view(stamp))
    got = {name: answered(messages, stamp) for name, messages in images.items()}
    encodings = {name: getattr(message, "encoding", None) for name, message in got.items()}
    assert list(encodings.values()) == ["mono8", "32FC1", "rgb8", "rgb8", None]
    for name, message in got.items():
        if name != "semantic/points":
            assert message.header == header(stamp, "camera_optical")
            assert (message.height, message.width) == (HEIGHT, WIDTH)
    true, confidence = expected
    classes = np.frombuffer(got["semantic/image_raw"].data, np.uint8).reshape(HEIGHT, WIDTH)
    np.testing.assert_array_equal(classes, true)
    sent = np.frombuffer(got["semantic/confidence"].data, np.float32).reshape(HEIGHT, WIDTH)
    np.testing.assert_allclose(sent, confidence, rtol=1e-4)
    painted = np.frombuffer(got["semantic_color/image_raw"].data, np.uint8).reshape(HEIGHT, WIDTH, 3)
    np.testing.assert_array_equal(painted, labels.colorize(true))
    mixed = np.frombuffer(got["semantic_overlay/image_raw"].data, np.uint8).reshape(HEIGHT, WIDTH, 3)
    assert np.abs(mixed.astype(float) - (painted.astype(float) + colors()) / 2).max() <= 1


def test_unsure_labels_are_unlabelled_in_all_results(probe, started, weights, expected, labels):
    """255 in labels and points, black as a colour, the image itself in the overlay; the confidence stays."""
    found, confidence = expected
    least = float(np.median(confidence))
    own = {"space": f"/sure_{os.getpid()}"}
    sure = started("image_segmenter", **own, weights=weights["image"], min_confidence=least, **ON_ONE_THREAD)
    images = {name: probe.collect(kind, sure.topic(name), RELIABLE) for name, kind in OUTPUTS.items()}
    until_answered(lambda: send(probe, sure, view(CLOCK.next())), *images.values())
    stamp = CLOCK.next()
    send(probe, sure, view(stamp))
    got = {name: answered(messages, stamp) for name, messages in images.items()}
    pixels = {name: np.frombuffer(m.data, np.uint8) for name, m in got.items() if name != "semantic/points"}
    classes = pixels["semantic/image_raw"].reshape(HEIGHT, WIDTH)
    sent = pixels["semantic/confidence"].view(np.float32).reshape(HEIGHT, WIDTH)
    np.testing.assert_array_equal(classes, np.where(sent < np.float32(least), 255, found))
    np.testing.assert_allclose(sent, confidence, rtol=1e-4)
    dropped = classes == 255
    assert 0.2 < dropped.mean() < 0.8
    painted, mixed = (pixels[f"semantic_{name}/image_raw"].reshape(HEIGHT, WIDTH, 3) for name in ("color", "overlay"))
    np.testing.assert_array_equal(painted, labels.colorize(classes))
    np.testing.assert_array_equal(mixed[dropped], colors()[dropped])
    points = np.frombuffer(got["semantic/points"].data, cloud_codec.SEMANTIC_POINT)
    unsure = points["label"] == 255
    np.testing.assert_array_equal(unsure, points["confidence"] < np.float32(least))
    assert unsure.any() and not unsure.all() and not points["rgb"][unsure].any()
    until(lambda: probe.values(sure).get("min_confidence") == f"{least:g}")


def test_semantic_points_lie_where_their_pixels_saw_them(probe, segmenter, images, expected):
    stamp = CLOCK.next()
    send(probe, segmenter, view(stamp))
    message = answered(images["semantic/points"], stamp)
    assert message.header == header(stamp, "map")
    projected = []
    for v in range(0, HEIGHT, 2):
        for u in range(0, WIDTH, 2):
            z = float(depths()[v, u])
            if z > 0:
                x, y = (u - CAMERA.cx) / CAMERA.fx * z, (v - CAMERA.cy) / CAMERA.fy * z
                projected.append((x + 1, y + 2, z + 3, expected[0][v, u], expected[1][v, u]))
    points = [[p[key] for key in ("x", "y", "z", "label", "confidence")] for p in reference.points(message)]
    np.testing.assert_allclose(points, projected, atol=1e-4)


def test_quality_of_service_of_the_outputs(probe, segmenter, images):
    for name in OUTPUTS:
        (info,) = probe.node.get_publishers_info_by_topic(segmenter.topic(name))
        assert info.qos_profile.reliability == ReliabilityPolicy.RELIABLE
    for name in ("color/image_raw", "depth/image_rect", "color/camera_info", "pose"):
        (info,) = probe.node.get_subscriptions_info_by_topic(segmenter.topic(name))
        assert info.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT


@pytest.mark.parametrize("encoding, order", [("bgr8", [2, 1, 0]), ("rgba8", [0, 1, 2, 3]), ("bgra8", [2, 1, 0, 3])])
def test_every_color_encoding_means_the_same_picture(probe, segmenter, images, expected, encoding, order):
    stamp, four = CLOCK.next(), np.dstack([colors(), np.full((HEIGHT, WIDTH), 9, np.uint8)])
    pixels = np.ascontiguousarray(four[..., order]).reshape(HEIGHT, -1)
    rows = np.hstack([pixels, np.zeros((HEIGHT, 7), np.uint8)])
    message = Image(header=header(stamp, "c"), height=HEIGHT, width=WIDTH, encoding=encoding, step=rows.shape[1])
    message.data.frombytes(rows.tobytes())
    send(probe, segmenter, {"color/image_raw": message})
    answer = answered(images["semantic/image_raw"], stamp)
    np.testing.assert_array_equal(np.frombuffer(answer.data, np.uint8), expected[0].ravel())


def test_color_does_not_wait_and_late_companions_still_make_points(probe, segmenter, images):
    stamp = CLOCK.next()
    messages = view(stamp)
    send(probe, segmenter, {"color/image_raw": messages.pop("color/image_raw")})
    answered(images["semantic/image_raw"], stamp)
    assert not has_answer(images["semantic/points"], stamp)
    send(probe, segmenter, messages)
    answered(images["semantic/points"], stamp)


@pytest.mark.parametrize("case", BAD_VIEWS)
def test_bad_input_is_reported_and_the_next_view_is_segmented(probe, segmenter, images, case):
    topic, spoil, text = BAD_VIEWS[case]
    stamp = CLOCK.next()
    send(probe, segmenter, view(stamp) | {topic: spoil(stamp)})
    status = probe.next_status(segmenter, text)
    assert status.level == b"\x01"
    if topic != "color/image_raw":
        answered(images["semantic/image_raw"], stamp)  # the image is segmented all the same
    assert not has_answer(images["semantic/points"], stamp)
    stamp = CLOCK.next()
    send(probe, segmenter, view(stamp))
    answered(images["semantic/points"], stamp)


def test_an_unknown_lens_distortion_is_reported(probe, segmenter, images):
    stamp = CLOCK.next()
    unknown = camera_info(stamp, distortion_model="mirror", d=[0.1, 0.0, 0.0, 0.0, 0.0])
    send(probe, segmenter, view(stamp) | {"color/camera_info": unknown})
    probe.next_status(segmenter, "distortion_model 'mirror'")
    answered(images["semantic/points"], stamp)


def test_a_pose_that_never_comes_is_named(probe, segmenter, images):
    def view_without_pose() -> None:
        messages = view(CLOCK.next())
        del messages["pose"]
        send(probe, segmenter, messages)

    silent = f"no message on {segmenter.topic('pose')} for "
    status = probe.next_status(segmenter, silent, "received), so no semantic/points", act=view_without_pose)
    assert status.level == b"\x01"


def test_poses_that_fit_no_view_are_reported(probe, segmenter, images):
    text = "no stamps within 0.02 s of each other; the newest, in seconds: color ", ", so no sem"
    status = probe.next_status(segmenter, *text, act=lambda: poses_between_the_views(probe, segmenter))
    assert status.level == b"\x01"
    stamp = CLOCK.next()
    send(probe, segmenter, view(stamp))
    answered(images["semantic/points"], stamp)
    assert "no stamps" not in probe.next_status(segmenter).message


def test_matching_starts_over_when_the_stamps_jump_back(probe, segmenter, images):
    first = CLOCK.next()
    send(probe, segmenter, view(first))
    answered(images["semantic/points"], first)
    for count in range(1, 5):
        send(probe, segmenter, view(count * 10**8))
        answered(images["semantic/image_raw"], count * 10**8)
    answered(images["semantic/points"], 4 * 10**8)
    probe.next_status(segmenter, "stamps jumped back")
    for _ in range(4):  # and forward again, for the other tests
        last = CLOCK.next()
        send(probe, segmenter, view(last))
        answered(images["semantic/image_raw"], last)
    answered(images["semantic/points"], last)


def test_parameters_are_described_with_their_range(probe, segmenter):
    alpha, precision = probe.describe(segmenter, ["overlay_alpha", "precision"])
    (bounds,) = alpha.floating_point_range
    assert (bounds.from_value, bounds.to_value) == (0.0, 1.0) and "overlay" in alpha.description
    assert "float32" in precision.additional_constraints
    refused = probe.set(segmenter, "precision", "float16")
    assert not refused.successful and "float16" in refused.reason
    assert not probe.set(segmenter, "overlay_alpha", 1.5).successful
    assert probe.set(segmenter, "overlay_alpha", 0.5).successful


def unusable_weights(folder: Path, sound: Path) -> dict[str, str]:
    """Files by name, each with the message about it."""
    (folder / "foreign").write_bytes(b"not weights at all")
    (folder / "truncated").write_bytes(sound.read_bytes()[:-100])
    classes = LabelSpace("kitchen", ("cup", "pan"), ((1, 1, 1), (2, 2, 2)), (1, 2))
    checkpoint.save(folder / "of_kitchens", CONFIGS["image"].build(classes), CONFIGS["image"], classes)
    unreadable, other_labels = "not a readable checkpoint", "label space 'kitchen' of 2 classes, expected"
    return {"foreign": unreadable, "truncated": unreadable, "of_kitchens": other_labels}


def test_lifecycle_of_the_image_segmenter(probe, segmenter, images, expected, tmp_path):
    assert probe.values(segmenter)["state"] == "active"
    assert not probe.transition(segmenter, "activate"), "an impossible transition is refused"
    assert probe.transition(segmenter, "deactivate")
    probe.publish_without_waiting(segmenter.topic("color/image_raw"), image(CLOCK.next()), BEST_EFFORT)
    count = len(images["semantic/image_raw"])
    assert probe.values(segmenter)["state"] == "inactive"
    assert len(images["semantic/image_raw"]) == count, "deactivate stops"
    assert probe.transition(segmenter, "cleanup")
    assert probe.state(segmenter) == "unconfigured"
    until(lambda: probe.node.count_publishers(segmenter.topic("semantic/points")) == 0, "cleanup leaves publishers")
    before = probe.get(segmenter, "weights")
    for name, text in unusable_weights(tmp_path, Path(before)).items():
        assert probe.set(segmenter, "weights", str(tmp_path / name)).successful
        assert not probe.transition(segmenter, "configure")
        assert probe.next_status(segmenter, "configure failed", name, text).level == b"\x02"
    probe.set(segmenter, "weights", before)
    probe.set(segmenter, "transport", "compressed")
    assert probe.transition(segmenter, "configure") and probe.transition(segmenter, "activate")
    message = CompressedImage(header=header(CLOCK.next(), "c"), format="jpeg")
    message.data.frombytes(simplejpeg.encode_jpeg(colors(), quality=100, colorsubsampling="444"))
    compressed = {"color/image_raw/compressed": message}
    until_answered(lambda: send(probe, segmenter, compressed), images["semantic/image_raw"])
    answer = images["semantic/image_raw"][-1]
    assert answer.header == message.header
    assert (np.frombuffer(answer.data, np.uint8) == expected[0].ravel()).mean() > 0.9


def test_the_log_and_the_diagnostics_have_the_weights(probe, segmenter, images, weights):
    version = checkpoint.load(weights["image"], "image").version
    assert f"ready: weights {version} of scannet20 on cpu" in segmenter.text
    assert probe.values(segmenter)["weights"] == version


def test_diagnostics_have_rate_latency_and_drops(probe, segmenter, images):
    values = probe.values(segmenter)
    assert float(values["latency_median_ms"]) > 0 and float(values["latency_p95_ms"]) > 0
    assert float(values["rate_hz"]) >= 0
    assert values["device"] == "cpu" and float(values["memory_mb"]) > 50 and float(values["uptime_s"]) > 0
    assert int(values["dropped color encoding"]) >= 1 and int(values["dropped pose orientation"]) >= 2


def test_ctrl_c_during_the_imports_makes_no_noise(tmp_path):
    (tmp_path / "numpy.py").write_text("import time\nprint('imports', flush=True)\ntime.sleep(3600)\n")
    variables = {**os.environ, "PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-m", "wsss_ros.nodes.image_segmenter"]
    node = subprocess.Popen(
        command, env=variables, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert node.stdout.readline() == "imports\n"
    node.send_signal(signal.SIGINT)
    assert output_of(node) == ("", "") and node.returncode == -signal.SIGINT


def shared_memory(pid: int) -> set[Path]:
    """The lock files of the shared memory that Fast DDS has made for a process; those of ports outlive it."""
    files = {Path(os.path.realpath(link)) for link in Path(f"/proc/{pid}/fd").iterdir()}
    return {file for file in files if file.name.startswith("fastrtps_") and "_port" not in file.name}


def test_it_ends_in_order(segmenter):
    """Last, for it ends the node."""
    own = shared_memory(segmenter.process.pid)
    assert segmenter.end(signal.SIGINT) == 0
    assert own and not any(path.exists() for path in own), "DDS removes its files, of up to 64 MB each"
    assert "Traceback" not in segmenter.text and "internal error" not in segmenter.text, segmenter.text[-2000:]
