# -*- test-case-name: tests.unit -*-
"""The relay's mind: who gets which event, when, and what they are told when they cannot have it. No twisted.

Nothing is ever queued for a client. There is one shared journal of events, and a client is an integer: the place it
has read up to. A client that is slow costs that integer; one that is quick costs one join of bytes, made once for
everybody who reads the same thing. What follows from it:

* Resuming, history and lag are arithmetic on places. "Subscribe from there" moves an integer back; there is no
  moment between a snapshot and the live flow in which an event could fall.
* A frame holds nothing private, so all clients with the same set of patterns (a cohort) share its bytes, header
  included.
* A deletion concerns whoever holds the post: it is in every cohort, whatever its patterns, and the journal tells it
  in place of the post from then on. So does a scrub, by which an author takes back the locations of posts.
* The journal has a floor. What falls below it is lost for those who had not read it, and they are told how much.

Three numbers are easily confused. An `offset` is the log's own number, the same on every relay. A `place` is the
journal's: contiguous, private to this process; a cursor at place p has been given everything before p. An
`ordinal` counts the events of one cohort: the cursor of a client that waits at its cohort's end need not move when
events pass that its cohort does not want, and that is why such events cost nothing per client.

    Entry ──▶ journal ──▶ hub ──▶ cohort ──▶ front ─────────────────────────────────▶ net, clients that have caught up
                                    └──▶ live ──▶ flow ──▶ feed ──▶ session, listener ──▶ net, everybody else

* `topics`        AMQP topic patterns: checked, compiled
* `position`      the text form of a place in the log, and what it proves
* `logged`        one event, checked
* `scrubs`        locations that were taken back: whose, and what is left of an event without
* `held`          the entries of the journal by place, without what was taken back
* `journal`       the numbered ring of events
* `sights`        ids, repeats and disproved positions
* `arrivals`      when entries came
* `locate`        where a position stands
* `stretch`       older entries read again, until they join the journal
* `interest`      which cohorts want a topic: the patterns of all as one tree
* `cohort`        what clients with the same patterns share: which events, and their frames
* `encoding`      how a face writes events; `deflate` compresses a frame for all who can read it
* `front`         clients of a cohort that have been given all of it, and get the next frame together
* `marks`         sets of places as integers
* `hub`           the journal, its cohorts, and who must be woken
* `cursor`        the integer of one client
* `subscription`  what a client asked for
* `replay`        history for one subscription beside others that are live
* `start`         where a subscription begins: `last`, `since`, `resume`
* `live`          where one connection stands in the journal
* `flow`          all that one connection is sent from the journal, in order
* `feed`          one client's way out, whatever its face
* `session`       one client's whole conversation
* `listener`      a client that says all it wants when it connects
* `protocol`      the words of `relay.v1.json`, written so that one can write a client from it
* `verbs`         what each of a client's frames does
* `conflation`    the newest of each topic, for who is slow and wants no more
* `commands`      reads a client's frames
* `grants`        who may read and publish what
* `publishing`    events that clients publish: what they may say, and the CloudEvent that becomes of it
* `pending`       what one connection asked to be published, until it was told what became of it
* `slowest`       who is furthest behind
* `parking`       subscriptions that wait for a position to be read
* `framing`       RFC 6455 text frames
* `bucket`        how fast a client may ask
"""
