# -*- test-case-name: tests.unit.test_registry -*-
"""UPSTREAMS, one file each.

A module holds one source type (a plugin) and the source it builds:
it describes requests and decodes frames, and does no I/O.
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
