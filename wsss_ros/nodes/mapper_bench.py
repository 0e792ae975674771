"""A looped recording for the semantic mapper: ``python -m wsss_ros.nodes.mapper_bench`` prints one JSON object.

A camera goes round in a room of known shape. Label images of another model (mono16), or colour images for our own image
segmenter, depth and poses are published at a steady rate. At the end of each round the stamps jump back, as those of a
looped bag do. The mapper begins with a large map. Its memory, rate and drops are read from /diagnostics.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from wsss_ros.bench import mapped_room
from wsss_ros.bench.mapped_room import RoomView
from wsss_ros.config import share
from wsss_ros.files import write_json
from wsss_ros.geometry import matrix_to_quaternion
from wsss_ros.labels import scannet20
from wsss_ros.nodes import conversions, logs
from wsss_ros.nodes.bench import PROFILE, use_a_quiet_domain
from wsss_ros.nodes.qos import MAP, RESULT, SENSOR, SMALL_SENSOR
from wsss_ros.processes import children
from wsss_ros.processes.allocator import tune_allocator

NAMESPACE, FRAME = f"/mapper_bench_{os.getpid()}", "camera"  # of this run: another one may be in the domain
ROOM_VOXELS = 100_000  # room in the map for the voxels of the recording
START_S = 180.0  # for the nodes to be active
WARM_UP_S = 60.0  # of samples that do not count: buffers of messages grow with the first maps


def main(args: list[str] | None = None) -> int:
    """Measure and print. Returns the exit status."""
    options = _options(args)
    tune_allocator()
    use_a_quiet_domain()
    os.environ[PROFILE] = str(share("config/fastdds.xml"))
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(_measure(options, Path(folder)), indent=1))
    return 0


def _options(args: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30.0, help="length of the run")
    parser.add_argument("--rate", type=float, default=10.0, help="views in a second")
    parser.add_argument("--size", default="640x480", help="WIDTHxHEIGHT of the images")
    parser.add_argument("--voxels", type=int, default=1_000_000, help="voxels in the map at the start")
    parser.add_argument("--stride", type=int, default=1, help="parameter pixel_stride of the mapper")
    parser.add_argument("--segmenter", action="store_true", help="our image segmenter makes the label images")
    parser.add_argument("--out", type=Path, help="also write the samples to this file while it runs")
    return parser.parse_args(args)


def _measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    width, height = map(int, options.size.split("x"))
    path, views = folder / "map.npz", mapped_room.round_trip(width, height)
    mapped_room.write_large_map(path, options.voxels, scannet20().names)
    chosen = {"max_voxels": max(10_000, options.voxels + ROOM_VOXELS), "pixel_stride": options.stride}
    started = [_start("semantic_mapper", map_file=path, autosave=False, **chosen)]
    if options.segmenter:
        started.append(_start("image_segmenter", min_confidence=0.0))
    rclpy.init(args=logs.arguments())
    watch = Watch(rclpy.create_node("mapper_bench"), options.out)
    try:
        watch.wait_until_active()
        sent = _play(watch, views, options)
    finally:
        children.end(started, [(signal.SIGTERM, 30.0)])
        rclpy.try_shutdown()
    return {"sent": sent, **watch.report()}


def _start(name: str, **parameters: Any) -> subprocess.Popen:
    given = [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
    command = [sys.executable, "-m", f"wsss_ros.nodes.{name}", "--ros-args", "-r", f"__ns:={NAMESPACE}"]
    return subprocess.Popen([*command, *given], stdout=sys.stderr)


# --- what the nodes report --------------------------------------------------------------------------


class Watch:
    """Takes the diagnostics of the mapper once a second, and counts the maps."""

    def __init__(self, node: Any, out: Path | None) -> None:
        self.node, self._out = node, out
        self.samples: list[dict[str, float]] = []
        self.drops: dict[str, int] = {}
        self.problems: list[str] = []
        self.maps = self.points = 0
        self._start = time.monotonic()
        self._active: set[str] = set()
        node.create_subscription(DiagnosticArray, "/diagnostics", self._take, 10)
        node.create_subscription(PointCloud2, f"{NAMESPACE}/semantic_map", self._count, MAP)

    def wait_until_active(self) -> None:
        """Raises TimeoutError where the mapper does not become active."""
        end = time.monotonic() + START_S
        while f"{NAMESPACE}/semantic_mapper" not in self._active:
            if time.monotonic() > end:
                raise TimeoutError(f"the mapper was not active within {START_S:g} s")
            rclpy.spin_once(self.node, timeout_sec=0.1)
        self._start = time.monotonic()

    def report(self) -> dict[str, Any]:
        """Medians and percentiles of the run, the growth of the memory, drops by cause."""
        counted = [sample for sample in self.samples if sample["s"] >= WARM_UP_S] or self.samples
        of = {key: np.array([sample.get(key, np.nan) for sample in counted]) for key in counted[-1]}
        growth = np.polyfit(of["s"] / 60, of["memory_mb"], 1)[0] if len(counted) > 2 else 0.0
        return {
            "minutes": round(self.samples[-1]["s"] / 60, 2),
            "views": int(of["processed"][-1]),
            "voxels": int(of["voxels"][-1]),
            "maps": self.maps,
            "points_of_last_map": self.points,
            "rate_hz": round(float(np.median(of["rate_hz"])), 2),
            "latency_median_ms": round(float(np.median(of["latency_median_ms"])), 1),
            "latency_p95_ms": round(float(np.median(of["latency_p95_ms"])), 1),
            "memory_first_mb": round(float(of["memory_mb"][0])),
            "memory_last_mb": round(float(of["memory_mb"][-1])),
            "memory_largest_mb": round(float(of["memory_mb"].max())),
            "memory_growth_mb_per_minute": round(float(growth), 3),
            "drops": self.drops,
            "problems": self.problems,
        }

    def _take(self, message: DiagnosticArray) -> None:
        for status in message.status:
            values = {pair.key: pair.value for pair in status.values}
            if values.get("state") == "active":
                self._active.add(status.name)
            if status.name == f"{NAMESPACE}/semantic_mapper" and "processed" in values:
                self._add(status.message, values)

    def _add(self, text: str, values: dict[str, str]) -> None:
        keys = ("memory_mb", "rate_hz", "processed", "voxels", "latency_median_ms", "latency_p95_ms")
        sample = {key: float(values.get(key, "nan")) for key in keys}
        self.samples.append({"s": round(time.monotonic() - self._start, 1), **sample})
        counted = {key: int(value) for key, value in values.items() if key.startswith(("dropped ", "sync "))}
        self.drops = {key: count for key, count in counted.items() if count}
        if text != "active" and text not in self.problems and len(self.problems) < 20:
            self.problems.append(text)
        if self._out and len(self.samples) % 10 == 0:
            write_json(self._out, self.report() | {"samples": self.samples[::10]}, indent=None)

    def _count(self, message: PointCloud2) -> None:
        self.maps, self.points = self.maps + 1, message.width


# --- what is played ---------------------------------------------------------------------------------


def _play(watch: Watch, views: list[RoomView], options: argparse.Namespace) -> int:
    """Publish round after round; returns the number of views."""
    player = Player(watch.node, options.segmenter)
    messages = [player.messages(view) for view in views]
    start, sent = time.monotonic(), 0
    first_ns = time.time_ns()
    while time.monotonic() < start + 60 * options.minutes:
        due = start + sent / options.rate
        while (left := due - time.monotonic()) > 0:
            rclpy.spin_once(watch.node, timeout_sec=left)
        number = sent % len(views)
        player.publish(messages[number], first_ns + round(number / options.rate * 1e9))
        sent += 1
    return sent


class Player:
    """Publishes the parts of a view; colour images where a segmenter makes the labels."""

    def __init__(self, node: Any, colors: bool) -> None:
        self._colors = colors
        kinds = {"depth/image_rect": (Image, SENSOR), "color/camera_info": (CameraInfo, SMALL_SENSOR)}
        kinds |= {"pose": (PoseStamped, SMALL_SENSOR)}
        kinds |= {"color/image_raw": (Image, SENSOR)} if colors else {"semantic/image_raw": (Image, RESULT)}
        self._publishers = {
            topic: node.create_publisher(kind, f"{NAMESPACE}/{topic}", qos) for topic, (kind, qos) in kinds.items()
        }

    def messages(self, view: RoomView) -> dict[str, Any]:
        """The messages of a view, by topic."""
        header = Header(frame_id=FRAME)
        camera, depth = view.camera, np.rint(view.depth_m * 1000).astype(np.uint16)
        info = CameraInfo(header=header, width=camera.width, height=camera.height, k=camera.matrix().ravel().tolist())
        pose = PoseStamped(header=Header(frame_id="map"))
        at, turn = pose.pose.position, pose.pose.orientation
        at.x, at.y, at.z = map(float, view.world_from_camera[:3, 3])
        turn.x, turn.y, turn.z, turn.w = map(float, matrix_to_quaternion(view.world_from_camera[:3, :3]))
        seen = (
            {"color/image_raw": conversions.image_message(Header(frame_id=FRAME), view.rgb, "rgb8")}
            if self._colors
            else {"semantic/image_raw": conversions.image_message(Header(frame_id=FRAME), view.ids, "mono16")}
        )
        depths = conversions.image_message(Header(frame_id=FRAME), depth, "16UC1")
        return {"pose": pose, "color/camera_info": info, "depth/image_rect": depths, **seen}

    def publish(self, messages: dict[str, Any], stamp_ns: int) -> None:
        """Publish a view with this stamp."""
        for topic, message in messages.items():
            message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
            self._publishers[topic].publish(message)


if __name__ == "__main__":
    sys.exit(main())
