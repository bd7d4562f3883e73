"""Items, a folder, and a worker that waits to be told, for the tests of the spool."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.spool import Spool
from streamer.bus.spool_file import SpoolFile
from streamer.bus.spool_reserve import Reserve
from streamer.bus.spool_worker import InlineWork, Work
from streamer.message import Item

SHM = "/dev/shm"  # noqa: S108 (a folder of our own is made in it)
# Memory where there is enough of it: what a real disk survives is tested with a real kill.
MEMORY = SHM if os.path.isdir(SHM) and shutil.disk_usage(SHM).free > 200_000_000 else None
RESERVE = 4096  # bytes; enough where the disk is not really full


def folder(test: SynchronousTestCase) -> Path:
    """An empty folder, removed after the test."""
    made = tempfile.TemporaryDirectory(dir=MEMORY)
    test.addCleanup(made.cleanup)
    return Path(made.name)


def items(number: int, count: int = 2, size: int = 10) -> tuple[Item, ...]:
    """Items that tell their chunk and their place in it; each chunk's are other bytes."""
    return tuple(
        Item(
            source="birds",
            kind="post",
            id=f"{number}.{place}",
            received=1_700_000_000_000 + place,
            body=(b"%d.%d " % (number, place)).ljust(size, b"%d" % (number % 10)),
            cursor=f"c{place}" if place % 2 else None,
        )
        for place in range(count)
    )


def spool_at(path: Path, work: Work | None = None) -> Spool:
    """A spool whose work is done at once, unless another worker is given."""
    return Spool(file_at(path), InlineWork() if work is None else work)


def file_at(path: Path) -> SpoolFile:
    """A spool's file that reserves next to nothing."""
    return SpoolFile(path, reserve=Reserve(path.with_name(f"{path.name}.reserve"), RESERVE))


@attrs.define
class HeldWork:
    """Keeps what it is asked to do until it is told to; then answers as the thread would, in order."""

    waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = attrs.field(factory=list)
    stopped: bool = False

    def do(self, function: Callable[[], Any]) -> Deferred[Any]:
        """Keep it for later."""
        done: Deferred[Any] = Deferred()
        self.waiting.append((function, done))
        return done

    def stop(self) -> Deferred[None]:
        """As the thread: after everything else."""
        self.stopped = True
        return self.do(lambda: None)

    def one(self) -> None:
        """Do the oldest thing."""
        function, done = self.waiting.pop(0)
        maybeDeferred(function).chainDeferred(done)

    def all(self) -> None:
        """Do everything, and what that gives rise to."""
        while self.waiting:
            self.one()
