# -*- test-case-name: tests.unit.test_bus_address -*-
"""Where the broker is: `amqp://user:password@host1:5672,host2/vhost`, or `amqps://…` for TLS.

`?ca_file=/path.pem` with `amqps` trusts the authority in that file instead of the system's.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import msgspec

PORTS = {"amqp": 5672, "amqps": 5671}

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

    def __str__(self) -> str:
        scheme = "amqps" if self.tls else "amqp"
        return f"{scheme}://{self.user}@{','.join(map(str, self.hosts))}/{self.vhost.removeprefix('/')}"

    __repr__ = __str__

    @classmethod
    def parse(cls, url: str) -> Address:
        """Read a URL.

        Raises:
            ValueError: it is not one; the text says which part, and never holds the password.
        """
        if url != url.strip() or not _VISIBLE.fullmatch(url):
            # urlsplit would take them out, which makes another password of it.
            raise ValueError("the broker's URL has blanks around it, or control characters in it; take them out")
        parts = _PARTS.fullmatch(url)
        if parts is None:
            raise ValueError("a broker's URL begins with amqp:// or amqps://")
        scheme, authority, path, query = parts[1].lower(), parts[2], parts[3], parts[4] or ""
        if "#" in url or "@" in path + query:
            raise ValueError(f"the broker's URL has a '#', or an '@' after its hosts; {_ENCODE}")
        login, _, places = authority.rpartition("@")
        if not login.isascii() or "[" in login or "]" in login:
            raise ValueError(f"the broker's URL cannot be read; {_ENCODE}")
        user, _, password = login.partition(":")
        hosts = tuple(_host(place, number, PORTS[scheme]) for number, place in enumerate(places.split(","), 1))
        options = dict(parse_qsl(query, keep_blank_values=True))
        ca_file = options.pop("ca_file", None)
        if options:
            raise ValueError(f"unknown option {next(iter(options))!r} in the broker's URL; known is ca_file")
        if ca_file is not None and scheme != "amqps":
            raise ValueError("ca_file in the broker's URL needs amqps://")
        return cls(
            hosts=hosts,
            vhost=unquote(path.removeprefix("/")) or "/",
            user=unquote(user) if login else "guest",
            password=unquote(password) if login else "guest",
            tls=scheme == "amqps",
            ca_file=ca_file,
        )

    def endpoints(self, reactor: Any) -> Sequence[tuple[str, Any]]:
        """Name and client endpoint of each host; with TLS the certificate must be valid for the host's name.

        Raises:
            ValueError: `ca_file` cannot be read.
        """
        # Imported here, so that an address can be read before a reactor is installed.
        from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
        from twisted.internet.ssl import Certificate, optionsForClientTLS, trustRootFromCertificates

        trust = None
        if self.ca_file is not None:
            try:
                trust = trustRootFromCertificates([Certificate.loadPEM(pathlib.Path(self.ca_file).read_bytes())])
            except Exception as error:
                raise ValueError(f"ca_file {self.ca_file!r} of the broker's URL cannot be used: {error}") from error
        found: list[tuple[str, Any]] = []
        for host in self.hosts:
            endpoint: Any = HostnameEndpoint(reactor, host.name, host.port)
            if self.tls:
                endpoint = wrapClientTLS(optionsForClientTLS(host.name, trustRoot=trust), endpoint)
            found.append((str(host), endpoint))
        return found


def _host(place: str, number: int, default: int) -> Host:
    """Read one host. Errors give its number only: with the "@" forgotten, the password stands in its place."""
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
