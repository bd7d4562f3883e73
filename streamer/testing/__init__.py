# -*- test-case-name: tests.unit.test_testing_x -*-
"""Verified fakes, shipped: upstreams that are not there, so that everything can be tried without an account.

Each is a web resource and a schedule of posts; `server` listens with either, as a service.

* `x`          SimulatedX: the streams of the X API v2; `twitter` SimulatedTwitter: those of Twitter's v1.1
* `jetstream`  SimulatedJetstream; `mastodon` SimulatedMastodon; `wikimedia` SimulatedWikimedia; `github`
  SimulatedGitHub
* `feeds`      SimulatedFeed: a site with feeds; `hub` a WebSub hub; `webhooks` somebody who calls a webhook

What they have in common:

* `simulation` what running one means; `production` when posts happen, `recorder` takes them to the history
* `history`    the last minutes of them; `connections` the open ones, which read it
* `connection` one open stream, on the `terms` that its client asked for; it writes by `outlet`
* `faults`     what can be made to go wrong; `ledger` what was made and sent
* `control`    `/_sim/…`: ledger, status, faults and injected posts, for tests in other processes
* `pages`      how resources answer; `problems` how they refuse; `window` how often they may be asked
* `answering`  whole answers of those that are polled, with faults; `sockets` websockets, with `socket_frames`

X:

* `x_stream`   a stream's endpoint; `x_endpoints` which there are, and which posts go to whom
* `x_query`    their query parameters, and what of a post they ask for
* `x_rules`    the endpoints `…/rules` and `…/rules/counts`; `rule_book` is what they keep
* `x_problems` what X says when it refuses; `x_admission` when it does
* `feed`       posts, by `posts`: one after the other, by seed; `templates` have them written beforehand

Twitter:

* `twitter_stream`     the endpoints; `twitter_query` their parameters, `twitter_refusals` what they say instead
* `twitter_auth`       who is let in; `oauth1` checks signatures
* `twitter_predicates` which tweets match; `twitter_choice` what one connection gets of them
* `twitter_feed`       tweets, by `twitter_tweets` in the form of `twitter_forms`; `twitter_messages` between them

The others have parts named after them: what happens there (`…_events`, `…_edits`, `…_statuses`, `…_texts`), how they
answer (`…_page`, `…_pages`, `…_stream`, `…_timelines`), and whom they let in (`…_gate`, `…_options`, `…_refusals`).

What invented posts are made of: `composer` puts one together from `threads`, `bursts`, `texts`, `profiles`, `cities`
and `corpus`; `snowflakes` are ids that rise with time.

The bus:

* `rabbitmq`   a private broker, `cluster` several in one; `rabbitmq_processes` and `rabbitmq_queues` are parts of both
* `broker`     a fake broker for what a real one won't do on demand; `broker_confirms` are its ways of confirming,
  `broker_port` puts it on a port
* `proxy`      a TCP proxy that does what bad networks do, by `toxics`; `toxic_lane` is one direction of it, without
  sockets

Besides: `trial` checks what every source promises; `relay_client` is a plain client of the relay, `relay_events` makes
entries.
"""
