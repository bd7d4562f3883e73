"""The admin endpoint as a whole: what every service has, and what the streamer has besides."""

from __future__ import annotations

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from streamer.net.admin import CONNECTIONS, LIFE
from tests.unit.test_net_control import ELSEWHERE, Endpoint, Sources


class AdminSiteTests(SynchronousTestCase):
    """`admin_site`."""

    def test_reading_needs_nothing(self) -> None:
        """Monitors on other machines and pages in browsers may look, whether there is a token or not."""
        for endpoint in (Endpoint(None), Endpoint(Sources("birds")), Endpoint(Sources("birds"), "hush")):
            for path, body in (("live", b"live\n"), ("ready", b"ready\n"), ("status", b'{"bus":"memory"}')):
                answer = endpoint.ask(f"GET /{path}", peer=ELSEWHERE, Origin="https://example.org", Host="example.org")
                self.assertEqual((200, body), (answer.code, answer.body))
            self.assertEqual(200, endpoint.ask("GET /metrics", peer=ELSEWHERE).code)

    def test_without_control(self) -> None:
        """Where there is nothing to work, there are no pages to do it."""
        for path in ("update", "stop", "start", "predicates"):
            answer = Endpoint(None).ask(f"POST /{path}")
            self.assertEqual((404, b"there are /live, /ready, /metrics and /status\n"), (answer.code, answer.body))

    def test_not_found(self) -> None:
        """An unknown path is answered with the known ones, so also a source's name."""
        said = "there are /live, /ready, /metrics, /status, /update, /stop, /start and /predicates\n"
        for path in ("/", "/birds", "/stop%2f", "//stop"):
            answer = Endpoint(Sources("birds")).ask(f"GET {path}")
            self.assertEqual((404, said.encode()), (answer.code, answer.body))

    def test_reading_pages_are_only_read(self) -> None:
        """POST to a page that is only read is refused; its body is not kept."""
        endpoint = Endpoint(Sources("birds"))
        for path in ("live", "ready", "metrics", "status"):
            self.assertEqual(405, endpoint.ask(f"POST /{path}", b"x" * 2_000_000).code)

    def test_nobody_stays(self) -> None:
        """A request that comes a byte at a time is hung up on, and leaves no timer."""
        endpoint = Endpoint(None)
        channel, transport = endpoint.connect()
        for _ in range(int(LIFE)):
            channel.dataReceived(b"G")
            endpoint.clock.advance(1)
        self.assertTrue(transport.disconnected)
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual([], endpoint.clock.getDelayedCalls())

    def test_few_at_once(self) -> None:
        """More connections than a monitor and an operator need are closed; room comes back when one goes."""
        endpoint = Endpoint(None)
        channels = [endpoint.connect()[0] for _ in range(CONNECTIONS)]
        self.assertIsNone(endpoint.site.buildProtocol(None))
        channels[0].connectionLost(Failure(ConnectionDone()))
        self.assertIsNotNone(endpoint.site.buildProtocol(None))
