"""One private RabbitMQ node for all integration tests, with a virtual host for each that asks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from streamer.testing.rabbitmq import RabbitNode

_names = itertools.count(1)


@pytest.fixture(scope="session")
def rabbit_node() -> Iterator[RabbitNode]:
    """A running node, removed at the end."""
    if not RabbitNode.available():
        pytest.skip("RabbitMQ is not installed here (Debian's package rabbitmq-server)")
    with RabbitNode() as node:
        yield node


@pytest.fixture
def rabbit_url(rabbit_node: RabbitNode) -> str:
    """The URL of a virtual host nobody has used."""
    name = f"test{next(_names)}"
    rabbit_node.rabbitmqctl(
        "eval",
        f'rabbit_vhost:add(<<"{name}">>, <<"tests">>), rabbit_auth_backend_internal:set_permissions('
        f'<<"streamer">>, <<"{name}">>, <<".*">>, <<".*">>, <<".*">>, <<"tests">>).',
    )
    return rabbit_node.url + name
