# -*- test-case-name: tests.unit.test_plugins -*-
"""`twistd pipeline`: all three services in one process, by default on the in-memory bus."""

from __future__ import annotations

from streamer.services.assembly import ROLES, assemble
from streamer.services.options import PipelineOptions as Options
from streamer.services.staged import Staged

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> Staged:
    """The process that `twistd pipeline -c FILE` runs; its admin endpoint is that of `[streamer]`."""
    from twisted.internet import reactor

    return assemble(options.settings, reactor, list(ROLES))
