"""The page to tag with, over HTTP and without ROS: a few files, the newest picture, the status, and posts.

GET / and its files · GET /image.jpg?source=overlay|color · GET /status · POST /tags · POST /command

Whoever reaches the address may look and tag, so it is 127.0.0.1 unless told otherwise. Pages of other sites that a
browser here has open cannot: the Host must be ours (DNS rebinding), the Origin of a post must be this page, and a post
is JSON by its content type. A client holds up no more than one of a bounded number of threads, for a bounded time.
"""

import contextlib
import ipaddress
import json
import logging
import math
import re
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import parse_qs

from pydantic import Field

from wsss_ros.config import Config, build
from wsss_ros.labels import LabelSpace
from wsss_ros.tag_page.live_view import LiveView
from wsss_ros.types import BadInput

FOLDER = Path(__file__).parent / "static"
FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
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
MOST_BYTES = 64 * 1024  # of a posted body
MOST_CLIENTS = 32  # requests at a time; more are turned away
SILENCE_S = 5.0  # a client that neither sends nor takes a byte for so long is left
REQUEST_S = 30.0  # and any request ends after this
MOST_LETTERS = 400  # of a message to the page

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.IGNORECASE)
_log = logging.getLogger("wsss_ros.page")


class Tags(Config):
    """A post to /tags. ``stamp`` is that of the picture the tags are about, as seconds and nine digits."""

    about: Literal["image", "scene"]
    names: tuple[Annotated[str, Field(max_length=100)], ...] = Field(min_length=1, max_length=254)
    stamp: str = Field("", pattern=r"^(\d{1,10}\.\d{9})?$")


class Command(Config):
    """A post to /command."""

    command: Literal["start_scene", "finish_scene", "pause", "resume", "train", "rollback", "reset"]


@dataclass(frozen=True)
class Robot:
    """What the page shows and does. Called from any thread; what raises BadInput is told on the page.

    ``tag(about, names, stamp)`` and ``command(name)`` return whether it was done, and what was done or why not.
    """

    status: Callable[[], dict]
    tag: Callable[[str, tuple[str, ...], str], tuple[bool, str]]
    command: Callable[[str], tuple[bool, str]]


class Refused(Exception):
    """A request that is not answered; its HTTP status and the reason."""

    def __init__(self, status: HTTPStatus, why: str) -> None:
        super().__init__(why)
        self.status = status


class PageServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves from ``start`` to ``close``. Raises BadInput where the address cannot be had."""

    daemon_threads, block_on_close, allow_reuse_address, request_queue_size = True, False, True, MOST_CLIENTS

    def __init__(self, host: str, port: int, labels: LabelSpace, view: LiveView, robot: Robot) -> None:
        self.labels, self.view, self.robot = labels, view, robot
        self.files = {path: (FOLDER.joinpath(name).read_bytes(), kind) for path, (name, kind) in FILES.items()}
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._until: dict[socket.socket, float] = {}
        self._thread: threading.Thread | None = None
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            why = f"cannot serve on {host}, port {port}: {error.strerror or error}"
            raise BadInput(f"tag page: {why}; give another host or port") from error
        self.host, self.port = host, self.server_address[1]
        self._names = _own_names(host)

    @property
    def url(self) -> str:
        host = socket.gethostname() if _is_any(self.host) else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    @property
    def is_open(self) -> bool:
        """Whether other machines can reach it."""
        return not _is_loopback(self.host)

    def start(self) -> None:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.2,), name="tag_page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        if self._thread is not None:
            self.shutdown()
            self._thread.join(5)
        self.server_close()
        self._hang_up(list(self._until))

    def knows(self, host: str) -> bool:
        """Whether a Host header names this server. A name is one that nobody else can point at us; an address
        cannot be pointed at all, but where only this machine is served it is one of this machine."""
        match = _HOST.fullmatch(host)
        name = match.group(1).strip("[]").lower() if match else ""
        return name in self._names or (_is_address(name) if self.is_open else _is_loopback(name))

    # --- clients, each in a thread for a bounded time ---

    def verify_request(self, request: socket.socket, client_address: Any) -> bool:
        """False turns the client away."""
        if len(self._until) < MOST_CLIENTS:
            self._until[request] = time.monotonic() + REQUEST_S
            return True
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
        return False

    def shutdown_request(self, request: socket.socket) -> None:
        self._until.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """Called several times a second: who takes too long is hung up on."""
        now = time.monotonic()
        self._hang_up([request for request, until in self._until.copy().items() if now > until])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Called where a request raised; that a client went away is its own business."""
        _log.debug("a request of %s failed", client_address, exc_info=True)

    def _hang_up(self, requests: list[socket.socket]) -> None:
        for request in requests:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One request; HTTP/1.0, so the connection ends with it."""

    timeout = SILENCE_S
    server: PageServer

    def do_GET(self) -> None:
        self._answered(self._get)

    def do_POST(self) -> None:
        self._answered(self._post)

    def _answered(self, act: Callable[[], None]) -> None:
        try:
            self._check_host()
            act()
        except Refused as error:
            self._tell(error.status, False, str(error))
        except BadInput as error:
            self._tell(HTTPStatus.BAD_REQUEST, False, str(error))
        except (ConnectionError, TimeoutError):  # the client went away, or went quiet
            raise
        except Exception as error:
            _log.exception("the tag page could not answer %s", self.path[:100])
            self._tell(HTTPStatus.INTERNAL_SERVER_ERROR, False, f"internal error: {type(error).__name__}: {error}")

    # --- GET ---

    def _get(self) -> None:
        path, _, query = self.path.partition("?")
        if path in self.server.files:
            self._send(HTTPStatus.OK, *self.server.files[path])
        elif path == "/image.jpg":
            self._image(parse_qs(query).get("source", ["overlay"])[0])
        elif path == "/status":
            self._json(HTTPStatus.OK, self.server.robot.status())
        else:
            raise Refused(HTTPStatus.NOT_FOUND, "there is no such page")

    def _image(self, source: str) -> None:
        shot = self.server.view.shot(source)
        if shot is None:
            return self._send(HTTPStatus.NO_CONTENT, b"", "image/jpeg")
        told = {"ETag": shot.mark, "X-Source": shot.source, "X-Stamp": stamp(shot.stamp_ns)}
        told["X-Age"] = f"{shot.age_s:.3f}"
        if self.headers.get("If-None-Match") == shot.mark:
            self._send(HTTPStatus.NOT_MODIFIED, b"", "image/jpeg", told)
        else:
            self._send(HTTPStatus.OK, shot.jpeg(), "image/jpeg", told)

    # --- POST ---

    def _post(self) -> None:
        act = {"/tags": self._tags, "/command": self._command}.get(self.path)
        if act is None:
            raise Refused(HTTPStatus.NOT_FOUND, "there is nothing to post to here")
        self._check_origin()
        self._tell(HTTPStatus.OK, *act(self._body()))

    def _tags(self, posted: dict) -> tuple[bool, str]:
        tags, labels = build(Tags, posted, "tags"), self.server.labels
        chosen = {labels.index(name) for name in tags.names}
        return self.server.robot.tag(tags.about, tuple(labels.names[index] for index in sorted(chosen)), tags.stamp)

    def _command(self, posted: dict) -> tuple[bool, str]:
        return self.server.robot.command(build(Command, posted, "command").command)

    def _body(self) -> dict:
        """The posted JSON object; what is too long is refused before a byte of it is read."""
        if self.headers.get_content_type() != "application/json" or "Content-Type" not in self.headers:
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "wanted Content-Type: application/json")
        lengths = self.headers.get_all("Content-Length", [])
        if len(lengths) != 1 or not re.fullmatch(r"[0-9]{1,18}", lengths[0]) or "Transfer-Encoding" in self.headers:
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "wanted one Content-Length, and a body of that length")
        length = int(lengths[0])
        if length > MOST_BYTES:
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"{length} bytes; wanted at most {MOST_BYTES}")
        try:
            posted = json.loads(self.rfile.read(length))
        except (ValueError, RecursionError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, f"not JSON: {error}") from error
        if not isinstance(posted, dict):
            raise Refused(HTTPStatus.BAD_REQUEST, f"wanted a JSON object, got a {type(posted).__name__}")
        return posted

    # --- who asks ---

    def _check_host(self) -> None:
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or not self.server.knows(hosts[0]):
            got = ", ".join(hosts)[:80] or "none"
            raise Refused(HTTPStatus.FORBIDDEN, f"Host: got {got}; open the page as {self.server.url}")

    def _check_origin(self) -> None:
        origins, own = self.headers.get_all("Origin", []), f"http://{self.headers['Host']}"
        if [origin.lower() for origin in origins] != [own.lower()]:
            got = ", ".join(origins)[:80] or "none"
            raise Refused(HTTPStatus.FORBIDDEN, f"Origin: got {got}; wanted {own}, posts of other pages are refused")

    # --- answers ---

    def _tell(self, status: HTTPStatus, ok: bool, message: str) -> None:
        short = message if len(message) <= MOST_LETTERS else message[: MOST_LETTERS - 1] + "…"
        self._json(status, {"ok": ok, "message": short})

    def _json(self, status: HTTPStatus, value: dict) -> None:
        body = json.dumps(_finite(value), allow_nan=False).encode()
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
        """Called by the base class for what is no request, or one of an unknown method."""
        self._tell(HTTPStatus(code), False, message or HTTPStatus(code).phrase)

    def log_message(self, format: str, *values: Any) -> None:
        _log.debug(format, *values)


def stamp(stamp_ns: int) -> str:
    """SECONDS.NANOS, with all nine digits: a float could not hold them."""
    seconds, nanos = divmod(stamp_ns, 10**9)
    return f"{seconds}.{nanos:09d}"


def _finite(value: Any) -> Any:
    """JSON knows no NaN and no infinity; they become null."""
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _own_names(host: str) -> set[str]:
    if _is_loopback(host):
        return {"localhost"}
    own = socket.gethostname().lower()
    return {"localhost", host.lower(), own, f"{own}.local"}


def _is_address(name: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return False


def _is_loopback(name: str) -> bool:
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


def _is_any(name: str) -> bool:
    return _is_address(name) and ipaddress.ip_address(name).is_unspecified
