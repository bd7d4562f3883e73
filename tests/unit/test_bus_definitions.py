"""The topology as RabbitMQ's definitions, and who may do what."""

from __future__ import annotations

import json
import re
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import topology
from streamer.bus.definitions import bound, definitions, policies, render, standing
from streamer.bus.permissions import NOTHING, USERS, pattern
from streamer.bus.shards import SHARDS_LIMIT
from streamer.bus.topology import layout
from streamer.message import EVENTS, RAW

COMMITTED = Path(__file__).resolve().parents[2] / "conf/rabbitmq/definitions.json"
NAMES = sorted({*layout(2).exchanges, *layout(2).queues, topology.LOG, topology.MARKER})
BY_NAME = {user.name.removeprefix("streamer-"): user for user in USERS}


def may(user: str, right: str, name: str) -> bool:
    """Whether the broker would let the user: its patterns are searched for."""
    return re.search(getattr(BY_NAME[user].rights, right), name) is not None


class DefinitionsTests(SynchronousTestCase):
    """What an operator loads."""

    def test_committed(self) -> None:
        """`conf/rabbitmq/definitions.json` is what `streamer topology show --format json` prints."""
        self.assertEqual(COMMITTED.read_text(), render(definitions(layout())))

    @settings(max_examples=20, deadline=None)
    @given(st.integers(0, SHARDS_LIMIT), st.text(min_size=1, max_size=8), st.booleans())
    def test_whole(self, shards: int, vhost: str, users: bool) -> None:
        """Everything is on the virtual host, and whatever is referred to is there, the marker too; it is JSON."""
        document = json.loads(render(definitions(layout(shards), vhost, users=users)))
        self.assertEqual("users" in document, users)
        for name, objects in document.items():
            if name not in ("vhosts", "users"):
                self.assertEqual({one["vhost"] for one in objects}, {vhost})
        exchanges = {one["name"] for one in document["exchanges"]}
        queues = {one["name"] for one in document["queues"]}
        self.assertIn(topology.MARKER, exchanges)
        for binding in document["bindings"]:
            self.assertIn(binding["source"], exchanges)
            self.assertIn(binding["destination"], queues)
        self.assertLessEqual({one["user"] for one in document.get("permissions", [])}, {user.name for user in USERS})

    def test_optional(self) -> None:
        """An optional queue is there, and bound, where it is wanted only; its policy always is."""
        for wanted, there in (((), False), ((topology.TRENDS,), True)):
            self.assertEqual(topology.TRENDS in {queue.name for queue in standing(layout(), wanted)}, there)
            self.assertEqual(topology.TRENDS in {one.queue for one in bound(layout(), wanted)}, there)
        self.assertIn(topology.TRENDS, {policy.name for policy in policies(layout())})

    def test_policies(self) -> None:
        """One policy matches each queue and carries all that it must; shards change none of them."""
        sharded = layout(SHARDS_LIMIT)
        self.assertEqual(policies(layout()), policies(sharded))
        for queue in (*sharded.queues.values(), *sharded.streams.values()):
            ours = [one for one in policies(sharded) if one.applies == "queues" and re.search(one.pattern, queue.name)]
            self.assertEqual([one.definition for one in ours], [queue.policies()], queue.name)
            self.assertFalse([key for key in queue.required() if key.removeprefix("x-") in queue.policies()])
        for exchange in sharded.exchanges.values():
            ours = [
                one for one in policies(sharded) if one.applies != "queues" and re.search(one.pattern, exchange.name)
            ]
            self.assertEqual([one.definition["alternate-exchange"] for one in ours], [exchange.alternate] * len(ours))
            self.assertEqual(bool(ours), exchange.alternate is not None)

    def test_no_passwords(self) -> None:
        """The file is committed: it lets nobody in."""
        for user in definitions(layout())["users"]:
            self.assertEqual(user["password_hash"], "")
            self.assertNotIn("password", user)


class PermissionsTests(SynchronousTestCase):
    """Who may do what; `tests/integration/test_permissions.py` asks a broker."""

    def test_table(self) -> None:
        """Each user may do its work and nothing else, over all names of the house."""
        shard, marker = topology.shard_queue(1), topology.MARKER
        deploys = {topology.UNROUTED, topology.DEAD, topology.ENRICH, shard, topology.shard_queue(0)}
        rights: dict[str, tuple[set[str], set[str]]] = {  # write, read
            "ingest": ({RAW}, {marker}),
            "enrich": ({EVENTS}, {topology.ENRICH, topology.shard_queue(0), shard, marker}),
            "relay": ({EVENTS}, {topology.LOG, marker}),
            "operator": ({RAW, EVENTS}, {topology.DEAD, topology.UNROUTED, marker}),
            "deploy": ({*deploys, topology.TRENDS, topology.LOG}, {*deploys, RAW, EVENTS}),
        }
        self.assertEqual(rights.keys(), BY_NAME.keys())
        for user, (write, read) in rights.items():
            with self.subTest(user=user):
                self.assertEqual({name for name in NAMES if may(user, "write", name)}, write)
                self.assertEqual({name for name in NAMES if may(user, "read", name)}, read)
                configures = {name for name in NAMES if may(user, "configure", name)}
                self.assertEqual(configures, set(NAMES) if user == "deploy" else set())

    def test_services_cannot_manage(self) -> None:
        """Only who installs has a tag, and only that of policies."""
        self.assertEqual({user.name: user.tags for user in USERS if user.tags}, {"streamer-deploy": ("policymaker",)})

    def test_topics(self) -> None:
        """To the exchange of items nothing but items can be published."""
        for user in USERS:
            if may(user.name.removeprefix("streamer-"), "write", RAW):
                self.assertTrue(re.search(user.topics[RAW], "raw.birds.post.s07"))
                self.assertFalse(re.search(user.topics[RAW], "post.birds"))

    def test_deploy_can_bind_and_declare(self) -> None:
        """Whoever installs has the rights for every declaration, with or without arguments."""
        for bare in (True, False):
            for declare in topology.declares(layout(2), layout(2).queues, bare=bare):
                words, arguments = declare.keywords, dict[str, str](declare.keywords.get("arguments") or {})  # type: ignore[call-overload]
                if "bind" in declare.method:
                    self.assertTrue(may("deploy", "write", words["queue"]))  # type: ignore[arg-type]
                    self.assertTrue(may("deploy", "read", words["exchange"]))  # type: ignore[arg-type]
                    continue
                name = str(words.get("queue") or words["exchange"])
                self.assertTrue(may("deploy", "configure", name))
                for key in ("alternate-exchange", "x-dead-letter-exchange"):
                    if key in arguments:
                        self.assertTrue(may("deploy", "read", name))
                        self.assertTrue(may("deploy", "write", arguments[key]))

    @settings(max_examples=50, deadline=None)
    @given(st.sampled_from(NAMES), st.text(alphabet="streamer.log0", max_size=20))
    def test_patterns_are_whole(self, name: str, other: str) -> None:
        """A pattern matches the name it was made of and no other; that of no right matches no name."""
        self.assertTrue(re.search(pattern(name), name))
        self.assertEqual(bool(re.search(pattern(name), other)), other == name)
        self.assertFalse(re.search(NOTHING, name))
