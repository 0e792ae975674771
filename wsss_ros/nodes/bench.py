"""What the ROS side costs: ``python -m wsss_ros.nodes.bench`` prints one JSON object.

Conversions of a 300,000-point cloud; messages lost between two processes at best effort, with and without the
Fast DDS profile that ships; and what a node adds to the forward pass of its network, message in to message out.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import rclpy
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from wsss_ros.bags import cloud_codec
from wsss_ros.config import share
from wsss_ros.labels import scannet20
from wsss_ros.nodes import conversions
from wsss_ros.nodes.process import tune_allocator
from wsss_ros.nodes.qos import MAP, RESULT, SENSOR
from wsss_ros.types import Cloud, Frame

POINTS, HEIGHT, WIDTH = 300_000, 480, 640
LOADS = {"cloud": (PointCloud2, 10.0), "image": (Image, 30.0)}
PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"


def main(args: list[str] | None = None) -> int:
    options = _options(args)
    tune_allocator()
    if options.send:
        return send(options.send, options.seconds)
    if options.receive:
        return receive(options.receive, options.seconds)
    _use_a_quiet_domain()
    report = {part: PARTS[part](options) for part in options.parts}
    print(json.dumps(report, indent=2))
    return 0


def _options(args: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    parser.add_argument("--rounds", type=int, default=12, help="messages through each node")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each transport run")
    parser.add_argument("--image-weights", default="", help="image checkpoint; a random light one if empty")
    parser.add_argument("--cloud-weights", default="", help="cloud checkpoint; a random light one if empty")
    parser.add_argument("--send", choices=LOADS, help="only send this load (used by the bench itself)")
    parser.add_argument("--receive", choices=LOADS, help="only count this load (used by the bench itself)")
    return parser.parse_args(args)


def _use_a_quiet_domain() -> None:
    os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randint(102, 200))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"


# --- conversions -----------------------------------------------------------------------------------


def median_ms(function: Callable[[], object], repeats: int = 30) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return round(1e3 * float(np.median(times)), 3)


def conversions_ms() -> dict[str, float]:
    """A coloured cloud of 300,000 points read, written and answered, beside a plain copy of its bytes."""
    cloud = _cloud()
    message = conversions.cloud_message(Header(), cloud.xyz, cloud.rgb)
    read, octets = cloud_codec.read_cloud(message), np.frombuffer(message.data, np.uint8)
    labels, confidence, space = np.zeros(POINTS, np.uint8), np.ones(POINTS, np.float32), scannet20()
    return {
        "copy_of_the_bytes": median_ms(octets.copy),
        "message_to_numpy": median_ms(lambda: cloud_codec.read_cloud(message)),
        "numpy_to_message": median_ms(lambda: conversions.cloud_message(Header(), cloud.xyz, cloud.rgb)),
        "numpy_to_semantic_message": median_ms(
            lambda: conversions.semantic_cloud_message(Header(), read, labels, confidence, space)
        ),
    }


def _cloud() -> Cloud:
    generator = np.random.default_rng(0)
    xyz = generator.random((POINTS, 3), np.float32) * np.array((6, 5, 2.5), np.float32)
    return Cloud(xyz, generator.integers(0, 256, (POINTS, 3), dtype=np.uint8))


def _image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)


# --- transport -------------------------------------------------------------------------------------


def transport(load: str, profile: Path | None, seconds: float) -> dict[str, int]:
    """Messages sent and received between two processes, best effort on both sides."""
    environment = {key: value for key, value in os.environ.items() if key != PROFILE}
    if profile is not None:
        environment[PROFILE] = str(profile)
    command = [sys.executable, "-m", "wsss_ros.nodes.bench", "--seconds", str(seconds)]
    receiver = subprocess.Popen([*command, "--receive", load], env=environment, stdout=subprocess.PIPE, text=True)
    sender = subprocess.Popen([*command, "--send", load], env=environment, stdout=subprocess.PIPE, text=True)
    received, sent = (int(process.communicate(timeout=seconds + 60)[0]) for process in (receiver, sender))
    return {"sent": sent, "received": received, "lost": sent - received}


def transports(options: argparse.Namespace) -> dict[str, dict]:
    profiles = {"with_profile": share("config/fastdds.xml"), "without": None}
    return {
        load: {name: transport(load, profile, options.seconds) for name, profile in profiles.items()} for load in LOADS
    }


def send(load: str, seconds: float) -> int:
    """Publish at the load's rate once a subscriber is there; prints how many."""
    kind, rate = LOADS[load]
    rclpy.init()
    node = rclpy.create_node("bench_sender")
    publisher = node.create_publisher(kind, "bench", SENSOR)
    cloud, pixels = _cloud(), _image()
    _until(lambda: publisher.get_subscription_count() > 0, 30)
    time.sleep(1)  # the subscriber knows of us a little later
    count, start = round(seconds * rate), time.monotonic()
    for n in range(count):
        time.sleep(max(0.0, start + n / rate - time.monotonic()))
        made = conversions.cloud_message(Header(), cloud.xyz, cloud.rgb) if load == "cloud" else None
        publisher.publish(made or conversions.image_message(Header(), pixels, "rgb8"))
    time.sleep(1)
    rclpy.shutdown()
    print(count)
    return 0


def receive(load: str, seconds: float) -> int:
    """Count what comes until the sender has left; prints it."""
    rclpy.init()
    node, got = rclpy.create_node("bench_receiver"), []
    subscription = node.create_subscription(LOADS[load][0], "bench", lambda m: got.append(len(m.data)), SENSOR)
    end = time.monotonic() + seconds + 40
    seen = False
    while time.monotonic() < end and not (seen and node.count_publishers("bench") == 0):
        seen = seen or node.count_publishers("bench") > 0
        rclpy.spin_once(node, timeout_sec=0.1)
    node.destroy_subscription(subscription)
    rclpy.shutdown()
    print(len(got))
    return 0


# --- overhead --------------------------------------------------------------------------------------


def _random(kind: str, folder: str) -> str:
    """A checkpoint of a light network with random weights: its speed is that of a trained one."""
    from wsss_ros.networks import checkpoint

    config = {
        "image": checkpoint.NetworkConfig("image", "resnet"),
        "cloud": checkpoint.NetworkConfig("cloud", "pointnet2", {"width": 0.5}, inputs=("color", "height")),
    }[kind]
    path = Path(folder) / f"{kind}.safetensors"
    checkpoint.save(path, config.build(scannet20()), config, scannet20())
    return str(path)


def image_overhead(options: argparse.Namespace) -> dict[str, float]:
    from wsss_ros.inference import ImageSegmenter

    topics = (Image, "color/image_raw", SENSOR, Image, "semantic/image_raw", RESULT)
    with tempfile.TemporaryDirectory() as folder:
        weights, frame = options.image_weights or _random("image", folder), Frame(_image())
        segmenter = ImageSegmenter(weights)
        return _overhead(
            "image_segmenter",
            weights,
            lambda header: conversions.image_message(header, frame.rgb, "rgb8"),
            topics,
            lambda: segmenter(frame),
            options.rounds,
        )


def cloud_overhead(options: argparse.Namespace) -> dict[str, float]:
    from wsss_ros.inference import CloudSegmenter

    topics = (PointCloud2, "cloud", MAP, PointCloud2, "semantic_cloud", MAP)
    with tempfile.TemporaryDirectory() as folder:
        weights, cloud = options.cloud_weights or _random("cloud", folder), _cloud()
        segmenter = CloudSegmenter(weights)
        return _overhead(
            "cloud_segmenter",
            weights,
            lambda header: conversions.cloud_message(header, cloud.xyz, cloud.rgb),
            topics,
            lambda: segmenter(cloud),
            options.rounds,
        )


def _overhead(
    name: str, weights: str, make: Callable, topics: tuple, forward: Callable[[], object], rounds: int
) -> dict[str, float]:
    """Message in to message out of the node's own process, and the forward pass alone, in turns; medians."""
    kind, topic, qos, answer_kind, answer_topic, answer_qos = topics
    os.environ[PROFILE] = str(share("config/fastdds.xml"))
    command = [sys.executable, "-m", f"wsss_ros.nodes.{name}", "--ros-args", "-p", f"weights:={weights}"]
    process = subprocess.Popen(command, stdout=sys.stderr)
    try:
        rclpy.init()
        node, answers = rclpy.create_node("bench"), []
        publisher = node.create_publisher(kind, topic, qos)
        node.create_subscription(
            answer_kind, answer_topic, lambda m: answers.append((m.header.stamp.sec, time.perf_counter())), answer_qos
        )
        spin = lambda: rclpy.spin_once(node, timeout_sec=0.02)  # noqa: E731
        _until(lambda: spin() or (publisher.get_subscription_count() and node.count_publishers(answer_topic)), 120)
        through, alone = [], []
        for second in range(1, rounds + 4):
            header = Header(frame_id="map")
            header.stamp.sec = second
            message = make(header)
            start = time.perf_counter()
            publisher.publish(message)
            answered = lambda second=second: any(sec == second for sec, _ in answers)  # noqa: E731
            _until(lambda: spin() or answered(), 5 if second < 4 else 60, needed=second > 3)  # noqa: B023
            through += [at - start for sec, at in answers if sec == second and second > 3]
            start = time.perf_counter()
            forward()
            alone += [time.perf_counter() - start] if second > 3 else []
            print(f"{name}: {second} of {rounds + 3}", file=sys.stderr)
    finally:
        process.terminate()
        process.wait(30)
        rclpy.try_shutdown()
    whole, network = (round(1e3 * float(np.median(times)), 1) for times in (through, alone))
    least = round(1e3 * (min(through) - min(alone)), 1)  # what a machine busy with other things tells best
    return {"message_to_message": whole, "network": network, "added": round(whole - network, 1), "least_added": least}


def _until(condition: Callable[[], object], seconds: float, needed: bool = True) -> None:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            if needed:
                raise TimeoutError(f"the other side did not answer within {seconds:.0f} s")
            return
        time.sleep(0.0005)


PARTS = {
    "conversions_ms": lambda options: conversions_ms(),
    "transport": transports,
    "image_segmenter_ms": image_overhead,
    "cloud_segmenter_ms": cloud_overhead,
}

if __name__ == "__main__":
    sys.exit(main())
