# -*- test-case-name: tests.unit.test_fanout_encoding -*-
"""How the events of a frame are written: what one face, plain or deflated, makes of them.

Everybody who reads the same events in the same encoding is sent the same bytes, so an encoding knows nothing of a
client. Each is one object for the whole process, and the frames made with it are remembered under it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from streamer.fanout.deflate import deflated_frame
from streamer.fanout.framing import text_frame
from streamer.fanout.logged import Logged
from streamer.fanout.protocol import events_payload, payload, position_payload


class Encoding(Protocol):
    """Events, and what stands between them, as bytes for the socket."""

    def events(self, position: str, entries: Sequence[Logged]) -> bytes:
        """Some events; `position` is the place after the last of them, or where to resume after them."""

    def position(self, position: str) -> bytes:
        """Nothing was missed up to there; b"" where the face has no word for it."""

    def lag(self, facts: dict[str, Any]) -> bytes:
        """Events were left out; `facts` are those of `lag` in `relay.v1.json`."""


class Relay:
    """`relay.v1.json`: all events in one text frame."""

    def events(self, position: str, entries: Sequence[Logged]) -> bytes:
        """`["ev", POSITION, [event, …]]`"""
        return text_frame(events_payload(position, [entry.event for entry in entries]))

    def position(self, position: str) -> bytes:
        """`["pos", POSITION]`"""
        return text_frame(position_payload(position))

    def lag(self, facts: dict[str, Any]) -> bytes:
        """`["lag", {…}]`"""
        return text_frame(payload("lag", facts))


class DeflatedRelay(Relay):
    """The same, its events for whoever negotiated permessage-deflate; what is short stays plain."""

    def events(self, position: str, entries: Sequence[Logged]) -> bytes:
        """`["ev", POSITION, [event, …]]`, deflated."""
        return deflated_frame(events_payload(position, [entry.event for entry in entries]))


RELAY = Relay()
RELAY_DEFLATED = DeflatedRelay()
