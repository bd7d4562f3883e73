"""One process a source and state directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.state_lock import StateInUse, StateLock, StateUnusable
from streamer.errors import StreamerError
from tests.unit.spooling import folder

HOLDER = """
import sys
from pathlib import Path
from streamer.bus.state_lock import StateLock
lock = StateLock(Path(sys.argv[1]), "birds")
lock.take()
print("taken", flush=True)
sys.stdin.read()
"""


class StateLockTests(SynchronousTestCase):
    """Locks in a folder."""

    def setUp(self) -> None:
        self.folder = folder(self) / "var"

    def lock(self, source: str = "birds") -> StateLock:
        """A lock that nobody has taken, released after the test."""
        lock = StateLock(self.folder, source)
        self.addCleanup(lock.release)
        return lock

    def test_one_at_a_time(self) -> None:
        """The second is told who has it, in a sentence with the source, the directory and the way out."""
        self.lock().take()
        with self.assertRaises(StateInUse) as caught:
            self.lock().take()
        self.assertEqual(
            f"source 'birds' is being followed with the state directory {self.folder} already, by process "
            f"{os.getpid()}; stop that one, or give this one another [state] directory",
            str(caught.exception),
        )
        self.assertIsInstance(caught.exception, StreamerError)

    def test_refused_again_and_again(self) -> None:
        """A refusal takes nothing from the holder, and leaves no descriptor open."""
        self.lock().take()
        before = len(os.listdir("/proc/self/fd"))
        for _ in range(5):
            self.assertRaises(StateInUse, self.lock().take)
        self.assertEqual(before, len(os.listdir("/proc/self/fd")))

    def test_release(self) -> None:
        """Then another may take it; the file stays, without a pid. Releasing twice is releasing once."""
        first = self.lock()
        first.take()
        first.release()
        first.release()
        self.assertEqual(b"", first.path.read_bytes())
        second = self.lock()
        second.take()
        first.release()
        self.assertRaises(StateInUse, first.take)

    def test_taking_twice(self) -> None:
        """It is taking once."""
        lock = self.lock()
        lock.take()
        lock.take()
        lock.release()
        self.lock().take()

    def test_sources_are_apart(self) -> None:
        """Each has its own lock, in a file that names it; private."""
        one, other = self.lock("birds"), self.lock("bees")
        one.take()
        other.take()
        self.assertEqual(self.folder / "bees.lock", other.path)
        self.assertEqual(0o600, other.path.stat().st_mode & 0o777)

    def test_directories_are_apart(self) -> None:
        """The same source may be followed with another state directory."""
        self.lock().take()
        other = StateLock(self.folder.with_name("other"), "birds")
        other.take()
        other.release()

    def test_an_unusable_directory(self) -> None:
        """The sentence names it, and says what to do."""
        self.folder.write_bytes(b"")
        with self.assertRaises(StateUnusable) as caught:
            self.lock().take()
        self.assertIn(f"cannot use the state directory {self.folder} for source 'birds'", str(caught.exception))
        self.assertIn("set [state] directory to another", str(caught.exception))

    def test_another_process(self) -> None:
        """It is told by its pid; killed outright, it gives the lock back all the same."""
        holder = subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(self.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        with holder:
            try:
                assert holder.stdout is not None
                self.assertEqual(b"taken\n", holder.stdout.readline())
                with self.assertRaises(StateInUse) as caught:
                    self.lock().take()
                self.assertIn(f"by process {holder.pid};", str(caught.exception))
            finally:
                holder.send_signal(signal.SIGKILL)
                holder.wait()
        self.lock().take()
