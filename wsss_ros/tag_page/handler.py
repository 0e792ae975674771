"""The answer to one HTTP request.

GET / and its files · GET /image.jpg?source=overlay|color · GET /status · POST /tags · POST /command
"""

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qs

from wsss_ros.config import build
from wsss_ros.files import finite
from wsss_ros.labels import LabelSpace
from wsss_ros.tag_page.addresses import ServedAddress
from wsss_ros.tag_page.live_view import LiveView
from wsss_ros.tag_page.posts import Command, Refused, Tags, check_origin, read_body
from wsss_ros.types import BadInput

FOLDER = Path(__file__).parent / "static"
FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/scores.js": ("scores.js", "text/javascript; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
SILENCE_S = 5.0  # the connection ends when a client neither sends nor takes a byte for this long
MAX_LETTERS = 400  # of a message to the page

_log = logging.getLogger("wsss_ros.page")


@dataclass(frozen=True)
class Robot:
    """What the page shows and does. Called from any thread; the page shows the message of a BadInput.

    ``tag(about, names, stamp)`` and ``command(name)`` return whether it was done, and what was done or why not. Names
    are as in ``TagList.written``.
    """

    status: Callable[[], dict]
    tag: Callable[[str, tuple[str, ...], str], tuple[bool, str]]
    command: Callable[[str], tuple[bool, str]]


class Page:
    """What the handlers of all requests share: the static files, the classes, the pictures, the robot."""

    def __init__(self, labels: LabelSpace, view: LiveView, robot: Robot) -> None:
        self.labels, self.view, self.robot = labels, view, robot
        self.files = {path: (FOLDER.joinpath(name).read_bytes(), kind) for path, (name, kind) in FILES.items()}


class PageHandler(BaseHTTPRequestHandler):
    """Answers one request. It speaks HTTP/1.0, so the connection ends with the answer.

    The server it belongs to has a ``page`` and an ``address``.
    """

    timeout = SILENCE_S

    @property
    def page(self) -> Page:
        """What the server serves."""
        return cast(Any, self.server).page

    @property
    def address(self) -> ServedAddress:
        """Where the server is reached."""
        return cast(Any, self.server).address

    def do_GET(self) -> None:  # noqa: N802  a name of the base class
        """Called by the base class."""
        self._answer(self._get)

    def do_POST(self) -> None:  # noqa: N802  a name of the base class
        """Called by the base class."""
        self._answer(self._post)

    def _answer(self, act: Callable[[], None]) -> None:
        try:
            self._check_host()
            act()
        except Refused as error:
            self._send_message(error.status, False, str(error))
        except BadInput as error:
            self._send_message(HTTPStatus.BAD_REQUEST, False, str(error))
        except (ConnectionError, TimeoutError):  # the client is gone or silent
            raise
        except Exception as error:
            _log.exception("the tag page could not answer %s", self.path[:100])
            text = f"internal error: {type(error).__name__}: {error}"
            self._send_message(HTTPStatus.INTERNAL_SERVER_ERROR, False, text)

    def _check_host(self) -> None:
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not self.address.is_own(hosts[0]):
            got = ", ".join(hosts)[:80] or "none"
            raise Refused(HTTPStatus.FORBIDDEN, f"Host: got {got}; open the page as {self.address.url}")

    # --- GET ---

    def _get(self) -> None:
        path, _, query = self.path.partition("?")
        if path in self.page.files:
            self._send(HTTPStatus.OK, *self.page.files[path])
        elif path == "/image.jpg":
            self._send_image(parse_qs(query).get("source", ["overlay"])[0])
        elif path == "/status":
            self._send_json(HTTPStatus.OK, self.page.robot.status())
        else:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")

    def _send_image(self, source: str) -> None:
        shot = self.page.view.shot(source)
        if shot is None:
            self._send(HTTPStatus.NO_CONTENT, b"", "image/jpeg")
            return
        headers = {"ETag": shot.mark, "X-Source": shot.source, "X-Stamp": stamp_text(shot.stamp_ns)}
        headers["X-Age"] = f"{shot.age_s:.3f}"
        if self.headers.get("If-None-Match") == shot.mark:
            self._send(HTTPStatus.NOT_MODIFIED, b"", "image/jpeg", headers)
        else:
            self._send(HTTPStatus.OK, shot.jpeg(), "image/jpeg", headers)

    # --- POST ---

    def _post(self) -> None:
        act = {"/tags": self._tag, "/command": self._command}.get(self.path)
        if act is None:
            raise Refused(HTTPStatus.NOT_FOUND, "nothing takes posts at this path")
        check_origin(self.headers)
        self._send_message(HTTPStatus.OK, *act(read_body(self.headers, self.rfile)))

    def _tag(self, posted: dict) -> tuple[bool, str]:
        tags, labels = build(Tags, posted, "tags"), self.page.labels
        return self.page.robot.tag(tags.about, tuple(labels.tag_list(tags.names).written), tags.stamp)

    def _command(self, posted: dict) -> tuple[bool, str]:
        return self.page.robot.command(build(Command, posted, "command").command)

    # --- answers ---

    def _send_message(self, status: HTTPStatus, ok: bool, message: str) -> None:
        short = message if len(message) <= MAX_LETTERS else message[: MAX_LETTERS - 1] + "…"
        self._send_json(status, {"ok": ok, "message": short})

    def _send_json(self, status: HTTPStatus, value: dict) -> None:
        body = json.dumps(finite(value), allow_nan=False).encode()
        self._send(status, body, "application/json; charset=utf-8")

    def _send(self, status: HTTPStatus, body: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response_only(status)
        headers = HEADERS | {"Content-Type": kind, "Content-Length": str(len(body)), "Connection": "close"}
        for name, value in (headers | (more or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(body)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Called by the base class for a broken request or an unknown method."""
        self._send_message(HTTPStatus(code), False, message or HTTPStatus(code).phrase)

    def log_message(self, format: str, *values: Any) -> None:
        """Called by the base class for each request."""
        _log.debug(format, *values)


def stamp_text(stamp_ns: int) -> str:
    """Write a stamp as SECONDS.NANOS with all nine digits: a float cannot hold them."""
    seconds, nanos = divmod(stamp_ns, 10**9)
    return f"{seconds}.{nanos:09d}"
