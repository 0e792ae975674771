"""The server of the tag page, over HTTP and without ROS: it takes connections, bounds them and ends them.

Whoever reaches the address may look and tag, so the default address is 127.0.0.1. Pages of other sites that are open
in a browser on this machine have no access: the Host header must name this server (DNS rebinding), the Origin of a
post must be this page, and a post must have the content type of JSON. A client takes one of a bounded number of
threads, for a bounded time.
"""

import contextlib
import logging
import socket
import socketserver
import threading
import time
from typing import Any

from wsss_ros.tag_page.addresses import ServedAddress
from wsss_ros.tag_page.handler import Page, PageHandler
from wsss_ros.types import BadInput

MAX_CLIENTS = 32  # requests at a time; more are refused
REQUEST_S = 30.0  # every request ends after this time

_log = logging.getLogger("wsss_ros.page")


class PageServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Serves ``page`` from ``start`` to ``close``. Raises BadInput where the address is not available."""

    daemon_threads, block_on_close, allow_reuse_address, request_queue_size = True, False, True, MAX_CLIENTS

    def __init__(self, host: str, port: int, page: Page) -> None:
        self.page = page
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._until: dict[socket.socket, float] = {}
        self._thread: threading.Thread | None = None
        try:
            super().__init__((host, port), PageHandler)
        except OSError as error:
            why = f"cannot serve on {host}, port {port}: {error.strerror or error}"
            raise BadInput(f"tag page: {why}; give another host or port") from error
        self.address = ServedAddress(host, self.server_address[1])

    def start(self) -> None:
        """Serve in a thread of its own."""
        self._thread = threading.Thread(target=self.serve_forever, args=(0.2,), name="tag_page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop serving and end all connections."""
        if self._thread is not None:
            self.shutdown()
            self._thread.join(5)
        self.server_close()
        self._hang_up(list(self._until))

    # --- clients, each in a thread for a bounded time; the base class calls these ---

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Return whether the client is served; one too many is refused here."""
        if len(self._until) < MAX_CLIENTS:
            self._until[request] = time.monotonic() + REQUEST_S
            return True
        with contextlib.suppress(OSError):
            request.setblocking(False)
            request.send(b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
        return False

    def shutdown_request(self, request: Any) -> None:
        """Forget a client whose request has ended."""
        self._until.pop(request, None)
        super().shutdown_request(request)

    def service_actions(self) -> None:
        """End connections that take too long. Called several times a second."""
        now = time.monotonic()
        self._hang_up([request for request, until in self._until.copy().items() if now > until])

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log a failed request for debugging only: clients may leave at any time."""
        _log.debug("a request of %s failed", client_address, exc_info=True)

    def _hang_up(self, requests: list[socket.socket]) -> None:
        for request in requests:
            with contextlib.suppress(OSError):
                request.shutdown(socket.SHUT_RDWR)
