# -*- test-case-name: tests.unit.test_net_websocket -*-
"""`GET /ws`: who may have a websocket, and the hand-over of the connection from twisted.web to Autobahn.

Origins. A browser sends `Origin` with every websocket handshake and lets no page forge it, so the list keeps other
people's pages from speaking through a visitor's browser. It is matched exactly, and `null`, which sandboxed frames
send, is never on it. A program sends none, and could send any; it is let in, for there are no cookies here that it
could ride on, and what is public to a page is public to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from autobahn.twisted.resource import WebSocketResource
from twisted.web.http import BAD_REQUEST, FORBIDDEN, SERVICE_UNAVAILABLE
from twisted.web.resource import Resource
from twisted.web.server import Request

from streamer.fanout.protocol import SUBPROTOCOL
from streamer.metrics import HANDSHAKES, Metrics
from streamer.net.admission import Admission
from streamer.net.assets import Plain
from streamer.net.websocket import FACE, RelayFactory

UPGRADE_REQUIRED = 426
RETRY_AFTER = 10  # seconds that one who finds no place is asked to wait


class Upgrade(Resource):
    """The websocket's address."""

    isLeaf = True

    def __init__(self, factory: RelayFactory, admission: Admission, origins: Iterable[str], metrics: Metrics) -> None:
        Resource.__init__(self)
        self._factory = factory
        self._handover = WebSocketResource(factory)
        self._admission = admission
        self._origins = frozenset(origin.encode() for origin in origins) - {b"null"}
        self._metrics = metrics

    def render_GET(self, request: Request) -> int | bytes:
        """Hand the connection over, or say what is missing."""
        if (request.getHeader(b"upgrade") or b"").strip().lower() != b"websocket":
            request.setHeader(b"upgrade", b"websocket")
            return self._refuse(request, "no-websocket", UPGRADE_REQUIRED, "this is the address of a websocket")
        origins = request.requestHeaders.getRawHeaders(b"origin", [])
        if len(origins) > 1 or (origins and origins[0] not in self._origins):
            sentence = "this page's origin is not on the relay's list; its operator can add it to [relay] origins"
            return self._refuse(request, "origin", FORBIDDEN, sentence)
        offered = b",".join(request.requestHeaders.getRawHeaders(b"sec-websocket-protocol", [])).split(b",")
        if SUBPROTOCOL.encode() not in (item.strip() for item in offered):
            return self._refuse(request, "subprotocol", BAD_REQUEST, f"offer the websocket subprotocol {SUBPROTOCOL}")
        refusal = self._admission.admit(getattr(request.getClientAddress(), "host", ""))
        if refusal is not None:
            request.setHeader(b"retry-after", b"%d" % RETRY_AFTER)
            return self._refuse(request, "full", SERVICE_UNAVAILABLE, refusal)
        transport = cast(Any, request.channel).transport
        transport.unregisterProducer()  # twisted.web's; the websocket registers its own
        result: int | bytes = self._handover.render(request)
        return result

    def _refuse(self, request: Request, outcome: str, code: int, sentence: str) -> int | bytes:
        self._metrics.add(HANDSHAKES, FACE, outcome)
        answer: int | bytes = Plain(code, sentence).render(request)
        return answer
