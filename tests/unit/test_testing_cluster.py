"""What is pure of the private cluster, and of the judgement that the cluster's test passes on a run."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from streamer.testing.rabbitmq_processes import free_port
from streamer.testing.rabbitmq_queues import move_quorum, move_stream, read_lags, read_replicas
from tests.integration.cluster_ledger import Ledger, Pauses, derived_id, disordered, event_id, item_id, once

NODES = frozenset({"a@localhost", "b@localhost", "c@localhost"})


def listed(**changes: object) -> str:
    """One row as `rabbitmqctl list_queues` prints it."""
    row = {"name": "q", "type": "quorum", "leader": "a@localhost", "members": sorted(NODES), "online": sorted(NODES)}
    return json.dumps([{**row, **changes}])


class ReplicasTests(SynchronousTestCase):
    """Reading what rabbitmqctl prints."""

    def test_whole(self) -> None:
        """A queue is whole with a leader and all replicas online; not where one is away, or where none leads."""
        cases = [
            (listed(), True),
            (listed(type="stream"), True),
            (listed(online=["a@localhost", "b@localhost"]), False),
            (listed(members=["a@localhost", "b@localhost"], online=["a@localhost", "b@localhost"]), False),
            (listed(leader=""), False),
            (listed(leader=None, online=None), False),
        ]
        for text, whole in cases:
            with self.subTest(text):
                self.assertEqual(whole, read_replicas(text)["q"].whole(NODES))

    def test_classic_queues_have_none(self) -> None:
        """rabbitmqctl gives empty texts for them."""
        self.assertEqual({}, read_replicas(listed(type="classic", leader="", members="", online="")))

    def test_nonsense(self) -> None:
        """What is not rabbitmqctl's JSON is refused, not taken for an empty broker."""
        for text in ("", "Error: unable to connect", '{"name": "q"}'):
            with self.subTest(text), self.assertRaises(ValueError):
                read_replicas(text)

    def test_lags(self) -> None:
        """Each replica's line is read, and what else was printed is left."""
        printed = "streamer.log streamer-1@localhost 0\nstreamer.log streamer-2@localhost 17\nok\n"
        lags = {("streamer.log", "streamer-1@localhost"): 0, ("streamer.log", "streamer-2@localhost"): 17}
        self.assertEqual(lags, read_lags(printed))

    def test_erlang_is_quoted(self) -> None:
        """Names cannot end the Erlang text or atom they stand in."""
        quorum = move_quorum('v"', ["q\\"], "it's@localhost")
        stream = move_stream("/", "s", "it's@localhost")
        self.assertIn(r'<<"v\"">>, queue, <<"q\\">>', quorum)
        self.assertIn(r"'it\'s@localhost'", quorum)
        self.assertIn(r"Wanted = 'it\'s@localhost'", stream)
        self.assertNotIn("TARGET", stream)


class PortTests(SynchronousTestCase):
    """Ports for nodes that are killed and come back."""

    def test_no_outgoing_connection_gets_it(self) -> None:
        """The port lies below those that the kernel hands out."""
        with open("/proc/sys/net/ipv4/ip_local_port_range", encoding="ascii") as file:
            lowest = int(file.read().split()[0])
        self.assertTrue(all(1024 < free_port() < lowest for _ in range(20)))


def whole() -> Ledger:
    """A run of two authors in which all is well, duplicates and all."""
    ledger = Ledger()
    items = [item_id(author, number) for number in range(3) for author in (1, 2)]
    events = [event_id(author, number) for number in range(3) for author in (1, 2)]
    ledger.confirmed.update(items, events)
    ledger.handled += [*items, items[-1], items[-2]]
    for entries in ledger.entries:
        entries += enumerate([*events, *map(derived_id, items), derived_id(items[0]), events[0]])
    return ledger


class LedgerTests(SynchronousTestCase):
    """The judge must see each promise that is broken."""

    def test_all_is_well(self) -> None:
        """Repeats are counted, not complained of: who reads drops them by id."""
        ledger = whole()
        self.assertEqual([], ledger.complaints(ordered=True))
        numbers = ledger.numbers()
        self.assertEqual(
            (6, 2, 14, 2), tuple(numbers[n] for n in ("handled", "handled_again", "entries", "entries_again"))
        )
        self.assertEqual({"items": 6, "events": 6}, numbers["confirmed"])

    def test_what_is_lost(self) -> None:
        """An item that nobody handled, an event of either kind that the log has not."""
        ledger = whole()
        ledger.handled = [id_ for id_ in ledger.handled if id_ != item_id(1, 1)]
        self.assertIn("1 items were confirmed and never handled, e.g. birds/1:1", ledger.complaints(ordered=False))
        for lost in (event_id(2, 1), derived_id(item_id(2, 1))):
            ledger = whole()
            for entries in ledger.entries:
                entries[:] = [entry for entry in entries if entry[1] != lost]
            with self.subTest(lost):
                self.assertEqual(
                    [f"1 events were confirmed and are not in the log, e.g. {lost}"], ledger.complaints(ordered=True)
                )

    def test_what_is_out_of_order(self) -> None:
        """Items of an author count only where order was promised, the publisher's own events always."""
        ledger = whole()
        ledger.handled[0], ledger.handled[2] = ledger.handled[2], ledger.handled[0]
        self.assertEqual([], ledger.complaints(ordered=False))
        self.assertEqual(1, len(ledger.complaints(ordered=True)))
        ledger = whole()
        for entries in ledger.entries:
            entries[0], entries[2] = (0, event_id(1, 1)), (2, event_id(1, 0))
            del entries[-1]
        self.assertEqual(
            ["1 events of an author are in the log out of order, e.g. /sources/birds#note:1:0"],
            ledger.complaints(ordered=False),
        )

    def test_what_readers_must_agree_on(self) -> None:
        """An offset that comes twice or goes back, and two readers that saw different logs."""
        ledger = whole()
        ledger.entries[1].append(ledger.entries[1][-1])
        complaints = ledger.complaints(ordered=True)
        self.assertEqual(
            ["1 entries came to reader 1 twice or out of order, e.g. 13",
             "1 entries differ between reader 0 and reader 1, e.g. at the end"],
            complaints,
        )  # fmt: skip

    def test_order_is_of_first_occurrences(self) -> None:
        """What is seen again after a later one is no disorder once repeats are dropped."""
        ids = ["x:0", "x:1", "y:0", "x:0", "x:2"]
        self.assertEqual(["x:0"], disordered(ids))
        self.assertEqual([], disordered(once(ids)))


class PausesTests(SynchronousTestCase):
    """How long nothing came."""

    def test_phases(self) -> None:
        """Each phase has its own longest pause; one that spans two phases counts in both, and in the whole."""
        pauses = Pauses()
        for at in (10.0, 11.0, 11.5):
            pauses.note(at)
        self.assertEqual(1.0, pauses.turn(11.5))
        self.assertEqual(2.0, pauses.turn(13.5))
        pauses.note(14.5)
        self.assertEqual(3.0, pauses.turn(14.5))
        self.assertEqual(3.0, pauses.longest)
