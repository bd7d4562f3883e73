# -*- test-case-name: tests.integration.test_soak -*-
"""Takes everything from `streamer.enrich`, whatever the broker goes through, and writes it down.

It uses pika's blocking connection and none of our own bus, so that a mistake of ours cannot hide itself.
"""

from __future__ import annotations

import threading
from typing import Any

import attrs
import pika
from pika.exceptions import AMQPError

from tests.soak.clock import now

QUEUE = "streamer.enrich"
PREFETCH = 200  # deliveries not acked; each that comes again for a lost connection counts towards its delivery limit
RETRY = 0.3  # seconds between two attempts to connect
TURN = 0.5  # seconds without a delivery after which to see whether to stop


@attrs.frozen
class Arrival:
    """One delivery.

    Args:
        at: when it came, seconds since the epoch.
        received: when the streamer got it from the upstream, ms since the epoch.
        redelivered: the broker says that it may have come before.
        body: of gaps only.
    """

    at: float
    message_id: str
    kind: str
    received: int
    redelivered: bool
    body: bytes = b""

    @property
    def source(self) -> str:
        """The configured name."""
        return self.message_id.partition("/")[0]

    @property
    def id(self) -> str:
        """The id within the source."""
        return self.message_id.partition("/")[2]


class Consumer:
    """A thread that consumes until it is stopped; `arrivals` only grows."""

    def __init__(self, url: str) -> None:
        self.arrivals: list[Arrival] = []
        self.connects = 0
        self.defect: BaseException | None = None
        self._parameters = pika.URLParameters(url)
        self._parameters.socket_timeout = self._parameters.stack_timeout = 5
        self._parameters.heartbeat = 10
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="consumer", daemon=True)

    def start(self) -> None:
        """Begin; the queue may come to be later."""
        self._thread.start()

    def stop(self) -> None:
        """End, and fail where it could not go on."""
        self._stopping.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the consumer does not stop"
        if self.defect is not None:
            raise self.defect

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._consume()
            except (AMQPError, OSError):
                self._stopping.wait(RETRY)
            except BaseException as error:  # it would be lost with the thread; `stop` raises it
                self.defect = error
                return

    def _consume(self) -> None:
        connection = pika.BlockingConnection(self._parameters)
        try:
            channel = connection.channel()
            channel.basic_qos(prefetch_count=PREFETCH)
            self.connects += 1
            for method, properties, body in channel.consume(QUEUE, inactivity_timeout=TURN):
                if method is not None:
                    self.arrivals.append(_arrival(method, properties, body))
                    channel.basic_ack(method.delivery_tag)
                if self._stopping.is_set():
                    channel.cancel()
                    return
        finally:
            if connection.is_open:
                connection.close()


def _arrival(method: Any, properties: Any, body: bytes) -> Arrival:
    return Arrival(
        at=now(),
        message_id=properties.message_id,
        kind=properties.type,
        received=properties.headers["received"],
        redelivered=method.redelivered,
        body=body if properties.type == "gap" else b"",
    )
