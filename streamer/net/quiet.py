# -*- test-case-name: tests.unit.test_net_admission -*-
"""Autobahn's log, without what anybody on the network can write into it.

It has a line for each connection whose client breaks a rule, so that whoever floods a relay would fill its disk too.
We count those (`CLOSED`); what is left is errors, which are ours or Autobahn's.
"""

from __future__ import annotations

from typing import Any

from twisted.logger import Logger


class Quiet:
    """Stands where Autobahn has its logger."""

    _logger = Logger(namespace="autobahn")

    def debug(self, _format: str = "", **_fields: Any) -> None:
        """Say nothing."""

    info = warn = debug

    def error(self, format: str = "", **fields: Any) -> None:
        """Log it."""
        self._logger.error(format, **fields)
