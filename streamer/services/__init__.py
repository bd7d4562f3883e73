# -*- test-case-name: tests.unit.test_plugins -*-
"""WIRING. The only room with the global reactor, and what `twistd streamer|enrich|relay|pipeline` run.

* `options`    `-c FILE`, read and checked
* `assembly`   settings → the services of one process; every `…_tap`, a plugin's `makeService`, ends here
* `staged`     services that start in order and stop in reverse, one after the other
* `listening`  a port from start to stop; `fatal` the end of a process that cannot go on; `garbage` rarer collections
* `enrich`     items → events; `enricher` what happens to one item
* `relay`      the log → browsers; `cold` reads what they missed long ago, `upkeep` lets go what is old
* `authority`  keys for clients' tokens; `publishing` takes clients' events to the bus
* `relay_fleet`   several relays on one port
* `watch_cli`  the commands `tail` and `top`, run by `foreground`

Upstreams → the bus:

* `streamer`   a `source` each, and the operator's verbs; `sourcing` puts the parts of one together
* `follower`   carries out what `policy.course` commands, with an `alarm`: connections, each a `leg` with a `reading`
* `wanted`     the predicates to ask for; `alignment` brings them into force on an open stream
* `progress`   how far everything is ours, and what is missing; `recovery` fetches it
* `intake`     items, each once, counted, and a pause where there is no room
* `outflow`    to the bus directly (`under_way`) or by way of the disk (`spooling`, `erasing`)
* `keeping`    the lock, the cursor and the spool in the state directory
"""
