# -*- test-case-name: tests.integration.test_soak -*-
"""Lets the faults of a schedule happen: each party in its own thread, so that they overlap."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import attrs

from tests.soak.clock import now
from tests.soak.schedule import Deed, Fault

Act = Callable[[Deed], None]


@attrs.frozen
class Happened:
    """A fault that was let happen.

    Args:
        begun, ended: seconds since the epoch, until it was undone.
        failure: what went wrong with the fault itself; empty where nothing did.
    """

    fault: Fault
    begun: float
    ended: float
    failure: str = ""


@attrs.define
class Chaos:
    """All that goes wrong in one run."""

    acts: Mapping[str, Act]  # by party
    happened: list[Happened] = attrs.field(factory=list)
    _begun: float = 0.0
    _threads: list[threading.Thread] = attrs.field(factory=list)

    def begin(self, faults: Sequence[Fault]) -> None:
        """Let them happen from now on."""
        self._begun = time.monotonic()
        for party, act in self.acts.items():
            own = [fault for fault in faults if fault.party == party]
            self._threads.append(threading.Thread(target=self._run, args=(act, own), name=party, daemon=True))
        for thread in self._threads:
            thread.start()

    def wait(self, seconds: float) -> bool:
        """Wait until all have happened, at most so long; says whether they have."""
        end = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, end - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _run(self, act: Act, faults: Sequence[Fault]) -> None:
        for fault in faults:
            time.sleep(max(0.0, self._begun + fault.at - time.monotonic()))
            begun, failure = now(), ""
            try:
                act(fault.deed)
            except BaseException as error:  # it would be lost with the thread; the judge wants to know
                failure = f"{type(error).__name__}: {error}"
            self.happened.append(Happened(fault, begun, now(), failure))
