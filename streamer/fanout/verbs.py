# -*- test-case-name: tests.unit.test_fanout_session -*-
"""What each of a client's frames does to its session, and in which phase it may be said."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from streamer.errors import ClientError
from streamer.fanout import protocol
from streamer.fanout.framing import text_frame
from streamer.fanout.parking import Asked
from streamer.fanout.pending import Pending
from streamer.fanout.start import after
from streamer.fanout.topics import check_patterns, words_of
from streamer.metrics import TOKENS

if TYPE_CHECKING:
    from streamer.fanout.session import Session


class Phase(enum.Enum):
    """How far the conversation is."""

    NEW = "new"  # nothing said yet
    WELCOMED = "welcomed"  # and we said something first
    GREETED = "greeted"  # welcomed; a hello may still come
    FOLLOWING = "following"  # it has subscribed at least once
    CLOSED = "closed"


def _hello(session: Session, command: protocol.Hello, now: float) -> list[bytes]:
    if command.greeting.token is not None:
        session.grants = session.authority.check(command.greeting.token, now)
    resume = command.greeting.resume
    recovery: dict[str, Any] = {}
    if resume is not None:
        session._resume, session._resume_until = resume, now + protocol.RESUME_WINDOW
        if not session.hub.journal.awaited(resume):
            recovery = after(session.hub.journal, resume).facts()
    session.feed.flow.live.told = session._place(now)
    session.phase = Phase.GREETED
    return [session._welcome(recovery)]


def _late_hello(session: Session, command: protocol.Hello, now: float) -> list[bytes]:
    raise ClientError("bad-request", "hello must come before the first sub; reconnect to resume from elsewhere")


def _sub(session: Session, command: protocol.Sub, now: float) -> list[bytes]:
    wish, flow, parked = command.wish, session.feed.flow, session._parked
    if wish.id in flow.subscriptions or wish.id in parked:
        raise ClientError("duplicate", f"the id {wish.id!r} is in use on this connection; unsub it first")
    if len(flow.subscriptions) + len(parked) >= protocol.SUBSCRIPTIONS_LIMIT:
        raise ClientError("limit", f"a connection can have {protocol.SUBSCRIPTIONS_LIMIT} subscriptions; unsub one")
    patterns = check_patterns(wish.topics)
    session.grants.check_read(wish.topics)
    held = parked.patterns + sum(len(one.patterns) for one in flow.subscriptions.values())
    if held + len(patterns) > protocol.PATTERNS_LIMIT:
        sentence = f"a connection can have {protocol.PATTERNS_LIMIT} patterns and has {held}; unsub some"
        raise ClientError("limit", sentence)
    words = parked.words + sum(words_of(one.patterns) for one in flow.subscriptions.values()) + words_of(patterns)
    if words > protocol.WORDS_LIMIT:
        sentence = f"a connection's patterns can have {protocol.WORDS_LIMIT} words and would have {words}; unsub some"
        raise ClientError("limit", sentence)
    since = wish.since
    if since is None and wish.last is None and now < session._resume_until:
        since = session._resume
    asked = Asked(command, patterns, since, now + protocol.AHEAD_GRACE)
    if since is not None and session.hub.journal.awaited(since):
        parked.put(asked)
        answers = session._answer([])
        session.phase = Phase.FOLLOWING
        return answers
    return begun(session, asked)


def begun(session: Session, asked: Asked) -> list[bytes]:
    """Begin a subscription; its answer."""
    wish = asked.command.wish
    try:
        session.grants.check_read(wish.topics)  # again, for it may have waited, and the client's token changed
    except ClientError as error:
        return session._answer([text_frame(protocol.error_payload(asked.command.n, error))])
    facts = session.feed.subscribe(wish.id, asked.patterns, asked.since, wish.last, wish.policy)
    answers = session._answer([text_frame(protocol.payload("subd", asked.command.n, {"id": wish.id} | facts))])
    session.phase = Phase.FOLLOWING
    return answers


def _pub(session: Session, command: protocol.Pub, now: float) -> list[bytes]:
    if session.publisher is None:
        raise ClientError("unsupported", "this relay publishes no events of clients")
    if session._pending is None:
        session._pending = Pending(session.publisher, session.hub.metrics, session.reader.wake, now)
    session._pending.ask(command.n, command.publication, session.grants, now)
    return session._answer(session._pending.take())  # the bus may have answered already


def _unsub(session: Session, command: protocol.Unsub, now: float) -> list[bytes]:
    answers: list[bytes] = []
    if command.id in session._parked:
        answers = begun(session, session._parked.pop(command.id))
    if command.id not in session.feed.flow.subscriptions:
        error = ClientError("unknown-id", f"there is no subscription {command.id!r} on this connection")
        return session._answer([*answers, text_frame(protocol.error_payload(command.n, error))])
    session.feed.flow.remove(command.id)
    return session._answer([*answers, text_frame(protocol.payload("unsubd", command.n, {"id": command.id}))])


def _ping(session: Session, command: protocol.Ping, now: float) -> list[bytes]:
    return session._answer([text_frame(protocol.payload("pong", command.n))])


def _refresh(session: Session, command: protocol.Refresh, now: float) -> list[bytes]:
    try:
        session.grants = session.authority.check(command.token, now)
    except ClientError as error:  # the token there was goes on until it ends
        raise ClientError(error.code, error.message, retry=error.retry) from error
    if session.grants.expires is not None:  # else the relay ignores tokens
        session.hub.metrics.add(TOKENS, "refreshed")
    answers = [text_frame(protocol.payload("refreshed", command.n, session.grants.facts()))]
    flow = session.feed.flow
    for subscription in list(flow.subscriptions.values()):
        try:
            session.grants.check_read(subscription.patterns)
        except ClientError as error:
            flow.remove(subscription.id)
            answers.append(text_frame(protocol.error_payload(command.n, error)))
            answers.append(text_frame(protocol.payload("unsubd", command.n, {"id": subscription.id})))
    return session._answer(answers)


Verb = Callable[["Session", Any, float], list[bytes]]

_ALWAYS: Mapping[type, Verb] = {
    protocol.Sub: _sub,
    protocol.Pub: _pub,
    protocol.Unsub: _unsub,
    protocol.Ping: _ping,
    protocol.Refresh: _refresh,
}
PHASES: Mapping[Phase, Mapping[type, Verb]] = {
    Phase.NEW: {protocol.Hello: _hello, **_ALWAYS},
    Phase.GREETED: {protocol.Hello: _hello, **_ALWAYS},
    Phase.FOLLOWING: {protocol.Hello: _late_hello, **_ALWAYS},
    Phase.CLOSED: {},
}
