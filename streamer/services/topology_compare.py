# -*- test-case-name: tests.unit.test_services_topology_compare -*-
"""What only the management API tells of a topology: policies and what takes effect of them, bindings, permissions."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from shlex import quote
from typing import Any

import msgspec

from streamer.bus.definitions import Policy, bound, policies
from streamer.bus.driver import Depth
from streamer.bus.permissions import USERS, User
from streamer.bus.topology import ENRICH, Binding, Layout, Queue
from streamer.bus.verdict import Row, surplus
from streamer.services.topology_management import Management, Refused

Document = dict[str, Any]
_SHARD = re.compile(re.escape(ENRICH) + r"\.s[0-9]{2}")
INSTALL = "`streamer topology declare --management URL` mends it"


class Documents(msgspec.Struct, frozen=True):
    """What the API answered.

    Args:
        permissions: of the bus's user on the virtual host, and `topics` of its topic permissions; None where whoever
            asks may not know, which takes the tag `administrator`.
    """

    policies: list[Document]
    queues: list[Document]
    exchanges: list[Document]
    bindings: list[Document]
    permissions: list[Document] | None
    topics: list[Document] | None


def gather(management: Management, vhost: str, user: str) -> Documents:
    """Ask for everything.

    Raises:
        BusError: the API does not answer, or not this user.
    """
    found = {what: management.get(what, vhost) or [] for what in ("policies", "queues", "exchanges", "bindings")}
    rights: list[list[Document] | None] = []
    for what in ("permissions", "topic-permissions"):
        try:
            rights.append([one for one in management.get("users", user, what) or [] if one["vhost"] == vhost])
        except Refused:
            rights.append(None)
    return Documents(**found, permissions=rights[0], topics=rights[1])


def compare(
    layout: Layout, documents: Documents, user: str, *, prepared: bool, known: Collection[str] = ()
) -> list[Row]:
    """A row for each policy, each thing a policy applies to, each queue that is short of members, each binding, and
    the bus's user.

    Args:
        prepared: the marker is there, so policies must be.
        known: names of queues that there are rows for already.
    """
    return [
        *_strays(layout, documents.queues, known),
        *_policies(layout, documents.policies, prepared),
        *_in_effect(layout, documents, prepared),
        *_members(layout, documents.queues),
        *_bindings(layout, documents),
        _user(user, documents),
    ]


def _strays(layout: Layout, found: Collection[Document], known: Collection[str]) -> Iterator[Row]:
    """Shards too many that lie behind a gap, where the survey did not look."""
    for queue in found:
        name = queue["name"]
        if _SHARD.fullmatch(name) and name not in layout.queues and name not in known:
            yield surplus(layout, name, Depth(queue.get("messages_ready", 0), queue.get("consumers", 0)))


def _members(layout: Layout, found: Collection[Document]) -> Iterator[Row]:
    """Queues that lack nodes of those that keep them: with a majority gone such a queue stands still."""
    for queue in found:
        if "online" not in queue:
            continue  # not counted yet
        members, online = (set(queue.get(key) or ()) for key in ("members", "online"))
        away = sorted(members - online)
        if away and (queue["name"] in layout.queues or queue["name"] in layout.streams):
            yield Row(
                kind="members",
                name=queue["name"],
                state=f"{len(members) - len(away)} of {len(members)} online",
                alarm=f"not online: {', '.join(away)}; it works while more than half are",
            )


def _policies(layout: Layout, found: Collection[Document], prepared: bool) -> Iterator[Row]:
    there = {policy["name"]: policy for policy in found}
    for policy in policies(layout):
        one = there.get(policy.name)
        if one is None:
            yield Row(
                kind="policy",
                name=policy.name,
                state="missing",
                problem=f"it is not there; {INSTALL}" if prepared else None,
                note=None if prepared else "the broker is not prepared; arguments stand for it",
            )
            continue
        wrong = differences(policy.fields(), one)
        yield Row(
            kind="policy",
            name=policy.name,
            state="there",
            problem=f"{'; '.join(wrong)}; {INSTALL}" if wrong else None,
        )


def differences(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """What differs, a phrase each; what is found beyond what is wanted counts within tables only."""
    wrong = []
    for key, value in wanted.items():
        other = found.get(key)
        if isinstance(value, dict) and isinstance(other, dict):
            wrong += differences({**dict.fromkeys(other), **value}, other)
        elif value != other:
            wrong.append(f"{key} is {_said(other)} and {'should not be' if value is None else f'not {_said(value)}'}")
    return wrong


def _said(value: Any) -> str:
    return "not set" if value is None else msgspec.json.encode(value).decode()


def _in_effect(layout: Layout, documents: Documents, prepared: bool) -> Iterator[Row]:
    """One policy alone takes effect on each thing: whether it is ours."""
    queues: dict[str, Queue] = {**layout.queues, **layout.streams}
    for document in documents.queues:
        queue = queues.get(document["name"])
        if queue is None:
            continue
        policy = document.get("policy")
        if "effective_policy_definition" not in document:
            yield _effect("queue", queue.name, "cannot be told", note="the broker counts every few seconds; ask again")
            continue
        effect = document["effective_policy_definition"] or {}
        wanted = queue.policies()
        wrong = differences({**dict.fromkeys(effect), **wanted}, effect)
        if not prepared:
            note = f"the policy {policy} takes effect besides its arguments" if effect else None
            yield _effect("queue", queue.name, policy or "none", note=note)
        elif wrong:
            yield _effect(
                "queue",
                queue.name,
                policy or "none",
                problem=f"in effect {'; '.join(wrong)}: another policy, or an operator's, goes before ours",
            )
        else:
            yield _effect("queue", queue.name, policy or "none")
    alternate = {name: policy for policy in policies(layout) for name in layout.exchanges if _covers(policy, name)}
    for document in documents.exchanges:
        ours = alternate.get(document["name"])
        if ours is None or not prepared:
            continue
        policy = document.get("policy")
        wrong_one = f"the policy {policy or 'none'} takes effect and not {ours.name}; {INSTALL}"
        yield _effect(
            "exchange", document["name"], policy or "none", problem=None if policy == ours.name else wrong_one
        )


def _covers(policy: Policy, exchange: str) -> bool:
    return policy.applies == "exchanges" and re.search(policy.pattern, exchange) is not None


def _effect(kind: str, name: str, policy: str, *, problem: str | None = None, note: str | None = None) -> Row:
    return Row(kind="policy", name=f"on {kind} {name}", state=policy, problem=problem, note=note)


def _bindings(layout: Layout, documents: Documents) -> Iterator[Row]:
    there = {queue["name"] for queue in documents.queues}
    wanted = bound(layout, there)
    found = [
        Binding(one["source"], one["destination"], one["routing_key"])
        for one in documents.bindings
        if one["source"] in layout.exchanges and one["destination_type"] == "queue"
    ]
    for binding in wanted:
        missing = None if binding in found else f"it is not there; {INSTALL}"
        yield _binding(binding, "missing" if missing else "there", problem=missing)
    for binding in found:
        if binding in layout.unbound:
            wrong = f"it is of another number of shards, and doubles or diverts items; {INSTALL}"
            yield _binding(binding, "there", problem=wrong)
        elif binding not in wanted:
            ours = binding.queue in layout.queues or binding.queue in layout.streams
            yield _binding(binding, "there", note="not of this topology" if ours else "a queue that is not ours")


def _binding(binding: Binding, state: str, *, problem: str | None = None, note: str | None = None) -> Row:
    name = f"{binding.exchange} → {binding.queue} ({binding.pattern})"
    return Row(kind="binding", name=name, state=state, problem=problem, note=note)


def _user(name: str, documents: Documents) -> Row:
    if documents.permissions is None or documents.topics is None:
        return Row(kind="user", name=name, state="cannot be told", note="to ask needs the tag administrator")
    house = next((user for user in USERS if user.name == name), None)
    mend = "`streamer topology declare --management URL --users` mends it, and leaves passwords alone"
    if not documents.permissions:
        if house is None:
            mend = f"rabbitmqctl set_permissions -p VHOST {quote(name)} CONFIGURE WRITE READ"
        problem = f"it may do nothing on this virtual host: {mend}"
        return Row(kind="user", name=name, state="missing", problem=problem)
    rights = documents.permissions[0]
    if house is None:
        note = ", ".join(f"{right} {rights[right]}" for right in ("configure", "write", "read"))
        return Row(kind="user", name=name, state="there", note=f"none of the house's own; {note}")
    wrong = [*differences(msgspec.to_builtins(house.rights), rights), *_topics(house, documents.topics)]
    return Row(kind="user", name=name, state="there", problem=f"{'; '.join(wrong)}; {mend}" if wrong else None)


def _topics(user: User, found: Collection[Document]) -> list[str]:
    there = {one["exchange"]: one["write"] for one in found}
    return [f"topics on {phrase}" for phrase in differences({**dict.fromkeys(there), **user.topics}, there)]
