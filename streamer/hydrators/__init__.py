# -*- test-case-name: tests.unit.test_registry -*-
"""WHAT WE ADD, one file each.

A module holds one hydrator (a plugin).
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
