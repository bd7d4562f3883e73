# -*- test-case-name: tests.unit.test_net_relay_following -*-
"""What a relay says in `relay.v1.json`, read by a client; the words are those of `fanout.protocol`.

Read loosely, as that page asks of clients: unknown frames and keys are passed over, so that an older `streamer tail`
can talk to a newer relay.
"""

from __future__ import annotations

import msgspec

from streamer.errors import DecodeError
from streamer.upstream import brief


class Welcome(msgspec.Struct, frozen=True):
    """The first frame; `heartbeat` in seconds."""

    position: str
    heartbeat: float


class Subscribed(msgspec.Struct, frozen=True):
    """`replayed` events from before this moment follow; `reason` and `oldest` only where `recovered` is false."""

    position: str
    recovered: bool = True
    replayed: int = 0
    reason: str = ""
    oldest: str = ""


class Lag(msgspec.Struct, frozen=True, rename={"start": "from", "end": "to"}):
    """So many events are lost to this client."""

    skipped: int
    end: str
    start: str = ""
    why: str = ""


class Refusal(msgspec.Struct, frozen=True):
    """A frame of ours was not served."""

    code: str = ""
    message: str = ""
    retry: bool = False


class Draining(msgspec.Struct, frozen=True):
    """The relay is about to stop; come back after so many milliseconds."""

    in_ms: float


class WelcomeFrame(msgspec.Struct, frozen=True, array_like=True, tag="welcome"):
    """`["welcome", {…}]`"""

    facts: Welcome


class SubscribedFrame(msgspec.Struct, frozen=True, array_like=True, tag="subd"):
    """`["subd", n, {…}]`"""

    n: int
    facts: Subscribed


class EventsFrame(msgspec.Struct, frozen=True, array_like=True, tag="ev"):
    """`["ev", POSITION, [event, …]]`, the events' JSON as it came."""

    position: str
    events: tuple[msgspec.Raw, ...]


class PositionFrame(msgspec.Struct, frozen=True, array_like=True, tag="pos"):
    """`["pos", POSITION]`"""

    position: str


class LagFrame(msgspec.Struct, frozen=True, array_like=True, tag="lag"):
    """`["lag", {…}]`"""

    facts: Lag


class RefusalFrame(msgspec.Struct, frozen=True, array_like=True, tag="err"):
    """`["err", n, {…}]`"""

    n: int | None
    facts: Refusal


class DrainingFrame(msgspec.Struct, frozen=True, array_like=True, tag="draining"):
    """`["draining", {…}]`"""

    facts: Draining


Frame = WelcomeFrame | SubscribedFrame | EventsFrame | PositionFrame | LagFrame | RefusalFrame | DrainingFrame
NAMES = frozenset({"welcome", "subd", "ev", "pos", "lag", "err", "draining"})

_decode = msgspec.json.Decoder(Frame).decode


def read(payload: bytes) -> Frame | None:
    """Read one frame of the relay's; None where it is one that this client does not know.

    Raises:
        DecodeError: it is none; hang up, for what comes next is not to be trusted either.
    """
    try:
        frame: Frame = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if _unknown(payload):
            return None
        raise DecodeError(brief(f"the relay sent what is no frame of relay.v1.json: {error}")) from error
    return frame


def _unknown(payload: bytes) -> bool:
    try:
        items = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(items, list) and bool(items) and isinstance(items[0], str) and items[0] not in NAMES
