# -*- test-case-name: tests.unit.test_net_cloudevents -*-
"""Which conversation a websocket leads: `relay.v1.json`, or with `cloudevents.json` none."""

from __future__ import annotations

from streamer.fanout.encoding import RELAY, RELAY_DEFLATED
from streamer.fanout.front import Reader
from streamer.fanout.grants import Grants
from streamer.fanout.oneway import CLOUDEVENTS, CLOUDEVENTS_DEFLATED
from streamer.fanout.protocol import Wish
from streamer.fanout.readonly import ReadOnly
from streamer.fanout.session import Session
from streamer.net.clients import Clients


def conversation(
    number: int,
    clients: Clients,
    reader: Reader,
    now: float,
    address: str,
    grants: Grants | None,
    wish: Wish | None,
    deflated: bool,
) -> Session | ReadOnly:
    """The mind behind a websocket that has just been opened.

    Args:
        number: unique among the clients of this process.
        now: seconds since the epoch.
        address: whose work it is to search the journal for it.
        grants: of a token in the handshake.
        wish: of one who only listens, checked; None for `relay.v1.json`.
        deflated: whether permessage-deflate was negotiated.
    """
    grants = grants or clients.authority.anonymous
    if wish is not None:
        events = CLOUDEVENTS_DEFLATED if deflated else CLOUDEVENTS
        with clients.works.charging(clients.hub.journal, address, now):
            return ReadOnly(clients.hub, reader, now, wish, grants, events, clients.heartbeat)
    encoding = RELAY_DEFLATED if deflated else RELAY
    rights = (clients.publisher, clients.authority, grants, clients.works.of(address, now))
    return Session(number, clients.hub, reader, now, clients.heartbeat, encoding, *rights)
