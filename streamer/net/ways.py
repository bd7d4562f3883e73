# -*- test-case-name: tests.unit.test_net_poller -*-
"""How each kind of `asks.Ask` that is no HTTP request is carried out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from streamer.asks import Poll
from streamer.net.client import Way
from streamer.net.poller import Poller


def ways(reactor: Any) -> Mapping[type, Way]:
    """Those of one process."""
    return {Poll: Poller(reactor, random.random)}
