# -*- test-case-name: tests.unit.test_bus_memory -*-
"""The bus: three verbs (publish, work, log) over RabbitMQ, or within one process.

* `topology`    exchanges, queues and bindings, as data
* `factory`     a URL to a bus; imports the driver only then, for pika wants the reactor installed first
* `limits`      what a message must be to be carried at all
* `crew`        handlers under way: concurrency, decisions, delayed retries
* `memory`      the bus of one process: a `memory_broker` with `memory_queue` and `memory_log` (a `ring`), which routes
  by `patterns`
* `rabbitmq`    the bus over pika: a `publisher` (with an `outbox` of `confirms`, encoded by `frames`), `worker` and
  `reader` (with `acks` and `recall`), each owning one `role`: a supervised `connection` (`calls`, `gate`) to an
  `address`, with a `deadline` for everything; `envelope` reads deliveries

Before the bus, on disk:

* `spool`       items that wait while the bus is away or behind; its jobs (`spool_turns`) are done by a `spool_worker`
  in a `spool_file`, which `spool_opening` checks; the rest of `spool_…` are its nouns
* `state_lock`  one process a source and state directory
"""
