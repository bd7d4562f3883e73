# -*- test-case-name: tests.unit.test_bus_role -*-
"""Who we are to a broker, and what it must offer for us to log in; for every driver."""

from __future__ import annotations

import importlib.metadata

from streamer.bus.address import Address
from streamer.bus.driver import Login
from streamer.errors import BusError

HEARTBEAT = 15  # seconds; silence is told of after 12 to 15 s, and given up after 24 to 27 (`pulse`)
EXTERNAL = "EXTERNAL"
LEAST_FRAME_MAX = 8192  # bytes; a client's least since RabbitMQ 4.1 (https://www.rabbitmq.com/release-information)
PLUGIN = "rabbitmq_auth_mechanism_ssl"  # https://github.com/rabbitmq/rabbitmq-server/tree/main/deps


def login_of(address: Address, name: str) -> Login:
    """The login that an address stands for; the broker shows the connection by that name."""
    return Login(
        vhost=address.vhost,
        user=address.user,
        password=address.password,
        external=address.external,
        heartbeat=HEARTBEAT,
        name=name,
        version=importlib.metadata.version("streamer"),
    )


def unknown(wanted: str, offered: bytes | str) -> BusError:
    """The broker does not let anybody in by the wanted mechanism.

    Args:
        offered: the mechanisms in connection.start, with blanks between.
    """
    names = offered.decode("ascii", "replace") if isinstance(offered, bytes) else offered
    mend = (
        f"enable its plugin {PLUGIN} and list EXTERNAL among its auth_mechanisms, or log in with user and password"
        if wanted == EXTERNAL
        else f"list {wanted} among its auth_mechanisms, or log in by a certificate (auth=external)"
    )
    return BusError(f"the broker takes no login by {wanted}, only by {', '.join(names.split()) or 'none'}; {mend}")


def check_frame_max(proposed: int) -> None:
    """See that our frames can be short enough; 0 stands for no limit.

    Raises:
        BusError: they cannot.
    """
    if 0 < proposed < LEAST_FRAME_MAX:
        raise BusError(
            f"the broker takes frames of {proposed} bytes only, we need {LEAST_FRAME_MAX}; take frame_max out of its "
            "configuration"
        )
