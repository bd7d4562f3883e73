# -*- test-case-name: tests.unit.test_bus_memory -*-
"""The bus: three verbs (publish, work, log) over RabbitMQ, or within one process.

* `topology`    exchanges, queues and bindings, as data
* `factory`     a URL to a bus; imports the driver only then, for pika wants the reactor installed first
* `limits`      what a message must be to be carried at all
* `crew`        handlers under way: concurrency, decisions, delayed retries
* `memory`      the bus of one process: a `memory_broker` within `memory_bounds`, which routes by `patterns` to
  `memory_queue` (of `memory_places`, for `memory_work`) and `memory_log` (a `ring`)
* `rabbitmq`    the bus over RabbitMQ, by either driver: `publishers` (each a `publisher` with an `outbox` of
  `confirms`, encoded by `frames`, and its `standing`), `worker` (with `acks`, a `crew` and `lanes`) and `reader` (with
  `recall`), each owning one `role`: a supervised connection to one of the `hosts` of an `address` (by `tls`), with a
  `deadline` for everything, a `pulse` that notices silence, and `refusals` that say what is missing; `envelope` reads
  deliveries, `watch` looks at queues
* `shards`      which queue keeps an author's items in order
* `driver`      the seam to an AMQP library: `connection` and `pika_channel` fit pika to it, `txamqp_…` txAMQP; both
  with `calls`, `gate`, `deliveries` (the decoder), `greeting`, `logins` and `endings`

Around the topology:

* `definitions` it as a file for RabbitMQ, with the users of `permissions`; `versions` what differs between brokers
* `survey`      what a broker has, by a `visit`; `verdict` what is wrong with it
* `dead…`       looking at dead letters, replaying and dropping them

Before the bus, on disk:

* `spool`       items that wait while the bus is away or behind; its jobs (`spool_turns`) are done by a `spool_worker`
  in a `spool_file`, which `spool_opening` checks; the rest of `spool_…` are its nouns
* `state_lock`  one process a source and state directory
"""
