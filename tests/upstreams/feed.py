"""A feed that is polled every two seconds; nothing is edited."""

from streamer.testing.feeds import SimulatedFeed
from tests.upstreams import Upstream

UPSTREAM = Upstream(
    "feed",
    {"url": "https://feeds.example/atom.xml", "interval": 2.0, "interval_max": 4.0},
    SimulatedFeed,
    {"edited": 0.0},
    kinds=frozenset({"entry"}),
    settle=5.0,
    silence=31.0,
)
