"""The relay's web site, in memory."""

import gzip
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.python.failure import Failure
from twisted.python.filepath import FilePath
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from streamer.net import admission, assets, headers
from streamer.net.admission import Admission
from streamer.net.channel import REQUEST_WITHIN
from streamer.net.headers import security_headers
from streamer.net.site import relay_site

SCRIPT = b"console.log('x');" * 10_000


class Answer:
    """An HTTP answer taken apart."""

    def __init__(self, raw: bytes) -> None:
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        self.code = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


class SiteTests(SynchronousTestCase):
    """`relay_site`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.admission = Admission(10, 5)
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.pages = Path(folder.name) / "pages"
        for name, content in {
            "index.html": b"<!doctype html><title>x</title>",
            "assets/index-BxY12_a9.js": SCRIPT,
            "mark.svg": b"<svg/>",
            "client/v1/client.js": b"export {}",
            ".secret.js": b"secret",
            "notes.py": b"secret",
        }.items():
            file = self.pages / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        (self.pages / "assets/index-BxY12_a9.js.gz").write_bytes(gzip.compress(SCRIPT))
        (self.pages.parent / "outside.js").write_bytes(b"secret")
        self.site = self.make(self.pages)

    def make(self, pages: Path) -> Any:
        config = {"title": "Birds", "ws": "ws", "heartbeat": 25.0}
        return relay_site(
            FilePath(str(pages)),
            config,
            lambda: {"ready": True},
            Resource(),
            ["https://birds.example"],
            self.clock,
            self.admission,
        )

    def connect(self) -> tuple[Any, StringTransport]:
        transport = StringTransport()
        channel = self.site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 1))
        channel.callLater = self.clock.callLater
        channel.makeConnection(transport)
        return channel, transport

    def ask(self, path: str, method: str = "GET", **more: str) -> Answer:
        channel, transport = self.connect()
        lines = [f"{method} {path} HTTP/1.1", "Host: x", "Connection: close"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in more.items()]
        channel.dataReceived("\r\n".join([*lines, "", ""]).encode())
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.admission.connections, 0)
        return Answer(transport.value())

    def test_page(self) -> None:
        """The page is asked for anew each time."""
        answer = self.ask("/")
        self.assertEqual((answer.code, answer.body), (200, b"<!doctype html><title>x</title>"))
        self.assertEqual(answer.headers["content-type"], "text/html; charset=utf-8")
        self.assertEqual(answer.headers["cache-control"], "no-cache")

    def test_unchanged(self) -> None:
        """What the browser has already is not sent again."""
        date = self.ask("/").headers["last-modified"]
        self.assertEqual(self.ask("/", If_Modified_Since=date).code, 304)

    def test_hashed(self) -> None:
        """A name with a hash in it is kept for ever; a large file comes whole."""
        answer = self.ask("/assets/index-BxY12_a9.js")
        self.assertEqual((answer.code, answer.body), (200, SCRIPT))
        self.assertEqual(answer.headers["cache-control"], "public, max-age=31536000, immutable")
        self.assertEqual(answer.headers["vary"], "accept-encoding")
        self.assertNotIn("content-encoding", answer.headers)

    def test_gzip(self) -> None:
        """The compressed copy is sent to those who take it, and has no name of its own."""
        for accept, taken in (
            ("gzip, deflate, br", True),
            ("br;q=1.0, gzip;q=0.5", True),
            ("*", True),
            ("gzip;q=0", False),
            ("x-gzip-not, br", False),
        ):
            answer = self.ask("/assets/index-BxY12_a9.js", Accept_Encoding=accept)
            with self.subTest(accept=accept):
                self.assertEqual(answer.headers.get("content-encoding"), "gzip" if taken else None)
                self.assertEqual(gzip.decompress(answer.body) if taken else answer.body, SCRIPT)
        self.assertEqual(self.ask("/assets/index-BxY12_a9.js.gz").code, 404)

    def test_head(self) -> None:
        """HEAD says what GET would, without it."""
        said: list[Any] = []
        globalLogPublisher.addObserver(said.append)
        self.addCleanup(globalLogPublisher.removeObserver, said.append)
        for path in ("/", "/assets/index-BxY12_a9.js", "/config.json", "/nothing"):
            got, head = self.ask(path), self.ask(path, "HEAD")
            with self.subTest(path=path):
                self.assertEqual((head.code, head.body), (got.code, b""))
                self.assertEqual([str(event) for event in said], [])
                self.assertEqual(head.headers.get("content-length"), got.headers.get("content-length"))

    def test_not_found(self) -> None:
        """Nothing outside, hidden, of another kind, and no listing."""
        for path in (
            "/../outside.js",
            "/%2e%2e/outside.js",
            "/..%2foutside.js",
            "/assets/..%2f..%2foutside.js",
            "/assets",
            "/assets/",
            "/client/",
            "/client/v1/",
            "/.secret.js",
            "/notes.py",
            "/nothing.js",
            "/a%00b",
        ):
            with self.subTest(path=path):
                answer = self.ask(path)
                self.assertIn(answer.code, (400, 404))
                self.assertNotIn(b"secret", answer.body)

    def test_headers(self) -> None:
        """Every answer has the security headers, also those that say no."""
        expected = {
            name.decode(): value.decode() for name, value in security_headers(["https://birds.example"]).items()
        }
        for path, method in (
            ("/", "GET"),
            ("/nothing", "GET"),
            ("/config.json", "POST"),
            ("/client/v1/client.js", "GET"),
        ):
            answer = self.ask(path, method)
            with self.subTest(path=path):
                self.assertLessEqual(expected.items(), answer.headers.items())
        policy = expected["content-security-policy"]
        self.assertIn("connect-src 'self' wss://birds.example;", policy)
        self.assertNotIn("unsafe", policy)

    def test_client_library(self) -> None:
        """The client library, and nothing else, is for everybody's pages."""
        answer = self.ask("/client/v1/client.js")
        self.assertEqual(answer.body, b"export {}")
        self.assertEqual(answer.headers["access-control-allow-origin"], "*")
        self.assertEqual(answer.headers["cross-origin-resource-policy"], "cross-origin")
        self.assertNotIn("access-control-allow-origin", self.ask("/config.json").headers)

    def test_json(self) -> None:
        """Configuration and status are JSON that is not kept."""
        answer = self.ask("/config.json")
        self.assertEqual(answer.body, b'{"title":"Birds","ws":"ws","heartbeat":25.0}')
        self.assertEqual(answer.headers["cache-control"], "no-store")
        self.assertEqual(self.ask("/status.json").body, b'{"ready":true}')

    def test_not_built(self) -> None:
        """Without a build there is one page, which says how to build; the rest works."""
        self.site = self.make(Path("nonexistent"))
        answer = self.ask("/")
        self.assertEqual(answer.code, 503)
        self.assertIn(b"make web", answer.body)
        self.assertEqual(self.ask("/config.json").code, 200)
        self.assertEqual(self.ask("/client/v1/client.js").code, 404)

    def test_slow_request(self) -> None:
        """A client that does not finish its request is hung up on."""
        channel, transport = self.connect()
        channel.dataReceived(b"GET / HTTP/1.1\r\n")
        self.clock.advance(REQUEST_WITHIN + 1)
        self.assertTrue(transport.disconnected)

    def trickle(self, channel: Any, transport: StringTransport, data: bytes) -> int:
        """Send a byte every second until it is hung up; how many were sent."""
        for sent in range(len(data)):
            if transport.disconnected:
                channel.connectionLost(Failure(ConnectionDone()))
                self.assertEqual(self.clock.getDelayedCalls(), [])
                return sent
            channel.dataReceived(data[sent : sent + 1])
            self.clock.advance(1)
        return len(data)

    def test_trickled_request(self) -> None:
        """Bytes that come one by one do not put the deadline off, of the first request, its body or the next."""
        head = b"GET /config.json HTTP/1.1\r\nHost: x\r\n"
        body = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n"
        for at_once, slowly in ((b"", head), (body, b"x" * 900), (head + b"\r\n", head)):
            channel, transport = self.connect()
            channel.dataReceived(at_once)
            with self.subTest(at_once=at_once):
                self.assertEqual(self.trickle(channel, transport, slowly), REQUEST_WITHIN)

    def test_end_keeping(self) -> None:
        """A relay that stops closes connections that are kept for a next request, at once; all others are answered
        and then closed, also new ones, whose first request may be on its way.
        """
        whole_request = b"GET /config.json HTTP/1.1\r\nHost: x\r\n\r\n"
        idle, began, half, new = (self.connect() for _ in range(4))
        for channel, transport in (idle, began):
            channel.dataReceived(whole_request)
            self.assertNotIn(b"Connection: close", transport.value())
        began[0].dataReceived(whole_request[:7])
        half[0].dataReceived(whole_request[:30])
        self.assertEqual(4, len(self.site.keeping.waiting))
        self.site.end_keeping()
        self.assertEqual(
            [True, False, False, False], [transport.disconnecting for _, transport in (idle, began, half, new)]
        )
        for (channel, transport), rest in (
            (began, whole_request[7:]),
            (half, whole_request[30:]),
            (new, whole_request),
        ):
            transport.clear()
            channel.dataReceived(rest)
            self.assertIn(b"Connection: close", transport.value())
            self.assertIn(b"200 OK", transport.value())
            self.assertTrue(transport.disconnecting)
        for channel, _ in (idle, began, half, new):
            channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((0, []), (len(self.site.keeping.waiting), self.clock.getDelayedCalls()))

    def test_end_keeping_while_answering(self) -> None:
        """An answer whose head is written already is written to its end, and the connection is closed then."""
        channel, transport = self.connect()
        write = transport.write
        transport.write = lambda data: (write(data), transport.producer.pauseProducing())
        channel.dataReceived(b"GET /assets/index-BxY12_a9.js HTTP/1.1\r\nHost: x\r\n\r\n")
        transport.write = write
        self.site.end_keeping()
        self.assertFalse(transport.disconnecting)
        transport.producer.resumeProducing()
        self.assertTrue(transport.value().endswith(SCRIPT))
        self.assertTrue(transport.disconnecting)
        channel.connectionLost(Failure(ConnectionDone()))

    def test_connections_are_counted(self) -> None:
        """Whoever only connects holds a place too; one address cannot hold them all, nor all the descriptors."""
        self.patch(admission, "ALLOWANCE", 2)
        self.patch(admission, "ALLOWANCE_PER_ADDRESS", 1)
        address, other = (IPv4Address("TCP", f"192.0.2.{number}", 1) for number in (1, 2))
        channels = [self.site.buildProtocol(address) for _ in range(7)]
        self.assertEqual([channel is None for channel in channels], [False] * 6 + [True])
        others = [self.site.buildProtocol(other) for _ in range(6)]
        self.assertNotIn(None, others)
        third = IPv4Address("TCP", "192.0.2.3", 1)
        self.assertIsNone(self.site.buildProtocol(third))
        self.assertEqual((self.admission.connections, self.admission.turned_away), (12, 2))
        channels[0].makeConnection(StringTransport())
        channels[0].connectionLost(Failure(ConnectionDone()))
        self.assertIsNotNone(self.site.buildProtocol(third))

    def test_hostile_origin(self) -> None:
        """What is no origin cannot come into the policy."""
        for origin in ("https://a b", "https://a'", 'https://a"', "https://a,b", "https://a;script-src *", "*", ""):
            with self.subTest(origin=origin):
                self.assertRaises(ValueError, security_headers, [origin])
        security_headers(["https://a.example:8443", "http://[::1]:80", "null"])

    def test_slow_reader(self) -> None:
        """A client that does not take its file is hung up on."""
        channel, transport = self.connect()
        write = transport.write
        transport.write = lambda data: (write(data), transport.producer.pauseProducing())
        channel.dataReceived(b"GET /assets/index-BxY12_a9.js HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertLess(len(transport.value()), len(SCRIPT))
        self.clock.advance(assets.SEND_LIMIT + 1)
        self.assertTrue(transport.disconnected or transport.disconnecting or transport.aborting)
        transport.producer.stopProducing()  # as a TCP transport does when it is gone: the file is closed
        channel.connectionLost(Failure(ConnectionDone()))

    def test_long_body(self) -> None:
        """A body that nobody asked for is not taken."""
        channel, transport = self.connect()
        channel.dataReceived(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999\r\n\r\n")
        for _ in range(3):
            channel.dataReceived(b"x" * headers.BODY_LIMIT)
        self.assertTrue(transport.disconnecting)
