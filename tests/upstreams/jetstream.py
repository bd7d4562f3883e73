"""A Jetstream; all its posts are asked for."""

from streamer.testing.jetstream import SimulatedJetstream
from tests.upstreams import Upstream

UPSTREAM = Upstream("jetstream", {}, SimulatedJetstream, closed=(403, 429, 500, 503))
