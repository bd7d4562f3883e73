# -*- test-case-name: tests.unit.test_policy_backoff -*-
"""NUMBERS → DECISIONS. No I/O, no Twisted; `now` comes in.

* `backoff`     why a connection ended → how long to wait
* `stall`       bytes and items of one connection → is it dead? was it healthy?
* `checkpoint`  confirmations in any order → the contiguous prefix that is safe to store
* `dedupe`      ids → seen lately?
* `delivery`    how often what failed is tried again, on the bus
* `entities`    text → links, tags, mentions and cashtags, where the upstream gave none
* `sample`      which of many equal complaints go to the log
* `transport`   which URLs may carry credentials
"""
