# -*- test-case-name: tests.unit.test_bus_txamqp_spec -*-
"""Finds txAMQP and reads it our description of AMQP 0-9-1: its package comes without any, and is an optional extra.

`amqp0-9-1.xml` beside this module can be given to txAMQP's own `AMQFactory(spec=…)` as well.
"""

from __future__ import annotations

import functools
import importlib
from pathlib import Path
from typing import Any

DESCRIPTION = Path(__file__).with_name("amqp0-9-1.xml")
INSTALL = "pip install 'streamer[txamqp]'"


def check_installed() -> None:
    """See that there is a txAMQP.

    Raises:
        ValueError: there is none, or it cannot be imported; the text says what to install. Show it to the operator.
    """
    try:
        importlib.import_module("txamqp.spec")
    except ImportError as error:
        raise ValueError(f"the bus's URL asks for txAMQP, which cannot be used here ({error}): {INSTALL}") from error


@functools.cache
def protocol() -> Any:
    """txAMQP's `Spec` of AMQP 0-9-1 with RabbitMQ's extensions; read once."""
    return importlib.import_module("txamqp.spec").load(str(DESCRIPTION))
