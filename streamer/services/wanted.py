# -*- test-case-name: tests.unit.test_services_wanted -*-
"""What is wanted of one source: from the configuration, from a watched file, or from an operator.

Where there is a file it is the truth: an operator's wish is written to it, and so outlives the process.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import attrs
import msgspec
from twisted.logger import Logger

from streamer.errors import ControlRefused
from streamer.interfaces import ISource, ISourceType

NOT_YET = "not live yet"  # how a problem begins that ends by itself
FILE_LIMIT = 1_000_000  # bytes; 5,000 ids are 120 kB


@attrs.define
class Wanted:
    """The predicates wanted of one source.

    Args:
        source: as it is wanted now.
        path: of the watched file; None without one.
        problem: what is wrong with the last wish, for the operator.
    """

    kind: ISourceType
    source: ISource
    path: Path | None = None
    problem: str | None = None
    written: Any = None  # what we put into the file last
    _stamp: tuple[int, ...] | None = None  # of the file when it was read

    log = Logger()

    def parse(self, body: bytes) -> ISource:
        """The source with other predicates, given as JSON.

        Raises:
            ControlRefused: they are not understood, or beyond the upstream's limits.
        """
        if self.kind.predicates is None:
            raise ControlRefused(f"a source of type {self.kind.name!r} takes no predicates", 400)
        try:
            return self.source.with_predicates(msgspec.json.decode(body, type=self.kind.predicates))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ControlRefused(f"not predicates of a {self.kind.name!r} source: {error}", 400) from error
        except ValueError as error:
            raise ControlRefused(f"{self.source.name} {error}", 400) from error

    def look(self) -> ISource | None:
        """The source that the file asks for, where the file has changed; None else."""
        if self.path is None:
            return None
        try:
            status = self.path.stat()
            stamp = _stamp_of(status)
            if stamp == self._stamp:
                return None
            self._stamp = stamp
            found = self.parse(_read(self.path, status))
        except FileNotFoundError:
            self._stamp = None
            return None  # what was wanted last goes on
        except (OSError, ValueError, ControlRefused) as error:
            self.problem = f"{self.path}: {error}"
            self.log.error(
                "The predicates of {source} stay as they were: {problem}.",
                source=self.source.name,
                problem=self.problem,
            )
            return None
        self.problem = None
        return found

    def check_writable(self) -> None:
        """See whether `write` is going to succeed, as far as that can be known without writing.

        Raises:
            ControlRefused: it cannot be written.
        """
        if self.path is None:
            return
        try:
            target = _target(self.path)
            if not os.access(target.parent, os.W_OK | os.X_OK):
                raise PermissionError(f"nothing can be written into {target.parent}")
        except (OSError, ValueError) as error:
            raise self._unwritten(error) from error

    def write(self, predicates: Any) -> None:
        """Keep an operator's wish in the file, if there is one: whole or not at all.

        Where the path is a link, what it points to is replaced. The file's permissions stay, and so does its owner
        where we may give it away.

        Raises:
            ControlRefused: it cannot be written.
        """
        if self.path is None:
            return
        self.written = predicates
        try:
            target = _target(self.path)
            beside = target.with_name(f"{target.name}.new")
            try:
                beside.write_bytes(msgspec.json.format(msgspec.json.encode(predicates)) + b"\n")
                _like(target, beside)
                os.replace(beside, target)
            except OSError:
                beside.unlink(missing_ok=True)
                raise
            self._stamp = _stamp_of(self.path.stat())
        except (OSError, ValueError) as error:
            raise self._unwritten(error) from error

    def keep(self) -> None:
        """Write what is wanted, now that the upstream has it; where that fails it is the `problem`."""
        try:
            self.write(self.source.predicates)
        except ControlRefused as error:
            self.problem = str(error)
            self.log.error("{source} has what is wanted, but {problem}", source=self.source.name, problem=self.problem)

    def _unwritten(self, error: Exception) -> ControlRefused:
        why = getattr(error, "strerror", None) or error
        return ControlRefused(f"{self.path} cannot be written: {why}", 409)


def _read(path: Path, status: os.stat_result) -> bytes:
    """A watched file's content: nothing that could block, and no more of it than the limit.

    Raises:
        ControlRefused: it is something else than a file, or longer.
    """
    if not stat.S_ISREG(status.st_mode):
        raise ControlRefused("it is no regular file", 400)
    with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
        content = file.read(FILE_LIMIT + 1)
    if len(content) > FILE_LIMIT:
        raise ControlRefused(f"it is longer than {FILE_LIMIT} bytes", 400)
    return content


def _target(path: Path) -> Path:
    """The file that is to be replaced, where links are followed."""
    target = Path(os.path.realpath(path))
    if target.exists() and not target.is_file():
        raise OSError("it is no regular file")
    return target


def _like(old: Path, new: Path) -> None:
    """Give a new file the permissions and the owner of the old one, if there is one."""
    try:
        status = old.stat()
    except FileNotFoundError:
        return
    try:
        os.chown(new, status.st_uid, status.st_gid)
    except PermissionError:
        pass  # only root may; then it is ours, as it was whenever we made it
    os.chmod(new, stat.S_IMODE(status.st_mode))


def _stamp_of(status: os.stat_result) -> tuple[int, ...]:
    """What differs once a file was written, replaced, or given other permissions."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size
