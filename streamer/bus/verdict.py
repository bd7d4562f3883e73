# -*- test-case-name: tests.unit.test_bus_verdict -*-
"""What a survey means: for each thing whether it is as it must be, and what to do where it is not."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from streamer.bus import topology, versions
from streamer.bus.definitions import is_shard
from streamer.bus.driver import Depth
from streamer.bus.survey import Declared, Found, Presence, Survey
from streamer.bus.topology import Layout, Queue

MAKE = "make it with `streamer topology declare`"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at.

    Args:
        kind: `broker`, `exchange`, `queue`, `members`, `binding`, `policy` or `user`.
        state: in a word or two.
        ready: messages of a queue that no worker or command has in hand; what is in hand AMQP does not tell.
        declared: how, as `survey.Declared` puts it.
        problem: a sentence where it differs from what it must be.
        alarm: a sentence where it is as it must be and somebody should look.
        note: what is good to know.
    """

    kind: str
    name: str
    state: str
    ready: int | None = None
    consumers: int | None = None
    declared: str | None = None
    problem: str | None = None
    alarm: str | None = None
    note: str | None = None


def rows(layout: Layout, survey: Survey) -> list[Row]:
    """The verdict on everything that was asked over AMQP."""
    return [
        _broker(survey.server),
        _marker(survey.marker),
        *(_standing(layout, found, survey.marker) for found in survey.found),
        *_surplus(layout, survey),
    ]


def _broker(server: str) -> Row:
    version = versions.Version.parse(server)
    note = f"tested with {versions.TESTED}; the rest of its differences is from RabbitMQ's own notes"
    if version is None:
        note = "not RabbitMQ, as far as it says: nothing is known of what it does differently"
    return Row(
        kind="broker",
        name=server,
        state="there",
        problem=versions.refusal(server),
        note=None if version is not None and str(version) == versions.TESTED else note,
    )


def _marker(marker: Presence) -> Row:
    said = {
        Presence.THERE: "prepared: services declare nothing",
        Presence.MISSING: "fresh: services declare everything, with arguments",
        Presence.UNKNOWN: "services take this broker for a prepared one",
    }
    return Row(kind="exchange", name=topology.MARKER, state=marker.value, note=said[marker])


def _standing(layout: Layout, found: Found, marker: Presence) -> Row:
    queue = layout.queues.get(found.name) if found.kind == "queue" else None
    optional = queue is not None and queue.optional
    problem, note = None, None
    if found.presence is Presence.MISSING:
        if optional:
            note = "only needed where somebody works it"
        else:
            made = "services make it when they start, or " if marker is Presence.MISSING else ""
            problem = f"it is not there; {made}{MAKE}"
    elif found.presence is Presence.UNKNOWN:
        note = found.detail
    elif found.declared is Declared.UNKNOWN:
        note = f"whether its arguments are right cannot be told: {found.detail}"
    elif found.declared is not Declared.BOTH:
        problem = _declared(found, marker)
    return Row(
        kind=found.kind,
        name=found.name,
        state=found.presence.value,
        ready=None if found.depth is None else found.depth.messages,
        consumers=None if found.depth is None else found.depth.consumers,
        declared=None if found.declared is None else found.declared.value,
        problem=problem,
        alarm=_alarm(queue, found),
        note=note,
    )


def _declared(found: Found, marker: Presence) -> str | None:
    """What is wrong with how it was declared."""
    again = f"let it run empty, delete it, and {MAKE}" if found.kind == "queue" else f"delete it, and {MAKE}"
    if found.declared is Declared.OTHER:
        return f"it was declared otherwise: {found.detail}; {again}"
    if found.declared is Declared.FULL and marker is Presence.THERE:
        return (
            "the broker is prepared, but this was declared with arguments: a change of its policy takes effect "
            f"only as far as it is stricter; {again}"
        )
    if found.declared is Declared.BARE and marker is Presence.MISSING:
        return (
            "it was declared without the arguments of a fresh broker, and a service that declares it will be refused "
            f"(406): install the policies with `streamer topology declare --management URL`, or {again}"
        )
    return None


def _alarm(queue: Queue | None, found: Found) -> str | None:
    if queue is None or found.depth is None or not found.depth.messages:
        return None
    count = f"{found.depth.messages} message{'s' if found.depth.messages != 1 else ''}"
    if queue.name == topology.DEAD:
        return f"{count} could not be done; see `streamer dead list`"
    if queue.name == topology.UNROUTED:
        return (
            f"{count} found no queue: is a binding missing, or do publishers have more shards than there are queues?"
        )
    if not found.depth.consumers:
        return f"nobody works it, and {count} wait"
    return None


def _surplus(layout: Layout, survey: Survey) -> Iterator[Row]:
    for found in survey.surplus:
        depth = found.depth or Depth(0, 0)
        yield surplus(layout, found.name, depth)


def surplus(layout: Layout, name: str, depth: Depth) -> Row:
    """A queue of more shards than there are to be."""
    there = sum(map(is_shard, layout.queues.values()))
    first = "delete it once `rabbitmqctl list_queues name messages` says 0, what is in hand counted, too"
    if depth.messages:
        first = f"work off what is in it with the old number, then {first}"
    return Row(
        kind="queue",
        name=name,
        state=Presence.THERE.value,
        ready=depth.messages,
        consumers=depth.consumers,
        problem=f"a shard too many, for there are to be {there}; once nobody publishes to it any more {first}",
    )
