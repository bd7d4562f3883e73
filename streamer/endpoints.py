# -*- test-case-name: tests.unit.test_endpoints -*-
"""Where to listen, as the configuration writes it: Twisted's descriptions of endpoints, checked before one listens.

`systemd:` stands apart. Twisted looks for the socket while it reads the description, so that outside its unit a good
one could not be told from a bad one, and says what is missing by a KeyError. So it is read here, and whether there is
a socket is a question of its own, for the process that is to listen.
"""

from __future__ import annotations

import re
from typing import Any, cast

from twisted.internet.endpoints import serverFromString

SYSTEMD = "systemd"
EXAMPLE = "systemd:domain=INET:name=relay"
DOMAINS = ("INET", "INET6", "UNIX")
KEYS = ("domain", "index", "name")  # in this order where they are not named, as Twisted reads them
NAME_LENGTH = 255  # characters; sd_listen_fds_with_names(3)
_TCP = re.compile(r"tcp:(?:port=)?(?P<port>[0-9]{1,5})(?::interface=(?P<host>[0-9.]*))?")  # the usual form
_PART = re.compile(r":((?:[^:\\]|\\.)*)", re.DOTALL)
_WHOLE = re.compile(rf"{SYSTEMD}(?:{_PART.pattern})*", re.DOTALL)
_NAME = re.compile(r"[ -9;-~]+")  # the same: printable ASCII but the colon


def problem(description: str) -> str | None:
    """Why nothing could ever listen there, as a sentence without a subject; None where something could."""
    try:
        if _kind(description) == SYSTEMD:
            _check_systemd(description)
            return None
        serverFromString(cast(Any, None), description)  # parses only; nothing listens
        port = re.match(r"(?:tcp|tcp6|ssl):(?:port=)?(\d+)", description)
        if port is not None and int(port[1]) > 65_535:
            raise ValueError("a port is a number from 0 to 65535")
    except Exception as error:  # whatever an endpoint's parser, also a third party's, makes of it
        example = EXAMPLE if _kind(description) == SYSTEMD else "tcp:8080"
        return f"{description!r} is no endpoint such as {example!r}: {error}"
    return None


def not_handed(description: str) -> str | None:
    """Why this process cannot listen on a socket of systemd's, as a sentence; None where it can, or needs none."""
    if _kind(description) != SYSTEMD:
        return None
    try:
        serverFromString(cast(Any, None), description)
    except LookupError:
        arguments = _arguments(description)
        which = f"named {arguments['name']!r}" if "name" in arguments else f"number {arguments['index']}"
        return (
            f"systemd handed over no socket {which}; start the unit of that socket (FileDescriptorName= is its name; "
            "see conf/systemd/streamer-relay.socket), or listen on a port, as 'tcp:8080'"
        )
    return None


def collide(one: str, other: str) -> bool:
    """Whether two descriptions name one TCP port for certain."""
    first, second = (_TCP.fullmatch(description) for description in (one, other))
    if first is None or second is None or first["port"] != second["port"] or int(first["port"]) == 0:
        return False
    hosts = {first["host"], second["host"]}
    return len(hosts) == 1 or bool(hosts & {None, "0.0.0.0", ""})  # noqa: S104 - nothing listens here


def _kind(description: str) -> str:
    return description.partition(":")[0]


def _check_systemd(description: str) -> None:
    """Raise ValueError where systemd could hand over no such socket."""
    arguments = _arguments(description)
    domain, index, name = (arguments.get(key) for key in KEYS)
    if domain not in DOMAINS:
        raise ValueError(f"domain is one of {', '.join(DOMAINS)}, as the address of the socket's ListenStream=")
    if (index is None) == (name is None):
        raise ValueError("give either name, which is the socket's FileDescriptorName=, or index")
    if index is not None and not re.fullmatch(r"[0-9]{1,4}", index):
        raise ValueError("index is the socket's number, from 0")
    if name is not None and not (_NAME.fullmatch(name) and len(name) <= NAME_LENGTH):
        raise ValueError(f"name is made of printable ASCII characters without a colon, at most {NAME_LENGTH}")


def _arguments(description: str) -> dict[str, str]:
    """What stands after `systemd:`, by key, in Twisted's notation: `\\` before a character that stands for itself."""
    if not _WHOLE.fullmatch(description):
        raise ValueError("a backslash at the end stands for nothing")
    found: dict[str, str] = {}
    unnamed = iter(KEYS)
    for part in _PART.findall(description):
        named = re.match(r"([a-z]+)=", part)
        key = named[1] if named else next(unnamed, part)
        if key not in KEYS:
            raise ValueError(f"there is no {key!r}; there are {', '.join(KEYS)}")
        if key in found:
            raise ValueError(f"{key} stands there twice")
        found[key] = re.sub(r"\\(.)", r"\1", part[named.end() :] if named else part)
    return found
