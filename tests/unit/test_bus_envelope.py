"""A Message as AMQP properties, over pika's own codec, and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from pika.spec import Basic, BasicProperties
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import envelope
from streamer.bus.limits import check
from streamer.message import Message
from tests.bus_broker import pika_properties
from tests.bus_contract import raw

TEXT = st.text(max_size=60)
NAMES = TEXT.filter(lambda name: not name.startswith("x-") and name not in ("CC", "BCC", "timestamp_in_ms"))
MESSAGES = st.builds(
    raw,
    st.just(1),
    st.binary(max_size=50),
    topic=TEXT,
    message_id=TEXT,
    kind=TEXT,
    content_type=TEXT,
    timestamp_ms=st.integers(0, 2**62),
    headers=st.dictionaries(NAMES, st.one_of(TEXT, st.integers(-(2**63), 2**63 - 1)), max_size=5),
)


def over_the_wire(properties: BasicProperties) -> BasicProperties:
    """Encode and decode as pika does."""
    return BasicProperties().decode(b"".join(properties.encode()))


class EnvelopeTests(SynchronousTestCase):
    """There and back."""

    @given(MESSAGES)
    def test_round_trip(self, message: Message) -> None:
        """Any message that passes the check arrives exactly as it was."""
        check(message)
        method = Basic.Deliver(exchange=message.exchange, routing_key=message.topic)
        self.assertEqual(envelope.message(method, over_the_wire(pika_properties(message)), message.body), message)

    def test_broker_headers(self) -> None:
        """The broker's own headers are taken off, but tell the attempt and a dead letter's first exchange."""
        properties = pika_properties(raw(1, headers={"cursor": "c"}))
        properties.headers |= {"x-delivery-count": 3, "x-first-death-exchange": "streamer.raw", "x-death": [{"a": 1}]}
        method = Basic.Deliver(exchange="streamer.dead", routing_key="raw.birds.post")
        self.assertEqual(envelope.message(method, properties, b"{}"), raw(1, headers={"cursor": "c"}))
        self.assertEqual((envelope.attempt(properties), envelope.attempt(BasicProperties())), (4, 1))

    def test_foreign(self) -> None:
        """A message of somebody else's is read as far as it goes."""
        properties = BasicProperties(timestamp=5, headers={"when": 1.5, "ok": "yes"})
        found = envelope.message(Basic.Deliver(exchange="e", routing_key="k"), properties, b"")
        self.assertEqual((found.message_id, found.kind, found.content_type, found.timestamp_ms), ("", "", "", 5000))
        self.assertEqual(found.headers, {"when": "1.5", "ok": "yes"})
