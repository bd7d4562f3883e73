# -*- test-case-name: tests.unit.test_testing_cluster -*-
"""Replicated queues of a RabbitMQ cluster: where their replicas are, and the Erlang that moves a leader.

A quorum queue has a function of RabbitMQ's own for that. 3.10 has none for a stream: its coordinator elects a leader
only where the writer ended, out of the first majority of replicas that report how far they had come; the longest
wins, and of equals the one whose node sorts first. So the election is arranged: the replicas that are not to win are
held back while the stream grows past them, the old leader's node is kept from reporting, and the writer is ended; in
order, for one that is killed leaves its counters behind, and its node shows those ever after. That needs a stream that
is being written to.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

COLUMNS = ("name", "type", "leader", "members", "online")  # of `rabbitmqctl list_queues`
REPLICATED = frozenset({"quorum", "stream"})


class Replicas(msgspec.Struct, frozen=True):
    """Where a queue lives, by the nodes' names.

    Args:
        leader: the node that orders what comes in; empty where there is none now.
        members: nodes that are to have a replica.
        online: those of them that run one.
    """

    name: str
    type: str
    leader: str
    members: frozenset[str]
    online: frozenset[str]

    def whole(self, nodes: frozenset[str]) -> bool:
        """Whether all of these nodes have a running replica, and one of them leads."""
        return self.members == self.online == nodes and self.leader in nodes


def read_replicas(listed: str) -> Mapping[str, Replicas]:
    """Read what `rabbitmqctl list_queues --formatter json` printed; classic queues have no replicas, and are left out.

    Raises:
        ValueError: it is not that.
    """
    rows = msgspec.json.decode(listed, type=list[dict[str, str | list[str] | None]])
    found: dict[str, Replicas] = {}
    for row in rows:
        if row.get("type") in REPLICATED:
            name, leader = str(row["name"]), str(row["leader"] or "")
            members, online = frozenset(row["members"] or ()), frozenset(row["online"] or ())
            found[name] = Replicas(name, str(row["type"]), leader, members, online)
    return found


def move_quorum(vhost: str, queues: Iterable[str], node: str) -> str:
    """Erlang that asks other replicas of quorum queues, those on a node, to lead."""
    return (
        "".join(
            f"(fun() -> {_lookup(vhost, queue)} rabbit_quorum_queue:transfer_leadership(Q, {_atom(node)}) end)(), "
            for queue in queues
        )
        + "ok."
    )


def move_stream(vhost: str, queue: str, node: str) -> str:
    """Erlang that has another replica of a stream lead, and waits up to 5 s for that."""
    return _lookup(vhost, queue) + _ARRANGED.replace("TARGET", _atom(node))


# The names are unlike those of rabbitmqctl's own bindings.
_ARRANGED = """
Id = maps:get(name, amqqueue:get_type_state(Q)),
Wanted = TARGET,
Leads = fun() ->
    {ok, Now} = rabbit_stream_coordinator:members(Id),
    case Now of #{Wanted := {P, writer}} when is_pid(P) -> true; _ -> false end
end,
Wait = fun
    Again(0) -> false;
    Again(Left) -> case Leads() of true -> true; false -> timer:sleep(50), Again(Left - 1) end
end,
case Leads() of
    true -> true;
    false ->
        {ok, Members} = rabbit_stream_coordinator:members(Id),
        [{Old, Writer}] = [{Node, Pid} || {Node, {Pid, writer}} <- maps:to_list(Members)],
        Held = [Pid || {Node, {Pid, replica}} <- maps:to_list(Members), is_pid(Pid), Node =/= Wanted],
        try
            [ok = sys:suspend(Pid) || Pid <- Held],
            timer:sleep(200),
            ok = sys:suspend({osiris_server_sup, Old}),
            ok = gen_batch_server:stop(Writer),
            Wait(100)
        after
            catch sys:resume({osiris_server_sup, Old}),
            [catch sys:resume(Pid) || Pid <- Held]
        end
end.
"""

LAGS = """
[io:format("~s ~s ~b~n", [Name, Node, lists:max([N || {_, N} <- Ends]) - End])
    || Q <- rabbit_amqqueue:list(),
       {resource, Vhost, queue, Name} <- [amqqueue:get_name(Q)],
       Ends <- [case amqqueue:get_type(Q) of
           rabbit_quorum_queue ->
               [{proplists:get_value(<<"Node Name">>, Row),
                 case proplists:get_value(<<"Log Index">>, Row) of I when is_integer(I) -> I; _ -> -1 end}
                || Row <- rabbit_quorum_queue:status(Vhost, Name)];
           rabbit_stream_queue ->
               [{proplists:get_value(node, Row), proplists:get_value(offset, Row, -1)}
                || Row <- rabbit_stream_queue:status(Vhost, Name)];
           _ -> []
       end],
       {Node, End} <- Ends],
ok.
"""
"""Erlang that prints, for each replica of each queue, how many entries it is behind the furthest one."""

_LAG = re.compile(r"^(\S+) (\S+@\S+) (\d+)$", re.MULTILINE)


def read_lags(printed: str) -> Mapping[tuple[str, str], int]:
    """Read what `LAGS` printed: entries behind, by queue and node."""
    return {(queue, node): int(lag) for queue, node, lag in _LAG.findall(printed)}


def _lookup(vhost: str, queue: str) -> str:
    """Erlang that binds `Q` to a queue."""
    return f"{{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<{_text(vhost)}>>, queue, <<{_text(queue)}>>)), "


def _text(text: str) -> str:
    """An Erlang string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _atom(text: str) -> str:
    """An Erlang atom."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
