# -*- test-case-name: tests.unit.test_wire_lines -*-
"""BYTES → FRAMES. No transport, no clock, no Twisted.

A framer takes bytes as they come and returns the frames they complete; any split of the same bytes yields the same
frames. Every framer has a limit and counts what it skipped.

* `lines`    one frame a line (X, Twitter v1, newline-delimited JSON)
* `lengths`  each frame after its length (Twitter v1 with `delimited=length`)
* `sse`      server-sent events
* `gunzip`   a compressed body, unpacked on its way to one of these
* `whole`    frames that come whole; `zstd` has each of them unpacked
* `recording`  one item a line, with `recording_reader`; `packing` for files that are compressed
"""
