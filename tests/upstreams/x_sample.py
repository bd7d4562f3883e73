"""X's sample; all posts are in it."""

from streamer.secrets import Secret
from streamer.testing.x import TOKEN, SimulatedX
from tests.upstreams import Upstream

UPSTREAM = Upstream("x-sample", {"token": Secret(TOKEN)}, SimulatedX, {"sample_share": 1.0})
