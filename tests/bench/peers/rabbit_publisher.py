"""Publishes events to the exchange that the relay's log is bound to, as cheaply as Python can.

`python -m tests.bench.peers.rabbit_publisher URL`. pika's frames open the connection, `streamer.bus.frames` makes what
is published, and a socket that blocks carries it. No confirms: the reader counts what arrived.
"""

from __future__ import annotations

import argparse
import socket
import time
from typing import Any

import pika
from pika import frame, spec

from streamer.bus.frames import CHANNEL, head, joined
from streamer.message import CLOUDEVENT, EVENTS, Message, Topic
from tests.bench.peers.pace import Event, publish_all, topic

RUN = f"{time.time_ns():x}"  # the log outlives us: events of two runs are not each other's repeats
FRAME_MAX = 131_072  # bytes; RabbitMQ's default


class Connection:
    """An open channel to publish on."""

    def __init__(self, url: str) -> None:
        parameters = pika.URLParameters(url)
        self._socket = socket.create_connection((parameters.host, parameters.port))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._read = b""
        who = parameters.credentials
        self._socket.sendall(frame.ProtocolHeader().marshal())
        self._await(spec.Connection.Start)
        self._send(0, spec.Connection.StartOk({}, "PLAIN", f"\0{who.username}\0{who.password}", "en_US"))
        self._await(spec.Connection.Tune)
        self._send(0, spec.Connection.TuneOk(CHANNEL, FRAME_MAX, 0))  # no heartbeat
        self._send(0, spec.Connection.Open(parameters.virtual_host))
        self._await(spec.Connection.OpenOk)
        self._send(CHANNEL, spec.Channel.Open())
        self._await(spec.Channel.OpenOk)

    def publish(self, events: list[Event]) -> None:
        """All of them in one write."""
        now = int(time.time() * 1000)
        contents = [(head(envelope(event, now)), event.text) for event in events]
        self._socket.sendall(joined(contents, FRAME_MAX))

    def _send(self, channel: int, method: Any) -> None:
        self._socket.sendall(frame.Method(channel, method).marshal())

    def _await(self, kind: type) -> None:
        while True:
            taken, found = frame.decode_frame(self._read)
            if found is None:
                data = self._socket.recv(65_536)
                if not data:
                    raise ConnectionError(f"the broker closed the connection before {kind.__name__}")
                self._read += data
                continue
            self._read = self._read[taken:]
            if isinstance(getattr(found, "method", None), kind):
                return
            raise ConnectionError(f"the broker said {found} instead of {kind.__name__}")


def envelope(event: Event, now: int) -> Message:
    """As the enricher publishes it."""
    return Message(
        exchange=EVENTS,
        topic=Topic(topic(event.number)),
        body=event.text,
        message_id=f"/bench#{RUN}-{event.number}",
        kind="streamer.post",
        timestamp_ms=now,
        content_type=CLOUDEVENT,
    )


def main() -> None:
    """Publish until stdin ends."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("url")
    publish_all(Connection(options.parse_args().url).publish)


if __name__ == "__main__":
    main()
