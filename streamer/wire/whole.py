# -*- test-case-name: tests.unit.test_wire_whole -*-
"""Frames that come whole: from a websocket, a poll, a hook or a recording."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import attrs
from zope.interface import implementer

from streamer.interfaces import IFramer
from streamer.wire.lines import FRAME_LIMIT


@implementer(IFramer)
@attrs.define
class Whole:
    """Lets frames pass; those longer than the limit, in bytes, are skipped.

    What is not bytes passes too: it is a word between an adapter's generator and its source.
    """

    limit: int = FRAME_LIMIT
    skipped: int = 0
    pending: bool = False

    def feed(self, data: Sequence[Any]) -> Sequence[Any]:
        """See `IFramer.feed`; takes frames where others take bytes."""
        kept = [frame for frame in data if not isinstance(frame, bytes) or len(frame) <= self.limit]
        self.skipped += len(data) - len(kept)
        return kept

    def finish(self) -> bytes:
        """See `IFramer.finish`: nothing is ever half."""
        return b""
