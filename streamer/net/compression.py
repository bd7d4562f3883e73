# -*- test-case-name: tests.unit.test_net_websocket -*-
"""Which of the compressions that a client offers its websocket gets."""

from __future__ import annotations

import re
from typing import Any

from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept

from streamer.fanout.deflate import WINDOW_BITS
from streamer.fanout.protocol import FRAME_IN_LIMIT

_SERVER_BITS = re.compile(rf'server_max_window_bits\s*=\s*"?{WINDOW_BITS}"?')
_CLIENT_BITS = re.compile(r'client_max_window_bits(?:\s*=\s*"?(?:9|1[0-5])"?)?')
_TAKEOVER = re.compile(r"(?:server|client)_no_context_takeover")


def usable(offered: str) -> str:
    """Of a `Sec-WebSocket-Extensions` header the offers that `shared` can accept.

    Autobahn fails the handshake over an offer that it cannot read, where RFC 7692 has it declined:
    https://www.rfc-editor.org/rfc/rfc7692#section-5.1
    """
    return ", ".join(offer.strip() for offer in offered.split(",") if _usable(offer))


def _usable(offer: str) -> bool:
    name, *parameters = (part.strip() for part in offer.split(";"))
    names = {parameter.partition("=")[0].strip() for parameter in parameters}
    return (
        name == "permessage-deflate"
        and len(names) == len(parameters)
        and all(any(known.fullmatch(one) for known in (_SERVER_BITS, _CLIENT_BITS, _TAKEOVER)) for one in parameters)
    )


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
