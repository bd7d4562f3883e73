"""The relay's keys, kept up to date from a file and from the web."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from streamer.errors import ClientError, ConfigurationError
from streamer.fanout.protocol import Close
from streamer.metrics import Metrics
from streamer.net.client import UpstreamClient
from streamer.net.jwks import SET_LIMIT
from streamer.secrets import Secret
from streamer.services.authority import AuthorityService
from streamer.services.key_places import ASK_EVERY, FETCH_LIMIT, FILE_EVERY, URL_EVERY
from streamer.tables import RelayAuthSettings
from tests.unit.issuing import NOW, SECRET, ed_key, issue, jwk, written
from tests.unit.network import Network
from tests.unit.spooling import folder

URL = "https://id.example/keys"


class Published(Resource):
    """A key set on the web."""

    isLeaf = True

    def __init__(self) -> None:
        Resource.__init__(self)
        self.content = written(jwk(ed_key(0), kid="k0"))
        self.status = 200
        self.location: bytes | None = None
        self.endless = False
        self.asked = 0

    def render_GET(self, request: Any) -> Any:
        """Answer, or begin to."""
        self.asked += 1
        request.setResponseCode(self.status)
        if self.location is not None:
            request.setHeader(b"location", self.location)
        if self.endless:
            request.write(self.content)
            return NOT_DONE_YET
        return self.content


class Cases(SynchronousTestCase):
    """One service, over connections in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW)
        self.published = Published()
        self.network = Network(self.published, self.clock)
        self.metrics = Metrics()
        self.said: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.said.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.said.append)

    def make(self, **settings: Any) -> AuthorityService:
        client = UpstreamClient(self.network.agent, self.clock, "tests")
        self.service = AuthorityService(RelayAuthSettings(**settings), client, self.clock, self.metrics)
        return self.service

    def start(self, **settings: Any) -> None:
        self.make(**settings).startService()
        self.turn()

    def turn(self, seconds: float = 0.0) -> None:
        self.clock.advance(seconds)
        for _ in range(4):
            self.network.flush()
            self.clock.advance(0)

    def stop(self) -> None:
        self.successResultOf(self.service.stopService())
        self.network.flush()
        self.assertEqual((self.clock.getDelayedCalls(), self.network.open), ([], 0))

    def close_code(self, which: int) -> int | None:
        """Show a token signed with one of the keys: None where it is good, else the close code."""
        token = issue(ed_key(which), "EdDSA", headers={"kid": f"k{which}"}, exp=self.clock.seconds() + 60)
        try:
            self.service.authority.check(token, self.clock.seconds())
        except ClientError as error:
            return error.close
        return None

    def publish(self, *which: int) -> None:
        self.published.content = written(*(jwk(ed_key(one), kid=f"k{one}") for one in which))

    def logged(self, part: str) -> int:
        """How many sentences of the log hold a part."""
        texts = [event["log_format"].format(**event) for event in self.said if event.get("log_format")]
        return sum(part in text for text in texts)


class ServiceTests(Cases):
    """`AuthorityService` without a key set."""

    def test_fixed(self) -> None:
        """Keys of the configuration are there from the start, and leave nothing to do."""
        self.start(secret=Secret(SECRET))
        self.assertEqual(self.service.authority.check(issue(), NOW).subject, "room")
        self.assertEqual((self.service.troubles(), self.service.status()["fixed_keys"]), ([], 1))
        self.stop()

    def test_wrong(self) -> None:
        """A configuration that cannot be used is refused before anything starts."""
        error = self.assertRaises(ConfigurationError, self.make, secret=Secret("short"), jwks="http://id.example/")
        self.assertEqual(len(error.problems), 2)


class UrlTests(Cases):
    """A key set on the web."""

    def test_fetched(self) -> None:
        """Keys are fetched at the start, and again every ten minutes."""
        self.start(jwks=URL)
        self.assertEqual((self.close_code(0), self.service.troubles(), self.published.asked), (None, [], 1))
        self.publish(1)
        self.turn(URL_EVERY - 1)
        self.assertEqual(self.published.asked, 1)
        self.turn(1)
        self.assertEqual((self.published.asked, self.close_code(1)), (2, None))
        self.stop()

    def test_unknown_key(self) -> None:
        """A token with a new key makes the keys be fetched, its bearer being told to come back."""
        self.start(jwks=URL)
        self.turn(ASK_EVERY)
        self.publish(0, 1)
        self.assertEqual(self.close_code(1), Close.STATE_LOST)
        self.turn()
        self.assertEqual((self.close_code(1), self.close_code(0), self.published.asked), (None, None, 2))
        self.stop()

    def test_made_up_keys(self) -> None:
        """Tokens with keys that nobody has make the keys be fetched twice a minute at most, and are refused then."""
        self.start(jwks=URL)
        for _ in range(60):
            self.close_code(7)
            self.turn(1)
        self.assertEqual((self.close_code(7), self.published.asked), (Close.TOKEN, 2))
        for number in range(60):
            self.close_code(8 + number)
            self.turn(1)
        self.assertLessEqual(self.published.asked, 5)
        self.stop()

    def test_not_yet(self) -> None:
        """While no key was ever had the relay is not ready and says why, and clients are told to come back."""
        self.published.status = 503
        self.start(jwks=URL)
        self.assertEqual(self.close_code(0), Close.STATE_LOST)
        (sentence,) = self.service.troubles()
        self.assertIn(URL, sentence)
        self.assertIn("503", sentence)
        self.published.status = 200
        self.turn(ASK_EVERY)
        self.assertEqual((self.close_code(0), self.service.troubles()), (None, []))
        self.stop()

    def test_failures(self) -> None:
        """Whatever goes wrong with a fetch, the keys that were had stay, and the next fetch comes soon."""
        for name, value, part in (
            ("status", 500, "answered 500"),
            ("status", 302, "without redirect"),
            ("content", b"<html>", "no JSON Web Key Set"),
            ("content", b" " * (SET_LIMIT + 1), "longer than"),
            ("endless", True, "imeout"),
        ):
            with self.subTest(part=part):
                self.setUp()
                self.start(jwks=URL)
                before = getattr(self.published, name)
                setattr(self.published, name, value)
                self.turn(URL_EVERY)
                self.turn(FETCH_LIMIT)
                self.assertIn(part, self.service.status()["trouble"])
                self.assertEqual((self.close_code(0), self.service.troubles(), self.network.open), (None, [], 0))
                self.assertEqual(self.logged("stay as they were (1 of"), 1)
                setattr(self.published, name, before)
                self.turn(ASK_EVERY)
                self.assertEqual((self.service.status()["trouble"], self.published.asked), ("", 3))
                self.stop()

    def test_no_connection(self) -> None:
        """A server that cannot be reached is asked twice a minute, and the log says it once."""
        self.network.refuses = ConnectionRefusedError()
        self.start(jwks=URL)
        for _ in range(10):
            self.turn(ASK_EVERY)
        self.assertEqual((len(self.network.attempts), self.logged("stay as they were")), (11, 1))
        self.stop()

    def test_redirect(self) -> None:
        """A redirect is not followed, wherever it leads."""
        self.published.status, self.published.location = 302, b"https://id.example/other"
        self.start(jwks=URL)
        self.assertEqual((self.published.asked, self.close_code(0)), (1, Close.STATE_LOST))
        self.stop()

    def test_left_out(self) -> None:
        """Keys that cannot be used are told to the log."""
        self.published.content = written(jwk(ed_key(0), kid="k0"), {"kty": "EC"})
        self.start(jwks=URL)
        self.assertEqual((self.close_code(0), self.logged("is left out")), (None, 1))
        self.stop()

    def test_stop_while_fetching(self) -> None:
        """A stop gives up a fetch that is under way, and ends when it is given up."""
        self.network.mute = True
        self.start(jwks=URL)
        stopped: Deferred[None] = self.service.stopService()
        self.successResultOf(stopped)
        self.network.mute = False
        self.network.flush()
        self.assertEqual((self.clock.getDelayedCalls(), self.network.open), ([], 0))
        self.assertEqual(self.logged("stay as they were"), 0)
        self.service.startService()
        self.turn()
        self.assertIsNone(self.close_code(0))
        self.stop()


class FileTests(Cases):
    """A key set in a file."""

    def setUp(self) -> None:
        super().setUp()
        self.path = Path(folder(self)) / "keys.json"

    def write(self, *which: int) -> None:
        self.path.write_bytes(written(*(jwk(ed_key(one), kid=f"k{one}") for one in which)))

    def test_changed(self) -> None:
        """A file is read at the start, and again soon after it was changed."""
        self.write(0)
        self.start(jwks=str(self.path))
        self.assertEqual((self.close_code(0), self.service.troubles()), (None, []))
        self.write(0, 1)
        self.turn(FILE_EVERY)
        self.assertEqual((self.close_code(1), self.logged("are checked by")), (None, 2))
        self.turn(FILE_EVERY)
        self.assertEqual(self.logged("are checked by"), 2)
        self.stop()

    def test_unknown_key(self) -> None:
        """A token whose key is not in the file is refused once the file has been looked at again."""
        self.write(0)
        self.start(jwks=str(self.path))
        self.assertEqual(self.close_code(1), Close.STATE_LOST)
        self.turn(FILE_EVERY)
        self.assertEqual(self.close_code(1), Close.TOKEN)
        self.stop()

    def test_written_as_secrets_are(self) -> None:
        """`file:` may stand before the path."""
        self.write(0)
        self.start(jwks=f"file:{self.path}")
        self.assertEqual((self.close_code(0), self.service.troubles()), (None, []))
        self.stop()

    def test_missing(self) -> None:
        """A file that is not there yet is waited for; one that goes away leaves its keys."""
        self.start(jwks=str(self.path))
        self.assertIn("No such file", self.service.troubles()[0])
        self.assertEqual(self.close_code(0), Close.STATE_LOST)
        self.write(0)
        self.turn(FILE_EVERY)
        self.assertEqual((self.close_code(0), self.service.troubles()), (None, []))
        self.path.unlink()
        self.turn(FILE_EVERY)
        self.assertEqual((self.close_code(0), self.service.troubles()), (None, []))
        self.assertIn("No such file", self.service.status()["trouble"])
        self.stop()

    def test_wrong(self) -> None:
        """A file that is no key set, or no file, leaves the keys as they were and is no reason to hang."""
        for change, part in (
            (lambda path: path.write_bytes(b"{"), "no JSON Web Key Set"),
            (lambda path: (path.unlink(), os.mkfifo(path)), "no regular file"),
            (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
        ):
            with self.subTest(part=part):
                self.setUp()
                self.write(0)
                self.start(jwks=str(self.path))
                change(self.path)
                self.turn(FILE_EVERY)
                self.assertIn(part, self.service.status()["trouble"])
                self.assertIsNone(self.close_code(0))
                self.stop()
