"""A Mastodon server's public posts, by server-sent events."""

from streamer.secrets import Secret
from streamer.testing.mastodon import TOKEN, SimulatedMastodon
from tests.upstreams import Upstream

UPSTREAM = Upstream(
    "mastodon",
    {"token": Secret(TOKEN)},
    SimulatedMastodon,
    {"deleted": 0.0},  # what was made and deleted while nobody listened is in no timeline
    settle=8.0,  # what was missed is fetched from five seconds after the stream opened on, 40 statuses a page
    closed=(429, 500, 503),
)
