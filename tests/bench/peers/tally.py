"""What a contestant has done, told to whoever reads its output."""

from __future__ import annotations

import threading
import time

EVERY = 0.1  # seconds


class Tally:
    """A count, printed with the time and the CPU seconds of this process; the one thread of it costs next to nothing.

    Each line is `tally <monotonic s> <count> <CPU s>`: three numbers of one moment, so that a rate made of two lines
    does not depend on when they are read.
    """

    def __init__(self) -> None:
        self.count = 0
        threading.Thread(target=self._tell, daemon=True).start()

    def _tell(self) -> None:
        while True:
            time.sleep(EVERY)
            print("tally", time.monotonic(), self.count, time.process_time(), flush=True)
