"""What an operator reads when the broker refuses: which right, which command, which rule; one line a row."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from streamer.bus.driver import Loss
from streamer.bus.refusals import NEEDS, ROWS, Doing, advice

IN = "in vhost '/' refused for user 'anna'"
GRANT = "`rabbitmqctl set_permissions -p / anna"
SHOWS = "where the capitals stand for the patterns that `rabbitmqctl list_user_permissions anna` shows"

# code, the broker's text, what we were doing, words of the advice
CASES: tuple[tuple[int, str, Doing, tuple[str, ...]], ...] = (
    (403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker",
     Doing.LOGIN, ("user name or password in the broker's URL are wrong", "guest", "docs/access-control")),
    (403, "ACCESS_REFUSED - Login was refused using authentication mechanism EXTERNAL. For details see the broker",
     Doing.LOGIN, ("no user with the name that it reads from our certificate", "clear_password")),
    (403, f"ACCESS_REFUSED - access to topic 'raw.x' in exchange 'streamer.raw' {IN}", Doing.RUN,
     ("not with the routing key 'raw.x'", "set_topic_permissions -p / anna streamer.raw WRITE READ")),
    (403, f"ACCESS_REFUSED - write access to topic 'raw.x' in exchange 'streamer.raw' {IN}", Doing.RUN,
     ("not with the routing key 'raw.x'",)),
    (403, f"ACCESS_REFUSED - access to exchange 'streamer.raw' {IN}", Doing.EXCHANGE,
     ("asks for the right to configure it", "streamer topology declare --management URL", f"{GRANT} "
      r"'CONFIGURE|^streamer\.raw$' WRITE READ`", SHOWS, "^$ for an empty one", "definitions.json")),
    (403, f"ACCESS_REFUSED - access to queue 'streamer.enrich' {IN}", Doing.QUEUE,
     ("the right to configure it; with a dead-letter exchange also read it", "'CONFIGURE|")),
    (403, f"ACCESS_REFUSED - access to exchange 'streamer.dead' {IN}", Doing.QUEUE,
     ("write to it, for it is a dead-letter exchange", f"{GRANT} CONFIGURE 'WRITE|^streamer\\.dead$' READ`")),
    (403, f"ACCESS_REFUSED - access to queue 'streamer.log' {IN}", Doing.BIND, ("write to it, to bind it",)),
    (403, f"ACCESS_REFUSED - access to exchange 'streamer.events' {IN}", Doing.BIND, ("read it, to bind a queue",)),
    (403, f"ACCESS_REFUSED - access to queue 'streamer.log' {IN}", Doing.UNBIND, ("write to it, to unbind it",)),
    (403, f"ACCESS_REFUSED - access to exchange 'streamer.raw' {IN}", Doing.UNBIND, ("read it, to unbind a queue",)),
    (403, f"ACCESS_REFUSED - access to queue 'streamer.log' {IN}", Doing.SET_UP,
     ("read it, to consume", f"{GRANT} CONFIGURE WRITE 'READ|^streamer\\.log$'`")),
    (403, f"ACCESS_REFUSED - access to exchange 'streamer.raw' {IN}", Doing.RUN,
     ("write to it, to publish", f"{GRANT} CONFIGURE 'WRITE|^streamer\\.raw$' READ`")),
    (403, f"ACCESS_REFUSED - read access to queue 'streamer.log' {IN}", Doing.SET_UP, ("the right to read it",)),
    (403, f"ACCESS_REFUSED - read access to queue 'streamer.enrich' {IN}", Doing.QUEUE,
     ("the right to read it", f"{GRANT} CONFIGURE WRITE 'READ|^streamer\\.enrich$'`")),
    (403, "ACCESS_REFUSED - access to exchange 'streamer.raw' in vhost '/' refused for user 'streamer-ingest'",
     Doing.RUN, (r"`rabbitmqctl set_permissions -p / streamer-ingest '^streamer\.source\.' '^streamer\.raw$' ",
                 "as in conf/rabbitmq")),
    (403, "ACCESS_REFUSED - access to queue 'streamer.source.a' in vhost '/' refused for user 'streamer-ingest'",
     Doing.LOCK, ("the right to configure it, to lock the source", r"streamer-ingest '^streamer\.source\.' ")),
    (403, f"ACCESS_REFUSED - access to queue 'streamer.source.a' {IN}", Doing.LOCK,
     ("to lock the source", f"{GRANT} 'CONFIGURE|^streamer\\.source\\.a$' WRITE READ`")),
    (403, "ACCESS_REFUSED - access to queue 'streamer.source.a' in vhost '/' refused for user 'streamer-relay'",
     Doing.LOCK, ("there for other work; that is for streamer-ingest",)),
    (403, "ACCESS_REFUSED - access to topic 'raw.x' in exchange 'streamer.raw' in vhost '/' refused for user "
     "'streamer-ingest'", Doing.RUN, (r"set_topic_permissions -p / streamer-ingest streamer.raw '^raw\.' '.*'`",)),
    (403, "ACCESS_REFUSED - access to topic 'x' in exchange 'streamer.events' in vhost '/' refused for user "
     "'streamer-relay'", Doing.RUN, ("`rabbitmqctl clear_topic_permissions -p / streamer-relay streamer.events`",)),
    (530, "NOT_ALLOWED - access to vhost '/' refused for user 'streamer-relay'", Doing.LOGIN,
     (r"set_permissions -p / streamer-relay '^$' '^streamer\.events$' '^streamer\.(log|topology\.v1)$'`",)),
    (530, f"NOT_ALLOWED - access to {IN[3:]}", Doing.LOGIN, ("no rights in that virtual host", "-p / anna '^$'")),
    (530, f"NOT_ALLOWED - access to {IN[3:]}: connection limit (2) is reached", Doing.LOGIN,
     ("limit is reached (connection limit (2) is reached)", "list_connections")),
    (530, "NOT_ALLOWED - connection refused for user 'anna': user connection limit (1) is reached", Doing.LOGIN,
     ("the limit of connections of user 'anna' is 1",)),
    (530, "NOT_ALLOWED - vhost nowhere not found", Doing.LOGIN, ("there is no such virtual host",)),
    (404, "NOT_FOUND - no queue 'streamer.trends' in vhost '/'", Doing.SET_UP,
     ("the queue 'streamer.trends' is not there", "streamer topology declare")),
    (404, "NOT_FOUND - no exchange 'streamer.raw' in vhost '/'", Doing.RUN, ("the exchange 'streamer.raw' is not",)),
    (404, "NOT_FOUND - home node 'rabbit@b' of durable queue 'q' in vhost '/' is down or inaccessible", Doing.SET_UP,
     ("the queue's node is away", "passes by itself")),
    (405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost '/'. It", Doing.SET_UP,
     ("another connection has the queue for itself",)),
    (406, "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue 'streamer.enrich' in vhost '/': received "
     "the value '500000' of type 'signedint' but current is none", Doing.QUEUE,
     ("the queue 'streamer.enrich' was declared with another x-max-length", "topology declare", "topology check")),
    (406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out. Timeout value used: 1800000 ms",
     Doing.RUN, ("consumer_timeout", "acknowledgement-timeout")),
    (406, "PRECONDITION_FAILED - message size 20000000 is larger than configured max size 16777216", Doing.RUN,
     ("a message of 20000000 bytes", "16777216")),
    (406, "PRECONDITION_FAILED - message size 20000000 larger than max size 16777216", Doing.RUN, ("of 20000000",)),
    (406, "PRECONDITION_FAILED - unknown delivery tag 7", Doing.RUN, ("a defect of ours",)),
    (320, "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'", Doing.RUN, ("going down",)),
    (320, "CONNECTION_FORCED - Node was put into maintenance mode", Doing.RUN, ("passes by itself",)),
    (320, "CONNECTION_FORCED - Closed via management plugin", Doing.RUN, ("an operator closed the connection",)),
    (541, "INTERNAL_ERROR - leader is gone", Doing.RUN, ("within the broker", "its log says what")),
    (506, "RESOURCE_ERROR - x", Doing.RUN, ("out of something",)),
    (504, "CHANNEL_ERROR - expected 'channel.open'", Doing.RUN, ("a defect of ours",)),
    (501, "FRAME_ERROR - x", Doing.RUN, ("a defect of ours",)),
    (502, "SYNTAX_ERROR - x", Doing.RUN, ("a defect of ours",)),
    (503, "COMMAND_INVALID - x", Doing.RUN, ("a defect of ours",)),
    (505, "UNEXPECTED_FRAME - x", Doing.RUN, ("a defect of ours",)),
    (540, "NOT_IMPLEMENTED - x", Doing.RUN, ("a defect of ours",)),
)  # fmt: skip


class RefusalsTests(SynchronousTestCase):
    """Advice by code, text and what we were doing."""

    def advice(self, code: int, text: str, doing: Doing) -> str:
        return advice(Loss("broker", f"the broker closed the channel: {code} {text}", code), doing)

    def test_rows(self) -> None:
        """Each refusal has its words and a rule's address; each row, and each right, is there for one of them."""
        used, rights = set(), set()
        for code, text, doing, words in CASES:
            with self.subTest(text=text, doing=doing):
                said = self.advice(code, text, doing)
                for word in words:
                    self.assertIn(word, said)
                self.assertRegex(said, r"^: .* \(https://[a-z./0-9#_-]+\)$")
                row = next(row for row in ROWS if row.code == code and re.search(row.pattern, text))
                used.add((row.code, row.pattern))
                kind = re.search(r"access to (queue|exchange)", text)
                if code == 403 and kind is not None:
                    rights.add((doing, kind[1]))
        self.assertEqual(used, {(row.code, row.pattern) for row in ROWS})
        self.assertEqual(rights - set(NEEDS), set())
        self.assertEqual(set(NEEDS) - rights, set())

    def test_no_command_in_vain(self) -> None:
        """A user of ours is told to take a right only where that is one it should have; else what helps instead."""
        refused = "ACCESS_REFUSED - access to {} 'streamer.{}' in vhost '/' refused for user 'streamer-{}'"
        for user, kind, name, doing, words in (
            ("ingest", "exchange", "unrouted", Doing.EXCHANGE, ("--management URL`, and no service needs that",)),
            ("enrich", "queue", "enrich", Doing.QUEUE, ("and no service needs that right",)),
            ("relay", "queue", "log", Doing.BIND, ("and no service needs that right",)),
            ("relay", "exchange", "raw", Doing.RUN,
             ("for streamer-ingest (`twistd streamer`: publishes items) or streamer-operator (", "the broker's URL")),
            ("relay", "queue", "enrich.s01", Doing.SET_UP, ("that is for streamer-enrich (",)),
            ("enrich", "queue", "other", Doing.SET_UP, ("there for other work: name the right one",)),
        ):  # fmt: skip
            with self.subTest(user=user, name=name):
                said = self.advice(403, refused.format(kind, name, user), doing)
                self.assertNotIn("rabbitmqctl", said)
                for word in words:
                    self.assertIn(word, said)
        said = self.advice(403, refused.format("queue", "log", "relay"), Doing.SET_UP)
        self.assertIn("`rabbitmqctl set_permissions -p / streamer-relay", said)
        said = self.advice(403, refused.format("queue", "log", "deploy"), Doing.QUEUE)
        self.assertIn(r"; or `rabbitmqctl set_permissions -p / streamer-deploy '^streamer\.' ", said)
        said = self.advice(403, "ACCESS_REFUSED - access to topic 'x' in exchange 'streamer.raw' in vhost '/' refused "
                           "for user 'streamer-ingest'", Doing.RUN)  # fmt: skip
        self.assertNotIn("rabbitmqctl", said)
        self.assertIn(r"matches ^raw\.", said)

    def test_safe_to_paste(self) -> None:
        """Names are quoted: what the broker says cannot end a word of the command."""
        said = self.advice(
            403, "ACCESS_REFUSED - access to queue 'a b' in vhost 'v w' refused for user 'x; reboot'", Doing.SET_UP
        )
        self.assertIn(r"set_permissions -p 'v w' 'x; reboot' CONFIGURE WRITE 'READ|^a\ b$'", said)

    def test_nothing_to_add(self) -> None:
        """Where nobody closed, or with a code that says it all, there is nothing to add."""
        self.assertEqual(advice(Loss("lost", "403 in a sentence"), Doing.RUN), "")
        self.assertEqual(self.advice(311, "CONTENT_TOO_LARGE - x", Doing.RUN), "")
        self.assertEqual(self.advice(403, "ACCESS_REFUSED - in words of another version", Doing.RUN), "")
