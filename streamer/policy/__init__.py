# -*- test-case-name: tests.unit.test_policy_backoff -*-
"""NUMBERS → DECISIONS. No I/O, no Twisted; `now` comes in.

* `backoff`     why a connection ended → how long to wait
* `stall`       bytes and items of one connection → is it dead? was it healthy?
* `checkpoint`  confirmations in any order → the contiguous prefix that is safe to store
* `dedupe`      ids → seen lately?
* `transport`   which URLs may carry credentials
"""
