"""Connections to a relay of the model test, by its five faces: each says what came in the same words."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.test.iosim import FakeTransport, IOPump

from streamer.testing.event_source import EventSource
from streamer.testing.relay_client import CLOSE, PONG, RelayClient
from tests.unit.facing import Asking
from tests.unit.relaying import Node

HOST = "192.0.2.1"
Item = tuple[Any, ...]  # ("subd", id, facts), ("event", event), ("told", position), ("lag", facts), …


class Socket:
    """A connection in memory. What the relay wrote is there at once; whether its client hears it is another matter."""

    speaks = False  # has frames for what it wants
    again = False  # is over with each answer, and asks again

    def __init__(self, node: Node, client: Any) -> None:
        address = IPv4Address("TCP", HOST, 4711)
        server = node.site.buildProtocol(address)
        server.callLater = node.reactor.callLater
        self.client, self.node = client, node
        self.io = FakeTransport(server, True, peerAddress=address)
        own = FakeTransport(client, False)
        self.pump = IOPump(client, server, own, self.io, False, Clock())
        server.makeConnection(self.io)
        client.makeConnection(own)
        self.paused_at: float | None = None

    def move(self) -> None:
        """Pass on what was written."""
        self.pump.flush(advanceClock=False)

    @property
    def over(self) -> bool:
        """Whether the relay has ended it, or has no more to say."""
        return bool(self.client.lost)

    def pause(self) -> None:
        """The socket is full."""
        if self.paused_at is None and self.io.producer is not None and not self.over:
            self.paused_at = self.node.reactor.seconds()
            self.io.producer.pauseProducing()

    def resume(self) -> None:
        """The socket is empty."""
        if self.paused_at is not None and not self.over and self.io.producer is not None:
            self.paused_at = None
            self.io.producer.resumeProducing()

    def cut(self) -> None:
        """The network breaks."""
        if not self.over:
            self.client.transport.loseConnection()
            self.move()

    def items(self) -> Iterator[Item]:
        """What came since this was asked last."""
        raise NotImplementedError


class Talking(Socket):
    """`relay.v1.json`."""

    speaks = True
    offer = "relay.v1.json"

    def __init__(self, node: Node, deflate: bool, path: str = "/ws") -> None:
        super().__init__(node, RelayClient(offer=self.offer, deflate=deflate, path=path))
        self.move()
        assert self.client.accepted, self.client.head

    def move(self) -> None:
        """As above, and answer pings and the close frame."""
        super().move()
        client = self.client
        while client.pings:
            client.pings.pop()
            client.send_frame(PONG, b"")
        if client.code is not None and not client.lost:
            client.send_frame(CLOSE, client.code.to_bytes(2, "big"))
        super().move()

    def items(self) -> Iterator[Item]:
        """See above."""
        frames, self.client.frames = self.client.frames, []
        for frame in frames:
            yield from self.said(frame)
        if self.client.code is not None:
            yield "closed", self.client.code

    def said(self, frame: Any) -> Iterator[Item]:
        """One frame."""
        name, *more = frame
        if name == "ev":
            yield from (("event", event) for event in more[1])
            yield "told", more[0]
        elif name == "pos":
            yield "told", more[0]
        elif name == "subd":
            yield "subd", more[1]["id"], more[1]
        elif name == "unsubd":
            yield "unsubd", more[1]["id"]
        else:
            yield tuple(frame)


class CloudEvents(Talking):
    """`cloudevents.json`."""

    speaks = False
    offer = "cloudevents.json"

    def __init__(self, node: Node, deflate: bool, query: str) -> None:
        super().__init__(node, deflate, f"/ws?{query}")

    def said(self, frame: Any) -> Iterator[Item]:
        """One frame."""
        kind, position = frame["type"], frame["position"]
        assert int(frame["sequence"]) == max(0, int(position.split(".")[2]))
        if kind == "streamer.subscribed":
            yield "subd", "-", frame["data"]
        elif kind == "streamer.lag":
            yield "lag", frame["data"]
        else:
            yield "event", frame
            yield "told", position


class Stream(Socket):
    """Server-sent events."""

    def __init__(self, node: Node, query: str, last_id: str) -> None:
        super().__init__(node, EventSource(f"/events?{query}", last_id))
        self.told = last_id
        self.move()
        assert self.client.head.startswith("HTTP/1.1 200"), self.client.head

    def items(self) -> Iterator[Item]:
        """See above."""
        sent, self.client.sent = self.client.sent, []
        for one in sent:
            data, self.told = json.loads(one.data), one.id
            if one.event == "streamer.subscribed":
                yield "subd", "-", data
            elif one.event == "streamer.lag":
                yield "lag", data
            elif one.event == "streamer.error":
                yield "closed", 4108 if data["code"] == "slow" else data["code"]
            else:
                assert one.event == data["type"]
                yield "event", data
                yield "told", one.id
        if self.client.last_id != self.told:
            self.told = self.client.last_id
            yield "told", self.told


class Poll(Socket):
    """One request of a long poll."""

    again = True

    def __init__(self, node: Node, query: str) -> None:
        self.node = node
        self.asking = Asking(node.site, node.reactor, HOST)
        self.paused_at = None
        self.asking.send(f"/poll?{query}")
        self.read = self.gone = False

    def move(self) -> None:
        """There is nothing between the two."""

    @property
    def over(self) -> bool:
        """See above."""
        if not self.gone and self.asking.answer is not None:
            self.cut()
        return self.gone

    def pause(self) -> None:
        """An answer is bounded."""

    resume = pause

    def cut(self) -> None:
        """See above."""
        if not self.gone:
            self.gone = True
            self.asking.hang_up()

    def items(self) -> Iterator[Item]:
        """See above."""
        answer = self.asking.answer
        if answer is None or self.read:
            return
        self.read = True
        assert answer.code in (200, 503), answer.body
        if answer.code == 503:
            yield "closed", 1012
            return
        body = answer.json
        if "replayed" in body:
            yield "subd", "-", {key: value for key, value in body.items() if key != "position"}
        yield from (("lag", facts) for facts in body.get("lag", ()))
        yield from (("event", event) for event in body["events"])
        yield "told", body["position"]


def query(topics: tuple[str, ...], **more: object) -> str:
    """Of a face that asks by its URL."""
    asked = "topics=" + ",".join(quote(topic) for topic in topics)
    return asked + "".join(f"&{key}={value}" for key, value in more.items() if value is not None)
