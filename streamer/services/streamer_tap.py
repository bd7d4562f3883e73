# -*- test-case-name: tests.unit.test_plugins -*-
"""`twistd streamer`."""

from __future__ import annotations

from streamer.services.assembly import assemble
from streamer.services.options import StreamerOptions as Options
from streamer.services.staged import Staged

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> Staged:
    """The process that `twistd streamer -c FILE [--source NAME …]` runs."""
    from twisted.internet import reactor

    return assemble(options.settings, reactor, ["streamer"], options["sources"])
