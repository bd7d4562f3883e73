# -*- test-case-name: tests.unit.test_testing_x -*-
"""What was produced and what was sent, so that a test can compare it with what came out at the other end."""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs
import msgspec

REMEMBERED = 100_000  # ids
CONNECTIONS = 1_000  # connections
SENT = 20_000  # ids of each connection


@attrs.define
class Sent:
    """What one connection got.

    Args:
        stream: which stream it is, partition and all.
        lines: whole lines.
        missed: lines that were forgotten before it read them.
        limited: posts that it asked for and that were held back from it.
        posts: ids of the last posts sent whole, as often as they were sent.
    """

    stream: str = ""
    lines: int = 0
    missed: int = 0
    limited: int = 0
    posts: deque[str] = attrs.field(factory=lambda: deque(maxlen=SENT))


@attrs.define
class Ledger:
    """Ids in the order of production, and a count for each connection in the order of opening."""

    posts: deque[str] = attrs.field(factory=lambda: deque(maxlen=REMEMBERED))
    deletes: deque[str] = attrs.field(factory=lambda: deque(maxlen=REMEMBERED))
    produced: int = 0  # posts, also those no longer remembered
    connections: deque[Sent] = attrs.field(factory=lambda: deque(maxlen=CONNECTIONS))
    made_ms: dict[str, int] = attrs.field(factory=dict)  # when, ms since the epoch, where the id does not tell

    def posted(self, id_: str, made_ms: int | None = None) -> None:
        """A post was produced."""
        if made_ms is not None:
            if len(self.posts) == REMEMBERED:
                self.made_ms.pop(self.posts[0], None)
            self.made_ms[id_] = made_ms
        self.posts.append(id_)
        self.produced += 1

    def deleted(self, id_: str) -> None:
        """An earlier post was deleted."""
        self.deletes.append(id_)

    def opened(self, stream: str) -> Sent:
        """A connection was opened; it keeps its own count."""
        count = Sent(stream)
        self.connections.append(count)
        return count

    def as_json(self) -> bytes:
        """`{"posts":[…],"deletes":[…],"sent":[lines of each connection],"missed":[…],"forgotten":n}`."""
        return msgspec.json.encode(
            {
                "posts": list(self.posts),
                "deletes": list(self.deletes),
                "sent": [count.lines for count in self.connections],
                "missed": [count.missed for count in self.connections],
                "forgotten": self.produced - len(self.posts),
            }
        )

    def by_connection(self) -> list[dict[str, Any]]:
        """What each connection got, in the order of opening."""
        return [{**attrs.asdict(count), "posts": list(count.posts)} for count in self.connections]
