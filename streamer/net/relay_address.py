# -*- test-case-name: tests.unit.test_net_relay_address -*-
"""Where a relay's websocket is: checked, and as an endpoint.

wss is verified against the system's trust roots. A token goes through ws to this machine only, for whoever sees it can
read and publish in its owner's name.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit, urlunsplit

import attrs
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.ssl import optionsForClientTLS

from streamer.policy.transport import is_loopback

DEFAULT = "ws://127.0.0.1:8080/ws"
PATH = "/ws"  # where a relay has its websocket
PORTS = {"ws": 80, "wss": 443}
SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
CONNECT_WITHIN = 10.0  # seconds


@attrs.frozen
class RelayAddress:
    """A relay's websocket; `url` is in full."""

    url: str
    host: str
    port: int
    secure: bool

    def endpoint(self, reactor: Any) -> Any:
        """What connects to it."""
        endpoint: Any = HostnameEndpoint(reactor, self.host, self.port, timeout=CONNECT_WITHIN)
        return wrapClientTLS(optionsForClientTLS(self.host), endpoint) if self.secure else endpoint

    def check_token(self) -> None:
        """See that a token may be sent there.

        Raises:
            ValueError: it would go through a network in the clear.
        """
        if not self.secure and not is_loopback(self.host):
            raise ValueError(
                f"a token would go to {self.host} in the clear; use wss (ws is for loopback addresses only)"
            )


def read(written: str) -> RelayAddress:
    """Check an address as people write it: the page's http address does, too, and the path may be left out.

    Raises:
        ValueError: it is none; the text says what one looks like.
    """
    wrong = f"{written!r} is no relay's address such as {DEFAULT}"
    if not written.isascii() or any(character <= " " or character == "\x7f" for character in written):
        raise ValueError(wrong)
    try:
        parts = urlsplit(written)
        scheme, host, port = SCHEMES[parts.scheme], parts.hostname, parts.port
    except (ValueError, KeyError):
        raise ValueError(wrong) from None
    if not host or port == 0 or host == "unix":  # Autobahn takes that for a socket's name
        raise ValueError(wrong)
    if parts.username is not None or parts.fragment:
        raise ValueError("a relay's address holds no user, password or fragment; a token is given by --token")
    path = PATH if parts.path in ("", "/") else parts.path
    bracketed = f"[{host}]" if ":" in host else host
    at = bracketed if port is None else f"{bracketed}:{port}"
    url = urlunsplit((scheme, at, path, parts.query, ""))
    return RelayAddress(url, host, PORTS[scheme] if port is None else port, scheme == "wss")
