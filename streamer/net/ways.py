# -*- test-case-name: tests.unit.test_net_poller -*-
"""How each kind of `asks.Ask` that is no HTTP request is carried out."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from streamer.asks import Dial, Listen, Play, Poll
from streamer.net.client import Way
from streamer.net.dialer import Dialer, endpoints
from streamer.net.hooks import Hooks, binding
from streamer.net.player import Player
from streamer.net.poller import Poller


def ways(reactor: Any, hooks: str) -> Mapping[type, Way]:
    """Those of one process.

    Args:
        hooks: the endpoint of the hooks, in Twisted's notation; nothing listens there until the first is opened.
    """
    listening = Hooks(binding(reactor, hooks), reactor)
    return {
        Dial: Dialer(endpoints(reactor), reactor),
        Listen: listening,
        Play: Player(reactor),
        Poll: Poller(reactor, random.random, listening),
    }
