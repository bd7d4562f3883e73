"""tweepy's `StreamingClient`: reading alone, or publishing each post with a confirm by blocking pika.

As its documentation shows it: a subclass with `on_data`. Only its address is not X's, for which an adapter of
requests is mounted, and its certificate therefore none.
"""

from __future__ import annotations

import argparse
import re
import time
from typing import Any
from urllib.parse import urlsplit

import pika
import tweepy
from requests.adapters import HTTPAdapter

from tests.bench.peers.tally import Tally

SOURCE = "birds"
ID = re.compile(rb'"id": ?"([0-9]{19})"')


class Elsewhere(HTTPAdapter):
    """Sends what is meant for one host to another."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        super().__init__()

    def send(self, request: Any, *args: Any, **options: Any) -> Any:
        """See requests."""
        parts = urlsplit(request.url)
        request.url = f"{self.base_url}{parts.path}" + (f"?{parts.query}" if parts.query else "")
        return super().send(request, *args, **options)


class Reader(tweepy.StreamingClient):
    """Counts lines and understands none."""

    tally: Tally

    def on_data(self, raw_data: bytes) -> None:
        """A line."""
        self.tally.count += 1


class Understander(tweepy.StreamingClient):
    """Lets tweepy decode each line into its own objects."""

    tally: Tally

    def on_tweet(self, tweet: tweepy.Tweet) -> None:
        """A post."""
        self.tally.count += 1


class Publisher(tweepy.StreamingClient):
    """Publishes each line and waits for the broker's confirm, as blocking pika does."""

    tally: Tally
    channel: Any

    def on_data(self, raw_data: bytes) -> None:
        """A line."""
        found = ID.search(raw_data)
        now = int(time.time() * 1000)
        id_ = found[1].decode() if found else ""
        properties = pika.BasicProperties(
            content_type="application/json",
            headers={"received": now, "cursor": id_, "timestamp_in_ms": now},
            delivery_mode=2,
            timestamp=now // 1000,
            message_id=f"{SOURCE}/{id_}",
            type="post",
        )
        self.channel.basic_publish("streamer.raw", f"raw.{SOURCE}.post", raw_data, properties)
        self.tally.count += 1

    def on_exception(self, exception: Exception) -> None:
        """Its own handler would log and end; a contestant that fails is to be seen."""
        raise exception


def main() -> None:
    """Follow until ended."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--upstream", required=True)
    options.add_argument("--bus", help="publish to this broker; only read without")
    options.add_argument("--objects", action="store_true", help="read with tweepy's own decoding")
    options.add_argument(
        "--chunk-size", type=int, default=512, help="bytes tweepy reads at a time; 512 is its default"
    )
    chosen = options.parse_args()
    kind = Publisher if chosen.bus else Understander if chosen.objects else Reader
    client = kind("simulated-token", chunk_size=chosen.chunk_size)
    client.tally = Tally()
    client.session.mount("https://", Elsewhere(chosen.upstream))
    if chosen.bus:
        client.channel = pika.BlockingConnection(pika.URLParameters(chosen.bus)).channel()
        client.channel.confirm_delivery()
    client.filter()


if __name__ == "__main__":
    main()
