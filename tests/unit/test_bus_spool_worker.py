"""The spool's thread, and what stands for it in tests: the same promises."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.interfaces import IReactorFromThreads
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.spool import Spool, SpoolFailed
from streamer.bus.spool_worker import InlineWork, ThreadWork, Work
from tests.unit.spooling import folder, items

LIMIT = 10.0  # seconds; what takes longer is broken


class Calls:
    """The part of a reactor that takes calls from threads; the test makes them."""

    def __init__(self) -> None:
        self.calls: queue.SimpleQueue[tuple[Callable[..., Any], tuple[Any, ...]]] = queue.SimpleQueue()

    def callFromThread(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Called in the spool's thread."""
        self.calls.put((function, arguments))

    def one(self) -> None:
        """Make the oldest call, waiting for it."""
        function, arguments = self.calls.get(timeout=LIMIT)
        function(*arguments)


def threads(name: str) -> list[threading.Thread]:
    """The threads of one worker."""
    return [thread for thread in threading.enumerate() if name in thread.name]


class WorkPromises:
    """What both keep; `wait` lets the next answer come in."""

    work: Work

    def wait(self) -> None:
        """Nothing to wait for."""

    def test_answers(self: Any) -> None:
        """What a function returns or raises comes back."""
        done = self.work.do(lambda: 5)
        self.wait()
        self.assertEqual(5, self.successResultOf(done))
        done = self.work.do(lambda: 1 // 0)
        self.wait()
        self.failureResultOf(done, ZeroDivisionError)

    def test_one_after_another(self: Any) -> None:
        """In the order they were asked for, all in one thread."""
        seen: list[tuple[int, threading.Thread]] = []
        asked = [self.work.do(lambda n=n: seen.append((n, threading.current_thread()))) for n in range(50)]
        for done in asked:
            self.wait()
            self.successResultOf(done)
        self.assertEqual(list(range(50)), [n for n, _ in seen])
        self.assertEqual(1, len({thread for _, thread in seen}))

    def test_stop_comes_last(self: Any) -> None:
        """After everything that was asked before it."""
        seen: list[str] = []
        done = self.work.do(lambda: seen.append("done"))
        stopped = self.work.stop()
        stopped.addCallback(lambda _: seen.append("stopped"))
        self.wait()
        self.successResultOf(done)
        self.wait()
        self.successResultOf(stopped)
        self.assertEqual(["done", "stopped"], seen)


class ThreadWorkTests(WorkPromises, SynchronousTestCase):
    """A real thread, a reactor that is told when."""

    def setUp(self) -> None:
        self.calls = Calls()
        self.work = self.thread_work = ThreadWork(cast(IReactorFromThreads, self.calls), self.id())
        self.addCleanup(self.stop)

    def stop(self) -> None:
        """End the thread, if there is one."""
        stopped = self.work.stop()
        if not stopped.called:
            self.wait()
        self.successResultOf(stopped)
        self.assertEqual([], threads(self.id()))

    def wait(self) -> None:
        """For one answer."""
        self.calls.one()

    def test_a_thread_of_its_own(self) -> None:
        """The caller's thread does not wait; there is one thread, and none before there is something to do."""
        self.assertEqual([], threads(self.id()))
        go_on = threading.Event()
        done = self.work.do(lambda: go_on.wait(LIMIT))
        self.assertNoResult(done)
        self.assertEqual(1, len(threads(self.id())))
        go_on.set()
        self.wait()
        self.assertTrue(self.successResultOf(done))

    def test_nobody_is_kept_alive(self) -> None:
        """A process that ends without stopping it is not held up by its thread."""
        self.work.do(lambda: None)
        self.wait()
        self.assertTrue(all(thread.daemon for thread in threads(self.id())))

    def test_stopping_what_never_began(self) -> None:
        """It is done at once."""
        self.successResultOf(self.work.stop())


class InlineWorkTests(WorkPromises, SynchronousTestCase):
    """Everything at once."""

    def setUp(self) -> None:
        self.work = InlineWork()

    def test_stopped(self) -> None:
        """Asking it for more is a defect."""
        self.successResultOf(self.work.stop())
        self.assertRaises(RuntimeError, self.work.do, lambda: None)


class SpoolInAThreadTests(SynchronousTestCase):
    """The spool as a service makes it."""

    def test_life(self) -> None:
        """Open, append, read, delete, close: all in the thread, which is gone in the end."""
        calls = Calls()
        path = folder(self) / f"{self.id()}.spool"
        spool = Spool.at(path, cast(IReactorFromThreads, calls), "normal")

        def done(asked: Any) -> Any:
            while not asked.called:
                calls.one()
            return self.successResultOf(asked)

        self.assertEqual(0, done(spool.open()).items)
        appended = [spool.append(number, items(number)) for number in (2, 1)]
        self.assertEqual(1, done(spool.next()).number)
        for each in appended:
            done(each)
        done(spool.delete(1))
        self.assertEqual(2, spool.items)
        self.assertEqual(1, len(threads(path.name)))
        done(spool.close())
        self.assertEqual([], threads(path.name))
        self.assertEqual([path], list(path.parent.iterdir()))
        self.failureResultOf(spool.append(3, items(3)), SpoolFailed)
