# -*- test-case-name: tests.unit.test_registry -*-
"""WHAT WE DERIVE, one file each.

A module holds one event kind (a plugin).
"""

from twisted.plugin import pluginPackagePaths

__path__.extend(pluginPackagePaths(__name__))
