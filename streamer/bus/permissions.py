# -*- test-case-name: tests.unit.test_bus_definitions -*-
"""Who may do what on the broker: a user for each service, each with no more than its work asks for.

RabbitMQ gives three rights over names of exchanges and queues alike
(https://www.rabbitmq.com/docs/access-control#authorisation): *configure* declares and deletes, *write* publishes to an
exchange and binds a queue, *read* consumes from a queue and binds to an exchange. On a prepared broker no service
declares any of the topology, so none but the one that installs it has the first (but for the queues that lock sources,
`bus.locks`); and a service that is broken into can neither take the queues away nor bind one of its own beside them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from streamer.bus import topology
from streamer.message import EVENTS, RAW

HOUSE = "streamer."  # with which all names of the house begin
NOTHING = "^$"
TOPIC_OF_ITEMS = r"^raw\."  # a pattern of the broker's, over routing keys


class Rights(msgspec.Struct, frozen=True):
    """Patterns over the names of exchanges and queues; each must match somewhere, so they are anchored."""

    configure: str = NOTHING
    write: str = NOTHING
    read: str = NOTHING


class User(msgspec.Struct, frozen=True, kw_only=True):
    """A user of the broker.

    Args:
        who: what logs in with it, for people.
        tags: what it may do in RabbitMQ's management (https://www.rabbitmq.com/docs/management#permissions).
        topics: an exchange to the pattern of the routing keys that it may publish there; where one is not named, any.
    """

    name: str
    who: str
    rights: Rights
    tags: tuple[str, ...] = ()
    topics: Mapping[str, str] = {}


OF_LOCKS = f"^{re.escape(topology.LOCKS)}"


def pattern(*names: str, shards: bool = False) -> str:
    """What matches these names of ours and no others; with `shards` the queues of all shards too."""
    ends = [re.escape(name.removeprefix(HOUSE)) for name in names]
    if shards:
        ends[names.index(topology.ENRICH)] += r"(\.s[0-9]+)?"
    together = f"({'|'.join(ends)})" if len(ends) > 1 else ends[0]
    return f"^{re.escape(HOUSE)}{together}$"


_QUEUES = (topology.UNROUTED, topology.DEAD, topology.ENRICH, topology.TRENDS, topology.LOG)

USERS = (
    User(
        name="streamer-ingest",
        who="`twistd streamer`: publishes items",
        # Whoever is ready looks for the marker first, which from RabbitMQ 4.3.1 on needs some right over it; to read
        # an exchange to which nothing is published gives nothing.
        # To lock a source is to declare a queue and to delete it; nothing is written to it or read from it.
        rights=Rights(configure=OF_LOCKS, write=pattern(RAW), read=pattern(topology.MARKER)),
        topics={RAW: TOPIC_OF_ITEMS},
    ),
    User(
        name="streamer-enrich",
        who="`twistd enrich`: works the items' queues, publishes events",
        rights=Rights(write=pattern(EVENTS), read=pattern(topology.ENRICH, topology.MARKER, shards=True)),
    ),
    User(
        name="streamer-relay",
        who="`twistd relay`: reads the log, publishes clients' events",
        rights=Rights(write=pattern(EVENTS), read=pattern(topology.LOG, topology.MARKER)),
    ),
    User(
        name="streamer-operator",
        who="`streamer dead`: looks into what is dead or unrouted, takes it out, publishes it again",
        rights=Rights(write=pattern(RAW, EVENTS), read=pattern(topology.DEAD, topology.UNROUTED, topology.MARKER)),
        topics={RAW: TOPIC_OF_ITEMS},
    ),
    User(
        name="streamer-deploy",
        who="`streamer topology`: checks and installs; it neither publishes items or events nor reads the log",
        rights=Rights(
            configure="^" + re.escape(HOUSE),
            # To bind is to write to the queue and to read from the exchange; to declare a queue or an exchange with
            # another exchange among its arguments is to read from it and to write to that one.
            write=pattern(*_QUEUES, shards=True),
            read=pattern(RAW, EVENTS, topology.UNROUTED, topology.DEAD, topology.ENRICH, shards=True),
        ),
        tags=("policymaker",),
    ),
)
