# -*- test-case-name: tests.unit.test_fanout_publishing -*-
"""What one connection asked to be published, until it has been told what became of it.

The bus answers when it likes, when the client's session has no turn. The answer waits here then, and the session gives
it out before anything else the next time the socket has room. `PENDING_LIMIT` counts an event from its frame until its
answer is given out, so a client that does not read its answers can ask for no more.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import attrs

from streamer.errors import ClientError
from streamer.fanout import protocol
from streamer.fanout.bucket import Bucket
from streamer.fanout.framing import text_frame
from streamer.fanout.protocol import PENDING_LIMIT, PUBLISH_BURST, PUBLISH_RATE
from streamer.fanout.publishing import Publication, Published, Publishes, outcome
from streamer.metrics import CLIENT_PUBLISHED, Metrics

if TYPE_CHECKING:
    from streamer.fanout.grants import Grants


@attrs.define(eq=False)
class Pending:
    """Those of one connection.

    Args:
        wake: called when an answer came that the session does not know of; not while it asks.
        opened: seconds since the epoch.
    """

    _publisher: Publishes
    _metrics: Metrics
    _wake: Callable[[], None]
    opened: float
    _bucket: Bucket = attrs.field(init=False)
    _under_way: int = 0
    _answers: list[bytes] = attrs.field(factory=list)
    _asking: bool = False
    _closed: bool = False

    def __attrs_post_init__(self) -> None:
        self._bucket = Bucket(PUBLISH_RATE, PUBLISH_BURST, self.opened)

    def __len__(self) -> int:
        return self._under_way + len(self._answers)

    def ask(self, n: int, publication: Publication, grants: Grants, now: float) -> None:
        """Have an event published; `take` has the answer to the frame `n` some time, perhaps at once.

        Args:
            now: seconds since the epoch.

        Raises:
            ClientError: `limit` or `rate`; ask again later.
        """
        try:
            self._admit(now)
        except ClientError as error:
            self._metrics.add(CLIENT_PUBLISHED, outcome(error))
            raise
        self._under_way += 1
        self._asking = True
        try:
            self._publisher.publish(publication, grants, partial(self._answered, n))
        finally:
            self._asking = False

    def take(self) -> list[bytes]:
        """The answers there are, as whole frames, which the client is now given."""
        answers, self._answers = self._answers, []
        return answers

    def close(self) -> None:
        """Nobody is there to be told any more; what is under way is published all the same."""
        self._closed = True
        self._answers.clear()

    def _admit(self, now: float) -> None:
        if len(self) >= PENDING_LIMIT:
            sentence = f"{PENDING_LIMIT} events of this connection wait for their answers; read those first"
            raise ClientError("limit", sentence, retry=True)
        if not self._bucket.take(now):
            sentence = f"too many events; {PUBLISH_RATE:g} a second, {PUBLISH_BURST:g} at once are allowed"
            raise ClientError("rate", sentence, retry=True)

    def _answered(self, n: int, answer: Published | ClientError) -> None:
        self._under_way -= 1
        if self._closed:
            return
        if isinstance(answer, ClientError):
            payload = protocol.error_payload(n, answer)
        else:
            payload = protocol.payload("pubd", n, answer)
        self._answers.append(text_frame(payload))
        if not self._asking:
            self._wake()
