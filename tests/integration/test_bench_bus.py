"""Each contestant of `make bench-bus` does a few hundred messages, so that the bench is there when it is wanted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streamer.bus.topology import ENRICH
from streamer.testing.rabbitmq import RabbitNode
from tests.bench.bus import EVENT, ITEM, MEMORY, OURS, SHORT, Bench, Effort, ask, contestant, lacking
from tests.bench.bus_load import Delays, Failed, Taken
from tests.bench.relay_process import Piped

COUNT = 300
DELAYS = 5
PEERS = {short: name for short, name in SHORT.items() if name not in (OURS, MEMORY)}


@pytest.fixture(scope="module")
def ours(rabbit_node: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Piped]:
    """Our bus, which declares the topology for all."""
    with contestant(tmp_path_factory.mktemp("ours"), OURS, rabbit_node.url) as process:
        yield process


def work(process: Piped) -> None:
    """Every verb with a broker, and as many messages as were asked for."""
    for line, count in (
        (f"publish {' '.join(ITEM)} {COUNT}", COUNT),
        (f"consume {ENRICH} {COUNT}", COUNT - COUNT // 24),
        (f"publish {' '.join(EVENT)} {COUNT}", COUNT),
    ):
        taken = ask(process, line, Taken)
        assert isinstance(taken, Taken), (line, taken)
        assert taken.count == count
        assert taken.seconds > 0
        assert taken.cpu > 0
    delays = ask(process, f"delays {' '.join(ITEM)} {ENRICH} {DELAYS}", Delays)
    assert isinstance(delays, Delays), delays
    assert len(delays.delays) == DELAYS
    assert all(0 < one < 5e6 for one in delays.delays)


@pytest.mark.parametrize("short", PEERS)
def test_peer(short: str, ours: Piped, rabbit_node: RabbitNode, tmp_path: Path) -> None:
    """A peer does all the work there is, and leaves the queue empty."""
    name = PEERS[short]
    if reason := lacking(name):
        pytest.skip(f"{name}: {reason}")
    with contestant(tmp_path, name, rabbit_node.url) as process:
        work(process)
        bench = Bench(rabbit_node.url, {OURS: ours}, Effort(1, COUNT, COUNT, 1, DELAYS))
        bench.empty()


def test_ours(ours: Piped, rabbit_node: RabbitNode, capsys: pytest.CaptureFixture[str]) -> None:
    """Our bus does it too, and the report has its figures; whoever was not measured is said not to be."""
    work(ours)
    bench = Bench(rabbit_node.url, {OURS: ours}, Effort(2, COUNT, COUNT, 2, DELAYS))
    bench.run()
    bench.report()
    said = capsys.readouterr().out
    assert [len(one.found[OURS]) for one in (bench.publishing, bench.consuming, bench.stream)] == [2, 2, 2]
    assert len(bench.delays[OURS]) == 2 * DELAYS
    assert "## From publish to handler" in said
    assert "not measured" in said


def test_in_process(tmp_path: Path) -> None:
    """The in-process bus does both ends at once, and refuses a verb that is not its own."""
    with contestant(tmp_path, MEMORY, "memory:") as process:
        assert isinstance(ask(process, f"both {' '.join(ITEM)} {ENRICH} {COUNT}", Taken), Taken)
        assert isinstance(ask(process, f"consume {ENRICH} {COUNT}", Taken), Failed)
