"""The steps of `streamer topology declare`."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from streamer.bus import topology
from streamer.bus.definitions import definitions
from streamer.bus.permissions import USERS
from streamer.bus.topology import declares, layout
from streamer.services.topology_declare import Declaring, describe, differs, lacking, prepare, refusal, steps
from streamer.services.topology_management import Management, Refused, Request, path
from tests.bus_stock import Stock
from tests.management_api import Api
from tests.unit.test_bus_survey import MARKER, Turned

VHOST = "/feed"


class PrepareTests(Turned):
    """By the management API."""

    def setUp(self) -> None:
        super().setUp()
        self.api = Api()
        self.said: list[str] = []

    def prepare(self, shards: int = 0, *, users: bool = False) -> bool:
        management = Management.at("http://rabbit:15672", "deploy", "x", self.api.connect)
        return prepare(management, list(steps(layout(shards), VHOST, (), users=users)), self.said.append)

    def test_same_as_definitions(self) -> None:
        """It makes what the definitions hold, policies first and the marker last."""
        for shards in (0, 3):
            self.api.kept.clear()
            self.api.asked.clear()
            self.assertTrue(self.prepare(shards, users=True))
            whole = definitions(layout(shards), VHOST)
            for name in ("policies", "queues", "exchanges"):
                kept = {parts[2]: body for parts, body in self.api.kept.items() if parts[0] == name}
                self.assertEqual(set(kept), {one["name"] for one in whole[name]})
                for one in whole[name]:
                    for key in ("arguments", "definition", "pattern", "type", "apply-to", "priority"):
                        if key in one and (key, one[key]) != ("arguments", {}):
                            self.assertEqual(kept[one["name"]][key], one[key])
            bound = {
                (parts[3], parts[5], body["routing_key"])
                for parts, body in self.api.kept.items()
                if parts[0] == "bindings"
            }
            wanted = {(one["source"], one["destination"], one["routing_key"]) for one in whole["bindings"]}
            self.assertEqual(bound, wanted)
            kinds = [parts[1] for parts in self.api.asked if parts[0] == "PUT"]
            self.assertLess(max(n for n, kind in enumerate(kinds) if kind == "policies"), kinds.index("queues"))
            self.assertEqual(self.api.asked[-1], ("PUT", "exchanges", VHOST, topology.MARKER))
            for user in whole["permissions"]:
                kept_rights = self.api.kept["permissions", VHOST, user["user"]]
                self.assertEqual({**user, **kept_rights}, user)

    def test_users_keep_passwords(self) -> None:
        """A user that is there is left as it is; only its permissions are set."""
        name = USERS[0].name
        self.api.kept["users", name] = {"password_hash": "kept"}
        self.assertTrue(self.prepare(users=True))
        self.assertEqual(self.api.kept["users", name], {"password_hash": "kept"})
        self.assertIn(f"make user {name}, without a password: there already", self.said)
        self.assertEqual(self.api.kept["users", USERS[1].name]["password_hash"], "")

    def test_unbinds(self) -> None:
        """The binding of another number of shards is taken off by the name the API has for it; none is as good."""
        self.assertTrue(self.prepare())
        place = ("bindings", VHOST, "e", topology.RAW, "q", topology.ENRICH)
        self.assertIn(("DELETE", *place, "raw.%2A.%2A"), self.api.asked)
        self.assertIn("unbind streamer.enrich from streamer.raw, raw.*.*: not there", self.said)
        self.api.kept[(*place, "raw.%23")] = {}
        self.assertTrue(self.prepare(1))
        self.assertNotIn((*place, "raw.%23"), self.api.kept)

    def test_refused(self) -> None:
        """The first refusal ends it, explained; so the marker never says more than is there."""
        reason = "inequivalent arg 'x-max-length' for queue 'streamer.dead' in vhost '/feed': received none"
        for status, said, mend in (
            (400, reason, "run empty, delete it (rabbitmqctl delete_queue streamer.dead --vhost /feed)"),
            (401, "Access refused", "set_permissions -p /feed deploy '.*' '.*' '.*'), whatever its tags"),
        ):
            self.api.refuses["queues", VHOST, topology.DEAD] = (status, said)
            self.assertFalse(self.prepare())
            self.assertIn(f"REFUSED: {said}", self.said[-1])
            self.assertIn(mend, self.said[-1])
            self.assertNotIn(("exchanges", VHOST, topology.MARKER), self.api.kept)
        self.api.refuses.clear()
        self.api.refuses["users", USERS[0].name] = (401, "Not administrator user")
        self.assertFalse(self.prepare(users=True))
        self.assertIn("Not administrator user. Users and permissions take the tag administrator", self.said[-1])

    def test_advice(self) -> None:
        """What helps depends on what was asked and by whom; no sentence ends twice."""
        where = path("exchanges", "/feed", "x")
        for status, reason, at, user, words in (
            (404, "vhost_not_found", path("policies", "/a b", "x"), "admin", "rabbitmqctl add_vhost '/a b'"),
            (401, "Access refused.", where, "anna", "permissions in the virtual host (rabbitmqctl set_permissions -p"),
            (401, "Access refused.", path("policies", "/", "x"), "anna", ", and the tag policymaker"),
            (
                401,
                "Access refused.",
                where,
                "streamer-deploy",
                r"set_permissions -p /feed streamer-deploy '^streamer\.'",
            ),
            (401, "Access refused.", where, "streamer-relay", "streamer-relay is not there to declare"),
            (401, "Not administrator user", path("permissions", "/", "x"), "a b", "set_user_tags 'a b' administrator"),
        ):
            with self.subTest(reason=reason, at=at, user=user):
                self.assertIn(words, refusal(Refused(status, reason), Request("PUT", at), user))
        self.assertEqual(refusal(Refused(400, "bad"), Request("PUT", where), "anna"), "")
        self.api.refuses["exchanges", VHOST, topology.RAW] = (401, "Access refused.")
        self.assertFalse(self.prepare())
        self.assertIn("REFUSED: Access refused. The user", self.said[-1])

    def test_repeated(self) -> None:
        """What is there already is done again, and said so."""
        self.assertTrue(self.prepare())
        first, self.said[:] = list(self.said), []
        self.assertTrue(self.prepare())
        self.assertTrue(any(line.endswith(": made") for line in first))
        self.assertFalse([line for line in self.said if line.endswith(": made") and not line.startswith("bind ")])


class DeclaringTests(Turned):
    """Over AMQP."""

    def declare(self, stock: Stock) -> tuple[bool, list[str]]:
        said: list[str] = []
        running: Deferred[Any] = self.visit(Declaring(layout(1), (), said.append).run, stock.broker(self.clock))
        done = self.turn(running)
        self.clock.advance(0)
        return done, said

    def test_fresh_and_prepared(self) -> None:
        """With arguments on a fresh broker, without on a prepared one, and again with the same outcome."""
        for things, bare in (({}, False), (dict(MARKER), True)):
            stock, yardstick = Stock(dict(things)), Stock(dict(things))
            yardstick.add(declares(layout(1), bare=bare))
            for _ in range(2):
                done, said = self.declare(stock)
                self.assertTrue(done, said)
                self.assertEqual(stock.things, yardstick.things)
            self.assertEqual(any("limits are left to its policies" in line for line in said), bare)

    def test_refused(self) -> None:
        """What is refused is explained, and the rest is declared all the same."""
        stock = Stock({("queue", topology.DEAD): {"x-queue-type": "quorum", "x-max-length": 1}})
        done, said = self.declare(stock)
        self.assertFalse(done)
        (refused,) = [line for line in said if "REFUSED" in line]
        self.assertIn("declare queue streamer.dead (x-queue-type quorum, x-max-length 10000", refused)
        self.assertIn("delete it (rabbitmqctl delete_queue streamer.dead --vhost /)", refused)
        self.assertIn(("queue", topology.LOG), stock.things)
        done, said = self.declare(Stock(configures=False))
        self.assertFalse(done)
        self.assertTrue(any("rabbitmqctl set_permissions -p / guest '.*' '.*' '.*'" in line for line in said), said)

    def test_described(self) -> None:
        """Each call is a line that names what it is about; what needs no explanation gets none."""
        for declare in declares(layout(1), layout(1).queues):
            line = describe(declare)
            self.assertTrue(re.match(r"(declare (exchange|queue)|bind|unbind) streamer\.", line), line)
            for word in ("queue", "exchange", "routing_key"):
                self.assertIn(str(declare.keywords.get(word, "")), line)
        exchange = "inequivalent arg 'type' for exchange 'streamer.raw' in vhost '/': received 'topic'"
        self.assertIn("rabbitmqadmin --vhost / delete exchange name=streamer.raw", differs(exchange))
        self.assertEqual(lacking("NOT_FOUND - no exchange"), "")
