# -*- test-case-name: tests.unit.test_testing_x -*-
"""What X says when it refuses or hangs up: RFC 7807 problems.

https://docs.x.com/x-api/fundamentals/response-codes-and-errors,
https://docs.x.com/x-api/fundamentals/handling-disconnections
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from streamer.testing.problems import Problem, plain

TYPES = "https://api.x.com/2/problems/"

DISCONNECT_TYPES = (
    "OperationalDisconnect",
    "UpstreamOperationalDisconnect",
    "ForceDisconnect",
    "UpstreamUncleanDisconnect",
    "SlowReader",
    "InternalError",
    "ClientApplicationStateDegraded",
    "InvalidRules",
)


def _connection(status: int, issue: str, detail: str) -> Problem:
    kind = TYPES + "streaming-connection"
    return Problem(status, {"title": "ConnectionException", "detail": detail, "connection_issue": issue, "type": kind})


UNAUTHORIZED = plain(401, "Unauthorized")
FORBIDDEN = Problem(
    403,
    {
        "title": "Client Forbidden",
        "detail": "This App is not attached to a Project with access to this endpoint.",
        "reason": "client-not-enrolled",
        "type": TYPES + "client-forbidden",
    },
)
NO_RULES = _connection(409, "RuleConfigurationIssue", "Add at least one rule before connecting to this stream.")
RATE_LIMIT = plain(429, "Too Many Requests")
TOO_MANY_CONNECTIONS = _connection(
    429, "TooManyConnections", "This stream is currently at the maximum allowed connection limit."
)
UNAVAILABLE = plain(503, "Service Unavailable")

ON_DEMAND: Mapping[int | str, Problem] = {
    401: UNAUTHORIZED,
    403: FORBIDDEN,
    409: NO_RULES,
    429: RATE_LIMIT,
    "too-many-connections": TOO_MANY_CONNECTIONS,
    503: UNAVAILABLE,
}


def invalid(parameters: Mapping[str, Any], message: str) -> Problem:
    """400: a parameter, or the body, is not as it must be."""
    return Problem(
        400,
        {
            "errors": [{"parameters": parameters, "message": message}],
            "title": "Invalid Request",
            "detail": "One or more parameters to your request was invalid.",
            "type": TYPES + "invalid-request",
        },
    )


def disconnection(disconnect_type: str) -> bytes:
    """The last line of a stream that X ends."""
    detail = (
        "This stream has been disconnected upstream because the client reads too slowly."
        if disconnect_type == "SlowReader"
        else "This stream has been disconnected upstream for operational reasons."
    )
    return msgspec.json.encode(
        {
            "errors": [
                {
                    "title": "operational-disconnect",
                    "disconnect_type": disconnect_type,
                    "detail": detail,
                    "type": TYPES + "operational-disconnect",
                }
            ]
        }
    )
