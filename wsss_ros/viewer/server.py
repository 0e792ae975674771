"""The web server of the viewer: viser's, kept to the address that was asked for.

Left to itself, viser takes another port where one is taken, waits forever for an address that does not exist, offers a
tunnel to the internet, and serves pages of other sites that are open in the same browser. None of this is wanted on a
robot: ``open_server`` raises BadInput, removes the tunnel, and closes connections of other pages.
"""

import contextlib
import io
import socket
from typing import Any

from wsss_ros.tag_page.addresses import ServedAddress
from wsss_ros.types import BadInput


def open_server(host: str, port: int, title: str) -> tuple[Any, ServedAddress]:
    """Start a viser server; returns it and its address. ``port`` 0 takes a free one.

    Raises BadInput where viser is not installed or the address is not available.
    """
    try:
        import viser
        from viser import _messages
    except ImportError as error:
        raise BadInput(f"the viewer needs viser ({error}); install it with: pip install 'wsss_ros[view]'") from error
    _check_free(host, port)
    with contextlib.redirect_stdout(io.StringIO()):  # its box with the address; ours is logged
        server = viser.ViserServer(host, port, label=title, verbose=False)
    address = ServedAddress(host, server.get_port())
    if port and address.port != port:
        server.stop()
        raise BadInput(f"viewer: port {port} of {host} was taken at this moment; give another port")
    sockets = server._websock_server
    for message in (_messages.ShareUrlRequest, _messages.ShareUrlDisconnect):
        sockets.unregister_handler(message)

    async def refuse_other_pages(client: Any) -> None:
        connection = sockets._live_connections[client.client_id]
        if not is_own_page(address, connection.request.headers):
            await connection.close(1008, "this page may not use the viewer")

    sockets.on_client_connect(refuse_other_pages)
    return server, address


def is_own_page(address: ServedAddress, headers: Any) -> bool:
    """Whether a request comes from the viewer's own page, by the headers Host and Origin. Programs send no Origin."""
    host, origin = headers.get("Host", ""), headers.get("Origin", "")
    return address.is_own(host) and origin in ("", f"http://{host}")


def close_server(server: Any) -> None:
    """Stop the server; its clients see that it has ended."""
    with contextlib.redirect_stdout(io.StringIO()):
        server.stop()


def _check_free(host: str, port: int) -> None:
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as trial:
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(place)
    except OSError as error:
        why = f"cannot serve on {host}, port {port}: {error.strerror or error}"
        raise BadInput(f"viewer: {why}; give another host or port") from error
