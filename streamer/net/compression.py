# -*- test-case-name: tests.unit.test_net_websocket -*-
"""Which of the compressions that a client offers its websocket gets."""

from __future__ import annotations

from typing import Any

from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from streamer.fanout.deflate import WINDOW_BITS
from streamer.fanout.protocol import FRAME_IN_LIMIT


def none(offers: Any) -> None:
    """Whatever is offered, send plain frames."""


def shared(offers: Any) -> Any:
    """Accept permessage-deflate where our shared frames can be read, and let the client remember nothing either."""
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer) and offer.request_max_window_bits in (0, WINDOW_BITS):
            return PerMessageDeflateOfferAccept(
                offer,
                request_no_context_takeover=offer.accept_no_context_takeover,
                no_context_takeover=offer.request_no_context_takeover or None,
                max_message_size=FRAME_IN_LIMIT,
            )
    return None
