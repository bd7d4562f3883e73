"""What is not a broker, and how it ended, in sentences."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from OpenSSL import SSL
from pika import frame, spec
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.endings import lost
from streamer.bus.greeting import MUTE, Greeting
from streamer.errors import BusError

START = frame.Method(0, spec.Connection.Start(server_properties={}, mechanisms="PLAIN")).marshal()
STRANGERS = (
    (
        b"HTTP/1.1 400 Bad Request\r\nServer: x\r\n\r\n",
        "this is no AMQP broker: it answered 'HTTP/1.1 400 Bad Request'",
    ),
    (b"AMQP\x00\x01\x00\x00", "it speaks AMQP 1.0; RabbitMQ speaks 0-9-1"),
    (b"AMQP\x03\x01\x00\x00", "it speaks AMQP 1.0"),
    (b"AMQP\x00\x00\x08\x00", "it speaks AMQP 0-8-0; RabbitMQ speaks 0-9-1"),
    (b"\x15\x03\x03\x00\x02\x02\x50", "it speaks TLS; the URL must begin with amqps://"),
    (b"SSH-2.0-OpenSSH_9.2p1\r\n", "it answered 'SSH-2.0-OpenSSH_9.2p1'"),
    (b"\xff" * 20, "this is no AMQP broker: it answered in bytes"),
)


class GreetingTests(SynchronousTestCase):
    """First bytes."""

    def test_strangers(self) -> None:
        """Whatever else answers is named, in whatever slices it comes, as soon as it is clear; whole or cut off."""
        for said, words in STRANGERS:
            for size in (1, 3, 100):
                with self.subTest(said=said, size=size):
                    greeting = Greeting()
                    found = [greeting.feed(said[at : at + size]) for at in range(0, len(said), size)]
                    strange = next(filter(None, found), None) or greeting.verdict()
                    self.assertIn(words, strange or "")
                    self.assertFalse(greeting.known)

    @given(st.integers(1, 50))
    @settings(max_examples=20)
    def test_broker(self, size: int) -> None:
        """A broker's first frame is known by its first byte, and nothing is held against it."""
        greeting = Greeting()
        self.assertIsNone(greeting.feed(START[:size]))
        self.assertTrue(greeting.known)
        self.assertIsNone(greeting.verdict())

    @given(st.binary(min_size=1, max_size=100))
    @settings(max_examples=50)
    def test_anything(self, said: bytes) -> None:
        """Any bytes give a sentence of one line, and no more of them than is decent; or are a broker's."""
        greeting = Greeting()
        strange = greeting.feed(said) or greeting.verdict()
        if said[0] == 1:
            self.assertIsNone(strange)
        else:
            self.assertTrue(strange and strange.isprintable() and len(strange) < 150)


class EndingsTests(SynchronousTestCase):
    """Ways in which a transport ends."""

    def test_all(self) -> None:
        """Each has a cause for the metrics, and a sentence."""
        met = Greeting()
        met.feed(START)
        for error, greeting, cause, words in (
            (ConnectionDone(), None, "lost", "the broker hung up without a word"),
            (ConnectionDone(), met, "lost", "the broker hung up without a word"),
            (ConnectionDone(), Greeting(), "lost", MUTE),
            (ConnectionAborted(), Greeting(), "lost", "the connection was cut"),
            (ConnectionLost("reset"), met, "lost", "the connection was lost: Connection to the other side was lost"),
            (BusError("no such login"), met, "refused", "no such login"),
            (SSL.Error([("SSL routines", "", "certificate verify failed")]), None, "tls", "ca_file"),
            (None, None, "lost", "the connection was lost: NoneType"),
        ):
            with self.subTest(error=error):
                loss = lost(error, greeting)
                self.assertEqual(loss.cause, cause)
                self.assertIn(words, loss.detail)
