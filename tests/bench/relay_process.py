"""Processes of `make bench-relay`: each on the core it belongs to, some of them told on stdin what to do.

The server under test has a core of its own; whoever feeds and reads it, the broker too, shares the other one.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parents[2]
TASKSET, SETSID = (shutil.which(name) or name for name in ("taskset", "setsid"))
DEADLINE = 60.0  # seconds for an answer; what takes longer is broken
STOP = 10.0  # seconds to end in
NANOSECONDS = 1e9
NICE = -10


def server_core() -> int:
    """The last one that this machine lets us use."""
    return max(os.sched_getaffinity(0))


def prepare() -> int:
    """Keep this process, and so all it starts, off the server's core, and let all have many sockets.

    Returns:
        The server's core.
    """
    cores = os.sched_getaffinity(0)
    core = server_core()
    if len(cores) > 1:
        os.sched_setaffinity(0, cores - {core})
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return core


def prefer(pid: int) -> None:
    """Let a process that leads a session go before whatever else the machine does, where this user may.

    A server that has to wait for its core finds more to send at a time, which flatters it. A process's own niceness
    counts within its session only: https://man7.org/linux/man-pages/man7/sched.7.html, "The autogroup feature".
    """
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(NICE))
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, NICE)


def pinned(core: int) -> tuple[str, ...]:
    """What goes before a command, so that it leads a session and keeps to a core; the process stays the same."""
    return (TASKSET, "-c", str(core), SETSID)


def python_module(name: str) -> tuple[str, ...]:
    """The command that runs a module of this folder."""
    return (sys.executable, "-m", f"tests.bench.{name}")


def environment() -> dict[str, str]:
    """With this checkout to import from."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "PYTHONUNBUFFERED": "1"}


class Piped:
    """A process that answers each line of its stdin by one line; what it says otherwise goes to a file.

    Args:
        core: to run on; None where this process runs.
    """

    def __init__(self, folder: Path, name: str, *command: str, core: int | None = None, cwd: Path = ROOT) -> None:
        self.name = name
        self._errors = folder / f"{name}.log"
        self._rest = b""
        before = (SETSID,) if core is None else pinned(core)
        with self._errors.open("wb") as errors:
            self._process = subprocess.Popen(
                [*before, *command],
                cwd=cwd,
                env=environment(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
            )
        prefer(self._process.pid)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close its stdin, and end it where that does not."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(STOP)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def answer(self, deadline: float = DEADLINE) -> str:
        """The next line it says.

        Raises:
            AssertionError: it ended, or took too long; the text has the end of its log.
        """
        assert self._process.stdout is not None
        end = time.monotonic() + deadline
        while b"\n" not in self._rest:
            readable, _, _ = select.select([self._process.stdout], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self._process.stdout.fileno(), 65_536) if readable else b""
            if not data:
                what = "ended" if readable else f"said nothing for {deadline:g} s"
                raise AssertionError(f"{self.name} {what}: {self._errors.read_text(errors='replace')[-2000:]}")
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        return line.decode()

    def ask(self, line: str, deadline: float = DEADLINE) -> str:
        """Tell it something and wait for its answer."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(line.encode() + b"\n")
        except BrokenPipeError:
            pass  # it ended; `answer` says why
        return self.answer(deadline)


def family(pid: int) -> Iterator[int]:
    """A process and all its children: nginx has workers."""
    yield pid
    for task in Path(f"/proc/{pid}/task").iterdir():
        for child in (task / "children").read_text().split():
            yield from family(int(child))


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a process and its children, as exactly as the scheduler knows it."""
    spent = 0
    for one in family(pid):
        for task in Path(f"/proc/{one}/task").iterdir():
            spent += int((task / "schedstat").read_text().split()[0])
    return spent / NANOSECONDS


def kernel_share(pid: int, before: tuple[int, int] = (0, 0)) -> tuple[float, tuple[int, int]]:
    """Which share of a process's CPU time is the kernel's, since `before`, an earlier second item of the result."""
    user = system = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        user, system = user + int(fields[11]), system + int(fields[12])
    spent = user + system - sum(before)
    return ((system - before[1]) / spent if spent else 0.0), (user, system)


def busy_seconds(core: int) -> float:
    """What a core has worked, for whomever; to the hundredth."""
    for line in Path("/proc/stat").read_text().splitlines():
        name, *ticks = line.split()
        if name == f"cpu{core}":
            user, nice, system, _, _, interrupts, soft, steal, *_ = map(int, ticks)
            return (user + nice + system + interrupts + soft + steal) / os.sysconf("SC_CLK_TCK")
    raise AssertionError(f"there is no core {core}")


def resident(pid: int) -> int:
    """Bytes of memory that a process and its children occupy."""
    sizes = 0
    for one in family(pid):
        fields = Path(f"/proc/{one}/statm").read_text().split()
        sizes += int(fields[1]) * resource.getpagesize()
    return sizes
