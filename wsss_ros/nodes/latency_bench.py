"""Image sizes and time: ``python -m wsss_ros.nodes.latency_bench`` prints one JSON object.

``parts_ms``: the parts of the image segmenter by image size. ``latency_ms``: from the stamp of an image to the arrival
of its labels in another process, at a steady rate. With ``--other``, the node of another checkout is measured next.
With ``--viewer``, the node is measured again while a viewer shows its overlay and clouds of 300,000 points at 5 Hz;
these clouds are sent both times.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from wsss_ros.bags.codec import image_to_rgb, stamp_ns
from wsss_ros.bags.label_images import write_colors, write_overlay
from wsss_ros.bench.clock import median_ms
from wsss_ros.bench.ros_loads import patches
from wsss_ros.config import share
from wsss_ros.nodes import conversions, logs
from wsss_ros.nodes.bench import PROFILE, use_a_quiet_domain
from wsss_ros.nodes.qos import RESULT, SENSOR
from wsss_ros.processes import children
from wsss_ros.processes.allocator import tune_allocator

SIZES = ("640x480", "1280x720", "1920x1080")
NAMESPACE = "/latency_bench"
WARM_UP_S = 3.0  # of labels that are not counted
OUTPUTS = ("semantic/image_raw", "semantic/confidence", "semantic_color/image_raw", "semantic_overlay/image_raw")


def main(args: list[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    options = _options(args)
    tune_allocator()
    use_a_quiet_domain()
    os.environ[PROFILE] = str(share("config/fastdds.xml"))
    rclpy.init(args=logs.arguments())
    node = rclpy.create_node("latency_bench")
    try:
        report = {
            "parts_ms": {size: parts_ms(node, size, options.weights, options.runs) for size in options.sizes},
            "latency_ms": {size: _latencies(node, size, options) for size in options.sizes if options.seconds},
        }
    finally:
        rclpy.shutdown()
    print(json.dumps(report, indent=2))
    return 0


def _options(args: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sizes", nargs="+", default=list(SIZES), help="WIDTHxHEIGHT of the images")
    parser.add_argument("--rate", type=float, default=30.0, help="images in a second")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each measurement; 0: parts only")
    parser.add_argument("--runs", type=int, default=15, help="runs of each part; the median counts")
    parser.add_argument("--weights", default="", help="image checkpoint; the one that ships if empty")
    parser.add_argument("--all-outputs", action="store_true", help="subscribe to every image that the node gives")
    parser.add_argument("--other", type=Path, help="another checkout, whose node is measured too")
    parser.add_argument(
        "--viewer", action="store_true", help="measure with and without a viewer that somebody looks at"
    )
    options = parser.parse_args(args)
    if options.other and not options.weights:
        from wsss_ros.inference import shipped_weights

        options.weights = str(shipped_weights("image"))  # another checkout may ship a smaller network
    return options


def _height_width(size: str) -> tuple[int, int]:
    width, height = map(int, size.split("x"))
    return height, width


# --- parts -----------------------------------------------------------------------------------------


def parts_ms(node: Any, size: str, weights: str, runs: int) -> dict[str, float]:
    """Median milliseconds of each part of the image segmenter, for a bgr8 image of ``size``."""
    from wsss_ros.inference import ImageSegmenter

    segmenter, rgb = ImageSegmenter(weights), patches(*_height_width(size))
    message, head = conversions.image_message(Header(), rgb[..., ::-1], "bgr8"), Header()
    maps = segmenter.maps(rgb)
    labels, confidence = segmenter.decide(maps, rgb.shape[:2])
    filled, pixels = conversions.image_to_fill(head, rgb.shape, "rgb8")
    publisher = node.create_publisher(Image, "bench/parts", RESULT)
    subscription = node.create_subscription(Image, "bench/parts", lambda message: None, RESULT)

    def messages() -> None:
        for values, encoding in ((labels, "mono8"), (confidence, "32FC1")):
            publisher.publish(conversions.image_message(head, values, encoding))
        for _ in range(2):
            publisher.publish(filled)

    calls: dict[str, Callable[[], Any]] = {
        "input": lambda: image_to_rgb(message),
        "resize": lambda: segmenter.network_input(rgb),
        "labels and confidence": lambda: segmenter.decide(maps, rgb.shape[:2]),
        "colours": lambda: write_colors(labels, segmenter.labels, pixels),
        "overlay": lambda: write_overlay(rgb, labels, segmenter.labels, 0.5, pixels),
        "messages": messages,
    }
    for call in calls.values():  # compile
        call()
    parts = {name: round(median_ms(call, runs)[0], 2) for name, call in calls.items()}
    node.destroy_subscription(subscription)
    node.destroy_publisher(publisher)
    network = median_ms(lambda: segmenter.maps(rgb), runs)[0] - parts["resize"]
    return parts | {"around the network": round(sum(parts.values()), 2), "network": round(network, 2)}


# --- latency ---------------------------------------------------------------------------------------


def _latencies(node: Any, size: str, options: argparse.Namespace) -> dict[str, dict[str, float]]:
    if options.viewer:
        return {name: _with_clouds(node, size, options, seen) for name, seen in (("alone", False), ("viewer", True))}
    checkouts = {"this": Path.cwd()} | ({"other": options.other.resolve()} if options.other else {})
    return {name: latency_ms(node, size, options, folder) for name, folder in checkouts.items()}


def _with_clouds(node: Any, size: str, options: argparse.Namespace, seen: bool) -> dict[str, float]:
    """The figures while clouds are sent, and with ``seen`` while a viewer shows them; and how many it has shown."""
    load = [sys.executable, "-m", "wsss_ros.nodes.viewer_load", "--topic", f"{NAMESPACE}/semantic_cloud"]
    started = []
    if seen:
        port = free_port()
        viewer = [sys.executable, "-m", "wsss_ros.nodes.viewer", "--ros-args", "-r", f"__ns:={NAMESPACE}"]
        started.append(subprocess.Popen([*viewer, "-p", f"port:={port}"], stdout=sys.stderr))
        load += ["--page", f"http://127.0.0.1:{port}/"]
    sender = subprocess.Popen(load, stdout=subprocess.PIPE, text=True)
    try:
        figures = latency_ms(node, size, options, Path.cwd())
    finally:
        children.end([sender], [(signal.SIGTERM, 30.0)])
        children.end(started, [(signal.SIGTERM, 30.0)])
    counts = json.loads(sender.stdout.read() or "{}")
    return figures | {"clouds": counts.get("sent", 0), "shown": counts.get("shown", 0)}


def free_port() -> int:
    """A port that nobody serves on at this moment."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return trial.getsockname()[1]


def latency_ms(node: Any, size: str, options: argparse.Namespace, checkout: Path) -> dict[str, float]:
    """Percentiles from stamp to label, in milliseconds, and the numbers of images sent and labelled."""
    environment = dict(os.environ)
    if options.other:
        environment["PYTHONPATH"] = str(checkout)
    command = [sys.executable, "-m", "wsss_ros.nodes.image_segmenter", "--ros-args"]
    command += ["-r", f"__ns:={NAMESPACE}", *(["-p", f"weights:={options.weights}"] if options.weights else [])]
    process = subprocess.Popen(command, env=environment, cwd=checkout, stdout=sys.stderr)
    try:
        return _percentiles(*_measured(node, size, options))
    finally:
        children.end([process], [(signal.SIGTERM, 30.0)])


def _measured(node: Any, size: str, options: argparse.Namespace) -> tuple[list[float], int]:
    """Milliseconds of each labelled image, and how many were sent in that time."""
    message = conversions.image_message(Header(), patches(*_height_width(size)), "rgb8")
    arrived: list[tuple[int, int]] = []  # stamp, time of arrival

    def received(answer: Image) -> None:
        arrived.append((stamp_ns(answer.header), time.time_ns()))

    publisher = node.create_publisher(Image, f"{NAMESPACE}/color/image_raw", SENSOR)
    topics = OUTPUTS if options.all_outputs else OUTPUTS[:1]
    callbacks = [received] + [lambda answer: None] * (len(topics) - 1)
    subscriptions = [
        node.create_subscription(Image, f"{NAMESPACE}/{topic}", callback, RESULT)
        for topic, callback in zip(topics, callbacks, strict=True)
    ]
    sent = _send(node, publisher, message, arrived, options)
    for subscription in subscriptions:
        node.destroy_subscription(subscription)
    node.destroy_publisher(publisher)
    return [(at - stamp) / 1e6 for stamp, at in arrived if stamp >= sent[0]], len(sent)


def _send(node: Any, publisher: Any, message: Image, arrived: list, options: argparse.Namespace) -> list[int]:
    """Publish at the rate until enough time has passed since the first label. Returns the stamps that count."""
    sent: list[int] = []
    due, deadline = time.monotonic(), time.monotonic() + options.seconds + 120
    start = None
    while start is None or time.monotonic() < start + WARM_UP_S + options.seconds:
        if start is None and arrived:
            start = time.monotonic()
        if time.monotonic() > deadline:
            raise TimeoutError("the node gave no label within 120 s")
        if time.monotonic() >= due:
            due += 1 / options.rate
            now = time.time_ns()
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(now, 10**9)
            publisher.publish(message)
            if start is not None and time.monotonic() >= start + WARM_UP_S:
                sent.append(now)
        rclpy.spin_once(node, timeout_sec=max(0.0, min(0.01, due - time.monotonic())))
    return sent


def _percentiles(latencies: list[float], sent: int) -> dict[str, float]:
    p50, p95, p99 = np.percentile(latencies, (50, 95, 99)) if latencies else [float("nan")] * 3
    figures = {"p50": round(float(p50), 1), "p95": round(float(p95), 1), "p99": round(float(p99), 1)}
    return figures | {"least": round(min(latencies, default=float("nan")), 1), "sent": sent, "labelled": len(latencies)}


if __name__ == "__main__":
    sys.exit(main())
