# -*- test-case-name: tests.unit.test_plugins -*-
"""WIRING. The only room with the global reactor, and what `twistd streamer|enrich|relay|pipeline` run.

* `options`   `-c FILE`, read and checked
* `staged`    services that start in order and stop in reverse, one after the other
* `follower`  one source: connect, read, wait, again
* `intake`    items of one source → the bus, within its window
* `streamer`, `enrich`, `relay`, `pipeline`   `makeService` of each plugin
"""
