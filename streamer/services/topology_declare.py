# -*- test-case-name: tests.unit.test_services_topology_declare -*-
"""The steps of `streamer topology declare`, in an order in which each finds what it refers to; all may be repeated.

Over AMQP everything is declared as services do it. By the management API the broker is prepared: policies first, so
that no queue is ever without its bounds, then what they apply to, and the marker last, for it says that all is there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from shlex import quote
from urllib.parse import unquote

import attrs
import msgspec

from streamer.bus import topology
from streamer.bus.definitions import policies
from streamer.bus.driver import PRECONDITION_FAILED, ChannelRefused, IConnection
from streamer.bus.permissions import NOTHING, USERS
from streamer.bus.topology import Declare, Layout, declares
from streamer.bus.visit import Questions
from streamer.services.topology_management import Management, Refused, Request, path

Say = Callable[[str], None]
_DIFFERS = re.compile(r"inequivalent arg '.*' for (queue|exchange) '(.*)' in vhost '(.*?)'")
_LACKS = re.compile(r"ACCESS_REFUSED - .* in vhost '(.*?)' refused for user '(.*?)'")


class Step(msgspec.Struct, frozen=True):
    """One step by the management API.

    Args:
        unless: a path; where something is there, the step is left out.
        gone: a 404 is as good as a yes.
    """

    says: str
    request: Request
    unless: str | None = None
    gone: bool = False


def describe(declare: Declare) -> str:
    """A declaration for people."""
    words = declare.keywords
    if declare.method in ("queue_bind", "queue_unbind"):
        verb = declare.method.removeprefix("queue_")
        return (
            f"{verb} {words['queue']} {'to' if verb == 'bind' else 'from'} {words['exchange']}, {words['routing_key']}"
        )
    kind = declare.method.removesuffix("_declare")
    type_ = f", {words['exchange_type']}" if kind == "exchange" else ""
    arguments = msgspec.convert(words["arguments"], dict[str, object])
    said = ", ".join(f"{key} {value}" for key, value in arguments.items())
    return f"declare {kind} {words[kind]}{type_}" + (f" ({said})" if said else "")


def steps(layout: Layout, vhost: str, wanted: Collection[str], *, users: bool) -> Iterator[Step]:
    """Prepare a broker by its management API.

    Args:
        wanted: optional queues to be there.
        users: make those that are missing, without a password, and set their permissions.
    """
    for policy in policies(layout):
        said = ", ".join(f"{key} {value}" for key, value in policy.definition.items())
        says = f"set policy {policy.name} ({said})"
        yield Step(says, Request("PUT", path("policies", vhost, policy.name), policy.fields()))
    for declare in declares(layout, wanted, bare=True):
        yield _step(declare, vhost)
    if users:
        yield from _users(vhost)
    marker = Request("PUT", path("exchanges", vhost, topology.MARKER), {"type": "fanout", "durable": True})
    yield Step(f"declare exchange {topology.MARKER}: the broker is prepared", marker)


def _step(declare: Declare, vhost: str) -> Step:
    words, says = {key: str(value) for key, value in declare.keywords.items()}, describe(declare)
    arguments = declare.keywords.get("arguments")
    if declare.method == "exchange_declare":
        body = {"type": words["exchange_type"], "durable": True, "arguments": arguments}
        return Step(says, Request("PUT", path("exchanges", vhost, words["exchange"]), body))
    if declare.method == "queue_declare":
        return Step(
            says, Request("PUT", path("queues", vhost, words["queue"]), {"durable": True, "arguments": arguments})
        )
    between = path("bindings", vhost, "e", words["exchange"], "q", words["queue"])
    key = words["routing_key"]
    if declare.method == "queue_bind":
        return Step(says, Request("POST", between, {"routing_key": key, "arguments": {}}))
    # The API names a binding by its key, percent-encoded; which is encoded once more in a path.
    return Step(says, Request("DELETE", f"{between}/{path(path(key))}"), gone=True)


def _users(vhost: str) -> Iterator[Step]:
    for user in USERS:
        account = path("users", user.name)
        body = {"password_hash": "", "tags": ",".join(user.tags)}
        yield Step(f"make user {user.name}, without a password", Request("PUT", account, body), unless=account)
        rights = msgspec.to_builtins(user.rights)
        says = ", ".join(f"{right} {pattern}" for right, pattern in rights.items())
        yield Step(f"permit {user.name}: {says}", Request("PUT", path("permissions", vhost, user.name), rights))
        for exchange, topics in user.topics.items():
            yield Step(
                f"permit {user.name} on {exchange}: topics {topics}",
                Request(
                    "PUT",
                    path("topic-permissions", vhost, user.name),
                    {"exchange": exchange, "write": topics, "read": ".*"},
                ),
            )


def prepare(management: Management, every: Collection[Step], say: Say) -> bool:
    """Do the steps, and say of each what came of it; whether all are done. The first that is refused is the last.

    Raises:
        BusError: the API does not answer.
    """
    for step in every:
        try:
            if step.unless is not None and _there(management, step.unless):
                say(f"{step.says}: there already")
                continue
            status, _ = management.send(step.request)
        except Refused as refused:
            if step.gone and refused.status == 404:
                say(f"{step.says}: not there")
                continue
            told = refusal(refused, step.request, management.user)
            say(f"{step.says}: REFUSED: {refused.reason.rstrip('.')}{told}")
            return False
        say(f"{step.says}: {'made' if status == 201 else 'done'}")
    return True


def _there(management: Management, at: str) -> bool:
    try:
        management.send(Request("GET", at))
    except Refused as refused:
        if refused.status == 404:
            return False
        raise
    return True


def refusal(refused: Refused, request: Request, user: str) -> str:
    """What to do about a refusal of the API; empty where its own words say it.

    Args:
        user: who asked.
    """
    what, vhost, *_ = (*map(unquote, request.path.split("/")), "")
    if "vhost_not_found" in refused.reason:
        return f". There is no such virtual host; make it: rabbitmqctl add_vhost {quote(vhost)}"
    if refused.status not in (401, 403):
        return differs(refused.reason)
    if what in ("users", "permissions", "topic-permissions"):
        return (
            f". Users and permissions take the tag administrator (rabbitmqctl set_user_tags {quote(user)} "
            "administrator); what goes before them does not, and is done without --users"
        )
    return f". {_permissions(user, vhost)}" + (
        ", and the tag policymaker (or administrator)" if what == "policies" else ", whatever its tags"
    )


def _permissions(user: str, vhost: str) -> str:
    """The rights that whoever declares needs; which users of ours that are there for other work are not to have."""
    house = next((one for one in USERS if one.name == user), None)
    rights = ("'.*'",) * 3
    if house is not None:
        if house.rights.configure == NOTHING:
            return f"{user} is not there to declare; streamer-deploy is. It needs permissions in the virtual host"
        rights = (quote(house.rights.configure), quote(house.rights.write), quote(house.rights.read))
    command = f"rabbitmqctl set_permissions -p {quote(vhost)} {quote(user)} {' '.join(rights)}"
    return f"The user needs permissions in the virtual host ({command})"


def differs(reason: str) -> str:
    """What to do about something that is there and was declared otherwise; empty where that is not the reason."""
    found = _DIFFERS.search(reason)
    if found is None:
        return ""
    kind, name, vhost = found.groups()
    delete = f"let it run empty, delete it (rabbitmqctl delete_queue {quote(name)} --vhost {quote(vhost)})"
    if kind == "exchange":
        delete = f"delete it (rabbitmqadmin --vhost {quote(vhost)} delete exchange name={quote(name)})"
    return (
        ". It is there, and was declared otherwise, as by services on a fresh broker. Arguments cannot be "
        f"changed: stop whoever publishes to it, {delete}, and repeat this; or prepare another virtual host"
    )


def lacking(reason: str) -> str:
    """What to do about a 403 over AMQP, whose words name user and virtual host."""
    found = _LACKS.search(reason)
    return f". {_permissions(found[2], found[1])}" if found is not None else ""


@attrs.define
class Declaring:
    """Declares over AMQP; what is refused does not keep the rest from being declared.

    Where the marker says that there are policies, what they can carry is left to them.
    """

    _layout: Layout
    _wanted: Collection[str]
    _say: Say

    async def run(self, connection: IConnection) -> bool:
        """Declare everything; whether all of it was.

        Raises:
            ConnectionLost: the connection ended.
        """
        questions = Questions(connection)
        prepared = await self._prepared(questions)
        if prepared:
            self._say(f"{topology.MARKER} is there: the broker is prepared, and limits are left to its policies")
        good = True
        for declare in declares(self._layout, self._wanted, bare=prepared):
            try:
                await questions.declare(declare.method, declare.keywords)
            except ChannelRefused as refused:
                good = False
                reason = str(refused).rstrip(".")
                told = differs(reason) if refused.code == PRECONDITION_FAILED else lacking(reason)
                self._say(f"{describe(declare)}: REFUSED: {reason}{told}")
            else:
                self._say(f"{describe(declare)}: done")
        return good

    async def _prepared(self, questions: Questions) -> bool:
        try:
            await questions.declare("exchange_declare", {"exchange": topology.MARKER, "passive": True})
        except ChannelRefused:
            return False
        return True
