# -*- test-case-name: tests.unit.test_registry -*-
"""Plugins by name: sources, hydrators, event kinds.

A plugin is an object at the top of a module in its room, found by `twisted.plugin`; a folder elsewhere on the path
called `streamer/sources/` (without `__init__.py`) adds to the room. Twisted prints and skips a module that fails to
import, so an unknown name must be an error that lists the known ones.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from typing import Any

from twisted.plugin import getPlugins

from streamer.errors import UnknownPlugin
from streamer.interfaces import IEventKind, IHydrator, ISourceType

ROOMS: dict[Any, str] = {
    ISourceType: "streamer.sources",
    IHydrator: "streamer.hydrators",
    IEventKind: "streamer.events",
}
NOUNS: dict[Any, str] = {ISourceType: "source type", IHydrator: "hydrator", IEventKind: "event kind"}


def plugins(interface: Any) -> dict[str, Any]:
    """Every plugin of a kind, by its name, in the order of names."""
    room = importlib.import_module(ROOMS[interface])
    return {plugin.name: plugin for plugin in sorted(getPlugins(interface, room), key=lambda found: found.name)}


def find(interface: Any, name: str) -> Any:
    """The plugin of that name.

    Raises:
        UnknownPlugin: there is none; the text lists those that exist.
    """
    known = plugins(interface)
    if name not in known:
        raise UnknownPlugin(f"unknown {NOUNS[interface]} {name!r} ({suggestion(name, known)})")
    return known[name]


def suggestion(word: str, known: Iterable[str]) -> str:
    """`did you mean 'lang'?`, or where nothing is near `known are a, b, c`."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known are {', '.join(names) or 'none'}"
