# -*- test-case-name: tests.unit.test_bus_definitions -*-
"""The topology as RabbitMQ's own definitions (https://www.rabbitmq.com/docs/definitions): what an operator loads.

`conf/rabbitmq/definitions.json` is `render` of the default. It holds the marker, so a broker that has loaded it is
prepared: services declare nothing there.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

import msgspec

from streamer.bus import topology
from streamer.bus.permissions import USERS, pattern
from streamer.bus.topology import Arguments, Binding, Exchange, Layout, Queue

PRIORITY = 10  # of our policies: one policy alone takes effect on a queue, and an operator's own for all has 0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy of RabbitMQ, for one family of queues or exchanges.

    Args:
        pattern: over names.
        applies: `queues` or `exchanges`; the broker's `apply-to`. The finer `quorum_queues` is of 3.12.
        definition: keys of the broker.
    """

    name: str
    pattern: str
    applies: str
    definition: Arguments
    priority: int = PRIORITY

    def fields(self) -> dict[str, Any]:
        """As the broker's API takes them, but for the name."""
        return {
            "pattern": self.pattern,
            "apply-to": self.applies,
            "definition": dict(self.definition),
            "priority": self.priority,
        }


def policies(layout: Layout) -> tuple[Policy, ...]:
    """A policy for each family of queues, of which all shards are one, and for each alternate exchange.

    Optional queues have theirs whether they are there or not: a policy that matches nothing does nothing.
    """
    queues = [queue for queue in (*layout.queues.values(), *layout.streams.values()) if not is_shard(queue)]
    alternates: dict[str, list[str]] = {}
    for exchange in layout.exchanges.values():
        if exchange.alternate is not None:
            alternates.setdefault(exchange.alternate, []).append(exchange.name)
    return (
        *(
            Policy(
                name=queue.name,
                pattern=pattern(queue.name, shards=queue.name == topology.ENRICH),
                applies="queues",
                definition=queue.policies(),
            )
            for queue in queues
        ),
        *(
            Policy(
                name=f"{alternate}.alternate",
                pattern=pattern(*exchanges),
                applies="exchanges",
                definition={"alternate-exchange": alternate},
            )
            for alternate, exchanges in alternates.items()
        ),
    )


def is_shard(queue: Queue) -> bool:
    """Whether it is one of the queues that `[enrich] shards` makes."""
    return queue.name.startswith(f"{topology.ENRICH}.")


def standing(layout: Layout, wanted: Collection[str] = ()) -> Iterator[Queue]:
    """The queues and streams of a house; optional ones where they are wanted."""
    for queue in (*layout.queues.values(), *layout.streams.values()):
        if not queue.optional or queue.name in wanted:
            yield queue


def bound(layout: Layout, wanted: Collection[str] = ()) -> tuple[Binding, ...]:
    """The bindings of those queues."""
    names = {queue.name for queue in standing(layout, wanted)}
    return tuple(binding for binding in layout.bindings if binding.queue in names)


def definitions(
    layout: Layout, vhost: str = "/", wanted: Collection[str] = (), *, users: bool = True
) -> dict[str, Any]:
    """The whole document.

    Args:
        wanted: optional queues to be there.
        users: with them and their permissions. To load the file sets the password of each to none, whatever it was.
    """
    exchanges = (*layout.exchanges.values(), Exchange(name=topology.MARKER, type="fanout"))
    return {
        "vhosts": [{"name": vhost}],
        **(_users(vhost) if users else {}),
        "policies": [{"vhost": vhost, "name": policy.name, **policy.fields()} for policy in policies(layout)],
        "queues": [
            {
                "name": queue.name,
                "vhost": vhost,
                "durable": True,
                "auto_delete": False,
                "arguments": queue.required(),
            }
            for queue in standing(layout, wanted)
        ],
        "exchanges": [
            {
                "name": exchange.name,
                "vhost": vhost,
                "type": exchange.type,
                "durable": True,
                "auto_delete": False,
                "internal": False,
                "arguments": {},
            }
            for exchange in exchanges
        ],
        "bindings": [
            {
                "source": binding.exchange,
                "vhost": vhost,
                "destination": binding.queue,
                "destination_type": "queue",
                "routing_key": binding.pattern,
                "arguments": {},
            }
            for binding in bound(layout, wanted)
        ],
    }


def _users(vhost: str) -> dict[str, Any]:
    return {
        "users": [
            {
                "name": user.name,
                # None; who has none cannot log in (https://www.rabbitmq.com/docs/passwords#passwordless-users).
                "password_hash": "",
                "hashing_algorithm": "rabbit_password_hashing_sha256",
                "tags": list(user.tags),
            }
            for user in USERS
        ],
        "permissions": [
            {
                "user": user.name,
                "vhost": vhost,
                "configure": user.rights.configure,
                "write": user.rights.write,
                "read": user.rights.read,
            }
            for user in USERS
        ],
        "topic_permissions": [
            {"user": user.name, "vhost": vhost, "exchange": exchange, "write": topics, "read": ".*"}
            for user in USERS
            for exchange, topics in user.topics.items()
        ],
    }


def render(document: dict[str, Any]) -> str:
    """As a file for people: an object a line."""
    lines = []
    for name, objects in document.items():
        rows = ",\n".join(f"    {json.dumps(found, ensure_ascii=False)}" for found in objects)
        lines.append(f'  "{name}": [\n{rows}\n  ]' if objects else f'  "{name}": []')
    return "{\n" + ",\n".join(lines) + "\n}\n"
