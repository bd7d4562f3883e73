# -*- test-case-name: tests.integration.test_soak -*-
"""`make soak`: minutes of random faults at both ends of a streamer, and a ledger of what came of them.

    simulated X ─┐                             ┌─ consumer, which keeps the ledger
                 ├─▶ twistd streamer ─▶ broker ┘
    simulated Twitter ┘      ▲            ▲
            faults ──────────┴────────────┘

The schedule of faults (schedule.py) is made beforehand from a seed, and one thread for each of the parties lets them
happen (faults.py, victim.py, broker.py), so that they overlap. When all is healed, `judge.py` compares what the
upstreams made (upstreams.py) with what came out (consumer.py). run.py is the order of events.

`SECONDS=60 SEED=7 make soak` runs as long, and with the same faults at the same times. What the processes make of
them is theirs: their timing differs from run to run.
"""
