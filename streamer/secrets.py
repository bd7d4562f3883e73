# -*- test-case-name: tests.unit.test_settings -*-
"""Secrets come from outside the configuration file, and never go out again.

    "$NAME"            the environment variable NAME
    "file:/path"       the file's content, surrounding white space stripped
    "credential:name"  the file `name` in systemd's $CREDENTIALS_DIRECTORY
                       (https://systemd.io/CREDENTIALS/)

Anything else is taken literally, so that a trial works at once; the examples never do so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

SECRET_LIMIT = 65_536  # bytes of a file with a secret


class Secret:
    """A string that does not show itself in logs, tracebacks or `repr`."""

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """The secret itself. Call it where it goes on the wire, not before."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('…')"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and other._value == self._value

    def __hash__(self) -> int:
        return hash(self._value)


def resolve(written: str, environ: Mapping[str, str]) -> Secret:
    """Find what a configuration value stands for.

    Raises:
        ValueError: the variable or file is missing or empty; the text names it and says how to mend it.
    """
    kind, colon, rest = written.partition(":")
    if written.startswith("$"):
        return Secret(_variable(written[1:], environ))
    if colon and kind == "file":
        return Secret(_file(Path(rest), f"the file {rest}"))
    if colon and kind == "credential":
        return Secret(_credential(rest, environ))
    return Secret(written)


def _variable(name: str, environ: Mapping[str, str]) -> str:
    if not name:
        raise ValueError("'$' must be followed by the name of an environment variable")
    value = environ.get(name, "")
    if not value:
        raise ValueError(f"the environment variable {name} is not set; export it, or use 'file:/path'")
    return value


def _credential(name: str, environ: Mapping[str, str]) -> str:
    directory = environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        raise ValueError(
            f"'credential:{name}' needs systemd's LoadCredential={name}:…; $CREDENTIALS_DIRECTORY is not set here"
        )
    if "/" in name or name in ("", ".", ".."):
        raise ValueError(f"{name!r} cannot be the name of a systemd credential")
    return _file(Path(directory) / name, f"the systemd credential {name}")


def _file(path: Path, called: str) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(SECRET_LIMIT + 1)
        value = content.decode("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{called} cannot be read: {error}") from error
    if len(content) > SECRET_LIMIT:
        raise ValueError(f"{called} is longer than {SECRET_LIMIT} bytes; that is no secret")
    if not value:
        raise ValueError(f"{called} is empty")
    return value
