# -*- test-case-name: tests.unit.test_message -*-
"""A span of upstream time that we know we missed, as an item: it takes the same way as everything else."""

from __future__ import annotations

import msgspec

from streamer.errors import DecodeError
from streamer.message import Item

KIND = "gap"


class Gap(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"start": "from", "end": "to"}):
    """What is missing.

    Args:
        start, end: ms since the epoch; all that was posted before and after them is safe.
        cause: a row of `policy.backoff.CAUSES`, or `limit`, `overflow`, `renewal`, `restart`,
            `sent-away`, `shed`, `spool`, `stopped`.
        filled: it has been replayed after all.
        missed: how many items, where the upstream said so or we counted them.
    """

    start: int
    end: int
    cause: str
    filled: bool = False
    missed: int | None = None

    def item(self, source: str, received_ms: int) -> Item:
        """The gap on its way to the bus; equal gaps have equal ids."""
        return Item(
            source=source,
            kind=KIND,
            id=f"gap:{self.start}-{self.end}:{self.cause}",
            received=received_ms,
            body=msgspec.json.encode(self),
        )

    @classmethod
    def from_item(cls, item: Item) -> Gap:
        """Read it back.

        Raises:
            DecodeError: the item is no gap.
        """
        try:
            return msgspec.json.decode(item.body, type=cls)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DecodeError(f"{item.kind} {item.id} of {item.source} is no gap: {error}") from error
