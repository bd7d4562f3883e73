# -*- test-case-name: tests.unit -*-
"""ADAPTERS to upstreams and clients. They translate, and decide nothing.

* `client`     short HTTP requests and the opening of streams, for sources (Agent over verified TLS)
* `failures`   what Twisted's web client raises → why a connection ended
* `stream`     an HTTP body, or frames that come whole, as a protocol that feeds a framer
* `ways`       what a source may ask for besides: `dialer` websockets, with `dialed`, `dialed_refusal`; `poller` polls,
               with `turnstile`; `hooks` calls from others, with `hook_site`; `player` recordings, with `track`,
               `recording_file`
* `websocket`  browsers under `relay.v1.json` and `cloudevents.json`, with `clients`, `flush`, `outlet`, `compression`,
               `quiet` and `admission`
* `sse`, `poll`, `feed_json`   the faces that only listen, with `oneway`
* `publish`    `POST /publish`, with `bodies`
* `origins`    which pages may use a relay; `works`: what addresses have had it search for
* `tokens`     JSON Web Tokens, with `jwks`, `jwks_file`; `bearer` finds them in a request
* `forwarded`  whose request a proxy brings
* `gathered`   the admin pages of several processes as one, with `merging`; `listen`: a port they share
* `relay_reader`   a client of a relay; the other `relay_…` are its parts
* `site`       the page, the client library and `/status.json`, with `assets`, `headers` and `upgrade`
* `admin`      `/live /ready /metrics /status`, for operators
* `control`    `/update /stop /start /predicates` beside them, for whom `permission` lets
"""
