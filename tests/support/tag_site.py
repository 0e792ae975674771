"""The server of the tag page with a robot that only notes what it is asked, and a client."""

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator

import numpy as np
from support.waiting import HANG_S

from wsss_ros.tag_page.handler import Page, Robot
from wsss_ros.tag_page.live_view import LiveView
from wsss_ros.tag_page.server import PageServer


class Site:
    """A server with a robot that only notes how it is called, and a client."""

    def __init__(self, labels, host: str = "127.0.0.1") -> None:
        self.view, self.calls, self.state = LiveView(), [], {"learner": None}
        self.answer: tuple[bool, str] | Exception = (True, "done")
        self.page = Page(labels, self.view, Robot(lambda: self.state, self._note, self._note))
        self.server = PageServer(host, 0, self.page)
        self.server.start()
        self.port = self.server.address.port
        self.own = f"127.0.0.1:{self.port}"

    def _note(self, *arguments) -> tuple[bool, str]:
        self.calls.append(arguments)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    @contextlib.contextmanager
    def client(self) -> Iterator[socket.socket]:
        """A bare connection."""
        with socket.create_connection(("127.0.0.1", self.port), HANG_S) as made:
            yield made

    def get(self, path: str, headers: dict | None = None):
        return self.ask("GET", path, None, headers or {})

    def post(self, path: str, value, headers: dict | None = None):
        """Post as the page does, with these headers changed; None leaves a header out."""
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        own = {"Origin": f"http://{self.own}", "Content-Type": "application/json"}
        kept = {name: text for name, text in (own | (headers or {})).items() if text is not None}
        return self.ask("POST", path, body, kept)

    def ask(self, method: str, path: str, body: bytes | None, headers: dict):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=HANG_S)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def raw(self, data: bytes, timeout_s: float = HANG_S) -> bytes:
        """Send exactly these bytes and return the complete answer."""
        with socket.create_connection(("127.0.0.1", self.port), timeout_s) as client:
            client.sendall(data)
            return b"".join(iter(lambda: client.recv(65536), b""))


def refusal(answer) -> str:
    """The message of an answer that refuses a request."""
    content = json.loads(answer[2])
    assert content["ok"] is False
    return content["message"]


def post_head(site: Site, *more: str) -> bytes:
    """Request line and headers of a post to /tags, with more headers."""
    lines = ["POST /tags HTTP/1.1", f"Host: {site.own}", f"Origin: http://{site.own}", "Content-Type: application/json"]
    return "\r\n".join([*lines, *more, "", ""]).encode()


def picture(value: int, size=(48, 64)) -> np.ndarray:
    """A grey picture."""
    return np.full((*size, 3), value, np.uint8)
