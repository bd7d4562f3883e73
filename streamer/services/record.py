# -*- test-case-name: tests.unit.test_recording_cli -*-
"""`streamer record`: sources are followed as `twistd streamer` follows them, into a file.

Cursors are neither read nor written, but the lock of each source is taken: of two processes that follow one stream,
many an upstream cuts one off.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool

from streamer.bus.state_lock import StateLock
from streamer.errors import StreamerError
from streamer.message import rfc3339
from streamer.metrics import Metrics
from streamer.net.client import UpstreamClient, agents
from streamer.net.ways import ways
from streamer.policy.course import State
from streamer.services.keeping import Cursor, Keeping, Kept, Thread
from streamer.services.meter import Meter, amount
from streamer.services.record_bus import RecordingBus
from streamer.services.record_file import RecordingTarget
from streamer.services.sourcing import Sourcing
from streamer.services.staged import Staged
from streamer.services.streamer import StreamerService, finished
from streamer.tables import Settings, SourceSettings
from streamer.upstream import brief
from streamer.wire.recording import Header

LOOK = 1.0  # seconds between two looks at how things stand


class RecordingFailed(StreamerError):
    """The recording ended before it was meant to. Print it and exit 1."""


@attrs.define(eq=False)
class LockAlone(Keeping):
    """Takes a source's lock, and leaves its files alone."""

    async def open(self) -> Kept:
        """Take the lock; nothing is known."""
        self.lock.take()
        return Kept(None, None)

    def write(self, cursor: Cursor) -> None:
        """Keep nothing."""

    async def close(self, cursor: Cursor) -> None:
        """Let go of the lock."""
        self.lock.release()


def locked_in(directory: str, thread: Thread) -> Callable[[str], Keeping | None]:
    """Takes each source's lock in the state directory; none where that is empty."""

    def keep(name: str) -> Keeping | None:
        if not directory:
            return None
        folder = Path(directory)
        return LockAlone(folder / f"{name}.cursor", StateLock(folder, name), None, thread)

    return keep


@attrs.define(eq=False)
class Recorder:
    """One recording.

    Args:
        tables: of the sources to follow, by name.
        client: as `UpstreamClient`.
        clock: the reactor, or a Clock.
        jitter: between -1 and 1, for the back-off.
        meter: shows how it goes.
        directory: of the locks.
    """

    tables: dict[str, SourceSettings]
    target: RecordingTarget
    client: UpstreamClient
    clock: Any
    thread: Thread
    jitter: Callable[[], float]
    meter: Meter
    directory: str = ""
    seconds: float | None = None
    items: int | None = None
    _over: Deferred[str] = attrs.field(factory=Deferred)
    _told: dict[str, str] = attrs.field(factory=dict)

    async def run(self) -> None:
        """Record to the end, which may be a cancellation.

        Raises:
            RecordingFailed: it ended for another reason; what was recorded until then is there.
        """
        bus = RecordingBus(self.target, self.clock, self.thread, self.items, lambda: self._end(""), self._end)
        keeper = locked_in(self.directory, self.thread)
        metrics = Metrics()
        sourcing = Sourcing(bus, self.client, self.clock, metrics, self.jitter, self._end, keeper)
        streamer, whole = StreamerService(self.tables, sourcing), Staged()
        for service in (bus, streamer):
            whole.addService(service)
        began = self.clock.seconds()
        whole.startService()
        looking = LoopingCall(self._look, streamer, bus, began)
        looking.clock = self.clock
        looking.start(LOOK, now=False)
        timer = None if self.seconds is None else self.clock.callLater(self.seconds, self._end, "")
        try:
            failure = await self._over
        except CancelledError:
            failure = ""  # Ctrl-C is how a recording ends
        finally:
            looking.stop()
            if timer is not None and timer.active():
                timer.cancel()
        seconds = self.clock.seconds() - began
        bus.discard = bool(failure)
        await whole.stopService()
        failure = bus.failure or failure
        if bus.items or not failure:
            self.meter.say(
                f"{bus.items:,} items, {bus.size:,} bytes in {seconds:,.0f} s are recorded in {self.target.path}."
            )
        if failure:
            raise RecordingFailed(failure)

    def _end(self, failure: str) -> None:
        if not self._over.called:
            self._over.callback(failure)

    def _look(self, streamer: StreamerService, bus: RecordingBus, began: float) -> None:
        followers = {name: source.follower for name, source in streamer.sources.items()}
        for name, follower in followers.items():
            if follower.said != self._told.get(name, ""):
                self._told[name] = follower.said
                if follower.said:
                    self.meter.say(brief(f"{name}: {follower.said}"))
        if all(follower.course.state is State.FAILED for follower in followers.values()):
            whole = all(finished(source) for source in streamer.sources.values())
            self._end("" if whole else "nothing more can come: " + _reasons(streamer))
        elapsed = self.clock.seconds() - began
        self.meter.show(f"{bus.items:,} items", bus.items, elapsed, amount(bus.size))


def _reasons(streamer: StreamerService) -> str:
    return "; ".join(f"{name}: {source.follower.said}" for name, source in streamer.sources.items())


def recorder(
    settings: Settings, names: Sequence[str], path: str, reactor: Any, meter: Meter, *, force: bool, **limits: Any
) -> Recorder:
    """The recorder of a process.

    Args:
        names: of sources; all of the file's where empty.
        force: an older recording may be overwritten.
        limits: `seconds` and `items` of the recorder.

    Raises:
        RecordingNotWritten: the file is there already, or cannot be written.
    """
    tables = {name: settings.sources[name] for name in names or settings.sources}
    began = rfc3339(int(reactor.seconds() * 1000))
    header = Header.of({name: table.kind.name for name, table in tables.items()}, began)
    streamer = settings.streamer
    return Recorder(
        tables,
        RecordingTarget.create(path, header.line(), force=force),
        UpstreamClient(agents(reactor), reactor, streamer.user_agent, ways(reactor, streamer.hooks)),
        reactor,
        lambda function: deferToThreadPool(reactor, reactor.getThreadPool(), function),
        _jitter,
        meter,
        settings.state.directory,
        **limits,
    )


def _jitter() -> float:
    return random.uniform(-1, 1)  # noqa: S311 - spreads reconnects, guards nothing
