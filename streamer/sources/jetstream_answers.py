# -*- test-case-name: tests.unit.test_sources_jetstream -*-
"""Why a Jetstream refuses or closes: HTTP answers to the handshake, and close codes.

It speaks plain text before the websocket is open, and a close code with a reason afterwards; for the codes see
https://www.rfc-editor.org/rfc/rfc6455#section-7.4.1 and https://www.iana.org/assignments/websocket.
"""

from __future__ import annotations

import msgspec

from streamer.policy import backoff
from streamer.sources import answers
from streamer.upstream import Ending, Response

FIRST_CLOSE_CODE = 1000  # statuses from here on are close codes; those of HTTP are below

STATUSES = {**answers.STATUSES, 426: backoff.REFUSED}  # 426: there is no websocket to be had
# Answers that tell something about one host: where there are others, the next one is asked.
OF_A_HOST = frozenset({401, 403, 404, 405, 410, 426})

CLOSES = {
    1000: backoff.DISCONNECT,
    1001: backoff.DISCONNECT,  # "server shutting down"
    1005: backoff.DISCONNECT,  # no code
    1012: backoff.DISCONNECT,  # it restarts
}
POLICY = 1008  # also "your options are wrong", which no repetition mends
WRONG = ("invalid", "too many")  # words of that


def refusal(response: Response, hosts: int) -> Ending:
    """Classify an answer other than the one hoped for.

    Args:
        hosts: how many there are to choose from.
    """
    if response.status >= FIRST_CLOSE_CODE:
        return _closed(response)
    ending = answers.refusal(response, STATUSES)
    if hosts > 1 and response.status in OF_A_HOST:
        return msgspec.structs.replace(ending, cause=backoff.HTTP)
    return ending


def _closed(response: Response) -> Ending:
    said = answers.said(response.body)
    cause = CLOSES.get(response.status, backoff.HTTP)
    if response.status == POLICY and any(word in said for word in WRONG):
        cause = backoff.REFUSED
    elif "slow" in said.lower():
        cause = backoff.SLOW
    return Ending(cause=cause, detail=f"closed with {response.status}, {said}")
