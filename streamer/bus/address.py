# -*- test-case-name: tests.unit.test_bus_address -*-
"""Where the broker is: `amqp://user:password@host1:5672,host2/vhost`, or `amqps://…` for TLS.

With `amqps`, `?ca_file=/path.pem` trusts the authorities in that file instead of the system's; `cert_file=` and
`key_file=` show the broker a certificate of ours; and `auth=external` has the broker take that for the login, instead
of a user and password. `txamqp+` before either
has txAMQP speak to the broker instead of pika.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

PORTS = {"amqp": 5672, "amqps": 5671}
OPTIONS = ("ca_file", "cert_file", "key_file", "auth")  # of a URL
PIKA, TXAMQP = "pika", "txamqp"  # drivers

# Not urlsplit: it knows one host, and newer ones refuse "[::1],other" (CVE-2025-0938).
_PARTS = re.compile(r"(amqps?)://([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#.*)?", re.IGNORECASE | re.DOTALL)
_VISIBLE = re.compile(r"[^\x00-\x1f\x7f]*")
_ENCODE = "percent-encode / ? # @ [ ] and what is not ASCII in the user name and password"


class Host(msgspec.Struct, frozen=True):
    """One node of the broker."""

    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """A broker, and who we are to it. Its text has no password in it."""

    hosts: tuple[Host, ...]
    vhost: str = "/"
    user: str = "guest"
    password: str = "guest"  # noqa: S105  # RabbitMQ's own default; it lets guest in from loopback only
    tls: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    external: bool = False
    driver: str = PIKA

    def __str__(self) -> str:
        scheme = ("" if self.driver == PIKA else f"{self.driver}+") + ("amqps" if self.tls else "amqp")
        user = "" if self.external else f"{self.user}@"
        return f"{scheme}://{user}{','.join(map(str, self.hosts))}/{self.vhost.removeprefix('/')}"

    __repr__ = __str__

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read a URL.

        Raises:
            ValueError: it is not one; the text says which part, and never holds the password.
        """
        check_text(url)
        driver = TXAMQP if url.lower().startswith(f"{TXAMQP}+") else PIKA
        url = url if driver == PIKA else url[len(TXAMQP) + 1 :]
        parts = _PARTS.fullmatch(url)
        if parts is None:
            raise ValueError("a broker's URL begins with amqp:// or amqps://, and txamqp+ may stand before either")
        scheme, authority, path, query = parts[1].lower(), parts[2], parts[3], parts[4] or ""
        if "#" in url or "@" in path + query:
            raise ValueError(f"the broker's URL has a '#', or an '@' after its hosts; {_ENCODE}")
        login, _, places = authority.rpartition("@")
        if "@" in login:
            raise ValueError(
                "the broker's URL has more than one '@': give the login once, before the first host; if the other is "
                f"part of it, {_ENCODE}"
            )
        if not login.isascii() or "[" in login or "]" in login:
            raise ValueError(f"the broker's URL cannot be read; {_ENCODE}")
        user, _, password = login.partition(":")
        hosts = tuple(_host(place, number, PORTS[scheme]) for number, place in enumerate(places.split(","), 1))
        options = dict(parse_qsl(query, keep_blank_values=True))
        _check(options, scheme == "amqps")
        return cls(
            hosts=hosts,
            vhost=unquote(path.removeprefix("/")) or "/",
            user=unquote(user) if login else "guest",
            password=unquote(password) if login else "guest",
            tls=scheme == "amqps",
            ca_file=options.get("ca_file"),
            cert_file=options.get("cert_file"),
            key_file=options.get("key_file"),
            external=options.get("auth") == "external",
            driver=driver,
        )

    def check_files(self) -> None:
        """Look at the files now, though each connection reads them anew.

        Raises:
            ValueError: one cannot be read or used; the text names it.
        """
        if self.ca_file is not None or self.cert_file is not None:
            self._files.options("localhost")

    def endpoints(self, reactor: Any) -> Sequence[tuple[str, Any]]:
        """Name and client endpoint of each host; with TLS the certificate must be valid for the host's name.

        Raises:
            ValueError: see `check_files`.
        """
        # Imported here, so that an address can be read before a reactor is installed.
        from twisted.internet.endpoints import HostnameEndpoint

        if not self.tls:
            return [(str(host), HostnameEndpoint(reactor, host.name, host.port)) for host in self.hosts]
        from streamer.bus.tls import SecureEndpoint

        self.check_files()
        return [(str(host), SecureEndpoint(reactor, host.name, host.port, self._files)) for host in self.hosts]

    @property
    def _files(self) -> Any:
        from streamer.bus.tls import Files

        return Files(ca_file=self.ca_file, cert_file=self.cert_file, key_file=self.key_file)


def check_text(url: str) -> None:
    """See that a URL has nothing in it that cannot be seen; else ValueError."""
    if url != url.strip() or not _VISIBLE.fullmatch(url):
        # urlsplit would take them out, which makes another password of it.
        raise ValueError("the broker's URL has blanks around it, or control characters in it; take them out")


def _check(options: Mapping[str, str], tls: bool) -> None:
    """See that the options of a URL make sense together; else ValueError."""
    for option in options:
        if option not in OPTIONS:
            raise ValueError(f"unknown option {option!r} in the broker's URL; known are {', '.join(OPTIONS)}")
        if not tls:
            raise ValueError(f"{option} in the broker's URL needs amqps://")
        if not options[option]:
            raise ValueError(f"{option} in the broker's URL is empty")
    if options.get("auth", "external") != "external":
        raise ValueError("auth in the broker's URL can be external; leave it out to log in with user and password")
    for option in ("key_file", "auth"):
        if option in options and "cert_file" not in options:
            raise ValueError(f"{option} in the broker's URL needs a cert_file beside it")


def _host(place: str, number: int, default: int) -> Host:
    """Read one host. Errors give its number only: with the "@" forgotten, the password stands in its place."""
    for mark, shown in ((";", "';'"), (" ", "blank")):
        if mark in place:
            raise ValueError(f"host {number} of the broker's URL has a {shown} in it; commas alone separate hosts")
    try:
        parts = urlsplit(f"//{place}")
        name, port = parts.hostname, parts.port
    except ValueError:
        name, port = None, None
        if ":" in place:
            raise ValueError(f"host {number} of the broker's URL has a port that is no number up to 65535") from None
    if not name:
        raise ValueError(f"host {number} of the broker's URL has no name that can be read")
    if port == 0:
        raise ValueError(f"host {number} of the broker's URL has the port 0; leave it out for {default}")
    return Host(name, default if port is None else port)
