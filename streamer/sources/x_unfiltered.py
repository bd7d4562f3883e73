# -*- test-case-name: tests.unit.test_sources_x_volume -*-
"""A stream of X that asks for nothing in particular: the source behind `x-sample` and `x-volume`."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from zope.interface import implementer

from streamer.activity import Activity
from streamer.interfaces import IFramer, ISource, Outcome
from streamer.message import Item
from streamer.sources import x_answers, x_lines, x_payload
from streamer.sources.fixed import Fixed
from streamer.sources.x_stream import XStream
from streamer.upstream import Ending, Request, Response, Resume
from streamer.wire.lines import Lines


@implementer(ISource)
@attrs.frozen
class XUnfiltered(Fixed):
    """One stream without rules; see `ISource` for each of its parts."""

    name: str
    stream: XStream
    profile: str
    stall_after: float
    credential: str = attrs.field(
        init=False, default=attrs.Factory(lambda self: self.stream.credential, takes_self=True)
    )
    lane: str = attrs.field(init=False, default=attrs.Factory(lambda self: self.stream.lane, takes_self=True))

    def request(self, resume: Resume | None, now_ms: int) -> Request:
        """See `XStream.request`."""
        return self.stream.request(resume, now_ms)

    def recovery(self, from_ms: int, to_ms: int, cursor: str | None = None) -> Request | None:
        """See `XStream.recovery`."""
        return self.stream.recovery(from_ms, to_ms)

    def refusal(self, response: Response) -> Ending:
        """See `x_answers.refusal`."""
        return x_answers.refusal(response)

    def framer(self) -> IFramer:
        """One object a line."""
        return Lines()

    def outcomes(self, frame: bytes, received_ms: int) -> Sequence[Outcome]:
        """See `x_lines.outcomes`."""
        return x_lines.outcomes(self.name, frame, received_ms)

    def posted(self, item: Item) -> int | None:
        """See `x_payload.posted`."""
        return x_payload.posted(item)

    def decode(self, item: Item) -> Activity:
        """See `x_payload.decode`."""
        return x_payload.decode(item)
