"""What the viewer has to do: ``python -m wsss_ros.nodes.viewer_load`` sends semantic clouds at a steady rate.

With ``--page URL`` it also looks at the page of a viewer, as a browser on another machine does: it takes all that is
sent and draws nothing. SIGTERM ends it. It then prints a JSON object: the clouds sent, and those that the page got.
"""

import argparse
import json
import signal
import sys
import threading
import time
from typing import Any

import numpy as np
import rclpy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import PointCloud2
from std_msgs.msg import Header

from wsss_ros.bags.cloud_codec import read_cloud
from wsss_ros.bench.ros_loads import POINTS, random_cloud
from wsss_ros.labels import scannet20
from wsss_ros.nodes import conversions, logs
from wsss_ros.nodes.qos import MAP
from wsss_ros.processes.allocator import tune_allocator

CONNECT_S = 60.0
CLOUD_BYTES = 1_000_000  # a message to the page with more than this is one with a cloud


def main(args: list[str] | None = None) -> int:
    """Send, and look, until SIGTERM. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--topic", default="semantic_cloud", help="topic of the clouds")
    parser.add_argument("--points", type=int, default=POINTS, help="points of each cloud")
    parser.add_argument("--rate", type=float, default=5.0, help="clouds in a second")
    parser.add_argument("--page", default="", help="address of the viewer; nobody looks if empty")
    options = parser.parse_args(args)
    tune_allocator()
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    page = Page(options.page, ended) if options.page else None
    report = {"sent": _send(options, ended), "shown": page.clouds if page else 0}
    print(json.dumps(report))
    return 0


def _send(options: argparse.Namespace, ended: threading.Event) -> int:
    """Publish clouds until the end; returns their number."""
    rclpy.init(args=logs.arguments(), signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("viewer_load")
    publisher = node.create_publisher(PointCloud2, options.topic, MAP)
    clouds, sent = [_semantic_cloud(options.points, seed) for seed in range(2)], 0  # an equal cloud is not sent on
    due = time.monotonic()
    while not ended.wait(max(0.0, due - time.monotonic())):
        due += 1 / options.rate
        message = clouds[sent % 2]
        message.header.stamp = node.get_clock().now().to_msg()
        publisher.publish(message)
        sent += 1
    node.destroy_node()
    rclpy.shutdown()
    return sent


def _semantic_cloud(points: int, seed: int) -> PointCloud2:
    cloud, space = random_cloud(points, seed), scannet20()
    read = read_cloud(conversions.cloud_message(Header(frame_id="map"), cloud.xyz, cloud.rgb))
    labels = (np.arange(points) % len(space)).astype(np.uint8)
    header = Header(frame_id="map")
    return conversions.semantic_cloud_message(header, read, labels, np.ones(points, np.float32), space)


class Page:
    """A browser without pixels, on a thread. ``clouds`` counts what it got."""

    def __init__(self, url: str, ended: threading.Event) -> None:
        self.clouds = 0
        self._socket = _connected(url)
        self._ended = ended
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        for data in self._socket:
            self.clouds += len(data) > CLOUD_BYTES and not self._ended.is_set()


def _connected(url: str) -> Any:
    """A connection that the viewer takes for a browser: it has sent the place of its camera."""
    import msgspec
    import viser
    from viser import _messages
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    until = time.monotonic() + CONNECT_S
    while True:
        try:
            address, protocol = url.replace("http://", "ws://"), Subprotocol(f"viser-v{viser.__version__}")
            socket = connect(address, subprotocols=[protocol], max_size=None)
            break
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.2)
    camera = _messages.ViewerCameraMessage(
        wxyz=(1.0, 0.0, 0.0, 0.0),
        position=(3.0, 3.0, 3.0),
        fov=1.0,
        near=0.01,
        far=1000.0,
        image_height=480,
        image_width=640,
        look_at=(0.0, 0.0, 0.0),
        up_direction=(0.0, 0.0, 1.0),
    )
    socket.send(msgspec.msgpack.encode(camera.as_serializable_dict([])))
    return socket


if __name__ == "__main__":
    sys.exit(main())
