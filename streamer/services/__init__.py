# -*- test-case-name: tests.unit.test_plugins -*-
"""WIRING. The only room with the global reactor, and what `twistd streamer|enrich|relay|pipeline` run.

* `options`    `-c FILE`, read and checked
* `assembly`   settings → the services of one process; every `…_tap`, a plugin's `makeService`, ends here
* `staged`     services that start in order and stop in reverse, one after the other
* `listening`  a port from start to stop; `fatal` the end of a process that cannot go on
* `streamer`   upstreams → the bus, a `follower` each: connect, read, wait, again
* `reading`    one connection's body; `intake` its items → the bus, within its window
* `enrich`     items → events; `enricher` what happens to one item
* `relay`      the log → browsers
"""
