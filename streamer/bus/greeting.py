# -*- test-case-name: tests.unit.test_bus_greeting -*-
"""What answers at the broker's address, by its first bytes: a broker, or something else that is worth naming."""

from __future__ import annotations

import re

import attrs

METHOD = 1  # type of a broker's first frame, which is connection.start
ENOUGH = 60  # bytes of an unknown answer that are waited for, and shown, where its first line is not over before
AMQP = b"AMQP"
TLS_ALERT, TLS_HANDSHAKE, TLS_MAJOR = 21, 22, 3  # https://www.rfc-editor.org/rfc/rfc8446#section-5.1
MUTE = "it hung up without a word; does that port want TLS? Then the URL begins with amqps://"


@attrs.define
class Greeting:
    """The beginning of what came over one connection.

    Attributes:
        known: it is a broker; nothing more needs to be looked at.
    """

    known: bool = False
    _seen: bytes = b""

    def feed(self, data: bytes) -> str | None:
        """Look at the next bytes: says what is strange about them, once enough are there to tell."""
        self._seen += data
        if self._seen[0] == METHOD:
            self.known = True
            return None
        return self.verdict() if _tells(self._seen) else None

    def verdict(self) -> str | None:
        """What is strange, if it was all; None where it is a broker."""
        return None if self.known else stranger(self._seen)


def _tells(seen: bytes) -> bool:
    """Whether enough is there to say what it is; else the rest is waited for, as long as a login may take."""
    least = 2 if seen[0] in (TLS_ALERT, TLS_HANDSHAKE) else 8 if seen.startswith(AMQP) else ENOUGH
    return len(seen) >= least or seen.endswith(b"\n")


def stranger(said: bytes) -> str:
    """A sentence about what is not the beginning of AMQP 0-9-1."""
    if not said:
        return MUTE
    if said.startswith(AMQP) and len(said) >= 8:
        # A peer that cannot speak our version answers with the one it can, and hangs up
        # (https://www.rabbitmq.com/resources/specs/amqp0-9-1.pdf, section 4.2.2).
        version = "1.0" if said[5] == 1 else f"{said[5]}-{said[6]}-{said[7]}"
        return f"it speaks AMQP {version}; RabbitMQ speaks 0-9-1, which is what we need"
    if len(said) > 1 and said[0] in (TLS_ALERT, TLS_HANDSHAKE) and said[1] == TLS_MAJOR:
        return "it speaks TLS; the URL must begin with amqps:// for that port"
    words = re.sub(r"[^\x20-\x7e]+", " ", said.split(b"\n")[0][:ENOUGH].decode("latin-1")).strip()
    return (
        f"this is no AMQP broker: it answered {words!r}" if words else "this is no AMQP broker: it answered in bytes"
    )
