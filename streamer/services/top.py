# -*- test-case-name: tests.unit.test_watch_cli -*-
"""`streamer top`: asks the admin endpoints once a second and shows what they say."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import Any

import attrs
import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.defer import TimeoutError as TimedOut
from twisted.internet.error import ConnectError, ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from streamer.errors import DecodeError
from streamer.net.client import UpstreamClient
from streamer.policy.event_line import local_time
from streamer.policy.exposition import parse
from streamer.policy.overview import overview
from streamer.policy.rates import Look, Pair
from streamer.upstream import Request, brief

EVERY = 1.0  # seconds from one look to the next
ONCE = 0.5  # seconds between the two looks of which a single table is made
ANSWER_WITHIN = 3.0  # seconds for both pages of one endpoint
HIDE, SHOW, CLEAR, HOME, ERASE_LINE, ERASE_BELOW = (
    b"\x1b[?25l", b"\x1b[?25h", b"\x1b[2J", b"\x1b[H", b"\x1b[K", b"\x1b[J",
)  # fmt: skip  # ECMA-48, but for the cursor's: DEC's
PLAIN_COLUMNS = 200  # where there is no terminal whose width would count


@attrs.define(eq=False)
class Screen:
    """Where tables are drawn.

    Args:
        write: takes bytes for stdout.
        live: it is a terminal, on which each table takes the place of the one before.
        measure: columns and lines of the terminal.
    """

    write: Callable[[bytes], None]
    live: bool
    measure: Callable[[], tuple[int, int]] = shutil.get_terminal_size

    @property
    def columns(self) -> int:
        """How wide a line may be."""
        return self.measure()[0] if self.live else PLAIN_COLUMNS

    def begin(self) -> None:
        """Make room."""
        if self.live:
            self.write(HIDE + CLEAR)

    def draw(self, lines: Sequence[str]) -> None:
        """Show a table, of a terminal no more lines than it has."""
        if not self.live:
            self.write("".join(f"{line}\n" for line in lines).encode(errors="replace"))
            return
        shown = lines[: max(self.measure()[1] - 1, 1)]
        rows = b"".join(line.encode(errors="replace") + ERASE_LINE + b"\n" for line in shown)
        self.write(HOME + rows + ERASE_BELOW)

    def end(self) -> None:
        """Leave the terminal as it was, with the last table on it."""
        if self.live:
            self.write(SHOW)


@attrs.define(eq=False)
class Top:
    """The looks at some endpoints, and their tables.

    Args:
        urls: of admin endpoints.
    """

    urls: Sequence[str]
    client: UpstreamClient
    clock: IReactorTime
    screen: Screen
    _looks: dict[str, Look | str] = attrs.field(factory=dict)

    def start(self) -> Deferred[None]:
        """Show one table, or on a live screen one a second until it is cancelled."""
        return Deferred.fromCoroutine(self._watch())

    async def _watch(self) -> None:
        await self._look()
        self.screen.begin()
        try:
            while True:
                await deferLater(self.clock, EVERY if self.screen.live else ONCE)
                self.screen.draw(self._table(await self._look()))
                if not self.screen.live:
                    return
        finally:
            self.screen.end()

    async def _look(self) -> dict[str, Pair | str]:
        """Look at all of them at once."""
        asked = [Deferred.fromCoroutine(self._ask(url)) for url in self.urls]
        try:
            seen = [await one for one in asked]  # none fails but by being cancelled
        except CancelledError:
            for one in asked:
                one.addErrback(lambda failure: failure.trap(CancelledError)).cancel()
            raise
        before, self._looks = self._looks, dict(zip(self.urls, seen, strict=True))
        pairs: dict[str, Pair | str] = {}
        for url, look in self._looks.items():
            earlier = before.get(url)
            pairs[url] = look if isinstance(look, str) else Pair(earlier if isinstance(earlier, Look) else None, look)
        return pairs

    async def _ask(self, url: str) -> Look | str:
        """One endpoint's look, or why there is none."""
        try:
            asking = Deferred.fromCoroutine(self._pages(url))
            return await asking.addTimeout(ANSWER_WITHIN, self.clock)
        except CancelledError:
            raise
        except TimedOut:
            return f"has not answered within {ANSWER_WITHIN:g} s"
        except ConnectionRefusedError:
            return "does not answer: the connection was refused"
        except (ConnectError, DNSLookupError) as error:
            return brief(f"does not answer: {error}")
        except DecodeError as error:
            return brief(f"is no admin endpoint of ours: {error}")
        except Exception as error:  # whatever a web client may raise is but a row of the table
            return brief(f"cannot be asked: {type(error).__name__}: {error}")

    async def _pages(self, url: str) -> Look:
        status = await self._page(f"{url}/status")
        metrics = await self._page(f"{url}/metrics")
        try:
            document: dict[str, Any] = msgspec.json.decode(status, type=dict[str, Any])
            return Look(self.clock.seconds(), document, parse(metrics.decode()))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise DecodeError(str(error)) from error

    async def _page(self, url: str) -> bytes:
        answer = await self.client.fetch(Request(url=url))
        if answer.status != 200:
            raise DecodeError(f"{url} answers {answer.status}")
        return answer.body

    def _table(self, pairs: dict[str, Pair | str]) -> list[str]:
        head = f"streamer top  {local_time(self.clock.seconds())}"
        return [head, "", *overview(pairs, self.screen.columns)]
