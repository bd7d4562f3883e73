"""GitHub's public events, polled every second."""

from streamer.secrets import Secret
from streamer.sources.github_types import KINDS
from streamer.testing.github import TOKEN, SimulatedGitHub
from tests.upstreams import Upstream

UPSTREAM = Upstream(
    "github",
    {"token": Secret(TOKEN), "interval": 1.0},
    SimulatedGitHub,
    {"poll_interval": 1},
    kinds=frozenset(KINDS.values()),
)
