"""A browser without pixels: it connects to the viewer as its page does, and keeps what it is sent."""

import contextlib
import threading
import time
from typing import Any

import msgspec
import numpy as np
import viser
import zstandard
from support.waiting import HANG_S, until
from viser import _messages
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect


class ViewerClient:
    """Use it in a ``with`` statement. ``nodes`` has the last properties of each 3D object by name, arrays decoded."""

    def __init__(self, url: str, origin: str | None = None) -> None:
        address = url.replace("http://", "ws://")
        subprotocols = [f"viser-v{viser.__version__}"]
        self._socket = connect(address, subprotocols=subprotocols, origin=origin, max_size=None, open_timeout=HANG_S)
        self.nodes: dict[str, dict[str, Any]] = {}
        self.controls: dict[str, dict[str, Any]] = {}
        self.updates = self.received_bytes = 0
        self.arrivals: list[float] = []  # of clouds
        self.closed = threading.Event()
        with contextlib.suppress(ConnectionClosed):  # a refused client is closed at once
            self._send_camera()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> "ViewerClient":
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        self._thread.join(30)

    def node(self, name: str, *properties: str) -> dict[str, Any]:
        """The properties of a 3D object, once it is there."""
        return until(lambda: self.nodes.get(name), f"no {name} in {sorted(self.nodes)}", lambda: self.updates)

    def cloud(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Points and colours of the cloud, once it has ``count`` points."""

        def there() -> bool:
            node = self.nodes.get("/cloud", {})
            return len(node.get("points", ())) == len(node.get("colors", ())) == count

        until(there, lambda: f"no cloud of {count} points; {self.nodes.get('/cloud')}", lambda: self.updates)
        return self.nodes["/cloud"]["points"], self.nodes["/cloud"]["colors"]

    def control(self, start: str) -> dict[str, Any]:
        """The control whose label starts so, once it is there."""

        def found() -> dict[str, Any] | None:
            shown = [each for each in self.controls.values() if str(each.get("label", "")).startswith(start)]
            return shown[0] if shown else None

        return until(found, lambda: f"no control '{start}'", lambda: self.updates)

    def set(self, label: str, value: Any) -> None:
        """Change a control as a person does."""
        self._send(_messages.GuiUpdateMessage(self.control(label)["uuid"], {"value": value}))

    # --- messages ---

    def _send_camera(self) -> None:
        place = {"wxyz": (1.0, 0.0, 0.0, 0.0), "position": (3.0, 3.0, 3.0), "fov": 1.0, "near": 0.01, "far": 1000.0}
        size = {"image_height": 480, "image_width": 640}
        looking = {"look_at": (0.0, 0.0, 0.0), "up_direction": (0.0, 0.0, 1.0)}
        self._send(_messages.ViewerCameraMessage(**place, **size, **looking))

    def _send(self, message: Any) -> None:
        self._socket.send(msgspec.msgpack.encode(message.as_serializable_dict([])))

    def _read(self) -> None:
        try:
            while True:
                self._take(self._socket.recv())
        except ConnectionClosed:
            self.closed.set()

    def _take(self, data: bytes) -> None:
        length, packed = (int.from_bytes(data[at : at + 8], "little") for at in (0, 8))
        inner = msgspec.msgpack.decode(zstandard.ZstdDecompressor().decompress(data[16 : 16 + packed], length))
        buffers, at = [], 16 + packed
        for size in inner["binaryBufferLengths"]:
            at += -at % 8
            buffers.append(data[at : at + size])
            at += size
        self.received_bytes += len(data)
        for message in inner["messages"]:
            self._keep(message, buffers)
            self.updates += 1

    def _keep(self, message: dict, buffers: list[bytes]) -> None:
        kind = message["type"]
        if "name" in message and ("props" in message or kind == "SceneNodeUpdateMessage"):
            given = message.get("props") or message["updates"]
            values = {name: _array(value, buffers) for name, value in given.items()}
            self.nodes.setdefault(message["name"], {}).update(values)
            if message["name"] == "/cloud" and "points" in values:
                self.arrivals.append(time.monotonic())
        elif kind == "RemoveSceneNodeMessage":
            self.nodes.pop(message["name"], None)
        elif kind == "GuiRemoveMessage":
            self.controls.pop(message["uuid"], None)
        elif kind.startswith("Gui") and "uuid" in message:
            control = self.controls.setdefault(message["uuid"], {"uuid": message["uuid"]})
            control.update(message.get("props") or message.get("updates") or {})


def _array(value: Any, buffers: list[bytes]) -> Any:
    if not (isinstance(value, dict) and "__binary_index" in value):
        return value
    flat = np.frombuffer(buffers[value["__binary_index"]], value["dtype"])
    return flat.reshape(-1, 3) if len(flat) % 3 == 0 else flat
