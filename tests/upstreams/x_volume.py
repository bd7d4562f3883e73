"""One of two partitions of X's larger sample; all posts are in one of them."""

from streamer.secrets import Secret
from streamer.testing.x import TOKEN, SimulatedX
from streamer.testing.x_endpoints import About, Endpoint
from tests.upstreams import Upstream

SAMPLE10 = Endpoint("sample10_stream", "", partitions=2)


def due(posts: list[str]) -> list[str]:
    """Those of this partition."""
    return [id_ for id_ in posts if SAMPLE10.has(About(id_, "", None, False), 1)]


UPSTREAM = Upstream(
    "x-volume",
    {"token": Secret(TOKEN), "stream": "sample10", "partition": 1},
    SimulatedX,
    {"sample10_share": 1.0},
    due=due,
)
