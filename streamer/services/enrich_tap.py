# -*- test-case-name: tests.unit.test_plugins -*-
"""`twistd enrich`."""

from __future__ import annotations

from streamer.services.assembly import assemble
from streamer.services.options import Options
from streamer.services.staged import Staged

__all__ = ["Options", "makeService"]


def makeService(options: Options) -> Staged:
    """The process that `twistd enrich -c FILE` runs."""
    from twisted.internet import reactor

    return assemble(options.settings, reactor, ["enrich"])
