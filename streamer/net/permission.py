# -*- test-case-name: tests.unit.test_net_permission -*-
"""Who may work the sources.

Where a token is set, everybody must bring it. Without one, whoever works at this machine may, and nobody else: no
other machine, no proxy that hides one, and no page in a browser of this machine. A page can send a request to a
loopback address, directly (https://owasp.org/www-community/attacks/csrf) or by a name of its own that it lets point
there (https://en.wikipedia.org/wiki/DNS_rebinding); the browser then gives it away by what it adds.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from ipaddress import IPv6Address, ip_address
from typing import Any

import attrs
from twisted.internet.address import UNIXAddress
from twisted.web.http import FORBIDDEN, UNAUTHORIZED
from twisted.web.server import Request

from streamer.errors import ControlRefused
from streamer.secrets import Secret

MEND = "set [streamer] token and send it as 'Authorization: Bearer …'"
FORWARDED = (b"forwarded", b"x-forwarded-for", b"x-real-ip", b"via")
_HOST = re.compile(r"(?:\[([^\]]*)\]|([^:]*))(?::\d*)?")
_BEARER = re.compile(rb"bearer +(\S+)", re.IGNORECASE)  # https://www.rfc-editor.org/rfc/rfc6750#section-2.1


@attrs.frozen
class Permission:
    """The rule.

    Args:
        token: what everybody must bring; None trusts this machine, and it alone.
    """

    _token: Secret | None

    def check(self, request: Request) -> None:
        """Let a request pass.

        Raises:
            ControlRefused: 401 or 403; answer it. The header that a 401 needs is set.
        """
        if self._token is not None:
            self._bearer(request, self._token)
            return
        peer = request.getClientAddress()
        if not is_here(peer):
            who = getattr(peer, "host", "this peer")
            raise ControlRefused(f"{who} is not this machine, and there is no token to know it by; {MEND}", FORBIDDEN)
        for name in FORWARDED:
            if request.requestHeaders.hasHeader(name):
                raise ControlRefused(f"a proxy stands between ({name.decode()}); {MEND}", FORBIDDEN)
        self._no_page(request)

    def _bearer(self, request: Request, token: Secret) -> None:
        given = request.requestHeaders.getRawHeaders(b"authorization", [])
        found = _BEARER.fullmatch(given[0].strip()) if len(given) == 1 else None
        if found is not None and same(found[1], token.reveal().encode()):
            return
        # https://www.rfc-editor.org/rfc/rfc6750#section-3
        wrong = b', error="invalid_token"' if given else b""
        request.setHeader(b"www-authenticate", b'Bearer realm="streamer"' + wrong)
        said = "the token is not the one of [streamer] token" if given else "a token is needed"
        raise ControlRefused(f"{said}; send it as 'Authorization: Bearer …'", UNAUTHORIZED)

    def _no_page(self, request: Request) -> None:
        headers = request.requestHeaders
        if headers.hasHeader(b"origin"):
            raise ControlRefused(f"pages in browsers (Origin) may not do this without a token; {MEND}", FORBIDDEN)
        # "none" is an address that a person typed: https://www.w3.org/TR/fetch-metadata/#sec-fetch-site-header
        if any(site.strip().lower() != b"none" for site in headers.getRawHeaders(b"sec-fetch-site", [])):
            raise ControlRefused(
                f"pages in browsers (Sec-Fetch-Site) may not do this without a token; {MEND}", FORBIDDEN
            )
        hosts = headers.getRawHeaders(b"host", [])
        if len(hosts) != 1 or not names_here(hosts[0].decode("latin-1")):
            said = ", ".join(host.decode("latin-1") for host in hosts) or "(missing)"
            raise ControlRefused(
                f"the Host header {said!r} does not name this machine; ask by localhost or 127.0.0.1, or {MEND}",
                FORBIDDEN,
            )


def same(given: bytes, expected: bytes) -> bool:
    """Compare in a time that tells nothing of where the two differ, nor of their lengths."""
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(expected).digest())


def is_here(peer: Any) -> bool:
    """Whether a peer's address is this machine's own: a loopback address, or a unix socket."""
    return isinstance(peer, UNIXAddress) or _loopback(getattr(peer, "host", ""))


def names_here(host: str) -> bool:
    """Whether a `Host` header names this machine in a way that no name server can."""
    found = _HOST.fullmatch(host.strip())
    if found is None:
        return False
    name = found[1] or found[2] or ""
    return name.lower() == "localhost" or _loopback(name)


def _loopback(written: str) -> bool:
    try:
        address = ip_address(written)
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped.is_loopback
    return address.is_loopback
