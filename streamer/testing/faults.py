# -*- test-case-name: tests.unit.test_testing_faults -*-
"""What can be made to go wrong, each fault a value; `POST /_sim/fault` takes the same as JSON, named by `kind`.

Faults of a connection strike those that are open, or the next one where none is. The others stay until used up.
A simulation refuses a fault that its upstream cannot have, with a ValueError.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Annotated, Literal

import attrs
import msgspec

from streamer.testing.history import Line
from streamer.testing.x_problems import DISCONNECT_TYPES

NOISE = bytes(range(128, 192))  # of `Noise`
MOST_WAITING = 1000  # faults that wait for a connection or a request


class Split(msgspec.Struct, frozen=True, tag="split", tag_field="kind"):
    """From now on write in pieces of `size` bytes, each a chunk of its own; 0 ends it."""

    size: int


class Stall(msgspec.Struct, frozen=True, tag="stall", tag_field="kind"):
    """Fall silent, keep-alives and all, for `seconds` or for ever; then send what was due, if it is still there."""

    seconds: float | None = None


class Cut(msgspec.Struct, frozen=True, tag="cut", tag_field="kind"):
    """Drop the connection in the middle of the next line; by a reset where `reset`."""

    reset: bool = False


class Disconnect(msgspec.Struct, frozen=True, tag="disconnect", tag_field="kind"):
    """Say operational-disconnect, then end the response. X only."""

    disconnect_type: str = "UpstreamOperationalDisconnect"

    def __post_init__(self) -> None:
        if self.disconnect_type not in DISCONNECT_TYPES:
            raise ValueError(f"disconnect_type must be one of {', '.join(DISCONNECT_TYPES)}")


class DisconnectCode(msgspec.Struct, frozen=True, tag="disconnect_code", tag_field="kind"):
    """Say why by one of Twitter's codes, then end the response. Twitter only.

    https://developer.x.com/en/docs/twitter-api/v1/tweets/filter-realtime/guides/streaming-message-types
    """

    code: Annotated[int, msgspec.Meta(ge=1, le=12)] = 1
    reason: str = ""


class Close(msgspec.Struct, frozen=True, tag="close", tag_field="kind"):
    """Close with this code and reason, as a websocket does; Wikimedia's streams tell the reason in an error event.

    Simulations of either only.
    """

    code: Annotated[int, msgspec.Meta(ge=1000, le=4999)] = 1001
    reason: Annotated[str, msgspec.Meta(max_length=123)] = "server shutting down"


class Control(msgspec.Struct, frozen=True, tag="control", tag_field="kind"):
    """Send control messages about earlier tweets, or about the connection, to everybody concerned. Twitter only.

    Args:
        what: `limit` holds back the next `times` tweets of each stream, and tells so in the place of each.
        times: how many.
    """

    what: Literal["delete", "scrub_geo", "limit", "status_withheld", "user_withheld", "warning"]
    times: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 1


class Kill(msgspec.Struct, frozen=True, tag="kill", tag_field="kind"):
    """Revoke the token: end every stream without a word, and refuse what comes. Mastodon only."""


class Timelines(msgspec.Struct, frozen=True, tag="timelines", tag_field="kind"):
    """From now on the timelines answer with an empty page or a refusal, as switched off; `open` ends it.

    Mastodon only.
    """

    answer: Literal["open", "empty", 401, 404, 422] = "empty"


class Lag(msgspec.Struct, frozen=True, tag="lag", tag_field="kind"):
    """One connection delivers each line so many seconds after it could, from now on; 0 ends it.

    Args:
        connection: place among the open ones, the oldest is 0; where there is none the next to open.
    """

    seconds: float
    connection: Annotated[int, msgspec.Meta(ge=0)] = 0


class Garbage(msgspec.Struct, frozen=True, tag="garbage", tag_field="kind"):
    """Send a line that is no JSON, or a proxy's HTML page."""

    html: bool = False


class Noise(msgspec.Struct, frozen=True, tag="noise", tag_field="kind"):
    """Send bytes that are no text; by a websocket in a binary frame, packed or not as they are."""


class Huge(msgspec.Struct, frozen=True, tag="huge", tag_field="kind"):
    """Send one line of `size` bytes, line end left out; it is JSON from 8 bytes on."""

    size: int


class AcceptThenClose(msgspec.Struct, frozen=True, tag="accept_then_close", tag_field="kind"):
    """Answer the next `times` requests for the stream with 200 and nothing."""

    times: int = 1


class Status(msgspec.Struct, frozen=True, tag="status", tag_field="kind"):
    """Refuse the next `times` requests for the stream, in the upstream's words.

    Args:
        status: what the upstream refuses with, such as `ON_DEMAND` of `x_problems`; X's `429` is the rate limit.
        reset_after: seconds from now to say in x-rate-limit-reset or Retry-After, where the upstream says such.
    """

    status: Annotated[int, msgspec.Meta(ge=300, le=599)] | Literal["too-many-connections"]
    times: int = 1
    reset_after: float = 60.0


class Duplicate(msgspec.Struct, frozen=True, tag="duplicate", tag_field="kind"):
    """Send each of the next `times` lines twice."""

    times: int = 1


class Reorder(msgspec.Struct, frozen=True, tag="reorder", tag_field="kind"):
    """Swap the next two lines, `times` times."""

    times: int = 1


Farewell = Disconnect | DisconnectCode | Close
OfConnection = Stall | Cut | Lag | Garbage | Noise | Huge | Farewell
OfRequest = AcceptThenClose | Status
OfLines = Duplicate | Reorder
Lasting = OfConnection | OfRequest | OfLines | Split  # those that wait for their time
Fault = Lasting | Control | Kill | Timelines

decode_fault = msgspec.json.Decoder(Fault).decode


@attrs.define
class Faults:
    """The faults to come."""

    split: int = 0  # bytes a piece; 0 leaves writes whole
    _connection: deque[OfConnection] = attrs.field(factory=lambda: deque(maxlen=MOST_WAITING))
    _requests: deque[OfRequest] = attrs.field(factory=lambda: deque(maxlen=MOST_WAITING))
    _twice: int = 0
    _swaps: int = 0
    _held: list[Line] = attrs.field(factory=list)  # the first line of a swap under way, if any

    def add(self, fault: Lasting) -> None:
        """Let it happen when its time comes; for those of open connections use the simulation's `fault`."""
        match fault:
            case Split(size=size):
                self.split = size
            case Duplicate(times=times):
                self._twice += times
            case Reorder(times=times):
                self._swaps += times
            case AcceptThenClose(times=times) | Status(times=times):
                self._requests.extend([fault] * times)
            case _:
                self._connection.append(fault)

    def for_request(self) -> OfRequest | None:
        """What happens to this request for the stream."""
        return self._requests.popleft() if self._requests else None

    def for_connection(self) -> Iterable[OfConnection]:
        """What happens to this new connection."""
        faults = tuple(self._connection)
        self._connection.clear()
        return faults

    def disturb(self, lines: Iterable[Line]) -> list[Line]:
        """The lines as they go out: some twice, some swapped, one perhaps held back for the next call."""
        out: list[Line] = []
        for line in lines:
            copies = [line]
            if self._twice:
                self._twice -= 1
                copies = [line, line]
            if self._held:
                out.extend([*copies, *self._held])
                self._held = []
            elif self._swaps:
                self._swaps -= 1
                self._held = copies
            else:
                out.extend(copies)
        return out

    def release(self) -> list[Line]:
        """The line held back, where no further one will come to swap it with."""
        held, self._held = self._held, []
        return held
