# -*- test-case-name: tests.unit.test_policy_private -*-
"""Hosts that no stranger may send us to: this machine, and the network that it stands in.

Told by the host as it is written; a public name that leads to a private address is not recognised, for nothing is
looked up here. https://www.iana.org/assignments/iana-ipv4-special-registry/ and its sister for IPv6.
"""

from __future__ import annotations

import ipaddress

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # https://www.rfc-editor.org/rfc/rfc6052: an IPv4 address in its end
_BITS = 8  # of each part of an IPv4 address but the last


def is_private(host: str) -> bool:
    """Whether a host is this machine or an address that is no public one, however it is spelled.

    Args:
        host: a name or an address, with or without brackets, as `urlsplit(url).hostname` gives it.
    """
    name = host.strip("[]").lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = _address(name)
    return address is not None and (not address.is_global or address.is_multicast)


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    """What is reached in the end: of an IPv6 address that stands for an IPv4 one, that one."""
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return _short(name)
    if isinstance(address, ipaddress.IPv6Address):
        within = address.ipv4_mapped or address.sixtofour
        if within is None and (address in _NAT64 or int(address) >> 32 == 0):
            within = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return within or address
    return address


def _short(name: str) -> ipaddress.IPv4Address | None:
    """As `inet_aton` reads what it is given: `127.1`, `0x7f.0.0.1`, `017700000001`; most resolvers do so, too."""
    parts = name.split(".")
    numbers = [_number(part) for part in parts]
    if len(parts) > 4 or any(number is None for number in numbers):
        return None
    *leading, last = [number for number in numbers if number is not None]
    room = _BITS * (4 - len(leading))
    if any(number >> _BITS for number in leading) or last >> room:
        return None
    value = 0
    for number in leading:
        value = value << _BITS | number
    return ipaddress.IPv4Address(value << room | last)


def _number(part: str) -> int | None:
    """Decimal, octal after a 0, hexadecimal after 0x; None where it is no number."""
    if not part.isascii() or not part.isalnum() or len(part) > 20:
        return None
    base = 16 if part.startswith("0x") else 8 if part.startswith("0") else 10
    try:
        return int(part[2:] or "0" if base == 16 else part, base)
    except ValueError:
        return None
