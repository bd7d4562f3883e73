# -*- test-case-name: tests.unit.test_services_wanted -*-
"""What is wanted of one source: from the configuration, from a watched file, or from an operator.

Where there is a file it is the truth: an operator's wish is written to it, and so outlives the process.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs
import msgspec
from twisted.logger import Logger

from streamer.errors import ControlRefused
from streamer.interfaces import ISource, ISourceType

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
            if status.st_size > FILE_LIMIT:
                raise ControlRefused(f"it is longer than {FILE_LIMIT} bytes", 400)
            found = self.parse(self.path.read_bytes())
        except FileNotFoundError:
            self._stamp = None
            return None  # what was wanted last goes on
        except (OSError, ControlRefused) as error:
            self.problem = f"{self.path}: {error}"
            self.log.error(
                "The predicates of {source} stay as they were: {problem}.",
                source=self.source.name,
                problem=self.problem,
            )
            return None
        self.problem = None
        return found

    def write(self, predicates: Any) -> None:
        """Keep an operator's wish in the file, if there is one.

        Raises:
            ControlRefused: it cannot be written.
        """
        if self.path is None:
            return
        beside = self.path.with_name(f"{self.path.name}.new")
        try:
            beside.write_bytes(msgspec.json.format(msgspec.json.encode(predicates)) + b"\n")
            os.replace(beside, self.path)
            self._stamp = _stamp_of(self.path.stat())
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise ControlRefused(f"{self.path} cannot be written: {error.strerror or error}", 409) from error


def _stamp_of(status: os.stat_result) -> tuple[int, ...]:
    """What differs once a file was written, replaced, or given other permissions."""
    return status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size
