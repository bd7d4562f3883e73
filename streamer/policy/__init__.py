# -*- test-case-name: tests.unit.test_policy_backoff -*-
"""NUMBERS → DECISIONS. No I/O, no Twisted; `now` comes in.

Following an upstream:

* `course`      the table of states: what happened, what is wanted → which connections to open and close (its `legs`)
* `backoff`     why a connection ended → how long to wait
* `penalty`     a rate limit → nobody with that credential connects before its end
* `restart`     changed predicates → when to make a new connection for them
* `overlap`     two connections to the same stream → may the older one go?
* `stall`       bytes and items of one connection → is it dead? was it healthy? is it stale?

Keeping account:

* `safe`         what was heard → up to when everything is ours
* `losses`       many small losses → a gap now and then
* `undelivered`  an upstream's counts of what it kept back → how many more
* `dedupe`       ids → seen lately?
* `delivery`     how often what failed is tried again, on the bus
* `sample`       which of many equal complaints go to the log

For operators:

* `rejoin`      why a connection to a relay ended → when to come back
* `histogram`   times → buckets
* `exposition`  `/metrics` → numbers; `rates`: two looks → rates; `overview`: the tables of `streamer top`
* `rate`        how many a second, of late; `source_table` the table of `streamer sources`
* `event_line`  an event → a line for a terminal; `terminal`: what may be shown on one

What upstreams ask for, and leave out:

* `predicates`  what a v1.1 stream may be asked for
* `oauth`       OAuth 1.0a signatures
* `transport`   which URLs may carry credentials, and how to tell credentials apart
* `turns`       who may ask a host next; `pace` when a recorded item is due
* `websub`      one subscription at a hub; `pointer` JSON pointers
* `entities`    text → links, tags, mentions and cashtags, where the upstream gave none
"""
