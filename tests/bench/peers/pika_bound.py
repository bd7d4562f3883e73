"""The bound: the same bodies by pika's Twisted adapter, confirms streaming, nothing else done.

pika's own tracking of confirms costs a Deferred a message, so the channel beneath it is used, and confirms are only
counted. Nothing is lost and nothing is sent twice here, because nothing goes wrong.
"""

from __future__ import annotations

import argparse
import itertools
import time
from typing import Any

import pika
from pika.adapters.twisted_connection import TwistedProtocolConnection
from twisted.internet import reactor
from twisted.internet.protocol import ClientCreator

from tests.bench.ingest_posts import Template, post_id, templates
from tests.bench.peers.tally import Tally

WINDOW = 1000  # publishes without their confirm
SOURCE = "birds"


class Loop:
    """Publishes as many as were confirmed."""

    def __init__(self, channel: Any, posts: list[Template], tally: Tally) -> None:
        self._channel, self._tally = channel, tally
        self._bodies = (
            (id_, template.with_id(id_))
            for block in itertools.count(int(time.time()) * 1000)
            for id_, template in ((post_id(block, place), template) for place, template in enumerate(posts))
        )
        self._confirmed = 0
        channel.confirm_delivery(ack_nack_callback=self._told, callback=lambda _: self._publish(WINDOW))

    def _told(self, frame: Any) -> None:
        method = frame.method
        if method.NAME != "Basic.Ack":
            raise SystemExit(f"the broker said {method}")
        # Confirms come in rising order here: a single one is never behind a multiple one.
        freed = method.delivery_tag - self._confirmed if method.multiple else 1
        self._confirmed += freed
        self._tally.count += freed
        self._publish(freed)

    def _publish(self, count: int) -> None:
        now = int(time.time() * 1000)
        for number, body in itertools.islice(self._bodies, count):
            id_ = number.decode()
            properties = pika.BasicProperties(
                content_type="application/json",
                headers={"received": now, "cursor": id_, "timestamp_in_ms": now},
                delivery_mode=2,
                timestamp=now // 1000,
                message_id=f"{SOURCE}/{id_}",
                type="post",
            )
            self._channel.basic_publish("streamer.raw", f"raw.{SOURCE}.post", body, properties)


def main() -> None:
    """Publish until ended."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--bus", required=True)
    parameters = pika.URLParameters(options.parse_args().bus)
    posts, tally = templates(), Tally()

    def ready(connection: Any) -> None:
        connection._impl.channel(on_open_callback=lambda channel: Loop(channel, posts, tally))

    def connected(protocol: Any) -> None:
        protocol.ready.addCallback(ready)

    creator = ClientCreator(reactor, TwistedProtocolConnection, parameters)
    creator.connectTCP(parameters.host, parameters.port).addCallback(connected)
    reactor.run()


if __name__ == "__main__":
    main()
