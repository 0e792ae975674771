"""What the ROS side costs: ``python -m wsss_ros.nodes.bench`` prints one JSON object.

Conversions of a 300,000-point cloud; messages lost between two processes at best effort, with and without the
Fast DDS profile that ships; and what a node adds to the forward pass of its network, message in to message out.
"""

import argparse
import json
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header

from wsss_ros.bags import cloud_codec
from wsss_ros.bench.ros_loads import POINTS, random_cloud, random_image
from wsss_ros.config import share
from wsss_ros.labels import scannet20
from wsss_ros.nodes import conversions, logs
from wsss_ros.nodes.qos import MAP, RESULT, SENSOR
from wsss_ros.processes import children
from wsss_ros.processes.allocator import tune_allocator
from wsss_ros.types import Frame

LOADS = {"cloud": (PointCloud2, 10.0), "image": (Image, 30.0)}
PROFILE = "FASTRTPS_DEFAULT_PROFILES_FILE"
WARM_UP = 3  # messages that are not measured


def main(args: list[str] | None = None) -> int:
    """Measure the parts that were asked for and print them. Returns the exit status."""
    options = _options(args)
    tune_allocator()
    if options.send:
        return send(options.send, options.seconds)
    if options.receive:
        return receive(options.receive, options.seconds)
    use_a_quiet_domain()
    report = {part: PARTS[part](options) for part in options.parts}
    print(json.dumps(report, indent=2))
    return 0


def _options(args: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="what to measure")
    parser.add_argument("--rounds", type=int, default=12, help="messages through each node")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each transport run")
    parser.add_argument("--image-weights", default="", help="image checkpoint; the one that ships if empty")
    parser.add_argument("--cloud-weights", default="", help="cloud checkpoint; the one that ships if empty")
    parser.add_argument("--send", choices=LOADS, help="only send this load (used by the bench itself)")
    parser.add_argument("--receive", choices=LOADS, help="only count this load (used by the bench itself)")
    return parser.parse_args(args)


def use_a_quiet_domain() -> None:
    """Later processes of this one talk in a random domain, on this machine only."""
    os.environ["ROS_DOMAIN_ID"] = str(random.SystemRandom().randint(102, 200))
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"


# --- conversions -----------------------------------------------------------------------------------


def conversions_ms(points: int = POINTS, runs: int = 30) -> dict[str, float]:
    """Median times to read, write and answer a coloured cloud, next to a plain copy of its bytes."""
    from wsss_ros.bench.clock import median_ms

    cloud = random_cloud(points)
    message = conversions.cloud_message(Header(), cloud.xyz, cloud.rgb)
    read, octets = cloud_codec.read_cloud(message), np.frombuffer(message.data, np.uint8)
    labels, confidence, space = np.zeros(points, np.uint8), np.ones(points, np.float32), scannet20()
    calls = {
        "copy_of_the_bytes": octets.copy,
        "message_to_numpy": lambda: cloud_codec.read_cloud(message),
        "numpy_to_message": lambda: conversions.cloud_message(Header(), cloud.xyz, cloud.rgb),
        "numpy_to_semantic_message": lambda: conversions.semantic_cloud_message(
            Header(), read, labels, confidence, space
        ),
    }
    return {name: round(median_ms(call, runs)[0], 3) for name, call in calls.items()}


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
    """Each load with and without the profile that ships."""
    profiles = {"with_profile": share("config/fastdds.xml"), "without": None}
    return {
        load: {name: transport(load, profile, options.seconds) for name, profile in profiles.items()} for load in LOADS
    }


def send(load: str, seconds: float) -> int:
    """Publish at the load's rate once a subscriber is there, and print how many messages."""
    kind, rate = LOADS[load]
    rclpy.init(args=logs.arguments())
    node = rclpy.create_node("bench_sender")
    publisher = node.create_publisher(kind, "bench", SENSOR)
    cloud, pixels = random_cloud(), random_image()
    _until(lambda: publisher.get_subscription_count() > 0, 30)
    time.sleep(1)  # the subscriber discovers us a little later
    count, start = round(seconds * rate), time.monotonic()
    for n in range(count):
        time.sleep(max(0.0, start + n / rate - time.monotonic()))
        if load == "cloud":
            publisher.publish(conversions.cloud_message(Header(), cloud.xyz, cloud.rgb))
        else:
            publisher.publish(conversions.image_message(Header(), pixels, "rgb8"))
    time.sleep(1)
    rclpy.shutdown()
    print(count)
    return 0


def receive(load: str, seconds: float) -> int:
    """Count the messages until the sender has left, and print how many."""
    rclpy.init(args=logs.arguments())
    node, got = rclpy.create_node("bench_receiver"), []

    def received(message: Any) -> None:
        got.append(len(message.data))

    subscription = node.create_subscription(LOADS[load][0], "bench", received, SENSOR)
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


@dataclass(frozen=True)
class Measured:
    """A segmenter node: its topics, its input, and the forward pass of its network alone."""

    name: str
    weights: str
    question: tuple[type, str, QoSProfile]
    answer: tuple[type, str, QoSProfile]
    message: Callable[[Header], Any]
    forward: Callable[[], Any]


def image_overhead(options: argparse.Namespace) -> dict[str, float]:
    """What the image segmenter adds to its network."""
    from wsss_ros.inference import ImageSegmenter

    frame, segmenter = Frame(random_image()), ImageSegmenter(options.image_weights)
    measured = Measured(
        "image_segmenter",
        segmenter.file,
        (Image, "color/image_raw", SENSOR),
        (Image, "semantic/image_raw", RESULT),
        lambda header: conversions.image_message(header, frame.rgb, "rgb8"),
        lambda: segmenter(frame),
    )
    return _overhead(measured, options.rounds)


def cloud_overhead(options: argparse.Namespace) -> dict[str, float]:
    """What the cloud segmenter adds to its network."""
    from wsss_ros.inference import CloudSegmenter

    cloud, segmenter = random_cloud(), CloudSegmenter(options.cloud_weights)
    measured = Measured(
        "cloud_segmenter",
        segmenter.file,
        (PointCloud2, "cloud", MAP),
        (PointCloud2, "semantic_cloud", MAP),
        lambda header: conversions.cloud_message(header, cloud.xyz, cloud.rgb),
        lambda: segmenter(cloud),
    )
    return _overhead(measured, options.rounds)


def _overhead(measured: Measured, rounds: int) -> dict[str, float]:
    """Message in to message out of the node's own process, and the forward pass alone, in turns; medians."""
    os.environ[PROFILE] = str(share("config/fastdds.xml"))
    command = [sys.executable, "-m", f"wsss_ros.nodes.{measured.name}", "--ros-args"]
    process = subprocess.Popen([*command, "-p", f"weights:={measured.weights}"], stdout=sys.stderr)
    try:
        through, alone = _turns(measured, rounds)
    finally:
        children.end([process], [(signal.SIGTERM, 30.0)])
        rclpy.try_shutdown()
    message, network = (round(1e3 * statistics.median(times), 1) for times in (through, alone))
    least = round(1e3 * (min(through) - min(alone)), 1)  # the better figure where other programs keep the machine busy
    return {
        "message_to_message": message,
        "network": network,
        "added": round(message - network, 1),
        "least_added": least,
    }


def _turns(measured: Measured, rounds: int) -> tuple[list[float], list[float]]:
    """Seconds of each message through the node, and of each forward pass alone."""
    rclpy.init(args=logs.arguments())
    node = rclpy.create_node("bench")
    publisher = node.create_publisher(*measured.question)
    answers: dict[int, float] = {}  # stamp, seconds: when
    kind, topic, qos = measured.answer

    def received(message: Any) -> None:
        answers.setdefault(message.header.stamp.sec, time.perf_counter())

    node.create_subscription(kind, topic, received, qos)

    def spin_until(condition: Callable[[], Any], seconds: float, needed: bool = True) -> None:
        def spun() -> bool:
            rclpy.spin_once(node, timeout_sec=0.02)
            return bool(condition())

        _until(spun, seconds, needed)

    spin_until(lambda: publisher.get_subscription_count() and node.count_publishers(topic), 120)
    through, alone = [], []
    for number in range(1, rounds + WARM_UP + 1):
        header = Header(frame_id="map")
        header.stamp.sec = number
        message, warm = measured.message(header), number > WARM_UP
        start = time.perf_counter()
        publisher.publish(message)
        spin_until(partial(answers.__contains__, number), 60 if warm else 5, needed=warm)
        if warm:
            through.append(answers[number] - start)
        start = time.perf_counter()
        measured.forward()
        if warm:
            alone.append(time.perf_counter() - start)
        print(f"{measured.name}: {number} of {rounds + WARM_UP}", file=sys.stderr)
    return through, alone


def _until(condition: Callable[[], Any], seconds: float, needed: bool = True) -> None:
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
