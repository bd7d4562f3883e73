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

import attrs
from autobahn.twisted.resource import WebSocketResource
from twisted.web.http import BAD_REQUEST, FORBIDDEN, SERVICE_UNAVAILABLE
from twisted.web.server import Request

from streamer.errors import ClientError
from streamer.fanout.grants import Grants
from streamer.fanout.protocol import SUBPROTOCOL, Wish
from streamer.fanout.readonly import SUBPROTOCOL as READ_ONLY
from streamer.metrics import HANDSHAKES, Metrics
from streamer.net.admission import Admission
from streamer.net.assets import Leaf, Plain
from streamer.net.bearer import grants_of, subprotocols
from streamer.net.compression import usable
from streamer.net.headers import client_address
from streamer.net.oneway import check_granted, read_query, status
from streamer.net.origins import Origins
from streamer.net.websocket import FACE, READ_ONLY_FACE, RelayProtocol
from streamer.net.websocket_factory import RelayFactory

UPGRADE_REQUIRED = 426
RETRY_AFTER = 10  # seconds that one who finds no place is asked to wait


@attrs.define
class _Arriving:
    """What Autobahn takes for the factory: one connection's, which comes with what its token grants."""

    factory: RelayFactory
    grants: Grants
    wish: Wish | None
    address: str
    made: RelayProtocol | None = None

    def buildProtocol(self, address: Any) -> RelayProtocol:
        """Make the protocol."""
        protocol = self.made = self.factory.buildProtocol(address)
        protocol.address = self.address
        protocol.grants, protocol.wish = self.grants, self.wish
        if self.wish is not None:
            protocol.face = READ_ONLY_FACE
        return protocol

    @property
    def accepted(self) -> bool:
        """Whether the handshake was as RFC 6455 has it."""
        return self.made is not None and self.made.session is not None


class Upgrade(Leaf):
    """The websocket's address."""

    def __init__(self, factory: RelayFactory, admission: Admission, origins: Iterable[str], metrics: Metrics) -> None:
        Leaf.__init__(self)
        self._factory = factory
        self._admission = admission
        self._origins = Origins(origins)
        self._metrics = metrics

    def render_GET(self, request: Request) -> int | bytes:
        """Hand the connection over, or say what is missing."""
        upgrade = (request.getHeader(b"upgrade") or b"").strip().lower()
        if upgrade != b"websocket" or request.method != b"GET":
            request.setHeader(b"upgrade", b"websocket")
            request.setHeader(b"connection", b"upgrade")
            return self._refuse(request, "no-websocket", UPGRADE_REQUIRED, "this is the address of a websocket")
        try:
            self._origins.check(request)
        except ClientError as error:
            return self._refuse(request, error.code, FORBIDDEN, error.message)
        offered = subprotocols(request)
        face = FACE if SUBPROTOCOL.encode() in offered else READ_ONLY_FACE
        if face == READ_ONLY_FACE and READ_ONLY.encode() not in offered:
            sentence = f"offer the websocket subprotocol {SUBPROTOCOL}, or {READ_ONLY} to be sent events only"
            return self._refuse(request, "subprotocol", BAD_REQUEST, sentence)
        address = client_address(request)
        full = self._admission.admit(address)
        if full is not None:
            request.setHeader(b"retry-after", b"%d" % RETRY_AFTER)
            return self._refuse(request, "full", SERVICE_UNAVAILABLE, full)
        clients = self._factory.clients
        try:
            self._admission.greet(address, clients.now())
            grants = grants_of(request, clients.authority, clients.now())
            wish = None
            if face == READ_ONLY_FACE:
                wish, _ = read_query(request)
                check_granted(wish, grants)
                clients.works.insist(address, clients.now())
        except ClientError as error:
            self._admission.release(address)
            return self._refuse(request, error.code, status(request, error), error.message, face)
        headers = request.requestHeaders
        offers = usable(",".join(headers.getRawHeaders("sec-websocket-extensions", [])))
        headers.setRawHeaders("sec-websocket-extensions", [offers] if offers else [])
        transport = cast(Any, request.channel).transport
        transport.unregisterProducer()  # twisted.web's; the websocket registers its own
        arriving = _Arriving(self._factory, grants, wish, address)
        result: int | bytes = WebSocketResource(arriving).render(request)
        self._metrics.add(HANDSHAKES, face, "accepted" if arriving.accepted else "handshake")
        return result

    def _refuse(self, request: Request, outcome: str, code: int, sentence: str, face: str = FACE) -> int | bytes:
        self._metrics.add(HANDSHAKES, face, outcome)
        answer: int | bytes = Plain(code, sentence).render(request)
        return answer
