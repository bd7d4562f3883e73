"""Plugins by name, and the promise that a new one is one file."""

from __future__ import annotations

import importlib
import pkgutil

from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from streamer.errors import UnknownPlugin
from streamer.interfaces import IEventKind, IHydrator, ISourceType
from streamer.registry import ROOMS, find, plugins


class RegistryTests(SynchronousTestCase):
    """What the rooms hold."""

    def test_every_module_imports(self) -> None:
        """Twisted only prints a module that fails to import; here it fails a test."""
        for room in ROOMS.values():
            package = importlib.import_module(room)
            for module in pkgutil.iter_modules(package.__path__, f"{room}."):
                importlib.import_module(module.name)

    def test_plugins_provide_their_interface(self) -> None:
        """Each plugin has all that its interface names."""
        for interface in ROOMS:
            for plugin in plugins(interface).values():
                verifyObject(interface, plugin)
                verifyObject(IPlugin, plugin)

    def test_names(self) -> None:
        """The first plugins are there."""
        self.assertIn("x-filtered", plugins(ISourceType))
        self.assertLessEqual({"entities", "author", "geo"}, set(plugins(IHydrator)))
        self.assertLessEqual({"post", "geo", "notice", "delete"}, set(plugins(IEventKind)))

    def test_unknown(self) -> None:
        """An unknown name lists the known ones, or the one that was meant."""
        with self.assertRaises(UnknownPlugin) as caught:
            find(IHydrator, "zzz")
        self.assertIn("author, entities, geo", str(caught.exception))
        with self.assertRaises(UnknownPlugin) as caught:
            find(IHydrator, "goe")
        self.assertIn("did you mean 'geo'?", str(caught.exception))
