"""Which names and addresses belong to this server: the check of the Host header against DNS rebinding."""

import contextlib
import ipaddress
import re
import socket
from dataclasses import dataclass

_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?", re.IGNORECASE)


@dataclass(frozen=True)
class ServedAddress:
    """Host and port that a server listens on."""

    host: str
    port: int

    @property
    def url(self) -> str:
        """Address to open in a browser."""
        host = socket.gethostname() if _is_any(self.host) else f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/"

    @property
    def is_open(self) -> bool:
        """Whether other machines can reach it."""
        return not _is_loopback(self.host)

    def is_own(self, host: str) -> bool:
        """Whether a Host header names this server.

        A name counts if nobody else can make it point to this machine. An address always counts, because nobody can
        redirect it; but a server for this machine only accepts loopback addresses.
        """
        match = _HOST.fullmatch(host)
        name = match.group(1).strip("[]").lower() if match else ""
        return name in self._names() or (_is_address(name) if self.is_open else _is_loopback(name))

    def _names(self) -> set[str]:
        if not self.is_open:
            return {"localhost"}
        own = socket.gethostname().lower()
        return {"localhost", self.host.lower(), own, f"{own}.local"}


def _is_address(name: str) -> bool:
    with contextlib.suppress(ValueError):
        return bool(ipaddress.ip_address(name))
    return False


def _is_loopback(name: str) -> bool:
    return name == "localhost" or (_is_address(name) and ipaddress.ip_address(name).is_loopback)


def _is_any(name: str) -> bool:
    return _is_address(name) and ipaddress.ip_address(name).is_unspecified
