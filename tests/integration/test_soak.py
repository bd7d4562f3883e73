"""A minute of the soak, and the judge of it put to the test: it must see each promise that is broken."""

from __future__ import annotations

import shutil
from pathlib import Path

import attrs
import pytest

from streamer.gap import Gap
from streamer.testing.rabbitmq import RabbitNode
from streamer.testing.snowflakes import Snowflakes
from tests.soak import judge
from tests.soak.consumer import Arrival
from tests.soak.run import Soak
from tests.soak.schedule import PAUSES, plan
from tests.soak.upstreams import Made

MINUTE = 50.0  # seconds of faults; starting and coming to rest take the rest
SEED = 20
NOW = 1_790_000_000_000  # ms since the epoch


def ids(number: int) -> list[str]:
    """Ids of posts made a second apart."""
    flakes = Snowflakes()
    return [flakes.next(NOW + place * 1000) for place in range(number)]


def arrival(id_: str, received: int = NOW, kind: str = "post", body: bytes = b"") -> Arrival:
    """A delivery of the source `s`."""
    return Arrival(received / 1000, f"s/{id_}", kind, received, False, body)


def gap(start: int, end: int, cause: str = "network") -> Arrival:
    """A gap in seconds of the made-up time."""
    item = Gap(start=NOW + start * 1000, end=NOW + end * 1000, cause=cause).item("s", NOW)
    return arrival(item.id, kind=item.kind, body=item.body)


def test_a_minute(tmp_path: Path) -> None:
    """A minute of faults at both ends: every promise is kept."""
    if not RabbitNode.available():
        pytest.skip("RabbitMQ is not installed here (Debian's package rabbitmq-server)")
    report = Soak(SEED, MINUTE, tmp_path).run()
    assert not report.broken, str(report)
    assert len(report.happened) > MINUTE / 3, str(report)
    assert report.sources["x"].connections > 2, str(report)
    shutil.rmtree(tmp_path)


class TestPlan:
    """The schedule of faults."""

    def test_is_decided_by_its_seed(self) -> None:
        """The same seed makes the same faults at the same times, another one others."""
        assert plan(1, 60) == plan(1, 60)
        assert plan(1, 60) != plan(2, 60)

    def test_concerns_everybody_in_time(self) -> None:
        """Faults come in order, none after the end, and every party has some."""
        faults = plan(3, 60)
        assert [fault.at for fault in faults] == sorted(fault.at for fault in faults)
        assert faults[-1].at < 60
        assert {fault.party for fault in faults} == set(PAUSES)

    def test_long_absences_need_long_runs(self) -> None:
        """A rate limit, which takes a minute and more, does not come in a run that is not much longer."""
        assert not [fault for fault in plan(3, 200) if fault.deed.get("status") in (420, 429)]
        assert [fault for fault in plan(3, 600) if fault.deed.get("status") in (420, 429)]


class TestJudge:
    """The judgements, each on a run that breaks it and one that does not."""

    def test_replayable(self) -> None:
        """Of an upstream that repeats, nothing may be missing, deletes included."""
        posts = ids(3)
        made = Made(posts, posts[:1], [posts])
        all_of_it = [*map(arrival, posts), arrival(f"delete:{posts[0]}", kind="delete")]
        assert judge.judge_replayable("s", made, all_of_it) == []
        (lost,) = judge.judge_replayable("s", made, all_of_it[1:])
        assert posts[0] in lost.what
        (undeleted,) = judge.judge_replayable("s", made, all_of_it[:-1])
        assert "1 of 1 deletes" in undeleted.what
        (false,) = judge.judge_replayable("s", made, [*all_of_it, gap(0, 1)])
        assert "1 gaps" in false.what

    def test_announced(self) -> None:
        """What an upstream cannot repeat must lie in a gap, to the second."""
        posts = ids(60)
        made = Made(posts, [], [posts])
        came = [arrival(id_) for id_ in posts[:10] + posts[13:]]
        assert judge.judge_announced("s", made, [*came, gap(10, 12)]) == []
        assert judge.judge_announced("s", made, [*came, gap(11, 12)]) == []  # a second of tolerance
        (silent,) = judge.judge_announced("s", made, [*came, gap(12, 14)])
        assert posts[10] in silent.what
        assert posts[11] not in silent.what
        assert silent.times == ((NOW + 10_000) / 1000,)

    def test_gaps_without_losses(self) -> None:
        """Gaps that cover much more than what is missing are as bad as silence; single losses are announced late."""
        posts = ids(200)
        made = Made(posts, [], [posts])
        came = [arrival(id_) for id_ in posts[:20] + posts[23:]]
        assert judge.judge_announced("s", made, [*came, gap(12, 24)]) == []
        (broken,) = judge.judge_announced("s", made, [*came, gap(5, 24)])
        assert "17.0 s longer" in broken.what
        (broken,) = judge.judge_announced("s", made, [*came, gap(20, 22), gap(100, 111)])
        assert "11.0 s longer" in broken.what
        assert judge.judge_announced("s", made, [*came, gap(0, 59, "limit")]) == []

    def test_gaps_without_end(self) -> None:
        """A run that is all gaps proves nothing."""
        posts = ids(200)
        made = Made(posts, [], [posts])
        came = [arrival(id_) for id_ in posts]
        (broken,) = judge.judge_announced("s", made, [*came, gap(0, 199, "limit")])
        assert "199.0 s of 199.0 s" in broken.what

    def test_order(self) -> None:
        """What was received together comes in the order of making; what was missed may come late, received later."""
        first, second, third = posts = ids(3)
        made = Made(posts, [], [posts])
        straight = [arrival(first, NOW), arrival(second, NOW), arrival(third, NOW + 1)]
        assert judge.judge_order("s", made, straight) == []
        replayed = [arrival(first, NOW), arrival(third, NOW + 1), arrival(second, NOW + 5)]
        assert judge.judge_order("s", made, replayed) == []
        (broken,) = judge.judge_order("s", made, [straight[1], straight[0], straight[2]])
        assert "1 posts came too late" in broken.what
        assert first in broken.what

    def test_strangers(self) -> None:
        """A post that nobody made is found; one made after the question is none."""
        *posts, later = ids(4)
        made = Made(posts[1:], [], [posts])
        assert judge.judge_strangers("s", made, [arrival(posts[1]), arrival(later)]) == []
        (broken,) = judge.judge_strangers("s", made, [arrival(posts[0])])
        assert posts[0] in broken.what

    def test_repeats(self) -> None:
        """Repeats are told apart by who repeats, and are no deliveries of their own."""
        one = arrival(ids(1)[0])
        again = attrs.evolve(one, redelivered=True)
        assert judge.repeats([one, one, again, again]) == (2, 1)
        assert judge.delivered([one, again], "s") == [one]
        assert judge.delivered([one], "t") == []

    def test_newest(self) -> None:
        """The post that was made last is told of each source, whatever order they came in."""
        first, second = ids(2)
        assert judge.newest([arrival(second), arrival(first), gap(0, 1)]) == {"s": int(second)}

    def test_missing_spans(self) -> None:
        """Neighbours that are missing make one span."""
        posts = ids(6)
        spans = judge.missing_spans(posts, {posts[0], posts[3]})
        assert spans == [(NOW + 1000, NOW + 2000), (NOW + 4000, NOW + 5000)]
        assert judge.length([(0, 10), (5, 20), (30, 31)]) == 21
