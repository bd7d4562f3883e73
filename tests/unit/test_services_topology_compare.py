"""What only the management API tells of a topology."""

from __future__ import annotations

import copy
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from streamer.bus import topology
from streamer.bus.definitions import definitions
from streamer.bus.topology import layout
from streamer.bus.verdict import Row
from streamer.services.topology_compare import Documents, compare, differences, gather
from streamer.services.topology_management import Management
from tests.management_api import Api

HOUSE = layout(1)
WHOLE = definitions(HOUSE, "/")
USER = "streamer-relay"


def documents(*, prepared: bool = True) -> Documents:
    """What the API says of a broker where all is well."""
    every = {**HOUSE.queues, **HOUSE.streams}
    queues = [
        {
            **one,
            "effective_policy_definition": every[one["name"]].policies() if prepared else [],
            "policy": one["name"],
        }
        for one in copy.deepcopy(WHOLE["queues"])
    ]
    exchanges = copy.deepcopy(WHOLE["exchanges"])
    for one in exchanges:
        if one["name"] in (topology.RAW, topology.EVENTS):
            one["policy"] = "streamer.unrouted.alternate"
    bindings = copy.deepcopy(WHOLE["bindings"])
    defaults = [{"source": "", "destination": "x", "destination_type": "queue", "routing_key": "x"}]
    return Documents(
        policies=copy.deepcopy(WHOLE["policies"]) if prepared else [],
        queues=[*queues, {"name": "another's"}],
        exchanges=exchanges,
        bindings=bindings + defaults,
        permissions=[dict(one) for one in WHOLE["permissions"] if one["user"] == USER],
        topics=[],
    )


def judged(found: Documents, user: str = USER, *, prepared: bool = True, known: Any = ()) -> dict[str, Row]:
    return {f"{row.kind} {row.name}": row for row in compare(HOUSE, found, user, prepared=prepared, known=known)}


def problems(rows: dict[str, Row]) -> dict[str, str]:
    return {name: row.problem for name, row in rows.items() if row.problem is not None}


class CompareTests(SynchronousTestCase):
    """A row for each thing."""

    def test_well(self) -> None:
        """Where all is as it must be there is no problem, prepared or fresh."""
        for prepared in (True, False):
            rows = judged(documents(prepared=prepared), prepared=prepared)
            self.assertEqual(problems(rows), {})
            self.assertEqual(rows["policy streamer.log"].state, "there" if prepared else "missing")

    def test_policies(self) -> None:
        """A policy that is missing, of other keys, or less than ours is named; on a fresh broker none is missed."""
        found = documents()
        dead, enrich, log = (
            next(one for one in found.policies if one["name"] == f"streamer.{name}")
            for name in ("dead", "enrich", "log")
        )
        dead["definition"]["max-length"] = 7
        del enrich["definition"]["dead-letter-strategy"]
        log["definition"]["message-ttl"] = 5
        log["priority"] = 0
        del found.policies[0]
        wrong = problems(judged(found))
        self.assertIn("max-length is 7 and not 10000", wrong["policy streamer.dead"])
        self.assertIn('dead-letter-strategy is not set and not "at-least-once"', wrong["policy streamer.enrich"])
        self.assertIn("message-ttl is 5 and should not be", wrong["policy streamer.log"])
        self.assertIn("priority is 0 and not 10", wrong["policy streamer.log"])
        self.assertIn("it is not there", wrong["policy streamer.unrouted"])

    def test_in_effect(self) -> None:
        """One policy takes effect on a thing: where it is another's that is a problem, and where it cannot be told yet
        that is said.
        """
        found = documents()
        by_name = {one["name"]: one for one in found.queues}
        by_name[topology.DEAD].update(policy="everything", effective_policy_definition={"max-length": 3})
        del by_name[topology.LOG]["effective_policy_definition"]
        for one in found.exchanges:
            one.pop("policy", None)
        rows = judged(found)
        wrong = problems(rows)
        self.assertIn("in effect max-length is 3 and not 10000", wrong["policy on queue streamer.dead"])
        self.assertEqual(rows["policy on queue streamer.dead"].state, "everything")
        self.assertIn("ask again", rows["policy on queue streamer.log"].note or "")
        self.assertIn("the policy none takes effect", wrong["policy on exchange streamer.raw"])
        self.assertNotIn("policy on exchange streamer.dead", rows)
        fresh = judged(found, prepared=False)
        self.assertIn("besides its arguments", fresh["policy on queue streamer.dead"].note or "")
        self.assertNotIn("policy on exchange streamer.raw", fresh)

    def test_bindings(self) -> None:
        """A binding that is missing or of another number of shards is a problem; others' are shown."""
        found = documents()
        del found.bindings[0]
        for queue, key in ((topology.ENRICH, "raw.#"), ("another's", "raw.#"), (topology.LOG, "raw.birds.*")):
            found.bindings.append(
                {"source": topology.RAW, "destination": queue, "destination_type": "queue", "routing_key": key}
            )
        rows = judged(found)
        wrong = problems(rows)
        self.assertEqual(
            set(wrong),
            {"binding streamer.unrouted → streamer.unrouted (#)", "binding streamer.raw → streamer.enrich (raw.#)"},
        )
        self.assertEqual(rows["binding streamer.raw → another's (raw.#)"].note, "a queue that is not ours")
        self.assertEqual(rows["binding streamer.raw → streamer.log (raw.birds.*)"].note, "not of this topology")

    def test_strays(self) -> None:
        """Shards behind a gap are found, too, but for those there are rows for."""
        found = documents()
        found.queues.extend({"name": topology.shard_queue(number), "messages_ready": 3} for number in (1, 5))
        found.queues.append({"name": "streamer.enrich.mine"})
        rows = judged(found, known=[topology.shard_queue(1)])
        self.assertEqual(set(problems(rows)), {"queue streamer.enrich.s05"})
        self.assertEqual(rows["queue streamer.enrich.s05"].ready, 3)

    def test_members(self) -> None:
        """A queue or stream of ours that lacks members is an alarm and no problem; a whole one has no row."""
        found = documents()
        by_name = {one["name"]: one for one in found.queues}
        by_name[topology.ENRICH].update(members=["r@a", "r@b", "r@c"], online=["r@b"])
        by_name[topology.LOG].update(members=["r@a", "r@b"], online=["r@b", "r@a"])
        by_name[topology.DEAD].update(members=["r@a"], online=None)
        by_name[topology.UNROUTED].update(members=["r@a"])
        by_name["another's"].update(members=["r@a"], online=[])
        rows = {name: row for name, row in judged(found).items() if row.kind == "members"}
        self.assertEqual(set(rows), {"members streamer.enrich", "members streamer.dead"})
        self.assertEqual(rows["members streamer.enrich"].state, "1 of 3 online")
        self.assertIn("not online: r@a, r@c;", rows["members streamer.enrich"].alarm or "")
        self.assertEqual(problems(rows), {})

    def test_user(self) -> None:
        """A user of the house has its rights and no others; any other user's are shown; some may not be asked for."""
        found = documents()
        assert found.permissions is not None
        found.permissions[0]["read"] = ".*"
        self.assertIn('read is ".*" and not "^streamer', problems(judged(found))[f"user {USER}"])
        self.assertIn("configure ^$", judged(documents(), "somebody")["user somebody"].note or "")
        nothing = Documents([], [], [], [], [], [])
        for user, mend in ((USER, "leaves passwords alone"), ("a b", "set_permissions -p VHOST 'a b' CONFIGURE")):
            sentence = problems(judged(nothing, user))[f"user {user}"]
            self.assertIn("it may do nothing", sentence)
            self.assertIn(mend, sentence)
        hidden = Documents([], [], [], [], None, None)
        self.assertEqual(judged(hidden)[f"user {USER}"].state, "cannot be told")
        ingest = [one for one in WHOLE["permissions"] if one["user"] == "streamer-ingest"]
        for topics, wrong in (
            ([], "streamer.raw is not set"),
            ([{"exchange": "streamer.raw", "write": "^raw\\."}], None),
        ):
            sentence = judged(Documents([], [], [], [], ingest, topics), "streamer-ingest")[
                "user streamer-ingest"
            ].problem
            self.assertEqual(sentence is None, wrong is None)
            self.assertIn(wrong or "", sentence or "")

    def test_differences(self) -> None:
        """A phrase for each key that differs, within tables too; keys beyond those wanted count within tables only."""
        self.assertEqual(differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 2}, "z": 0}), [])
        self.assertEqual(
            differences({"a": 1, "b": {"c": 2}}, {"a": "1", "b": {"d": 3}}),
            ['a is "1" and not 1', "d is 3 and should not be", "c is not set and not 2"],
        )


class GatherTests(SynchronousTestCase):
    """What is asked for."""

    def test_asked(self) -> None:
        """Rights are those on this virtual host; who may not know them is told so."""
        api = Api()
        api.kept["users", USER, "permissions"] = [{"vhost": "/"}, {"vhost": "/feed"}]
        api.kept["queues", "/feed"] = [{"name": "q"}]
        management = Management.at("http://rabbit", "deploy", "x", api.connect)
        found = gather(management, "/feed", USER)
        self.assertEqual((found.permissions, found.topics, found.queues), ([{"vhost": "/feed"}], [], [{"name": "q"}]))
        api.refuses["users", USER, "permissions"] = (401, "Not administrator user")
        self.assertIsNone(gather(management, "/feed", USER).permissions)
