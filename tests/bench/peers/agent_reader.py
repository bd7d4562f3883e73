"""The least that reading with Twisted can be: a bare Agent, bytes split at line ends, the id decoded."""

from __future__ import annotations

import argparse
from typing import Any

import msgspec
from twisted.internet import reactor
from twisted.internet.protocol import Protocol
from twisted.web.client import Agent

from tests.bench.peers.tally import Tally


class Post(msgspec.Struct):
    """The id and no more."""

    id: str


class Line(msgspec.Struct):
    """One line of the stream."""

    data: Post


class Body(Protocol):
    """Splits and decodes."""

    def __init__(self, tally: Tally) -> None:
        self._tally, self._rest, self._decode = tally, b"", msgspec.json.Decoder(Line).decode

    def dataReceived(self, data: bytes) -> None:
        """Bytes of the body."""
        *lines, self._rest = (self._rest + data).split(b"\r\n")
        for line in lines:
            if line:
                self._decode(line)
        self._tally.count += len(lines)


def main() -> None:
    """Read until ended."""
    options = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    options.add_argument("--upstream", required=True)
    tally = Tally()

    def answered(answer: Any) -> None:
        answer.deliverBody(Body(tally))

    url = f"{options.parse_args().upstream}/2/tweets/search/stream".encode()
    asked = Agent(reactor).request(b"GET", url)
    asked.addCallback(answered)
    reactor.run()


if __name__ == "__main__":
    main()
