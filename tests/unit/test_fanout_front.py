"""Clients that are served together, over random interleavings of everything that can happen to one of them."""

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.fanout import cohort as cohort_module
from streamer.fanout.feed import Feed
from streamer.fanout.hub import Hub
from streamer.fanout.journal import Journal
from streamer.fanout.subscription import Subscription
from streamer.metrics import DELIVERED, Metrics
from streamer.testing.relay_events import entry
from tests.unit.test_fanout_session import parsed as events_in

WANTED = frozenset(["a.#"])
CLIENTS = 4

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from(["a.x", "b.x"])),
        st.tuples(st.just("flush"), st.integers(1, 6)),
        st.tuples(st.sampled_from(["open", "close", "full", "room", "beat", "more"]), st.integers(0, CLIENTS - 1)),
    ),
    max_size=60,
)


@attrs.define(eq=False)
class Client:
    """A socket that is full or not, and what came over it."""

    hub: Hub
    start: int
    full: bool = False
    got: list[int] = attrs.field(factory=list)
    skipped: int = 0
    position: str = ""
    last: bytes = b""
    feed: Feed = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.feed = Feed(self.hub, self, 0.0)
        self.feed.flow.add(Subscription("a", self.hub.enter(WANTED), False, self.start))

    def wake(self) -> None:
        """Pull as long as there is room."""
        while not self.full and (data := self.feed.pull(300, 0.0)) is not None:
            self.take(data)

    def deliver(self, data: bytes) -> None:
        """Room was promised."""
        assert not self.full
        self.take(data)

    def take(self, data: bytes) -> None:
        self.last = data
        for name, *rest in events_in(data):
            if name == "ev":
                self.got += [int(event["id"][5:]) for event in rest[1]]
                self.position = rest[0]
            elif name == "lag":
                self.skipped += rest[0]["skipped"]
                assert rest[0]["from"] == self.position or not self.got
                self.position = rest[0]["to"]
            elif name == "pos":
                self.position = rest[0]


class FrontTests(SynchronousTestCase):
    """`Front`, through the hub."""

    def setUp(self) -> None:
        self.patch(cohort_module, "FRAME_LIMIT", 300)

    @settings(max_examples=150, deadline=None)
    @given(STEPS, st.sampled_from([3, 1000]))
    def test_interleavings(self, steps: list[tuple], limit: int) -> None:
        """Each client gets each event it wants once and in order, or is told of exactly those it did not get."""
        hub = Hub(Journal(entries_limit=limit), Metrics())
        topics: list[str] = []
        clients: dict[int, Client] = {}
        for name, argument in steps:
            if name == "append":
                hub.append(entry(len(topics), argument))
                topics.append(argument)
            elif name == "flush":
                hub.flush(argument, 0.0)
            elif name == "open" and argument not in clients:
                clients[argument] = Client(hub, hub.journal.head)
                clients[argument].wake()
            elif name == "close" and argument in clients:
                clients.pop(argument).feed.close()
            elif argument in clients:
                self.happens(clients[argument], name)
        for client in clients.values():
            client.full = False
        while hub.flush(100, 0.0):
            pass
        for client in clients.values():
            client.wake()
            wanted = [place for place in range(client.start, len(topics)) if topics[place].startswith("a")]
            self.assertEqual(sorted(set(client.got)), client.got)
            self.assertLessEqual(set(client.got), set(wanted))
            self.assertEqual(len(client.got) + client.skipped, len(wanted))
            if limit > 60:
                self.assertEqual(client.got, wanted)
            client.feed.close()
        self.assertEqual(hub.cohorts, 0)

    def happens(self, client: Client, name: str) -> None:
        if name == "full" and not client.full:
            client.full = True
            client.feed.fall_behind()
        elif name == "room" and client.full:
            client.full = False
            client.wake()
        elif name == "beat" and not client.full:
            client.take(client.feed.position(0.0))
        elif name == "more":  # a subscription that covers nothing new makes the flow begin anew where it is
            if "b" in client.feed.flow.subscriptions:
                client.feed.flow.remove("b")
            else:
                head = client.hub.journal.head
                client.feed.flow.add(Subscription("b", client.hub.enter(frozenset(["a.x"])), False, head))

    def test_one_join(self) -> None:
        """A tick is one frame for all, and its events are counted for each."""
        hub = Hub(Journal(), Metrics())
        clients = [Client(hub, 0) for _ in range(3)]
        for client in clients:
            client.wake()
        for offset in range(2):
            hub.append(entry(offset, "a.x"))
        self.assertFalse(hub.flush(10, 1.0))
        self.assertEqual([[0, 1]] * 3, [client.got for client in clients])
        self.assertEqual(1, len({id(client.last) for client in clients}))
        self.assertEqual(6, hub.metrics.value(DELIVERED))

    def test_budget(self) -> None:
        """A tick of many clients is written in pieces; who leaves in between goes on exactly where it is."""
        hub = Hub(Journal(), Metrics())
        clients = [Client(hub, 0) for _ in range(5)]
        for client in clients:
            client.wake()
        hub.append(entry(0, "a.x"))
        self.assertTrue(hub.flush(2, 1.0))
        self.assertEqual(2, sum(len(client.got) for client in clients))
        hub.append(entry(1, "a.x"))
        for client in clients:
            client.feed.fall_behind()
            client.wake()
        self.assertEqual([[0, 1]] * 5, [client.got for client in clients])
        while hub.flush(100, 2.0):
            pass
        self.assertEqual([[0, 1]] * 5, [client.got for client in clients])

    def test_rest_leaves(self) -> None:
        """Where those whom a frame has not reached all leave, the front goes on for whoever joins it."""
        hub = Hub(Journal(), Metrics())
        clients = [Client(hub, 0) for _ in range(3)]
        for client in clients:
            client.wake()
        hub.append(entry(0, "a.x"))
        self.assertTrue(hub.flush(2, 1.0))
        for client in clients:
            client.feed.close()
        newcomer = Client(hub, 1)
        newcomer.wake()
        self.assertFalse(hub.flush(10, 2.0))
        self.assertIsNotNone(newcomer.feed.flow.live.front)
        hub.append(entry(1, "a.x"))
        self.assertFalse(hub.flush(10, 3.0))
        self.assertEqual([1], newcomer.got)

    def test_late(self) -> None:
        """Serving stops when its time is up, and goes on where it was."""
        hub = Hub(Journal(), Metrics())
        clients = [Client(hub, 0) for _ in range(250)]
        for client in clients:
            client.wake()
        hub.append(entry(0, "a.x"))
        served = []
        while hub.flush(1000, 1.0, lambda: True):
            served.append(sum(len(client.got) for client in clients))
        self.assertEqual([100, 200], served[:2])
        self.assertEqual([[0]] * 250, [client.got for client in clients])

    def test_quiet(self) -> None:
        """Who was given a frame needs no position for a while."""
        hub = Hub(Journal(), Metrics())
        client = Client(hub, 0)
        client.wake()
        hub.append(entry(0, "a.x"))
        hub.flush(10, 30.0)
        self.assertFalse(client.feed.position_due(49.0))
        self.assertTrue(client.feed.position_due(51.0))
