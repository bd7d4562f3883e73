# -*- test-case-name: tests.unit.test_net_websocket -*-
"""Autobahn's options for our websockets, said once."""

from __future__ import annotations

from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory

from streamer.fanout.protocol import FRAME_IN_LIMIT, SUBPROTOCOL
from streamer.net.admission import Admission
from streamer.net.compression import none, shared
from streamer.net.websocket import RelayProtocol


class RelayFactory(WebSocketServerFactory):  # type: ignore[misc]
    """Makes protocols for `net.upgrade`, which has checked origins and counted connections before."""

    protocol: Any = RelayProtocol
    noisy = False

    def __init__(self, clients: Any, admission: Admission, reactor: Any, compression: bool = True) -> None:
        super().__init__(protocols=[SUBPROTOCOL], server="", reactor=reactor)
        self.clients = clients
        self.admission = admission
        self.setProtocolOptions(
            versions=[13],
            webStatus=False,
            maxFramePayloadSize=FRAME_IN_LIMIT,
            maxMessagePayloadSize=FRAME_IN_LIMIT,
            failByDrop=False,
            openHandshakeTimeout=0,  # the request was read by twisted.web, with its own time-out
            closeHandshakeTimeout=0,  # ours: ABORT_AFTER
            autoPingInterval=0,  # ours: PING_AFTER
            perMessageCompressionAccept=shared if compression else none,
            tcpNoDelay=True,
            allowedOrigins=["*"],  # net.upgrade has the list
            allowNullOrigin=True,
        )
        # Autobahn copies some thirty options into each connection and writes a report of them that nobody reads, which
        # is half the cost of a handshake and a fifth of a connection's memory. On the class they are there, too.
        options = {name: getattr(self, name) for name in RelayProtocol.CONFIG_ATTRS}
        options["perMessageCompressionAccept"] = staticmethod(options["perMessageCompressionAccept"])
        self.protocol = type("ConfiguredProtocol", (RelayProtocol,), {**options, "CONFIG_ATTRS": ()})

    def buildProtocol(self, addr: Any) -> RelayProtocol:
        """For a connection that was admitted; counts it out again when it is lost."""
        protocol: RelayProtocol = super().buildProtocol(addr)
        protocol.address = protocol.channel_address = getattr(addr, "host", "")
        return protocol
