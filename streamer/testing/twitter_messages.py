# -*- test-case-name: tests.unit.test_testing_twitter -*-
"""What Twitter's streams say besides tweets.

https://developer.x.com/en/docs/twitter-api/v1/tweets/filter-realtime/guides/streaming-message-types
"""

from __future__ import annotations

from typing import Any

from streamer.testing.faults import DisconnectCode
from streamer.testing.twitter_forms import encode

COUNTRIES = ["DE", "AR"]  # those that something is withheld in
REASONS = {
    1: "shutdown",
    2: "duplicate stream",
    3: "control request",
    4: "stall",
    5: "normal",
    6: "token revoked",
    7: "admin logout",
    8: "reserved",
    9: "max message limit",
    10: "stream exception",
    11: "broker stall",
    12: "shed load",
}


def notice(what: str, id_: str, user_id: str, now_ms: int) -> bytes:
    """The news that a tweet is gone or withheld, that its places are to be forgotten, or that a user is withheld."""
    stamp = str(now_ms)
    match what:
        case "delete":
            status = {"id": int(id_), "id_str": id_, "user_id": int(user_id), "user_id_str": user_id}
            message: dict[str, Any] = {"delete": {"status": status, "timestamp_ms": stamp}}
        case "scrub_geo":
            user = {"user_id": int(user_id), "user_id_str": user_id}
            up_to = {"up_to_status_id": int(id_), "up_to_status_id_str": id_}
            message = {"scrub_geo": {**user, **up_to, "timestamp_ms": stamp}}
        case "status_withheld":
            which = {"id": int(id_), "user_id": int(user_id)}
            message = {"status_withheld": {**which, "withheld_in_countries": COUNTRIES, "timestamp_ms": stamp}}
        case _:
            withheld = {"id": int(user_id), "withheld_in_countries": COUNTRIES, "timestamp_ms": stamp}
            message = {"user_withheld": withheld}
    return encode(message)


def limit(undelivered: int, now_ms: int) -> bytes:
    """How many tweets one of the upstream's machines has held back since the stream was opened."""
    return encode({"limit": {"track": undelivered, "timestamp_ms": str(now_ms)}})


def warning(percent: int) -> bytes:
    """To a slow reader that asked for it."""
    message = (
        "Your connection is falling behind and messages are being queued for delivery to you. "
        f"Your queue is now over {percent}% full. You will be disconnected when the queue is full."
    )
    return encode({"warning": {"code": "FALLING_BEHIND", "message": message, "percent_full": percent}})


def disconnection(fault: DisconnectCode) -> bytes:
    """The last message of a stream that Twitter ends."""
    reason = fault.reason or REASONS[fault.code]
    return encode({"disconnect": {"code": fault.code, "stream_name": "simulated-stream", "reason": reason}})
