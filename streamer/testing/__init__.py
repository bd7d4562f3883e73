# -*- test-case-name: tests.unit.test_testing_x -*-
"""Verified fakes, shipped: an upstream that is not there, so that everything can be tried without an account.

* `x`          SimulatedX: the filtered stream of the X API v2, as a web resource and a schedule of posts
* `x_server`   listening with it, as a service
* `x_stream`   the endpoint `/2/tweets/search/stream`; `x_connection` one open stream of it, which writes by `x_outlet`
* `x_query`    the endpoint's query parameters, and what of a post they ask for
* `x_rules`    the endpoints `…/rules` and `…/rules/counts`; `rule_book` is what they keep
* `x_problems` what X says when it refuses; `x_admission` when it does
* `x_control`  `/_sim/…`: ledger, status, faults and injected posts, for tests in other processes
* `faults`     what can be made to go wrong
* `production` when posts happen; `history` the last minutes of them; `ledger` what was sent
* `connections` the open ones; `feed` brings them the posts; `x_pages` how resources answer
* `posts`      one post after the other, by seed; from `threads`, `bursts`, `texts`, `profiles`, `cities`, `corpus`

* `composer`   puts a post together; `templates` have it written beforehand; `snowflakes` are ids that rise with time

Besides: `rabbitmq` runs a private broker, `relay_client` is a plain client of the relay, `relay_events` makes entries.
"""
