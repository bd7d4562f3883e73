"""What an operator may do to the sources of a running streamer: every verb, through the admin endpoint's own pages."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import attrs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer.bus.state_lock import StateLock
from streamer.net.admin import admin_site
from streamer.net.client import UpstreamClient
from streamer.operating import IControl
from streamer.policy.course import State
from streamer.secrets import Secret
from streamer.services.keeping import Keeping
from streamer.services.sourcing import Sourcing
from streamer.services.streamer import StreamerService
from streamer.sources.twitter_predicates import Predicates as Track
from streamer.sources.x_rules import Rule
from streamer.testing import faults
from tests.unit.following import START, Following
from tests.unit.spooling import HeldWork, folder, spool_at

HERE = "http://127.0.0.1:8181"


def rules(*values: str) -> dict[str, Any]:
    """Predicates of a filtered stream."""
    return {"rules": [{"value": value} for value in values]}


@attrs.define
class Asked:
    """A request to the admin endpoint, and its answer once there is one."""

    code: int | None = None
    body: bytes = b""

    @property
    def json(self) -> Any:
        """The answer read."""
        return json.loads(self.body)


class Admin:
    """The admin endpoint of a streamer, asked in memory."""

    def __init__(self, made: Following, token: str | None = None, streamer: StreamerService | None = None) -> None:
        control = streamer or made.streamer
        secret = None if token is None else Secret(token)
        site = admin_site(made.metrics, control.status, control.troubles, control, secret)
        self.made, self.client = made, StubTreq(site.resource)

    def begin(self, method: str, path: str, body: Any = None, token: str | None = None) -> Asked:
        """Ask, and do not wait."""
        asked = Asked()
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()

        async def ask() -> None:
            answer = await self.client.request(method, HERE + path, data=data, headers=headers)
            asked.body = await self.client.content(answer)
            asked.code = answer.code

        Deferred.fromCoroutine(ask()).addErrback(lambda failure: setattr(asked, "body", str(failure).encode()))
        self.pump()
        return asked

    def pump(self) -> None:
        """Let everything happen that needs no time."""
        for _ in range(8):
            self.client.flush()
            self.made.pump(3)

    def ask(self, method: str, path: str, body: Any = None, token: str | None = None) -> Asked:
        """Ask for something that takes no time."""
        asked = self.begin(method, path, body, token)
        assert asked.code is not None, (method, path, "was not answered")
        return asked

    def row(self, method: str, path: str, body: Any = None) -> Any:
        """The row of the one source, of a request that succeeds."""
        asked = self.ask(method, path, body)
        assert asked.code == 200, asked
        return asked.json["birds"] if method != "PUT" else asked.json

    def ready(self) -> list[str]:
        """What `/ready` says is wrong."""
        asked = self.ask("GET", "/ready")
        lines = asked.body.decode().splitlines()
        assert (asked.code == 200) == (lines == ["ready"]), asked
        return [] if asked.code == 200 else lines


class Cases(SynchronousTestCase):
    """What the tests of this module share."""

    def following(self, **options: Any) -> tuple[Following, Admin]:
        """A connected source that must leave no timer behind, and its endpoint."""
        made = options.pop("made", None) or Following(**options)
        self.addCleanup(lambda: self.assertEqual([], made.stop()))
        made.start()
        return made, Admin(made)

    def twitter(self, **options: Any) -> tuple[Following, Admin]:
        """A stream whose predicates need a new connection."""
        own = {"stream": "filter", "predicates": Track(track=("cat",))}
        return self.following(made=Following.of("twitter-v1", own, rate=1.0, **options))

    def on_server(self, made: Following) -> list[str]:
        """What the simulated X filters by."""
        return sorted(rule.value for rule in made.x.rules.all())


class VerbTests(Cases):
    """Stop, start and update."""

    def test_interface(self) -> None:
        """The service is what the pages need."""
        made, _ = self.following(rate=1.0)
        self.assertTrue(verifyObject(IControl, made.streamer))

    def test_stop_and_start(self) -> None:
        """A stop hangs up and stays away; a start follows again; each may be said twice."""
        made, admin = self.following(rate=1.0)
        for _ in range(2):
            row = admin.row("POST", "/stop")
            self.assertEqual(("stopped", False, None), (row["state"], row["following"], row["next"]))
            made.advance(30)
            self.assertEqual(0, made.x.status()["connections"])
        for _ in range(2):
            row = admin.row("POST", "/start?source=birds")
            self.assertTrue(row["following"])
            admin.pump()
            self.assertEqual(1, made.x.status()["connections"])
        self.assertEqual("streaming", admin.row("POST", "/start")["state"])

    def test_update_starts(self) -> None:
        """An update starts what is stopped."""
        made, admin = self.following(rate=1.0)
        admin.row("POST", "/stop")
        admin.row("POST", "/update")
        made.advance(1)
        self.assertTrue(made.follower.connected)

    def test_update_of_what_is_live(self) -> None:
        """Where predicates need no new connection, an update without a change makes none."""
        made, admin = self.following(rate=1.0)
        for _ in range(3):
            self.assertEqual("streaming", admin.row("POST", "/update")["state"])
            made.advance(2)
        self.assertEqual(1, len(made.x.ledger.connections))

    def test_update_renews(self) -> None:
        """Where they do, an update asked for makes one new connection, however often it is said at once."""
        made, admin = self.twitter()
        for _ in range(3):
            admin.row("POST", "/update")
        made.advance(3)
        self.assertEqual(2, len(made.x.ledger.connections))
        self.assertTrue(made.follower.connected)

    def test_update_of_a_failed_one(self) -> None:
        """What the upstream refused for good is tried again when an operator says so."""
        made, admin = self.following(rules=[Rule("has:media", "")], rate=1.0)
        for number, verb in enumerate(("/start", "/update"), 2):
            self.assertEqual("failed", admin.row("GET", "/status")["state"])
            made.advance(1)
            admin.row("POST", verb)
            self.assertEqual(number, len(made.network.attempts))
        self.assertIs(State.FAILED, made.follower.course.state)

    def test_names(self) -> None:
        """An unknown name is 404 with the known ones, whatever the verb, and stops nothing."""
        made, admin = self.following(rate=1.0)
        for method, path, body in (
            ("POST", "/stop?source=brids", None),
            ("POST", "/start?source=brids", None),
            ("POST", "/update?source=birds&source=brids", None),
            ("GET", "/predicates?source=brids", None),
            ("PUT", "/predicates?source=brids", rules("dog")),
        ):
            asked = admin.ask(method, path, body)
            self.assertEqual(404, asked.code, path)
            self.assertIn("birds", asked.json["error"])
        self.assertTrue(made.follower.connected)
        self.assertEqual(["cat"], self.on_server(made))

    def test_token(self) -> None:
        """With a token nobody else may do anything, and everybody may look."""
        made, _ = self.following(rate=1.0)
        admin = Admin(made, token="hush")
        self.assertEqual(401, admin.ask("POST", "/stop").code)
        self.assertEqual(401, admin.ask("PUT", "/predicates", rules("dog")).code)
        self.assertTrue(made.follower.connected)
        self.assertEqual(200, admin.ask("GET", "/status").code)
        self.assertEqual(200, admin.ask("POST", "/stop", token="hush").code)
        self.assertFalse(made.follower.connected)

    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(st.sampled_from(["/stop", "/start", "/update", "cut", "refuse", "wait"]), max_size=12))
    def test_any_order(self, steps: Sequence[str]) -> None:
        """Whatever verbs and accidents come in whatever order: the last verb holds, and there is one connection."""
        made = Following(rate=0.2)
        made.start()
        follows = True
        for step in steps:
            if step == "cut":
                made.x.fault(faults.Cut())
            elif step == "refuse":
                made.x.fault(faults.Status(503))
            elif step == "wait":
                made.advance(2, step=1)
            else:
                follows = step != "/stop"
                names = ["birds"] if step == "/start" else []
                getattr(made.streamer, step[1:])(names)
            self.assertLessEqual(made.x.status()["connections"], 1)
            self.assertEqual(follows, made.streamer.standing(())["birds"]["following"])
        made.advance(400, step=10)
        self.assertEqual(follows, made.follower.connected)
        self.assertEqual(int(follows), made.x.status()["connections"])
        self.assertEqual([], made.stop())


class StandingTests(Cases):
    """What is told about a source."""

    def test_true(self) -> None:
        """The numbers are those of the source, and `/status` shows the same as the verbs."""
        made, admin = self.following(rate=4.0)
        made.advance(10)
        made.x.stop()
        made.pump()
        made.x.start()
        row = admin.ask("GET", "/status").json["birds"]
        self.assertEqual(row, admin.row("POST", "/start"))
        self.assertEqual("streaming", row["state"])
        kinds = {item.kind for item in made.items}
        self.assertEqual(sum(len(made.ids(kind)) for kind in kinds), row["items"])
        self.assertGreaterEqual(row["items"], 40)
        self.assertLess(abs(START + 10 - row["last_item"]), 1.0)
        self.assertLessEqual(row["last_item"], row["last_byte"])
        self.assertEqual((0, False, False), (row["unconfirmed"], row["paused"], row["stale"]))

    def test_while_the_bus_is_behind(self) -> None:
        """What the bus has not confirmed is counted, and so is a pause."""
        made, admin = self.following(rate=20.0, window=10)
        made.bus.held = []
        made.advance(3)
        row = admin.ask("GET", "/status").json["birds"]
        self.assertEqual((True, len(made.bus.held)), (row["paused"], row["unconfirmed"]))
        self.assertGreaterEqual(row["unconfirmed"], 10)
        self.assertEqual(["source birds: reading is paused until there is room again"], admin.ready())
        self.assertEqual("reading is paused until there is room again", row["said"])
        made.bus.release()
        made.advance(1)
        self.assertEqual([], admin.ready())

    def test_next_attempt(self) -> None:
        """While it waits, the time of the next attempt is told, and why."""
        made, admin = self.following(rate=1.0)
        made.x.fault(faults.Status(503))
        made.x.fault(faults.Cut())
        made.advance(2)
        row = admin.ask("GET", "/status").json["birds"]
        self.assertEqual("waiting", row["state"])
        self.assertEqual(made.follower.course.wake_at, row["next"])
        self.assertGreater(row["next"], made.clock.seconds())
        self.assertIn("503", row["said"])

    def test_every_type(self) -> None:
        """Rows of every type of source are JSON, in every state."""
        for kind in ("x-filtered", "x-sample", "x-volume", "twitter-v1"):
            made, admin = self.following(made=Following.of(kind, rate=2.0))
            for verb in ("/start", "/stop", "/update"):
                self.assertIn("state", admin.row("POST", verb))
                self.assertEqual(
                    {"wanted", "live", "pending", "applies_in", "problem"}, set(admin.row("GET", "/predicates")), kind
                )
            made.advance(1)


class ReadyTests(Cases):
    """What `/ready` says in each state."""

    def test_streaming(self) -> None:
        """Nothing."""
        _, admin = self.following(rate=1.0)
        self.assertEqual([], admin.ready())

    def test_stopped_by_an_operator(self) -> None:
        """That is no trouble, whatever went before it."""
        made, admin = self.following(rate=1.0)
        made.x.fault(faults.Status(503, times=9))
        made.x.fault(faults.Cut())
        made.advance(3)
        self.assertNotEqual([], admin.ready())
        admin.row("POST", "/stop")
        self.assertEqual([], admin.ready())

    def test_connecting(self) -> None:
        """That it is not connected yet."""
        made, admin = self.following(rate=1.0)
        admin.row("POST", "/stop")
        made.network.mute = True
        admin.row("POST", "/start")
        self.assertEqual(["source birds: connecting"], admin.ready())

    def test_waiting(self) -> None:
        """What the upstream said, and when the next attempt is made; nothing of it once that succeeded."""
        made, admin = self.following(rate=1.0)
        made.x.fault(faults.Status(503))
        made.x.fault(faults.Cut())
        made.advance(2)
        (trouble,) = admin.ready()
        self.assertRegex(trouble, r"^source birds: http: .*503.*next try in 5\.00 s$")
        made.advance(10)
        self.assertEqual([], admin.ready())

    def test_failed(self) -> None:
        """Why, and that nothing but an operator helps."""
        _, admin = self.following(rules=[Rule("has:media", "")])
        (trouble,) = admin.ready()
        self.assertRegex(trouble, "^source birds: refused: .*has:media.*stopped until the configuration changes$")

    def test_starting(self) -> None:
        """While its files are being read."""
        path, work = folder(self), HeldWork()
        spool = spool_at(path / "birds.spool", work)
        made = Following(rate=1.0, keeping=Keeping(path / "birds.cursor", StateLock(path, "birds"), spool, work.do))
        made.start()
        admin = Admin(made)
        self.assertEqual(["source birds: starting"], admin.ready())
        work.all()
        admin.pump()
        self.assertEqual([], admin.ready())
        stopping = made.end()
        while work.waiting:
            work.all()
            made.pump()
        self.successResultOf(stopping)
        self.assertEqual([], made.stop())

    def test_unusable_state(self) -> None:
        """What is wrong with its directory."""
        path = folder(self) / "file"
        path.write_bytes(b"")
        files = Keeping(path / "birds.cursor", StateLock(path, "birds"), None, HeldWork().do)
        made, admin = self.following(keeping=files)
        (trouble,) = admin.ready()
        self.assertIn("cannot use the state directory", trouble)
        self.assertEqual([trouble.removeprefix("source birds: ")], made.fatal)

    def test_no_source(self) -> None:
        """A streamer with nothing to follow is not ready; its verbs do nothing, and are answered."""
        made, _ = self.following(rate=1.0)
        client = UpstreamClient(made.network.agent, made.clock, "tests")
        sourcing = Sourcing(made.bus, client, made.clock, made.metrics, lambda: 0.0, made.fatal.append)
        admin = Admin(made, streamer=StreamerService({}, sourcing))
        self.assertEqual(["streamer: the configuration names no source"], admin.ready())
        for verb in ("/stop", "/start", "/update"):
            self.assertEqual({}, admin.ask("POST", verb).json)
        self.assertEqual(404, admin.ask("POST", "/stop?source=birds").code)
        self.assertEqual(400, admin.ask("PUT", "/predicates", rules("dog")).code)


class RowTests(Cases):
    """What a row says of a source."""

    def test_row(self) -> None:
        """Type, rate over the last minute, age of the last item, where it would go on, and how often it came back."""
        made, admin = self.following(rate=20.0)
        made.advance(30)
        row = admin.row("POST", "/start")
        self.assertEqual(("x-filtered", "streaming", 0), (row["type"], row["state"], row["reconnects"]))
        self.assertAlmostEqual(20.0, row["rate"], delta=3.0)
        self.assertLess(row["last_item_age"], 1.0)
        self.assertGreater(row["safe_until"], row["last_item"] - 5)
        self.assertIn("cursor", row)
        made.x.fault(faults.Cut())
        made.advance(30)
        self.assertEqual(1, admin.row("POST", "/start")["reconnects"])
        admin.row("POST", "/stop")
        made.advance(90)
        row = admin.row("POST", "/stop")
        self.assertEqual((0.0, "stopped"), (row["rate"], row["state"]))
        self.assertGreater(row["last_item_age"], 80)

    def test_first_moments(self) -> None:
        """What is not known yet is null."""
        made = Following(rate=1.0)
        row = made.streamer.status()["birds"]
        self.assertEqual([None] * 4, [row[key] for key in ("rate", "last_item_age", "cursor", "safe_until")])
        self.assertEqual(0, row["reconnects"])
