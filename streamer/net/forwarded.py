# -*- test-case-name: tests.unit.test_net_forwarded -*-
"""Whose connection it is, when a proxy of ours made it.

`X-Forwarded-For` is a list that each proxy adds the address of its own peer to, at the end; whatever stood there
before may have been written by anybody. So it is read from the right, only as far as proxies are trusted: the
rightmost address that is not one of theirs is the client's.
https://developer.mozilla.org/en-US/docs/Web/HTTP/Reference/Headers/X-Forwarded-For#selecting_an_ip_address
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from twisted.logger import Logger

HOPS_LIMIT = 16  # proxies of ours in a row; a list that goes on behind them is not read further
UNIX = "unix"  # among the trusted ones: whoever connects by a UNIX socket

Network = IPv4Network | IPv6Network

NEAR: tuple[Network, ...] = tuple(
    map(
        ip_network,
        ("127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "::1/128", "fc00::/7"),
    )
)  # where whoever writes X-Forwarded-For is most likely a proxy of the operator's own


def _within(address: str, networks: Iterable[Network]) -> bool:
    parsed = _parsed(address)
    return parsed is not None and any(parsed in network for network in networks)


class Trusted:
    """The proxies whose word is taken.

    Args:
        proxies: addresses, networks as `10.0.0.0/8`, or `UNIX`.

    Raises:
        ValueError: one of them is none of these.
    """

    log = Logger()

    def __init__(self, proxies: Iterable[str]) -> None:
        proxies = tuple(proxies)
        self._unix = UNIX in proxies
        self._networks: tuple[Network, ...] = tuple(ip_network(proxy) for proxy in proxies if proxy != UNIX)
        self._warned = False

    def __contains__(self, address: str) -> bool:
        """Whether it is a trusted proxy's; "" is a UNIX socket's peer."""
        if not address:
            return self._unix
        return _within(address, self._networks)

    def client(self, peer: str, headers: Sequence[str]) -> str:
        """The address that a connection counts for.

        Args:
            peer: the address of the other end; "" where it has none.
            headers: the values of all `X-Forwarded-For` headers, in order.

        Returns:
            The peer's own, unless it is trusted and tells of another. What cannot be read ends the search there: the
            proxy that passed it on counts for it.

        The first time that a peer nearby tells of others and is not trusted, the operator is warned.
        """
        if headers and not self._warned and peer not in self and _within(peer, NEAR):
            self._warned = True
            self.log.warn(
                "A peer at {peer} passes requests on (X-Forwarded-For) and [relay] trusted_proxies does not name it: "
                "all who come through it count as one address and share its limits and rates. If it is your proxy, "
                "add its address to trusted_proxies.",
                peer=peer,
            )
        found = peer
        hops = ",".join(headers).rsplit(",", HOPS_LIMIT)[-HOPS_LIMIT:]
        while hops and found in self:
            parsed = _parsed(hops.pop().strip())
            if parsed is None:
                break
            found = str(parsed)
        return found


def _parsed(text: str) -> IPv4Address | IPv6Address | None:
    """An address, as proxies write it: some add a port, some put IPv6 into brackets, some map IPv4 into IPv6."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address
