# -*- test-case-name: tests.unit.test_bus_versions -*-
"""What RabbitMQ's versions do differently, as far as it matters to us; `streamer topology check` tells it of a broker.

Tested here is 3.10.8. The rest is from the release notes
(https://github.com/rabbitmq/rabbitmq-server/tree/main/release-notes) and the documentation, and is what the code was
written against.
"""

from __future__ import annotations

import re

import msgspec

TESTED = "3.10.8"
_SERVER = re.compile(r"RabbitMQ (\d{1,6})\.(\d{1,6})(?:\.(\d{1,6}))?")


class Version(msgspec.Struct, frozen=True, order=True):
    """A version of RabbitMQ; what is before a release (`4.3.0-rc.1`) is taken for it."""

    major: int
    minor: int
    patch: int = 0

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.patch}"

    @classmethod
    def parse(cls, server: str) -> Version | None:
        """From `IConnection.server`; None for another product, or a version that cannot be read."""
        found = _SERVER.match(server)
        return None if found is None else cls(int(found[1]), int(found[2]), int(found[3] or 0))


OLDEST = Version(3, 10)  # streams under policies, and dead letters handed over safely
CONFIGURE_FOR_PASSIVE = Version(4, 3, 0)  # this one version asks for the right to configure even to look
NACK_COUNTS_UNTIL = Version(4, 3)  # before, what is handed back counts as a failed delivery


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something that holds for some versions only.

    Args:
        since: the first version of which it is true; None for all up to `until`.
        until: the first version of which it is true no more; None for all since.
        what: the broker does.
        ours: what the house does about it.
    """

    what: str
    ours: str
    since: Version | None = None
    until: Version | None = None

    def holds(self, version: Version) -> bool:
        """Whether it is true of a version."""
        return (self.since is None or version >= self.since) and (self.until is None or version < self.until)

    @property
    def span(self) -> str:
        """The versions, for people."""
        if self.since is None:
            return f"before {self.until}"
        return f"from {self.since}" + ("" if self.until is None else f", before {self.until}")


DIFFERENCES = (
    Difference(
        since=OLDEST,
        what="streams take their limits from policies, and `dead-letter-strategy` hands dead letters over safely",
        ours="needed; older brokers are refused",
    ),
    Difference(
        since=OLDEST,
        what="a quorum queue with a delivery limit hands out first what was handed back, one without a limit last",
        ours="every queue has a limit, that of the dead and the unrouted being out of reach",
    ),
    Difference(
        until=Version(3, 12),
        what="`x-delivery-count` is there on the first delivery too; later it comes with the second",
        ours="none is taken for 0",
    ),
    Difference(
        until=Version(3, 12),
        what="policies apply to all queues, whatever their type",
        ours="policies apply to `queues`, which all versions know, and name them one by one",
    ),
    Difference(
        since=Version(3, 11),
        what="a virtual host has a default type of queues",
        ours="every declaration names its type",
    ),
    Difference(
        until=Version(4, 0),
        what="a message may have 128 MiB; from 4.0 on 16 MiB, unless `max_message_size` says otherwise",
        ours="no message of ours is longer than 16 MiB",
    ),
    Difference(
        since=Version(4, 0),
        what="quorum queues without a delivery limit have one of 20",
        ours="every queue names its own",
    ),
    Difference(
        since=Version(4, 0),
        what="classic queues are mirrored no more",
        ours="there are only quorum queues and a stream",
    ),
    Difference(
        since=Version(4, 0),
        what="`x-death` of a message that a client publishes again is not counted on",
        ours="nothing counts by it; `streamer dead replay` begins anew",
    ),
    Difference(
        since=Version(4, 0, 1),
        what="AMQP 0-8 is refused",
        ours="both drivers speak 0-9-1",
    ),
    Difference(
        since=Version(4, 1),
        what="`frame_max` below 8,192 is refused",
        ours="we take the broker's own, 131,072 by default",
    ),
    Difference(
        since=Version(4, 2),
        what="new clusters keep their metadata in Khepri (optional since 3.13, the only store from 4.3 on), where "
        "what one node declares is seen by another a little later",
        ours="declaring and using go over the same connection; what is not there yet is tried again",
    ),
    Difference(
        until=NACK_COUNTS_UNTIL,
        what="what is handed back (`basic.nack`) counts as a failed delivery, as what failed (`basic.reject`) does",
        ours="what fails is rejected and what is handed back is nacked; an item that is handed back by one stop after "
        "another comes nearer to its limit all the same",
    ),
    Difference(
        until=Version(4, 3),
        what="a delivery that is not acked for 30 minutes has its channel closed with 406; from 4.3 on its consumer "
        "is cancelled, on quorum queues alone",
        ours="either ends that connection, and the role begins anew",
    ),
    Difference(
        since=CONFIGURE_FOR_PASSIVE,
        until=Version(4, 3, 1),
        what="a passive declaration needs the right to configure",
        ours="403 means that it cannot be told; a service takes it for a prepared broker, and declares nothing",
    ),
    Difference(
        since=Version(4, 3, 1),
        what="a passive declaration needs some right over what it names",
        ours="every user may read the marker; elsewhere 403 means that it cannot be told, and a service does not "
        "count what waits in a queue that is none of its business",
    ),
    Difference(
        since=Version(4, 3),
        what="transient queues that are not exclusive and a prefetch for a whole channel are refused",
        ours="there are none, and prefetch is each consumer's own",
    ),
)


def in_force(version: Version) -> tuple[Difference, ...]:
    """What holds for a version."""
    return tuple(difference for difference in DIFFERENCES if difference.holds(version))


def refusal(server: str) -> str | None:
    """Why a broker cannot be used at all; None where it can, or where nothing is known of it."""
    version = Version.parse(server)
    if version is None or version >= OLDEST:
        return None
    return (
        f"{server} is too old: streams under policies and the safe hand-over of dead letters need RabbitMQ "
        f"{OLDEST} or newer; upgrade the broker"
    )


def passive_needs(version: Version | None) -> str:
    """What a 403 to a passive declaration asks for, for people."""
    if version == CONFIGURE_FOR_PASSIVE:
        return "this version of the broker asks for the right to configure even to look"
    return "this user has no right over it, and may not look"
