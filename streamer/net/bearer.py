# -*- test-case-name: tests.unit.test_net_upgrade -*-
"""The token that a request shows, before a connection of any face is let in.

A program sends `Authorization: Bearer JWT`. A page cannot send that with a websocket, but may name subprotocols, and
what it offers as `relay.bearer.JWT` is a token and never echoed. There is no token in a query: those stand in logs.
https://www.rfc-editor.org/rfc/rfc6750#section-2, https://www.rfc-editor.org/rfc/rfc6455#section-4.1
"""

from __future__ import annotations

import re

from twisted.web.http import FORBIDDEN, SERVICE_UNAVAILABLE, UNAUTHORIZED
from twisted.web.server import Request

from streamer.errors import ClientError
from streamer.fanout.grants import Authority, Grants, refused

OFFER = b"relay.bearer."  # what stands before a token among the subprotocols
RETRY_AFTER = 5  # seconds that one whose token cannot be checked yet is asked to wait
_BEARER = re.compile(rb"bearer +(\S+)", re.IGNORECASE)  # other schemes are for a proxy before us


def subprotocols(request: Request) -> list[bytes]:
    """What a websocket handshake offers."""
    offered = b",".join(request.requestHeaders.getRawHeaders(b"sec-websocket-protocol", []))
    return [item.strip() for item in offered.split(b",")]


def shown(request: Request) -> set[bytes]:
    """The tokens that a request shows, each once."""
    written = [value.strip() for value in request.requestHeaders.getRawHeaders(b"authorization", [])]
    bearers = [value for value in written if value[:6].lower() == b"bearer"]
    tokens = {found[1] if (found := _BEARER.fullmatch(value)) else b"" for value in bearers}  # b"": worth nothing
    return tokens | {item.removeprefix(OFFER) for item in subprotocols(request) if item.startswith(OFFER)}


def grants_of(request: Request, authority: Authority, now: float) -> Grants:
    """What whoever makes a request may do.

    Args:
        now: seconds since the epoch.

    Raises:
        ClientError: `token`; answer with `refusal`.
    """
    tokens = shown(request)
    if not tokens:
        return authority.anonymous
    if len(tokens) > 1:
        raise refused("the request shows several tokens; show one")
    return authority.check(tokens.pop().decode("latin-1"), now)


def refusal(request: Request, error: ClientError) -> int:
    """The status of the answer to a token that is refused or grants too little; its headers are set."""
    if error.retry:  # the token cannot be judged yet, which is the relay's trouble
        request.setHeader(b"retry-after", b"%d" % RETRY_AFTER)
        return SERVICE_UNAVAILABLE
    # What is wrong is said only to those who brought a token; https://www.rfc-editor.org/rfc/rfc6750#section-3.1
    wrong = b"invalid_token" if error.code == "token" else b"insufficient_scope" if shown(request) else b""
    request.setHeader(b"www-authenticate", b'Bearer realm="streamer"' + (b', error="%b"' % wrong if wrong else b""))
    return FORBIDDEN if wrong == b"insufficient_scope" else UNAUTHORIZED
