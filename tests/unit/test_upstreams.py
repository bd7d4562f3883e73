"""What every source has to stand, of whatever type, each against the simulation of its upstream: one suite for all.

Split, silent, cut, refused, away, repeating itself, speaking rubbish: everything that was made comes in once, or a gap
says from when to when it is missing. What is peculiar to one upstream is tested beside its source; the delays of the
streams of X and Twitter are in `test_services_causes`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import error
from twisted.internet.defer import maybeDeferred

from streamer import metrics as m
from streamer.bus.state_lock import StateLock
from streamer.policy import backoff
from streamer.policy.course import State
from streamer.services.keeping import Keeping
from streamer.testing import faults
from tests.unit.following import Following
from tests.upstreams import Upstream, upstreams

RATE = 1.0  # things a second that an upstream makes
PATIENCE = 4000.0  # seconds in which any delay is over; the longest that a poll waits after errors is an hour
HTML = faults.Garbage(html=True)

Make = Callable[..., Following]


@pytest.fixture(params=list(upstreams().values()), ids=lambda upstream: upstream.kind)
def upstream(request: Any) -> Upstream:
    """Each upstream by turns."""
    found: Upstream = request.param
    name = request.node.originalname.removeprefix("test_")
    if name in found.without:
        pytest.skip(f"{found.kind}: {found.without[name]}")
    return found


@pytest.fixture
def follow(upstream: Upstream) -> Iterator[Make]:
    """Makes sources that must leave neither timer nor connection behind."""
    made: list[Following] = []

    def make(**options: Any) -> Following:
        made.append(Following.of(upstream.kind, **{"rate": RATE, **options}))
        made[-1].start()
        return made[-1]

    yield make
    for one in reversed(made):
        assert one.stop() == []
        assert one.network.open == 0


def step(upstream: Upstream) -> float:
    """Seconds between two looks."""
    return 0.5 if upstream.settle <= 2 else 1.0


def run(made: Following, seconds: float) -> None:
    """Let time pass."""
    made.advance(seconds, step=step(made.upstream))


def settled(made: Following) -> list[str]:
    """What was due until now has come in once, or is announced as missing; returns it."""
    due = made.due()
    run(made, made.upstream.settle)
    ids = made.ids()
    assert len(set(ids)) == len(ids), "something came twice"
    assert set(ids) <= set(made.due()), "something came that was never made"
    have = set(ids)
    lost = [id_ for id_ in made.unannounced() if id_ in due]
    assert lost == [], f"lost without a word; gaps: {made.gaps()}"
    return [id_ for id_ in due if id_ in have]


def streams_again(made: Following) -> None:
    """It is connected, sooner or later, and brings what is new."""
    waited = 0.0
    while not made.follower.connected and waited < PATIENCE:
        run(made, 5.0)
        waited += 5.0
    assert made.follower.course.state in (State.STREAMING, State.RENEWING), made.follower.said
    before = len(made.ids())
    run(made, made.upstream.settle + 5.0)
    assert len(made.ids()) > before, "nothing comes any more"
    settled(made)


def endings(made: Following) -> float:
    """How many connections ended."""
    return made.metrics.total(m.ENDINGS)


def until_ended(made: Following, limit: float) -> None:
    """Let time pass until a connection has ended."""
    before, waited = endings(made), 0.0
    while endings(made) == before and waited < limit:
        run(made, 1.0)
        waited += 1.0
    assert endings(made) > before, f"no connection ended in {limit} s"


def test_undisturbed(follow: Make) -> None:
    """Without faults everything comes in once, in order, and nothing is announced or counted as bad."""
    made = follow()
    run(made, 30.0)
    arrived = settled(made)
    assert len(arrived) > 10
    assert made.ids()[: len(arrived)] == arrived
    assert (made.gaps(), endings(made), made.metrics.total(m.BAD_FRAMES)) == ([], 0, 0)


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_split(follow: Make, size: int) -> None:
    """However the bytes are cut, the same comes of them."""
    made = follow()
    made.x.fault(faults.Split(size))
    run(made, 12.0)
    arrived = settled(made)
    assert arrived
    assert made.ids()[: len(arrived)] == arrived
    assert (endings(made), made.metrics.total(m.BAD_FRAMES)) == (0, 0)


def test_stall(follow: Make, upstream: Upstream) -> None:
    """A silent upstream is given up in time and had again; nothing is lost without a word."""
    made = follow()
    run(made, 12.0)
    made.x.fault(faults.Stall())
    until_ended(made, upstream.settle + (upstream.silence or made.source.stall_after) + 2.0)
    streams_again(made)


@pytest.mark.parametrize("reset", [False, True])
def test_cut(follow: Make, upstream: Upstream, reset: bool) -> None:
    """A connection cut in the middle of a frame is made anew, and half a frame is never taken for one."""
    made = follow()
    for _ in range(3):
        run(made, 12.0)
        made.x.fault(faults.Cut(reset=reset))
        until_ended(made, upstream.settle + 5.0)
        streams_again(made)
    assert made.metrics.value(m.BAD_FRAMES, "birds", "unreadable") == 0


def test_accept_then_close(follow: Make, upstream: Upstream) -> None:
    """A server that accepts and closes is met with growing delays, and had again when it is well."""
    made = follow()
    run(made, 12.0)
    made.x.fault(faults.AcceptThenClose(times=5))
    made.x.fault(faults.Cut())
    until_ended(made, upstream.settle + 5.0)
    attempts = len(made.network.attempts)
    run(made, 3.0)
    assert len(made.network.attempts) - attempts <= 6, "a tight loop"
    streams_again(made)


def test_refused(follow: Make, upstream: Upstream) -> None:
    """Each refusal that passes is survived."""
    made = follow()
    for status in upstream.closed:
        run(made, 12.0)
        made.x.fault(faults.Status(status, times=2, reset_after=2.0))
        made.x.fault(faults.Cut())
        until_ended(made, upstream.settle + 5.0)
        streams_again(made)


def test_unreachable(follow: Make, upstream: Upstream) -> None:
    """No name, no route, no answer, no certificate that we trust: it is tried again, and says why it could not."""
    made = follow()
    for reason in (
        error.DNSLookupError("no such host"),
        error.NoRouteError("no route"),
        error.ConnectionRefusedError("refused"),
        error.TimeoutError("nobody answered"),
        error.CertificateError("expired"),
    ):
        run(made, 6.0)
        made.network.refuses = reason
        made.x.fault(faults.Cut())
        until_ended(made, upstream.settle + 5.0)
        run(made, upstream.settle + 1.0)
        assert type(reason).__name__ in made.follower.said
        made.network.refuses = None
        streams_again(made)


def test_unreachable_at_first(follow: Make) -> None:
    """An upstream that is not there yet is waited for."""
    made = follow()
    made.service.hang_up()
    made.network.refuses = error.ConnectionRefusedError("refused")
    made.service.follow()
    run(made, 3.0)
    assert made.follower.course.state is State.WAITING
    assert made.metrics.value(m.ENDINGS, "birds", backoff.NETWORK) >= 1
    made.network.refuses = None
    streams_again(made)


def test_outage(follow: Make, upstream: Upstream) -> None:
    """After an outage of a minute, what was made meanwhile comes after all, or is announced."""
    made = follow()
    run(made, 12.0)
    made.network.refuses = error.ConnectionRefusedError("down")
    made.x.fault(faults.Cut())
    until_ended(made, upstream.settle + 5.0)
    run(made, 60.0)
    made.network.refuses = None
    streams_again(made)


def test_restart(upstream: Upstream) -> None:
    """Another process goes on where this one stopped: nothing is lost without a word, and ids are the same."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)

        def keeping() -> Keeping:
            return Keeping(place / "birds.cursor", StateLock(place, "birds"), None, maybeDeferred)

        first = Following.of(upstream.kind, rate=RATE, keeping=keeping())
        first.start()
        run(first, 12.0 + upstream.settle)
        assert first.ids()
        assert first.end().called
        first.clock.advance(30.0)
        second = Following.of(upstream.kind, keeping=keeping(), simulation=first.x, clock=first.clock)
        second.start()
        due = second.due()
        run(second, 20.0 + upstream.settle)
        have = {*first.ids(), *second.ids()}
        spans = [(gap.start, gap.end) for gap in second.gaps()]
        begun = next(index for index, id_ in enumerate(due) if id_ in have)
        lost = [
            id_ for id_ in due[begun:] if id_ not in have and not any(a <= second.posted(id_) <= b for a, b in spans)
        ]
        assert lost == []
        assert second.ids()
        assert len(set(second.ids())) == len(second.ids())
        assert second.stop() == []


@pytest.mark.parametrize("html", [False, True])
def test_garbage(follow: Make, html: bool) -> None:
    """What cannot be read is counted, and harms nothing else."""
    made = follow()
    run(made, 12.0)
    made.x.fault(faults.Garbage(html=html))
    run(made, made.upstream.settle + 2.0)
    bad, ended = made.metrics.total(m.BAD_FRAMES), endings(made)
    assert bad + ended >= 1, "nobody counted it"
    streams_again(made)


def test_huge(follow: Make) -> None:
    """Five megabytes in one piece are refused and counted, and harm nothing else."""
    made = follow()
    run(made, 12.0)
    made.x.fault(faults.Huge(5_000_000))
    run(made, made.upstream.settle + 2.0)
    assert made.metrics.total(m.BAD_FRAMES) + endings(made) >= 1, "nobody counted it"
    streams_again(made)


def test_repeats(follow: Make) -> None:
    """What comes twice is taken once; what comes out of order is all taken."""
    made = follow()
    run(made, 12.0)
    made.x.fault(faults.Duplicate(4))
    made.x.fault(faults.Reorder(2))
    run(made, 12.0)
    assert len(settled(made)) > 5


def test_behind(follow: Make) -> None:
    """While the bus takes nothing no more is read than a little; when it does, nothing was lost without a word."""
    made = follow(window=4)
    run(made, 6.0)
    made.bus.held = []
    run(made, 30.0 + made.upstream.settle)
    assert made.intake.paused
    made.bus.release()
    streams_again(made)


def test_stop(follow: Make, upstream: Upstream) -> None:
    """It can be stopped at any time, and started again."""
    made = follow()
    for seconds in (0.0, 0.5, 3.0, 10.0):
        run(made, seconds)
        made.streamer.stop(())
        made.pump()
        assert (made.follower.course.state, made.network.open) == (State.STOPPED, 0)
        assert made.x.status()["connections"] == 0
        made.streamer.start(())
        made.pump()
    streams_again(made)
