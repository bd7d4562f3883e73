# -*- test-case-name: tests.unit.test_bus_refusals -*-
"""What the broker's reason for closing means to an operator: what is wrong, and how it is mended.

The broker gives a code and a text, such as `403 ACCESS_REFUSED - access to queue 'streamer.log' in vhost '/' refused
for user 'relay'`; which right is missing follows from what we were doing. The codes are those of AMQP 0-9-1
(https://www.rabbitmq.com/amqp-0-9-1-reference#constants), the texts RabbitMQ's, of 3.10 and later.
"""

from __future__ import annotations

import enum
import re
import shlex
from collections.abc import Callable, Mapping

import msgspec

from streamer.bus.driver import Loss
from streamer.bus.permissions import NOTHING, USERS, User
from streamer.bus.topology import MARKER

ACCESS = "https://www.rabbitmq.com/docs/access-control"
VHOSTS = "https://www.rabbitmq.com/docs/vhosts"
QUEUES = "https://www.rabbitmq.com/docs/queues#property-equivalence"
CHANNELS = "https://www.rabbitmq.com/docs/channels#error-handling"
CONSTANTS = "https://www.rabbitmq.com/amqp-0-9-1-reference#constants"
INSTALL = "`streamer topology declare --management URL`"


class Doing(enum.Enum):
    """What a role was at when it was refused; declarations by the names of `topology.Declare.method`."""

    LOGIN = "login"
    EXCHANGE = "exchange_declare"
    QUEUE = "queue_declare"
    BIND = "queue_bind"
    UNBIND = "queue_unbind"
    LOCK = "lock"  # of a source
    SET_UP = "setting up"  # consuming, or asking for confirms
    RUN = "running"  # publishing, or settling


class Row(msgspec.Struct, frozen=True):
    """One reason: a code, a pattern within the text, and what to say to what the pattern found."""

    code: int
    pattern: str
    say: Callable[[Mapping[str, str], Doing], str]
    url: str


# The rights that each of our calls needs (https://www.rabbitmq.com/docs/access-control#authorisation), by what it is
# that was refused. A queue's own arguments ask for more: a dead-letter exchange is read into and written to, an
# alternate exchange as well.
NEEDS: Mapping[tuple[Doing, str], str] = {
    (Doing.EXCHANGE, "exchange"): "configure it; with an alternate exchange also read it and write to that one",
    (Doing.QUEUE, "queue"): "configure it; with a dead-letter exchange also read it",
    (Doing.QUEUE, "exchange"): "write to it, for it is a dead-letter exchange",
    (Doing.BIND, "queue"): "write to it, to bind it",
    (Doing.BIND, "exchange"): "read it, to bind a queue to it",
    (Doing.UNBIND, "queue"): "write to it, to unbind it",
    (Doing.UNBIND, "exchange"): "read it, to unbind a queue from it",
    (Doing.LOCK, "queue"): "configure it, to lock the source",
    (Doing.SET_UP, "queue"): "read it, to consume",
    (Doing.RUN, "exchange"): "write to it, to publish",
}


def _right(found: Mapping[str, str], doing: Doing) -> str:
    named = f"{found['kind']} {found['name']!r}"
    needs = NEEDS.get((doing, found["kind"]), "use it")
    if found["right"]:
        needs = f"{found['right']} it"  # RabbitMQ says so itself from 3.12 on
    told = f"the user {found['user']!r} may not: {named} asks for the right to {needs}; "
    right = (found["right"] or needs).split()[0]
    if doing in (Doing.EXCHANGE, Doing.QUEUE, Doing.BIND, Doing.UNBIND):
        told += (
            f"we declare because the exchange {MARKER!r} is not there: install the topology by {INSTALL}, and no "
            "service needs that right"
        )
        return told if _never(found, right) else f"{told}; or {_grant(found, right)}"
    return told + (_another(found, right) if _never(found, right) else _grant(found, right))


def _known(found: Mapping[str, str]) -> User | None:
    return next((user for user in USERS if user.name == found["user"]), None)


def _never(found: Mapping[str, str], right: str) -> bool:
    """Whether it is a user of ours whose rights, all given, would not have this one."""
    user = _known(found)
    return user is not None and not _has(user, right, found["name"])


def _has(user: User, right: str, name: str) -> bool:
    return re.search(getattr(user.rights, right, NOTHING), name) is not None


def _another(found: Mapping[str, str], right: str) -> str:
    """Whose work it is that one of our users is not there for."""
    others = [f"{user.name} ({user.who})" for user in USERS if _has(user, right, found["name"])]
    whose = f"; that is for {' or '.join(others)}" if others else ""
    return f"this user is there for other work{whose}: name the right one in the broker's URL"


def _grant(found: Mapping[str, str], right: str) -> str:
    """The command that gives the right, or all rights the user should have where it is one of ours."""
    head, known = f"rabbitmqctl set_permissions -p {shlex.quote(found['vhost'])} ", _known(found)
    if known is not None:
        rights = (known.rights.configure, known.rights.write, known.rights.read)
        return f"`{head}{known.name} {' '.join(map(shlex.quote, rights))}` (as in conf/rabbitmq/definitions.json)"
    user, patterns = shlex.quote(found["user"]), {right: right.upper() for right in ("configure", "write", "read")}
    # An empty pattern stands for none; in an alternative it would match all.
    patterns[right] = shlex.quote(f"{right.upper()}|^{re.escape(found['name'])}$")
    return (
        f"`{head}{user} {' '.join(patterns.values())}`, where the capitals stand for the patterns that "
        f"`rabbitmqctl list_user_permissions {user}` shows, ^$ for an empty one; "
        "conf/rabbitmq/definitions.json has what each service needs"
    )


def _topic(found: Mapping[str, str], doing: Doing) -> str:
    vhost, user, name = (shlex.quote(found[key]) for key in ("vhost", "user", "name"))
    told = (
        f"the user {found['user']!r} may publish to {found['name']!r}, but not with the routing key {found['topic']!r}"
    )
    known = _known(found)
    if known is None:
        return (
            f"{told}: see `rabbitmqctl list_user_topic_permissions {user}`, and give it by `rabbitmqctl "
            f"set_topic_permissions -p {vhost} {user} {name} WRITE READ`; conf/rabbitmq/definitions.json has what "
            "each service needs"
        )
    topics = known.topics.get(found["name"])
    if topics is None:
        return f"{told}: ours may with any; `rabbitmqctl clear_topic_permissions -p {vhost} {user} {name}`"
    if re.search(topics, found["topic"]) is None:
        return f"{told}, and should not: what it publishes there has one that matches {topics}"
    return f"{told}: `rabbitmqctl set_topic_permissions -p {vhost} {user} {name} {shlex.quote(topics)} '.*'`"


def _login(found: Mapping[str, str], doing: Doing) -> str:
    if found["mechanism"] == "EXTERNAL":
        return (
            "the broker has no user with the name that it reads from our certificate (by ssl_cert_login_from: its "
            "distinguished name, or its common name); add one that has no password: `rabbitmqctl add_user NAME "
            '"$(openssl rand -hex 16)" && rabbitmqctl clear_password NAME`'
        )
    return (
        "user name or password in the broker's URL are wrong, or the user is guest, who may come from the broker's "
        "own machine only"
    )


def _vhost(found: Mapping[str, str], doing: Doing) -> str:
    vhost, user = shlex.quote(found["vhost"]), shlex.quote(found["user"])
    if _known(found) is not None:
        return f"the user has no rights in that virtual host; those it needs: {_grant(found, 'read')}"
    return (
        f"the user has no rights in that virtual host: `rabbitmqctl set_permissions -p {vhost} {user} '^$' '^$' '^$'` "
        "lets it in, and those of conf/rabbitmq/definitions.json let it work"
    )


def _inequivalent(found: Mapping[str, str], doing: Doing) -> str:
    return (
        f"the {found['kind']} {found['name']!r} was declared with another {found['argument']}, which cannot be "
        f"changed while it is there: install policies and marker by {INSTALL}, then no service declares; or let it "
        "run empty, delete it, and it is declared anew; `streamer topology check` shows all that differs"
    )


def _fixed(sentence: str) -> Callable[[Mapping[str, str], Doing], str]:
    return lambda found, doing: sentence.format_map(found)


_DEFECT = "this is a defect of ours, or something on the way changes what is sent; please report it with the log"
_PASSING = "this passes by itself; another node is tried, or the same one again"
_IN = r"(?P<kind>queue|exchange) '(?P<name>.*?)' in vhost '(?P<vhost>.*?)'"
_USER = r"refused for user '(?P<user>.*?)'"

ROWS = (
    Row(403, r"Login was refused using authentication mechanism (?P<mechanism>[A-Z0-9-]+)", _login, ACCESS),
    Row(403, rf"access to topic '(?P<topic>.*?)' in exchange '(?P<name>.*?)' in vhost '(?P<vhost>.*?)' {_USER}",
        _topic, f"{ACCESS}#topic-authorisation"),
    Row(403, rf"(?P<right>configure|write|read|) ?access to {_IN} {_USER}", _right, f"{ACCESS}#authorisation"),
    Row(530, rf"vhost '(?P<vhost>.*?)' {_USER}: (?P<limit>.*limit.*)",
        _fixed("the broker's limit is reached ({limit}); each service takes a connection for publishing and one for "
               "each queue or log it reads; see `rabbitmqctl list_connections name user`, and raise the limit"),
        f"{VHOSTS}#limits"),
    Row(530, r"user '(?P<user>.*?)'.*limit \((?P<limit>\d+)\)",
        _fixed("the limit of connections of user {user!r} is {limit}; each service takes one for publishing and one "
               "for each queue or log it reads: `rabbitmqctl set_user_limits`"),
        "https://www.rabbitmq.com/docs/user-limits"),
    Row(530, rf"access to vhost '(?P<vhost>.*?)' {_USER}", _vhost, ACCESS),
    Row(530, r"vhost (?P<vhost>\S+) not found",
        _fixed("there is no such virtual host: `rabbitmqctl add_vhost`, or mend the end of the broker's URL"), VHOSTS),
    Row(404, r"(home node|is down|inaccessible|process is stopped)",
        _fixed(f"the queue's node is away, or its cluster has no majority; {_PASSING}"),
        "https://www.rabbitmq.com/docs/quorum-queues"),
    Row(404, rf"no {_IN}",
        _fixed(f"the {{kind}} {{name!r}} is not there: where the exchange {MARKER!r} is, services declare nothing; "
               f"{INSTALL} makes what is missing"), QUEUES),
    Row(405, rf"{_IN}",
        _fixed("another connection has the queue for itself alone; of ours only the locks of sources are such"),
        "https://www.rabbitmq.com/docs/queues#exclusive-queues"),
    Row(406, rf"inequivalent arg '(?P<argument>.*?)' for {_IN}", _inequivalent, QUEUES),
    Row(406, r"acknowledgement on channel.*timed out",
        _fixed("a message was handled for longer than the broker's consumer_timeout, 30 minutes by default; what "
               "handles it hangs, or prefetch is far too large"),
        "https://www.rabbitmq.com/docs/consumers#acknowledgement-timeout"),
    Row(406, r"message size (?P<size>\d+).*larger than.*max(?:imum)? size (?P<most>\d+)",
        _fixed("a message of {size} bytes is more than the broker takes; set its max_message_size to 16777216 at "
               "least, which is what we keep to"),
        "https://www.rabbitmq.com/docs/configure"),
    Row(406, r"unknown delivery tag", _fixed(_DEFECT), "https://www.rabbitmq.com/docs/confirms"),
    Row(320, r"shutdown|maintenance|stopped|closed by|Closed via|operator",
        _fixed(f"the node is going down, or an operator closed the connection; {_PASSING}"), CONSTANTS),
    Row(541, r"", _fixed(f"something failed within the broker, and its log says what; {_PASSING}"), CONSTANTS),
    Row(506, r"", _fixed("the broker is out of something, and its log says of what"), CONSTANTS),
    Row(504, r"", _fixed(_DEFECT), CHANNELS),
    *(Row(code, r"", _fixed(_DEFECT), CONSTANTS) for code in (501, 502, 503, 505, 540)),
)  # fmt: skip


def advice(loss: Loss, doing: Doing) -> str:
    """What to add to a loss's text; nothing where that says it all."""
    for row in ROWS:
        found = re.search(row.pattern, loss.detail) if row.code == loss.code else None
        if found is not None:
            return f": {row.say(found.groupdict(), doing)} ({row.url})"
    return ""
