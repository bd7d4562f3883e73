# -*- test-case-name: tests.unit -*-
"""ADAPTERS to upstreams and clients. They translate, and decide nothing.

* `client`     short HTTP requests and the opening of streams, for sources (Agent over verified TLS)
* `failures`   what Twisted's web client raises → why a connection ended
* `stream`     an HTTP body as a protocol that feeds a framer
* `websocket`  browsers under `relay.v1.json`, with `clients`, `flush`, `channel` and `admission`
* `site`       the page, the client library and `/status.json`, with `assets`, `headers` and `upgrade`
* `admin`      `/live /ready /metrics /status`, for operators
* `control`    `/update /stop /start /predicates` beside them, for whom `permission` lets
"""
