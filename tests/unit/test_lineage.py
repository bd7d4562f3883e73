"""The bugs of the ancestors and peers: each has a test, here or where the table says.

The names are those of the study of their code and of what their users report; a number is one of the latter. The last
column is the test that fails where our design has the bug: module, class and test below `tests/unit`.

T1   test_policy_restart::DelayTests::test_floor
T2   test_policy_backoff::RowTests::test_refused
T3   test_services_causes::Causes::test_refusals
T5   test_services_causes::Causes::test_accept_then_close
T6   test_policy_course::CourseTests::test_stop_after_a_plan
T7   test_policy_restart::PlanTests::test_coalesce_after
T8   test_services_control::ControlTests::test_every_verb_in_every_state
T10  test_services_source::FileTests::test_rubbish
T13  test_services_streamer::VerbTests::test_token
T14  test_services_outflow::OutflowTests::test_refused
T15  test_services_causes::Causes::test_stop
C1   test_services_causes::Causes::test_cut
C3   test_sources_twitter_payload::PostTests::test_people_once
C6   test_services_renewal::TwoAllowedTests::test_change
C7   test_services_causes::Causes::test_undisturbed
F1   test_services_causes::Causes::test_split
F2   test_services_causes::Causes::test_refused_at_first
F3   test_services_causes::Causes::test_health_ends_the_delays
F4   test_services_causes::Causes::test_silence
F5   test_sources_twitter_v1::RequestTests::test_options
F6   test_sources_twitter_v1::AuthorisationTests::test_basic
HB   test_services_causes::Causes::test_unreachable
TW   test_policy_backoff::BackoffTests::test_accept_and_close_is_no_tight_loop
NF   test_services_reading::ReadingTests::test_broken_source
LS   test_services_reading::ReadingTests::test_own_mistake
#1   test_services_causes::Causes::test_silence
#3   test_services_source::StaleTests::test_only_alarms
#4   test_services_causes::Causes::test_short_silence
#5   test_wire_lengths::LengthsTests::test_finish
#7   test_services_causes::Causes::test_slow_reader
#8   test_services_causes::Causes::test_refusals
#9   test_services_reading::ReadingTests::test_one_post_and_goodbye
#12  test_services_progress::GapTests::test_gap
#13  test_services_renewal::RandomTests::test_no_post_is_lost_or_doubled
#14  test_services_progress::GapTests::test_recovery
#15  test_services_control::ControlTests::test_model
#16  test_services_progress::GapTests::test_cut_while_it_repeats
#17  test_services_intake::IntakeTests::test_cursor
#22  test_services_causes::Causes::test_no_answer
#23  test_policy_backoff::BackoffTests::test_health_resets_all
#26  test_services_intake::IntakeTests::test_window
#27  test_services_causes::Causes::test_stop
#30  test_services_follower::FollowerTests::test_deletions_arrive
"""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections.abc import Iterator
from enum import Enum
from types import ModuleType
from typing import Any, cast

from OpenSSL.SSL import Error as TLSError
from OpenSSL.SSL import SysCallError, ZeroReturnError
from twisted.internet import error
from twisted.trial.unittest import SynchronousTestCase

import streamer
from streamer import metrics as m
from streamer.errors import ConfigurationError
from streamer.policy import backoff
from streamer.policy.course import State
from streamer.settings import loads
from streamer.sources import x_stream
from streamer.sources.twitter_predicates import Predicates
from streamer.tables import CommonSettings
from streamer.testing import faults, twitter, x
from tests.unit.following import Following, table_of
from tests.unit.test_services_reading import Upstream

ROW = re.compile(r"^(\S+) +(test_\w+)::(\w+)::(test_\w+)$", re.MULTILINE)
KNOWN = (
    *(f"T{number}" for number in range(1, 17)),
    *(f"C{number}" for number in range(1, 8)),
    *(f"F{number}" for number in range(1, 8)),
    *("HB", "TW", "NF", "LS", "KC", "OR"),
    *(f"#{number}" for number in (*range(1, 18), 22, 23, 26, 27, 29, 30)),
)
POST = b'{"data":{"id":"1800000000000000000"}}\r\n'
MUTABLE = (list, dict, set, bytearray)
TWITTERS = ("x-filtered", "x-sample", "x-volume", "twitter-v1")


def named(bug: str) -> str:
    """How the test of a bug is called: `#11` is `n11`."""
    return f"test_{bug.lower().replace('#', 'n')}_"


def modules() -> Iterator[ModuleType]:
    """Every module of ours that can be imported without a reactor."""
    for found in pkgutil.walk_packages(streamer.__path__, "streamer."):
        if not found.name.endswith(("__main__", "_tap")):
            yield importlib.import_module(found.name)


class TableTests(SynchronousTestCase):
    """The table above is true."""

    def test_every_bug(self) -> None:
        """Each known bug has a row, or a test of its name in this module."""
        rows = {bug for bug, *_ in ROW.findall(__doc__ or "")}
        own = [name for name in dir(LineageTests) if name.startswith("test_")]
        self.assertEqual(
            [], [bug for bug in KNOWN if bug not in rows and not any(n.startswith(named(bug)) for n in own)]
        )

    def test_every_row(self) -> None:
        """Each row is of a known bug and names a test that there is, and that says what it shows."""
        rows = ROW.findall(__doc__ or "")
        self.assertEqual((__doc__ or "").count("::test_"), len(rows))
        for bug, module, class_, test in rows:
            self.assertIn(bug, KNOWN)
            found = getattr(getattr(importlib.import_module(f"tests.unit.{module}"), class_), test)
            self.assertTrue(found.__doc__, test)


class LineageTests(SynchronousTestCase):
    """The bugs that no other test is about."""

    def following(self, kind: str, own: Any = None, common: Any = None, **options: Any) -> Following:
        """A source that leaves neither timer nor connection behind."""
        made = Following.of(kind, own, common, **options)
        self.addCleanup(lambda: self.assertEqual(([], 0), (made.stop(), made.network.open)))
        return made

    def answered(self, status: int, body: bytes = b"") -> Following:
        """A filtered stream of X whose upstream answers everything so, and then hangs up."""

        def answer(request: Any) -> None:
            request.setResponseCode(status)
            request.write(body)
            request.finish()

        made = Following(rules=(), resource=Upstream(answer))
        self.addCleanup(lambda: self.assertEqual([], made.stop()))
        return made

    def test_t4_end_in_a_counted_message(self) -> None:
        """A loop over `read(1)` never ended at the end of the stream, and passed a short message on as whole."""
        made = self.following("twitter-v1", {"delimited": "length"}, rate=2)
        made.start()
        made.advance(6, step=1)
        made.x.fault(faults.Cut())
        made.advance(1, step=0.5)
        self.assertEqual(1, made.metrics.value(m.BAD_FRAMES, "birds", "unfinished"))
        self.assertEqual(1, made.metrics.value(m.ENDINGS, "birds", backoff.NETWORK))
        made.advance(10, step=1)
        self.assertTrue(made.follower.connected)
        self.assertEqual([], made.unannounced())

    def test_t9_nothing_shared(self) -> None:
        """Consumers were kept in a class attribute that every thread changed: no class of ours has such a one."""
        found = []
        for module in modules():
            for name, class_ in vars(module).items():
                if isinstance(class_, type) and class_.__module__ == module.__name__ and not issubclass(class_, Enum):
                    found += [
                        f"{module.__name__}.{name}.{attribute}"
                        for attribute, value in vars(class_).items()
                        if isinstance(value, MUTABLE) and not attribute.startswith("__") and attribute not in FRAMEWORK
                    ]
        self.assertEqual([], found)

    def test_t11_the_older_one_is_silent(self) -> None:
        """The older consumer stopped only at its next byte: ours is closed at once, though it says nothing."""
        own = {"stream": "filter", "predicates": Predicates(track=("kakapo",))}
        made = self.following("twitter-v1", own, rate=0, max_connections=2)
        made.start()
        made.x.fault(faults.Stall())
        made.streamer.put_predicates("birds", b'{"track":["kakapo","owl"]}', False)
        made.pump()
        self.assertEqual(2, made.x.status()["connections"])
        id_ = made.x.inject("kakapo and owl")
        made.pump()
        made.advance(11, step=1)
        self.assertEqual((1, 1), (made.x.status()["connections"], made.network.open))
        self.assertEqual([id_], made.ids())

    def test_t12_zero_is_a_value(self) -> None:
        """`x is None and option or x` took the wrong value for an option of 0: ours mean what they say."""
        made = self.following("x-sample", {"backfill_minutes": 0}, CommonSettings(stale_after=0.0), rate=0)
        made.start()
        made.advance(3600, step=20)
        self.assertFalse(made.service.staleness.stale)
        self.assertEqual(0, made.metrics.total(m.ENDINGS))
        self.assertNotIn("backfill", made.source.request(None, 0).url)
        delays = backoff.Backoff(backoff.CAUSES, lambda: 0.0)
        self.assertEqual(5.0, delays.after(backoff.HTTP, healthy=False, retry_after=0.0))

    def test_t16_late_keep_alives(self) -> None:
        """31 s for keep-alives every 30 s (NF: 10 s for 20 s) ended good connections: ours waits for two."""
        for kind, period in (
            ("x-filtered", x.KEEP_ALIVE),
            ("x-volume", x.KEEP_ALIVE),
            ("twitter-v1", twitter.KEEP_ALIVE),
        ):
            made = self.following(kind, rate=0, keep_alive=1.9 * period)
            self.assertGreater(made.source.stall_after, 2 * period)
            made.start()
            made.advance(600, step=5)
            self.assertEqual(0, made.metrics.total(m.ENDINGS), kind)

    def test_c2_plain_500(self) -> None:
        """`status > 500` made a plain 500 the end of everything: every 5xx is tried again, and all oddities."""
        for status in (500, 501, 502, 504, 520, 599, 204, 302, 418):
            made = self.answered(status)
            made.start()
            for attempts in (2, 3):
                made.clock.advance(5.0 * (attempts - 1))
                made.pump()
                self.assertEqual(attempts, len(made.network.attempts), status)
            self.assertEqual(3, made.metrics.value(m.ENDINGS, "birds", backoff.HTTP), status)
            self.assertFalse(made.follower.connected)

    def test_c4_one_post_alone(self) -> None:
        """A batch of ten kept the last nine of a quiet stream for ever: one alone is on its way at once."""
        made = self.following("x-sample", rate=0)
        made.start()
        id_ = made.x.inject("alone")
        made.pump()
        self.assertEqual([id_], made.ids())

    def test_c5_requests_of_their_own(self) -> None:
        """A shared default of `headers={}` was changed by whoever used it: no request of ours changes the next one."""
        for kind in TWITTERS:
            source = table_of(kind).source
            first = source.request(None, 1_000)
            dict.__setitem__(cast(Any, first.headers), "Changed", "yes")
            self.assertNotIn("Changed", source.request(None, 1_000).headers)

    def test_f7_no_mutable_defaults(self) -> None:
        """Arguments with a list or dict for a default were shared by all calls: none of our functions has one."""
        found = []
        for module in modules():
            classes = [value for value in vars(module).values() if isinstance(value, type)]
            for owner in (module, *classes):
                for name, function in vars(owner).items():
                    if getattr(function, "__module__", None) != module.__name__:
                        continue
                    defaults = getattr(function, "__defaults__", None) or ()
                    if any(isinstance(default, MUTABLE) for default in defaults):
                        found.append(f"{module.__name__}.{name}")
        self.assertEqual([], found)

    def test_hb_no_estimates(self) -> None:
        """hbc guessed from the rate how many posts to ask for: ours asks for the missing minutes, rounded up."""
        made = self.following("x-sample", {"backfill_minutes": 5}, rate=2)
        made.start()
        made.advance(20, step=1)
        made.x.fault(faults.Status(503, times=3))
        made.x.fault(faults.Cut())
        made.advance(60, step=1)
        self.assertEqual(([], []), (made.missing(), made.gaps()))
        self.assertLess(x_stream.REWIND, 60_000)

    def test_kc_one_lane(self) -> None:
        """More tasks than streams cut each other off by turns: two that would are refused before they start."""
        table = '[sources.{}]\ntype = "x-volume"\nstream = "sample10"\npartition = {}\ntoken = "t"\n'
        loads(table.format("one", 1) + table.format("two", 2))
        with self.assertRaises(ConfigurationError) as caught:
            loads(table.format("one", 1) + table.format("two", 1))
        self.assertIn("follows the same stream with the same credentials as [sources.one]", str(caught.exception))

    def test_or_stop_is_no_dead_code(self) -> None:
        """Orbited did nothing once `closing` was set: our stop waits for the bus, and can be said twice."""
        made = Following.of("x-sample", rate=2)
        made.start()
        made.bus.held = []
        made.advance(3, step=1)
        first, second = made.service.stopService(), made.streamer.stop(())
        made.pump()
        self.assertNoResult(first)
        self.successResultOf(second)
        made.bus.release()
        made.pump()
        self.successResultOf(first)
        self.assertEqual(made.due(), made.ids())
        self.assertEqual([], made.stop())

    def test_n2_every_type_has_its_limit(self) -> None:
        """A consumer without a time-out hung until somebody woke: each of our types has one by default."""
        for kind in TWITTERS:
            self.assertGreater(table_of(kind).source.stall_after, 0)
            self.assertLessEqual(table_of(kind).source.stall_after, 120)

    def test_n6_every_transport_error(self) -> None:
        """One class of error that nobody caught ended streams for eight years: all lead to the next attempt."""
        errors = (
            error.ConnectionLost(), error.ConnectionDone(), error.ConnectionAborted(), error.TimeoutError(),
            error.ConnectionRefusedError(), error.ConnectError(), error.DNSLookupError(), error.SSLError(),
            error.CertificateError(), error.PeerVerifyError(), error.ConnectBindError(), error.ConnectionClosed(),
            TLSError([("SSL routines", "", "bad record mac")]), SysCallError(-1, "Unexpected EOF"), ZeroReturnError(),
            ConnectionResetError(104, "reset"), BrokenPipeError(32, "broken"), OSError(110, "timed out"),
        )  # fmt: skip
        made = self.following("x-sample", rate=2)
        made.start()
        for times, reason in enumerate(errors, 1):
            made.advance(6, step=2)
            made.network.cut(0, reason)
            made.advance(1)
            self.assertEqual(times, made.metrics.value(m.ENDINGS, "birds", backoff.NETWORK), reason)
            self.assertIs(State.STREAMING, made.follower.course.state)
        self.assertEqual([], made.unannounced())

    def test_n10_eight_days(self) -> None:
        """Reconnects came every 80 ms until memory was gone: a server that gives one post a time meets a floor."""
        made = self.answered(200, POST)
        made.start()
        made.advance(8 * 86_400, step=3_600)
        self.assertEqual(["1800000000000000000"], made.ids())
        before = len(made.network.attempts)
        made.advance(600, step=2)
        self.assertIn(len(made.network.attempts) - before, range(30, 600 // 16 + 2))

    def test_n11_still_counted(self) -> None:
        """An upstream that still counts a connection we closed is asked again in seconds, not minutes."""
        made = self.following("x-sample", rate=2, forgets_after=12.0)
        made.start()
        made.advance(6, step=1)
        made.streamer.stop(())
        made.pump()
        self.assertEqual(0, made.x.status()["connections"])
        made.streamer.start(())
        made.pump()
        self.assertEqual(1, made.metrics.value(m.ENDINGS, "birds", backoff.CONNECTION_LIMIT))
        made.advance(20, step=1)
        self.assertTrue(made.follower.connected)
        self.assertEqual([], made.unannounced())

    def test_n29_limits_add_up(self) -> None:
        """`limit` notices, which each machine counts for itself, were thrown away: ours are a number and a gap."""
        made = self.following("twitter-v1", {"stream": "filter", "predicates": Predicates(track=("kakapo",))}, rate=0)
        made.start()
        made.x.fault(faults.Control("limit", times=5))
        for number in range(12):
            made.x.inject(f"kakapo {number}")
            made.advance(1, step=1)
        self.assertEqual(7, len(made.ids()))
        (sent,) = made.x.ledger.connections
        self.assertEqual(5, sent.limited)
        counted = made.metrics.total(m.UNDELIVERED)
        self.assertIn(counted, (2, 3, 4, 5))  # of several machines' counts no more can be told; never too many
        made.advance(70, step=10)
        (gap,) = made.gaps()
        self.assertEqual(("limit", counted), (gap.cause, gap.missed))
        self.assertEqual([], made.unannounced())


# Attributes that a framework reads from classes.
FRAMEWORK = frozenset({"optParameters", "optFlags", "subCommands", "_field_defaults"})
