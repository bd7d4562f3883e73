"""The simulated Twitter as a whole: what its streams carry, what goes wrong, how it ends."""

from __future__ import annotations

import json
import zlib
from collections import Counter
from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseFailed
from twisted.web.server import Site

from streamer.testing.connection import GRACE
from streamer.testing.faults import (
    AcceptThenClose,
    Control,
    Cut,
    Disconnect,
    DisconnectCode,
    Duplicate,
    Garbage,
    Huge,
    Lag,
    Reorder,
    Split,
    Stall,
    Status,
)
from streamer.testing.twitter import FILTER, SAMPLE, SimulatedTwitter
from streamer.testing.twitter_feed import NothingYet
from streamer.testing.twitter_messages import REASONS
from tests.unit.simulated_twitter import BASIC, HOST, NOW, Listener, TwitterFace, documents, oauth

EVERYWHERE = {"locations": "-180,-90,180,90", "track": "a"}


def by_length(data: bytes) -> list[bytes]:
    """Read a stream with `delimited=length`, as its documentation says to."""
    messages = []
    while data:
        length, newline, data = data.partition(b"\n")
        assert newline, data
        if length.strip():
            size = int(length)
            messages.append(data[:size])
            assert len(messages[-1]) == size
            data = data[size:]
    return messages


class TwitterCase(SynchronousTestCase):
    """Faces that are stopped at the end, and leave no timer."""

    def face(self, **options: Any) -> TwitterFace:
        """A simulation that has started."""
        face = TwitterFace(**options)
        face.simulation.start()
        self.addCleanup(lambda: self.assertEqual([], face.clock.getDelayedCalls()))
        self.addCleanup(face.simulation.stop)
        return face


class StreamTests(TwitterCase):
    """What comes over an open stream."""

    def test_filter(self) -> None:
        """The tweets that match come, in order, and no others; each connection's are in the ledger."""
        face = self.face(rate=64.0)
        listener = face.listen(track="the,kettle")
        face.advance(4.0)
        found = documents(listener)
        self.assertTrue(3 < len(found) < 128, len(found))
        for tweet in found:
            self.assertRegex(json.dumps(tweet).lower(), "the|kettle")
        (sent,) = face.control("connections")[1]
        self.assertEqual([tweet["id_str"] for tweet in found], sent["posts"])
        ledger = face.control("ledger")[1]
        self.assertEqual((256, [len(found)]), (len(ledger["posts"]), ledger["sent"]))
        self.assertEqual([id_ for id_ in ledger["posts"] if id_ in sent["posts"]], sent["posts"])

    def test_sample(self) -> None:
        """The sample has its share of everything, without predicates, by GET or POST."""
        face = self.face(rate=64.0, sample_share=1.0)
        response = face.request(SAMPLE)
        listener = Listener()
        response.deliverBody(listener)
        face.advance(1.0)
        self.assertEqual(list(face.simulation.ledger.posts), [tweet["id_str"] for tweet in documents(listener)])
        thin = self.face(rate=1000.0)
        listener = thin.listen(SAMPLE)
        thin.advance(1.0)
        self.assertTrue(2 <= len(documents(listener)) <= 25)

    def test_injected(self) -> None:
        """A tweet comes at once to those that it matches."""
        face = self.face(rate=0.0, max_connections=2)
        kea, weka = face.listen(track="kea"), face.listen(track="weka", language="mi")
        id_ = face.control("inject", {"text": "a Kea!"})[1]["id"]
        face.simulation.inject("weka", lang="mi")
        face.simulation.inject("weka", lang="en")
        face.agent.flush()
        self.assertEqual([(id_, "a Kea!")], [(tweet["id_str"], tweet["text"]) for tweet in documents(kea)])
        self.assertEqual(["mi"], [tweet["lang"] for tweet in documents(weka)])
        self.assertTrue(kea.data.endswith(b"}\r\n"))

    def test_lengths(self) -> None:
        """With delimited=length each message, control messages too, comes after its length; keep-alives between."""
        face = self.face(rate=0.0)
        listener = face.listen(track="kea", delimited="length")
        face.advance(31.0, 0.5)
        face.simulation.inject("kea \U0001f99c")
        face.simulation.fault(Garbage())
        face.simulation.fault(Huge(1000))
        face.simulation.fault(Control("delete"))
        face.simulation.fault(DisconnectCode(1))
        face.agent.flush()
        self.assertTrue(listener.data.startswith(b"\r\n"))
        tweet, garbage, huge, delete, goodbye = by_length(listener.data)
        self.assertTrue(all(message.endswith(b"\r\n") for message in (tweet, garbage, huge, delete, goodbye)))
        self.assertEqual("kea \U0001f99c", json.loads(tweet)["text"])
        self.assertRaises(ValueError, json.loads, garbage)
        self.assertEqual(1002, len(huge))
        self.assertEqual({"delete", "disconnect"}, {*json.loads(delete), *json.loads(goodbye)})

    def test_keep_alive(self) -> None:
        """A newline after 30 s of silence, also where tweets happen that were not asked for."""
        face = self.face(rate=1.0)
        listener = face.listen(track="nobodysaysthis")
        face.advance(29.5, 0.5)
        self.assertEqual(b"", listener.data)
        face.advance(1.0, 0.5)
        self.assertEqual(b"\r\n", listener.data)

    def test_gzip(self) -> None:
        """Compressed where both sides want it; what was written can be read at once."""
        face = self.face(rate=0.0, gzip=True)
        response = face.request(FILTER, {"track": "kea"}, {"accept-encoding": "deflate, gzip"})
        self.assertEqual(["gzip"], response.headers.getRawHeaders("content-encoding"))
        listener, unzip = Listener(), zlib.decompressobj(31)
        response.deliverBody(listener)
        for text in ("kea one", "kea two"):
            listener.data = b""
            face.simulation.inject(text)
            face.agent.flush()
            self.assertEqual(text, json.loads(unzip.decompress(listener.data))["text"])

    def test_count(self) -> None:
        """A count begins with so many of the last tweets that match; without one there is no past."""
        face = self.face(rate=64.0, max_connections=3)
        face.advance(4.0)
        ids = list(face.simulation.ledger.posts)
        whole = face.listen(SAMPLE, count="100000")
        some, none = face.listen(FILTER, **EVERYWHERE, count="7"), face.listen(FILTER, **EVERYWHERE)
        self.assertTrue({tweet["id_str"] for tweet in documents(whole)} <= set(ids))
        found = [tweet["id_str"] for tweet in documents(some)]
        self.assertEqual(7, len(found))
        self.assertEqual(sorted(found), found)
        self.assertTrue(set(found) <= set(ids[-120:]))
        self.assertEqual([], documents(none))
        face.advance(0.5)
        self.assertEqual(documents(none), documents(some)[7:])

    def test_negative_count(self) -> None:
        """A negative count ends the stream after the past, with code 9."""
        face = self.face(rate=64.0)
        face.advance(1.0)
        listener = face.listen(FILTER, **EVERYWHERE, count="-5")
        self.assertEqual(5, len(documents(listener)))
        self.assertEqual([9], [said["code"] for said in documents(listener, "disconnect")])
        self.assertIsNotNone(listener.ended)
        self.assertFalse(listener.ended.check(ResponseFailed))

    def test_wait_for_client_and_count(self) -> None:
        """With `wait_for_client` and `count` the first listener gets all there will ever be."""
        face = self.face(rate=10.0, wait_for_client=True, count=15, sample_share=1.0)
        face.advance(2.0)
        self.assertEqual(0, face.simulation.ledger.produced)
        listener = face.listen(SAMPLE)
        face.advance(5.0)
        self.assertEqual(list(face.simulation.ledger.posts), [tweet["id_str"] for tweet in documents(listener)])
        self.assertEqual(15, len(documents(listener)))


class ControlMessageTests(TwitterCase):
    """What comes besides tweets."""

    def test_notices(self) -> None:
        """Each kind, in its documented form, about a tweet that was sent, to those who were sent it."""
        face = self.face(rate=0.0, max_connections=2)
        kea, weka = face.listen(track="kea"), face.listen(track="weka")
        id_ = face.simulation.inject("kea", user={"id": 7, "id_str": "7"})
        for what in ("scrub_geo", "status_withheld", "user_withheld", "delete"):
            self.assertEqual((200, {}), face.control("fault", {"kind": "control", "what": what}))
        stamp = {"timestamp_ms": str(int(NOW * 1000))}
        number = int(id_)
        self.assertEqual(
            [
                {
                    "scrub_geo": {
                        "user_id": 7,
                        "user_id_str": "7",
                        "up_to_status_id": number,
                        "up_to_status_id_str": id_,
                        **stamp,
                    }
                },
                {
                    "status_withheld": {
                        "id": number,
                        "user_id": 7,
                        "withheld_in_countries": ["DE", "AR"],
                        **stamp,
                    }
                },
                {"user_withheld": {"id": 7, "withheld_in_countries": ["DE", "AR"], **stamp}},
                {"delete": {"status": {"id": number, "id_str": id_, "user_id": 7, "user_id_str": "7"}, **stamp}},
            ],
            [json.loads(line) for line in kea.lines[1:]],
        )
        self.assertEqual(b"", weka.data)
        self.assertEqual([id_], list(face.simulation.ledger.deletes))

    def test_nothing_to_be_about(self) -> None:
        """Before there was a tweet, and once the only one is deleted, there is nothing they could be about."""
        face = self.face(rate=0.0)
        self.assertRaises(NothingYet, face.simulation.fault, Control("delete"))
        code, body = face.control("fault", {"kind": "control", "what": "delete"})
        self.assertEqual(400, code)
        self.assertIn("no tweet yet", body["errors"][0]["message"])
        face.simulation.inject("kea")
        face.simulation.fault(Control("delete"))
        self.assertRaises(NothingYet, face.simulation.fault, Control("scrub_geo"))

    def test_at_a_rate(self) -> None:
        """Notices come at the shares asked for, deletes in the ledger."""
        face = self.face(rate=128.0, sample_share=1.0, deleted=0.2, scrubbed=0.1, withheld=0.2)
        listener = face.listen(SAMPLE)
        face.advance(2.0)
        deletes = [row["status"]["id_str"] for row in documents(listener, "delete")]
        self.assertEqual(list(face.simulation.ledger.deletes), deletes)
        self.assertTrue(25 <= len(deletes) <= 80, len(deletes))
        for kind in ("scrub_geo", "status_withheld", "user_withheld"):
            self.assertTrue(8 <= len(documents(listener, kind)) <= 50, kind)

    def test_limit(self) -> None:
        """So many tweets are held back; each leaves the rising count of one of several machines in its place."""
        face = self.face(rate=0.0, max_connections=2)
        kea, weka = face.listen(track="kea"), face.listen(track="weka")
        face.simulation.fault(Control("limit", times=20))
        for number in range(25):
            face.simulation.inject(f"kea {number}")
        face.agent.flush()
        counts = [row["track"] for row in documents(kea, "limit")]
        self.assertEqual(20, len(counts))
        self.assertNotEqual(sorted(counts), counts)
        machines = Counter(counts)
        self.assertTrue(all(machines[count] >= machines[count + 1] for count in range(1, max(counts))))
        self.assertTrue(2 <= machines[1] <= 4)
        self.assertIsInstance(documents(kea, "limit")[0]["timestamp_ms"], str)
        self.assertEqual(["kea 20", "kea 21", "kea 22", "kea 23", "kea 24"], [row["text"] for row in documents(kea)])
        self.assertEqual(b"", weka.data)
        self.assertEqual([20, 0], [count.limited for count in face.simulation.ledger.connections])

    def test_limited_at_a_rate(self) -> None:
        """A share of what was asked for can be held back; tweets and limits add up."""
        face = self.face(rate=128.0, limited=0.5, max_connections=2)
        listener = face.listen(FILTER, **EVERYWHERE)
        face.advance(2.0)
        (sent,) = face.simulation.ledger.connections
        limits = documents(listener, "limit")
        self.assertEqual((len(limits), len(documents(listener))), (sent.limited, len(sent.posts)))
        self.assertTrue(len(limits) > 10)
        past = face.listen(FILTER, **EVERYWHERE, count="1000")
        self.assertEqual(len(limits) + len(documents(listener)), len(documents(past)))

    def test_limits_of_before(self) -> None:
        """Limits and warnings are about connections that were open then."""
        face = self.face(rate=0.0)
        face.simulation.fault(Control("limit", times=5))
        face.simulation.fault(Control("warning"))
        face.simulation.inject("kea")
        face.clock.advance(1.0)
        listener = face.listen(track="kea", count="5", stall_warnings="true")
        face.simulation.inject("kea")
        face.agent.flush()
        self.assertEqual((2, 2), (len(documents(listener)), len(listener.lines)))

    def test_warning(self) -> None:
        """A warning comes only to those that asked for it."""
        face = self.face(rate=0.0, max_connections=2)
        asked, other = face.listen(track="kea", stall_warnings="true"), face.listen(track="kea")
        face.simulation.fault(Control("warning"))
        face.agent.flush()
        (said,) = documents(asked, "warning")
        self.assertEqual(("FALLING_BEHIND", 60), (said["code"], said["percent_full"]))
        self.assertEqual(b"", other.data)


class RefusalTests(TwitterCase):
    """Who gets no stream, and why."""

    def test_authorization(self) -> None:
        """Bad credentials are 401, good ones of either kind are let in."""
        face = self.face(rate=0.0, max_connections=2)
        code, text = face.ask(FILTER, {"track": "kea"}, authorization="Basic eDp5")
        self.assertEqual(401, code)
        self.assertIn("Unauthorized", text)
        signed = oauth("POST", f"{HOST}/{FILTER}", b"track=a+b%2Cc&follow=7")
        self.assertEqual(401, face.ask(FILTER, {"track": "a b,d", "follow": "7"}, authorization=signed)[0])
        response = face.request(FILTER, {"track": "a b,c", "follow": "7"}, {"authorization": signed})
        self.assertEqual(200, response.code)
        late = oauth("POST", f"{HOST}/{FILTER}", b"track=a", timestamp=str(int(NOW) - 301))
        self.assertEqual(401, face.ask(FILTER, {"track": "a"}, authorization=late)[0])

    def test_parameters(self) -> None:
        """Wrong parameters are 406, 413 and 416."""
        face = self.face()
        for code, form in (
            (406, {}),
            (406, {"track": "x" * 61}),
            (413, {"track": ",".join(["x"] * 401)}),
            (416, {"track": "x", "count": "0"}),
        ):
            self.assertEqual(code, face.ask(FILTER, form)[0], form)
        self.assertIn("No filter parameters found", face.ask(FILTER)[1])

    def test_a_body_that_is_no_form(self) -> None:
        """Parameters in a body that is not said to be a form are not seen."""
        form = {"track": "kea"}
        self.assertEqual(406, self.face().ask(FILTER, form, **{"content-type": "text/plain"})[0])

    def test_unknown(self) -> None:
        """Other paths are 404, other methods 405, in Twitter's way."""
        face = self.face()
        for path in ("", "1.1", "1.1/statuses", "1.1/statuses/firehose.json", "1.1/statuses/filter.json/x"):
            code, text = face.ask(path)
            self.assertEqual(404, code)
            self.assertTrue(text.startswith("<html>"), text)
        found: list[Any] = []
        face.agent.request(b"DELETE", f"{HOST}/{FILTER}".encode()).addCallback(found.append)
        face.agent.flush()
        self.assertEqual(405, found[0].code)

    def test_too_many_requests(self) -> None:
        """Past so many requests of a quarter of an hour it is 420, with the words that were recorded."""
        face = self.face(connect_limit=2)
        self.assertEqual([406, 406, 420], [face.ask(FILTER)[0] for _ in range(3)])
        self.assertEqual("Exceeded connection limit for user\r\n", face.ask(FILTER)[1])
        face.clock.advance(900.0)
        self.assertEqual(406, face.ask(FILTER)[0])

    def test_oldest_is_closed(self) -> None:
        """A new stream of the account ends the oldest one, of whichever endpoint, with code 7."""
        face = self.face(rate=0.0)
        first = face.listen(SAMPLE)
        second = face.listen(track="kea")
        (said,) = documents(first, "disconnect")
        self.assertEqual((7, "admin logout"), (said["code"], said["reason"]))
        self.assertEqual([True, False], [listener.ended is not None for listener in (first, second)])

    def test_refused_instead(self) -> None:
        """Where it is so configured the new one is refused, also for a while after the old one is gone."""
        face = self.face(rate=0.0, refuse=True, forgets_after=5.0)
        first = face.listen(track="kea")
        self.assertEqual((420, "Exceeded connection limit for user\r\n"), face.ask(FILTER, {"track": "kea"}))
        first.transport.loseConnection()
        face.agent.flush()
        face.advance(4.5, 0.5)
        self.assertEqual(420, face.ask(FILTER, {"track": "kea"})[0])
        face.advance(0.5, 0.5)
        face.listen(track="kea")


class FaultTests(TwitterCase):
    """The faults that every upstream has happen here too, in Twitter's words."""

    def setUp(self) -> None:
        self.twitter = self.face(rate=8.0, sample_share=1.0)
        self.simulation = self.twitter.simulation

    def ids(self, listener: Listener) -> list[str]:
        return [tweet["id_str"] for tweet in documents(listener)]

    def test_disconnect_codes(self) -> None:
        """Each code, with a reason, then the end of the response, whole."""
        for code in range(1, 13):
            listener = self.twitter.listen(SAMPLE)
            self.simulation.fault(DisconnectCode(code))
            self.twitter.agent.flush()
            (said,) = documents(listener, "disconnect")
            self.assertEqual({"code", "stream_name", "reason"}, set(said))
            self.assertEqual((code, REASONS[code]), (said["code"], said["reason"]))
            self.assertFalse(listener.ended.check(ResponseFailed))

    def test_statuses(self) -> None:
        """Each status on demand; then a stream is well again."""
        for status in (401, 403, 404, 406, 413, 416, 420, 503):
            self.simulation.fault(Status(status))
            self.assertEqual(status, self.twitter.ask(SAMPLE)[0])
        self.simulation.fault(AcceptThenClose())
        closed = self.twitter.listen(SAMPLE)
        self.assertEqual((b"", True), (closed.data, closed.ended is not None))
        self.assertIsNone(self.twitter.listen(SAMPLE).ended)

    def test_faults_of_x(self) -> None:
        """What only X can do is refused, over HTTP as well."""
        for fault in (Disconnect(), Status(409), Status(429), Status("too-many-connections")):
            self.assertRaises(ValueError, self.simulation.fault, fault)
        code, body = self.twitter.control("fault", {"kind": "disconnect"})
        self.assertEqual(400, code)
        self.assertIn("Twitter has no", body["errors"][0]["message"])

    def test_cut_and_stall(self) -> None:
        """A cut ends the stream in the middle of a line, a stall makes it silent."""
        listener = self.twitter.listen(SAMPLE)
        self.twitter.advance(1.0)
        self.simulation.fault(Cut(reset=True))
        self.twitter.advance(0.125)
        listener.ended.trap(ResponseFailed)
        self.assertEqual(8, len(listener.lines))
        self.assertFalse(listener.data.endswith(b"\n"))
        listener = self.twitter.listen(SAMPLE)
        self.simulation.fault(Stall(2.0))
        self.twitter.advance(1.5)
        self.assertEqual(b"", listener.data)
        self.twitter.advance(1.0)
        self.assertEqual(20, len(listener.lines))

    def test_lines(self) -> None:
        """Lines come twice, swapped, late and in pieces; nothing is lost."""
        listener = self.twitter.listen(SAMPLE)
        for fault in (Duplicate(2), Split(5), Lag(1.0)):
            self.simulation.fault(fault)
        self.twitter.advance(1.0)
        self.assertEqual([], listener.lines)
        self.simulation.fault(Reorder(1))
        self.twitter.advance(2.0)
        ids = list(self.simulation.ledger.posts)
        expected = [ids[0], ids[0], ids[1], ids[1], *ids[2:8], ids[9], ids[8], *ids[10:16]]
        self.assertEqual(expected, self.ids(listener))

    def test_status_page(self) -> None:
        """`/_sim/status` tells how things stand."""
        self.twitter.listen(SAMPLE)
        self.twitter.advance(1.0)
        status = self.twitter.control("status")[1]
        self.assertEqual((8.0, 8, 1, 0), tuple(status[key] for key in ("rate", "produced", "connections", "deleted")))


class SlowReaderTests(SynchronousTestCase):
    """A client that does not read."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.rightNow = NOW
        self.simulation = SimulatedTwitter(
            self.clock, rate=64.0, buffer_limit=400_000, deleted=0.0, sample_share=1.0, max_connections=2
        )
        self.site = Site(self.simulation.resource, reactor=self.clock)

    def connect(self, query: str = "") -> StringTransport:
        """Open a stream over a transport that says wait."""
        channel, transport = self.site.buildProtocol(None), StringTransport()
        transport.protocol = channel
        channel.makeConnection(transport)
        channel.dataReceived(f"GET /{SAMPLE}{query} HTTP/1.1\r\nHost: x\r\nAuthorization: {BASIC}\r\n\r\n".encode())
        transport.producer.pauseProducing()
        transport.clear()
        return transport

    def test_warned_then_dropped(self) -> None:
        """At 60 percent it is warned, once, if it asked for that; at the end it is told code 4 and dropped."""
        warned, other = self.connect("?stall_warnings=true"), self.connect()
        self.simulation.start()
        said = None
        while not warned.disconnecting:
            self.clock.advance(0.125)
            if said is None and warned.value():
                said = warned.value()
        self.assertIn(b"FALLING_BEHIND", said)
        percent = json.loads(said.split(b"\r\n")[1])["warning"]["percent_full"]
        self.assertTrue(60 <= percent < 80, percent)
        self.assertEqual(1, warned.value().count(b"FALLING_BEHIND"))
        self.assertNotIn(b"FALLING_BEHIND", other.value())
        for transport in (warned, other):
            self.assertIn(b'"disconnect":{"code":4,', transport.value())
        self.clock.advance(GRACE)
        for transport in (warned, other):
            self.assertTrue(transport.disconnected)
            transport.protocol.connectionLost(Failure(ConnectionDone()))
        self.simulation.stop()
        self.assertEqual([], self.clock.getDelayedCalls())
