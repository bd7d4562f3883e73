# -*- test-case-name: tests.integration.test_soak -*-
"""What goes wrong with the broker: it is stopped, killed, out of memory, or hangs up on everybody."""

from __future__ import annotations

import time

import attrs

from streamer.testing.rabbitmq import NodeFailed, RabbitNode
from tests.soak.schedule import Deed

ALARM = "0.00001"  # of memory: so little that the alarm sounds
NO_ALARM = "0.8"


@attrs.define
class BrokerFaults:
    """Lets them happen to a node; each comes back whole."""

    node: RabbitNode

    def fault(self, deed: Deed) -> None:
        """Let it happen, and undo it after `seconds`."""
        match deed["kind"]:
            case "stop_app":
                self.node.rabbitmqctl("stop_app")
                time.sleep(deed["seconds"])
                self.node.rabbitmqctl("start_app")
            case "kill9":
                self.node.kill9()
                time.sleep(deed["seconds"])
                self.node.start()
                self.node.rabbitmqctl("await_startup")
            case "alarm":
                self.node.rabbitmqctl("set_vm_memory_high_watermark", ALARM)
                time.sleep(deed["seconds"])
                self.node.rabbitmqctl("set_vm_memory_high_watermark", NO_ALARM)
            case "close_connections":
                self.node.rabbitmqctl("close_all_connections", "the soak asks for it")
            case kind:
                raise ValueError(f"the broker has no fault {kind!r}")

    def heal(self) -> None:
        """See that it runs, without an alarm."""
        try:
            self.node.rabbitmqctl("start_app")
        except NodeFailed:
            self.node.kill9()
            self.node.start()
            self.node.rabbitmqctl("await_startup")
        self.node.rabbitmqctl("set_vm_memory_high_watermark", NO_ALARM)

    def waiting(self, queue: str) -> int:
        """Messages in a queue, unacked ones counted."""
        rows = self.node.rabbitmqctl("list_queues", "--no-table-headers", "name", "messages").splitlines()
        return next((int(row.split("\t")[1]) for row in rows if row.split("\t")[0] == queue), 0)
