"""X's filtered stream."""

from streamer.secrets import Secret
from streamer.sources.x_filtered import Predicates
from streamer.sources.x_rules import Rule
from streamer.testing.x import TOKEN, SimulatedX
from tests.upstreams import Upstream

RULES = (Rule("cat", "pets"),)

UPSTREAM = Upstream("x-filtered", {"token": Secret(TOKEN), "predicates": Predicates(RULES)}, SimulatedX)
