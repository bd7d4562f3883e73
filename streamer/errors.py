# -*- test-case-name: tests.unit.test_settings -*-
"""The exceptions of the house.

    StreamerError
    ├── ConfigurationError   the operator's file is wrong: print it, exit 78
    │   └── UnknownPlugin    a name that no plugin carries
    ├── DecodeError          the upstream sent what we cannot read: count it, drop it, go on
    ├── BusError
    │   ├── BusStopped       the bus is being stopped: give the message back to where it came from
    │   └── MessageRefused   this message can never be carried (too long a topic, a header of a wrong type)
    ├── ControlRefused       an operator asked for something that cannot be done: answer it
    └── ClientError          a browser asked for something it cannot have: answer it, perhaps close

Adapters translate foreign exceptions into these at the border. The text of each is a sentence for an operator.
"""

from __future__ import annotations

from collections.abc import Sequence

EXIT_CONFIGURATION = 78  # sysexits.h EX_CONFIG


class StreamerError(Exception):
    """Whatever this package raises on purpose."""


class ConfigurationError(StreamerError):
    """The configuration cannot be used.

    Print the exception (one problem a line, each with its place in the file) and exit with `EXIT_CONFIGURATION`.

    Args:
        problems: one sentence each, as `conf/x.toml:12:7: unknown key 'lnag' in [enrich] (did you mean 'lang'?)`.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


class UnknownPlugin(ConfigurationError):
    """No plugin of that kind has this name; the text lists those that exist."""

    def __init__(self, problem: str) -> None:
        super().__init__([problem])


class DecodeError(StreamerError):
    """An upstream's message could not be understood. Count it, keep a bounded sample, go on."""


class BusError(StreamerError):
    """The bus could not do what was asked."""


class BusStopped(BusError):
    """The bus is stopping or stopped; nothing was taken. The caller still owns the message."""


class MessageRefused(BusError):
    """The message itself can never be carried; publishing it again is pointless. Count it and drop it."""


class SourceTaken(StreamerError):
    """Another process follows this source, wherever it runs. The text says how to find it; stop one of the two."""


class ControlRefused(StreamerError):
    """An operator's request cannot be carried out; the text says why and how to mend it.

    Args:
        status: HTTP status that fits: 400 not understood, 404 no such source, 409 not now, 422 the upstream refuses.
    """

    def __init__(self, sentence: str, status: int) -> None:
        super().__init__(sentence)
        self.status = status


class ClientError(StreamerError):
    """A client's request cannot be served.

    Args:
        code: machine word for the `err` frame, such as `bad-topic`.
        message: sentence for the person who wrote the client.
        close: websocket close code where the connection must end, else None.
        retry: whether the same request may succeed later.
    """

    def __init__(self, code: str, message: str, *, close: int | None = None, retry: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.close = close
        self.retry = retry
