# -*- test-case-name: tests.unit.test_bus_survey -*-
"""What of the topology a broker has, asked over AMQP alone; nothing is changed by asking.

Whether a queue is there is asked by a passive declaration. How it was declared can only be found out by declaring it
again, which needs the right to configure: the broker says yes where it is the same, and names what differs in a 406
where it is not (https://www.rabbitmq.com/docs/queues#property-equivalence). That is asked of what is there only, for
what is missing would be made.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping

import msgspec

from streamer.bus import shards, topology
from streamer.bus.driver import ACCESS_REFUSED, NOT_FOUND, PRECONDITION_FAILED, ChannelRefused, Depth, IConnection
from streamer.bus.topology import Declare, Layout, declares
from streamer.bus.versions import Version, passive_needs
from streamer.bus.visit import Questions

_NONE = re.compile(r"NOT_FOUND - no (?:queue|exchange) ")


class Presence(enum.Enum):
    """Whether something is there."""

    THERE = "there"
    MISSING = "missing"
    UNKNOWN = "cannot be told"


class Declared(enum.Enum):
    """How it was declared."""

    BARE = "bare"  # as an operator does it, limits being left to policies
    FULL = "with arguments"  # as services do it on a fresh broker
    BOTH = "as it must be"  # the two are the same
    OTHER = "otherwise"
    UNKNOWN = "cannot be told"


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange or queue.

    Args:
        depth: of a queue that is there.
        detail: the broker's words, where it did not say yes.
    """

    kind: str
    name: str
    presence: Presence
    declared: Declared | None = None
    depth: Depth | None = None
    detail: str = ""


class Survey(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    Args:
        server: product and version of the broker.
        marker: whether an operator has installed the topology.
        found: exchanges and queues of the layout, optional ones too.
        surplus: queues of more shards than there are to be.
    """

    server: str
    marker: Presence
    found: tuple[Found, ...]
    surplus: tuple[Found, ...]


async def survey(layout: Layout, connection: IConnection) -> Survey:
    """Ask for everything.

    Raises:
        ConnectionLost: the connection ended.
    """
    version = Version.parse(connection.server)
    questions = Questions(connection)
    bare, full = (_declarations(layout, bare=bare) for bare in (True, False))
    found = []
    for (kind, name), declare in full.items():
        one = await _look(questions, kind, name, version)
        if one.presence is Presence.THERE:
            declared, detail = await _how(questions, bare[kind, name], declare)
            one = msgspec.structs.replace(one, declared=declared, detail=detail)
        found.append(one)
    marker = await _look(questions, "exchange", topology.MARKER, version)
    return Survey(
        server=connection.server,
        marker=marker.presence,
        found=tuple(found),
        surplus=tuple(await _surplus(questions, layout, version)),
    )


async def _surplus(questions: Questions, layout: Layout, version: Version | None) -> list[Found]:
    """Shards from the last wanted one on, up to the first that is missing: the broker logs an error for each."""
    found = []
    for number in range(shards.SHARDS_LIMIT):
        name = topology.shard_queue(number)
        if name in layout.queues:
            continue
        one = await _look(questions, "queue", name, version)
        if one.presence is not Presence.THERE:
            break
        found.append(one)
    return found


def _declarations(layout: Layout, *, bare: bool) -> Mapping[tuple[str, str], Declare]:
    """By kind and name; an exchange and a queue may have the same one."""
    return {
        (kind, str(declare.keywords[kind])): declare
        for declare in declares(layout, layout.queues, bare=bare)
        for kind in ("exchange", "queue")
        if declare.method == f"{kind}_declare"
    }


async def _look(questions: Questions, kind: str, name: str, version: Version | None) -> Found:
    depth = None
    try:
        if kind == "queue":
            depth = await questions.ask(lambda channel: channel.depth(name))
        else:
            await questions.declare("exchange_declare", {"exchange": name, "passive": True})
    except ChannelRefused as refused:
        # A queue whose node is down is "not found" as well, in other words.
        missing = refused.code == NOT_FOUND and _NONE.search(str(refused)) is not None
        why = f"{passive_needs(version)}: {refused}" if refused.code == ACCESS_REFUSED else str(refused)
        return Found(
            kind=kind,
            name=name,
            presence=Presence.MISSING if missing else Presence.UNKNOWN,
            detail="" if missing else why,
        )
    return Found(kind=kind, name=name, presence=Presence.THERE, depth=depth)


async def _how(questions: Questions, bare: Declare, full: Declare) -> tuple[Declared, str]:
    """How something that is there was declared, and the broker's words where it was not as it must be."""
    same = bare == full
    said = ""
    for declared, declare in ((Declared.BOTH if same else Declared.BARE, bare), (Declared.FULL, full)):
        if same and declared is Declared.FULL:
            break
        try:
            await questions.declare(declare.method, declare.keywords)
        except ChannelRefused as refused:
            if refused.code != PRECONDITION_FAILED:
                return Declared.UNKNOWN, str(refused)
            said = str(refused)
        else:
            return declared, ""
    return Declared.OTHER, said
