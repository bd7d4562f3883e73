# -*- test-case-name: tests.unit.test_net_site -*-
"""The security headers of every answer, and the request class that sets them.

Posts are hostile text. The page builds no HTML from them, and these headers make the browser see to it that it
cannot. https://www.w3.org/TR/CSP3/, https://www.w3.org/TR/trusted-types/
"""

from __future__ import annotations

import io
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, cast

from twisted.web.http import NOT_ALLOWED
from twisted.web.server import Request, Site

from streamer.net.admission import Admission, account
from streamer.net.bodies import TIMES_READ, Bodies, Body
from streamer.net.channel import GuardedChannel, Keeping

METHODS = (b"GET", b"HEAD")
BODY_LIMIT = 65_536  # bytes of a request's body that nothing reads
TOO_LONG = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
_ORIGIN = re.compile(r"[a-z][a-z0-9+.-]*://[A-Za-z0-9._:\[\]-]+|null")
_FEATURES = ("camera", "display-capture", "geolocation", "gyroscope", "hid", "microphone", "midi", "payment", "usb")


def security_headers(origins: Iterable[str]) -> dict[bytes, bytes]:
    """The headers of every answer.

    Args:
        origins: of the page, as `https://example.org`. Their websockets are named in `connect-src`, for older
            browsers do not count them as `'self'`. They come from the configuration, never from a request.

    Raises:
        ValueError: an origin is none; it could say something else in the policy.
    """
    origins = tuple(origins)
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ValueError(f"{origin!r} is no origin; write one as https://example.org, with a port if need be")
    sockets = sorted({"ws" + origin.removeprefix("http") for origin in origins if origin.startswith("http")})
    policy = {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": " ".join(["'self'", *sockets]),
        "manifest-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "lit-html",
    }
    return {
        b"content-security-policy": "; ".join(f"{name} {value}" for name, value in policy.items()).encode(),
        b"referrer-policy": b"no-referrer",
        b"x-content-type-options": b"nosniff",
        b"cross-origin-opener-policy": b"same-origin",
        b"permissions-policy": ", ".join(f"{feature}=()" for feature in _FEATURES).encode(),
    }


def client_address(request: Request) -> str:
    """Whom a request of a `GuardedSite` counts for, see `account`; "" for whoever uses a UNIX socket.

    That is the peer; or whom a proxy of ours tells, where `Admission.trusted` knows the proxy.
    """
    peer: str = getattr(request.getClientAddress(), "host", "")
    trusted = cast(GuardedSite, cast(Any, request.channel).site).admission.trusted
    written = request.requestHeaders.getRawHeaders(b"x-forwarded-for", [])
    return account(trusted.client(peer, [value.decode("latin-1") for value in written]))


class GuardedRequest(Request):
    """A request whose answer has the site's headers, and whose body is dropped, but for the pages that read one."""

    _body = 0  # bytes of it so far
    _most = BODY_LIMIT  # bytes of it before we hang up
    _kept: Body | None = None
    _hung_up = False

    def process(self) -> None:
        """Set the headers first, so that error pages have them too."""
        site = cast(GuardedSite, cast(Any, self.channel).site)  # `self.site` is set by what we override
        for name, value in site.headers.items():
            self.setHeader(name, value)
        asks_before = self.method == b"OPTIONS" and self.path in site.shared
        if self.method in METHODS or self.path in site.bodies.pages or asks_before:
            super().process()
            self._drop_body()
            return
        self.setResponseCode(NOT_ALLOWED)
        self.setHeader(b"allow", b", ".join(METHODS))
        self.write(b"this site is only read\n")
        self.finish()

    def read_body(self) -> bytes:
        """The body, for the page that answers; only before `render` returns, and once.

        Raises:
            ClientError: see `Body.read`.
        """
        return b"" if self._kept is None else self._kept.read()

    def gotLength(self, length: int | None) -> None:
        """Make no temporary file; keep the body only where it is read."""
        self.content = io.BytesIO()
        channel = cast(Any, self.channel)  # `method` and `path` of the request are set when the body is there
        self._kept = channel.site.bodies.open(channel._command, channel._path)
        if self._kept is not None:
            self._most = TIMES_READ * self._kept.limit

    def handleContentChunk(self, data: bytes) -> None:
        """Take some of the body; hang up when it is far too long."""
        self._body += len(data)
        if self._kept is not None:
            self._kept.add(data)
        if self._body > self._most and not self._hung_up:
            self._hung_up = True
            channel = cast(Any, self.channel)
            channel.write(TOO_LONG)  # whoever listens while sending is told
            channel.loseConnection()

    def connectionLost(self, reason: Any) -> None:
        """Hold no part of a body that will not be whole."""
        self._drop_body()
        super().connectionLost(reason)

    def _drop_body(self) -> None:
        if self._kept is not None:
            self._kept.drop()


class GuardedSite(Site):
    """A site that answers with security headers, and keeps no record of who asked for what."""

    protocol = GuardedChannel  # type: ignore[assignment]  # Twisted's own is a proxy that can turn into HTTP/2
    requestFactory = GuardedRequest
    noisy = False

    def __init__(
        self,
        resource: Any,
        headers: Mapping[bytes, bytes],
        timeout: float,
        reactor: Any,
        admission: Admission,
        bodies: Bodies | None = None,
    ) -> None:
        super().__init__(resource, timeout=timeout, reactor=reactor, parsePOSTFormSubmission=False)
        self.headers = headers
        self.bodies = bodies or Bodies()
        self.shared: Collection[bytes] = ()  # paths that pages of other origins may read, and ask about beforehand
        self.admission = admission
        self.keeping = Keeping()

    def end_keeping(self) -> None:
        """The relay stops: close connections that wait for a next request, and the others with their answers."""
        self.keeping.end()

    def buildProtocol(self, addr: Any) -> Any:
        """Count a connection in; None, which closes it, where there are too many."""
        address = getattr(addr, "host", "")
        if not self.admission.arrive(address):
            return None
        channel: GuardedChannel = super().buildProtocol(addr)
        channel.address, channel.admission, channel.keeping = address, self.admission, self.keeping
        return channel

    def log(self, request: Any) -> None:
        """Requests are counted where they matter; addresses and queries of visitors are nobody's business."""
