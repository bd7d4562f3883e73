"""Wikimedia's recent changes; all of them."""

from streamer.testing.wikimedia import SimulatedWikimedia
from tests.upstreams import Upstream

UPSTREAM = Upstream(
    "wikimedia",
    {"contact": "tests@streamer.example"},
    SimulatedWikimedia,
    {"strict": True},
    kinds=frozenset({"change"}),
)
