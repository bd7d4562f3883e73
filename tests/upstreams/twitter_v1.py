"""A Twitter-compatible server's sample; all tweets are in it."""

from streamer.secrets import Secret
from streamer.testing.twitter import CREDENTIALS, SimulatedTwitter
from tests.upstreams import Upstream

UPSTREAM = Upstream(
    "twitter-v1",
    {
        "consumer_key": Secret(CREDENTIALS.consumer_key),
        "consumer_secret": Secret(CREDENTIALS.consumer_secret),
        "token": Secret(CREDENTIALS.token),
        "token_secret": Secret(CREDENTIALS.token_secret),
        "stream": "sample",
    },
    SimulatedTwitter,
    {"sample_share": 1.0},
)
