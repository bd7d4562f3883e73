"""A process that fills and drains a spool is killed outright, again and again: nothing it was told of is lost.

Run as a program, this file is that process: it writes to its output what it asked for and what it was told,
`+n` chunk n is on disk, `-n` its delete was asked for, `x n` it is gone.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

from streamer.bus.spool import Stored
from streamer.bus.spool_file import SpoolFile
from streamer.bus.spool_values import Chunk, Job
from streamer.message import Item

ROUNDS = 6
ITEMS = 300  # in a chunk, at most


def items(number: int) -> tuple[Item, ...]:
    """The items of a chunk, the same in every process."""
    rng = random.Random(number)
    return tuple(
        Item(
            source="birds",
            kind="post",
            id=f"{number}.{place}",
            received=place,
            body=rng.randbytes(rng.randint(0, 2000)),
        )
        for place in range(rng.randint(1, ITEMS))
    )


def test_nothing_told_is_lost_by_a_kill(tmp_path: Path) -> None:
    """Every append that had fired is there, in order and whole; every delete that had fired is done."""
    path = tmp_path / "var" / "birds.spool"
    rng = random.Random(7)
    stored, deleting, deleted, first = set[int](), set[int](), set[int](), 1
    for _ in range(ROUNDS):
        told = run_and_kill(path, first, rng.uniform(0.05, 0.8))
        stored |= {int(line[1:]) for line in told if line.startswith("+")}
        deleting |= {int(line[1:]) for line in told if line.startswith("-")}
        deleted |= {int(line[1:]) for line in told if line.startswith("x")}
        found, numbers = read(path)
        assert found.moved is None
        assert stored - deleting <= set(numbers)
        assert not deleted & set(numbers)
        assert numbers == sorted(numbers)
        newest = items(numbers[-1])[-1] if numbers else None
        assert found.last == newest
        first = max(stored | set(numbers), default=0) + 1000  # past what was asked for and never told
    assert len(stored) > ROUNDS, "the process did next to nothing"
    assert deleted, "the process drained nothing"


def run_and_kill(path: Path, first: int, after: float) -> list[str]:
    """Run the process, kill it `after` seconds past its first append. Returns the whole lines it wrote."""
    with subprocess.Popen(
        [sys.executable, __file__, str(path), str(first)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    ) as process:
        assert process.stdout is not None
        try:
            begun = process.stdout.readline()
            time.sleep(after)
        finally:
            process.kill()
        output = begun + process.stdout.read()
    assert begun, "the process ended by itself"
    return [line.decode() for line in output.splitlines(keepends=True) if line.endswith(b"\n")]


def read(path: Path) -> tuple[Stored, list[int]]:
    """What the next start finds, every chunk checked."""
    file = SpoolFile(path)
    stored, lost = file.open()
    assert not lost
    numbers, count = [], 0
    while True:
        chunk = file.run(Job((), read=True)).chunk
        if chunk is None:
            break
        assert isinstance(chunk, Chunk)
        assert chunk.items == items(chunk.number)
        numbers.append(chunk.number)
        count += len(chunk.items)
    file.close()
    assert count == stored.items
    return stored, numbers


def main(path: str, first: str) -> None:
    """Append and drain until killed; a little more is appended than drained."""
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred, DeferredList

    from streamer.bus.spool import Spool

    spool = Spool.at(path, reactor)  # type: ignore[arg-type]

    def tell(word: str, number: int) -> None:
        sys.stdout.write(f"{word}{number}\n")
        sys.stdout.flush()

    async def work() -> None:
        await spool.open()
        rng = random.Random(first)
        number = int(first)
        while True:
            asked = []
            for _ in range(rng.randint(1, 4)):
                asked.append(spool.append(number, items(number)).addCallback(lambda _, n=number: tell("+", n)))
                number += 1
            if rng.random() < 0.6 and (chunk := await spool.next()) is not None:
                tell("-", chunk.number)
                asked.append(spool.delete(chunk.number).addCallback(lambda _, n=chunk.number: tell("x", n)))
            await DeferredList(asked, fireOnOneErrback=True)

    def fail(failure: object) -> None:
        print(failure, file=sys.stderr)
        reactor.stop()  # type: ignore[attr-defined]

    reactor.callWhenRunning(lambda: Deferred.fromCoroutine(work()).addErrback(fail))  # type: ignore[attr-defined]
    reactor.run()  # type: ignore[attr-defined]


if __name__ == "__main__":
    main(*sys.argv[1:])
