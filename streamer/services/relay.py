# -*- test-case-name: tests.unit.test_services_relay -*-
"""`twistd relay`: the log of events → everybody who listens; any number of these processes serve the same log."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.python.filepath import FilePath

import streamer
from streamer.fanout.hub import Hub
from streamer.fanout.journal import Journal
from streamer.fanout.slowest import slowest
from streamer.interfaces import IBus, ILog
from streamer.metrics import Metrics
from streamer.net.admission import Admission
from streamer.net.client import UpstreamClient, agents
from streamer.net.clients import Clients
from streamer.net.feed_json import Feed
from streamer.net.forwarded import Trusted
from streamer.net.headers import GuardedSite
from streamer.net.listen import roomy
from streamer.net.oneway import Entrance
from streamer.net.outlet import tune
from streamer.net.poll import Poll
from streamer.net.publish import Publish
from streamer.net.site import relay_site
from streamer.net.sse import Events
from streamer.net.upgrade import Upgrade
from streamer.net.websocket_factory import RelayFactory
from streamer.services.authority import AuthorityService
from streamer.services.catching_up import caught_up, learn_end
from streamer.services.cold import ColdReads
from streamer.services.fatal import Fatal
from streamer.services.publishing import Publisher
from streamer.services.upkeep import Upkeep
from streamer.tables import RelaySettings

USER_AGENT = "streamer"  # what the server of a key set sees
PAGES = Path(streamer.__file__).parent / "_web"


class RelayService(Service):
    """Reads the log and serves clients, from its start to its stop.

    Args:
        bus: running before this is started, and until this has stopped.
        reactor: listens and keeps time.
        pages: what the build of the page wrote; need not exist.
        fatal: told a sentence where the port cannot be had.
        jitter: a number from 0 to 1; when, within the drain, a client is sent away, and how long one waits who came in
            a herd.
    """

    log = Logger()

    def __init__(
        self,
        bus: IBus,
        settings: RelaySettings,
        reactor: Any,
        metrics: Metrics,
        fatal: Fatal,
        pages: Path = PAGES,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._bus = IBus(bus)
        self._settings = settings
        self._reactor = reactor
        self._fatal = fatal
        self._jitter = jitter
        self._pages = pages
        journal = Journal(
            settings.journal_entries, settings.journal_bytes, settings.journal_age, cold_limit=settings.cold_bytes
        )
        self._hub = Hub(journal, metrics)
        self._cold = ColdReads(self._hub, self._bus, reactor)
        self._upkeep = Upkeep(self._hub, reactor)
        self._publisher = Publisher(self._bus, reactor, metrics)
        fetcher = UpstreamClient(agents(reactor), reactor, USER_AGENT)
        self._tokens = AuthorityService(settings.auth, fetcher, reactor, metrics)
        authority = self._tokens.authority
        self._clients = Clients(self._hub, reactor, settings.heartbeat, self._publisher, authority)
        self._admission = Admission(
            settings.clients,
            settings.clients_per_address,
            settings.handshakes,
            Trusted(settings.trusted_proxies),
            jitter,
        )
        self._entrance = Entrance(self._clients, self._admission, settings.origins)
        self._site = self._make_site(metrics)
        self._reader: ILog | None = None
        self._starting: Deferred[None] | None = None
        self._listening: IListeningPort | None = None
        self._trouble = ""

    @property
    def port(self) -> Any:
        """The address that is listened on, None while there is none."""
        return None if self._listening is None else self._listening.getHost()

    @property
    def ready(self) -> bool:
        """Whether an event published now would reach a client that connects now."""
        return not self.troubles()

    def troubles(self) -> list[str]:
        """Why it is not ready, as sentences for the operator."""
        found: list[str] = []
        if self._reader is None or not self._reader.ready:
            why = self._bus.status if self._bus.ready else "the bus is not ready"  # which says why itself
            found.append(f"relay: the log is not being read ({why})")
        if self._listening is None:
            found.append(f"relay: {self._trouble or 'not listening yet; the log is being caught up with'}")
        return found + self._tokens.troubles()

    def status(self) -> dict[str, Any]:
        """For the operator; encodes as JSON."""
        journal = self._hub.journal
        return {
            "ready": self.ready,
            "listening": None if self._listening is None else str(self.port),
            "page_built": (self._pages / "index.html").is_file(),
            **self._public_status(),
            "connections": self._admission.connections,
            "turned_away": self._admission.turned_away,
            "cohorts": self._hub.cohorts,
            "publishing": len(self._publisher),
            "tokens": self._tokens.status(),
            "journal_bytes": journal.bytes,
            "oldest": journal.position(journal.floor),
        }

    def startService(self) -> None:
        """Begin to read the log, and to listen once its history is in."""
        Service.startService(self)
        self._cold.start()
        self._upkeep.start()
        self._tokens.startService()
        self._reader = self._bus.log(self._settings.history, self._clients.append)
        self._starting = Deferred.fromCoroutine(self._listen(self._reader))
        self._starting.addErrback(self._not_started)

    def stopService(self) -> Deferred[None]:
        """Send the clients away, stop listening and reading; fires when nothing is left."""
        return Deferred.fromCoroutine(self._stop())

    async def _listen(self, reader: ILog) -> None:
        await caught_up(reader, self._reactor, self._say_behind)
        await learn_end(self._bus, self._hub, self._reactor, self._say_behind)
        endpoint = serverFromString(self._reactor, roomy(self._settings.listen))
        try:
            self._listening = await endpoint.listen(self._site)
            tune(self._listening)
        except CancelledError:
            raise
        except Exception as error:
            self._trouble = f"cannot listen on {self._settings.listen!r}: {error} Change [relay] listen."
            self._fatal(f"The relay {self._trouble}")
            return
        self.log.info("The relay listens on {address}", address=self.port)
        if not (self._pages / "index.html").is_file():
            self.log.warn("The page is not built, only the websocket is served: run `make web`")

    def _say_behind(self) -> None:
        self.log.warn("The log's history is not read yet; not listening until it is ({bus})", bus=self._bus.status)

    async def _stop(self) -> None:
        Service.stopService(self)
        self._trouble = "stopping; its clients are being sent away"
        self._entrance.close()
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
        listening, self._listening = self._listening, None
        deaf = succeed(None) if listening is None else maybeDeferred(listening.stopListening)
        self._site.end_keeping()  # not before: who finds a connection closed makes a new one, which was to come here
        await deaf
        await self._clients.stop(self._settings.drain, self._jitter)  # served until they leave
        self._upkeep.stop()
        await self._cold.stop()
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.stop()
        self._publisher.stop()
        await self._tokens.stopService()

    def _not_started(self, failure: Any) -> None:
        if not failure.check(CancelledError):
            self.log.failure("while starting the relay", failure=failure)
            self._trouble = f"did not start: {failure.getErrorMessage()}"
            self._fatal(f"The relay {self._trouble}")

    def _public_status(self) -> dict[str, Any]:
        journal = self._hub.journal
        return {
            "clients": len(self._clients),
            "journal_entries": journal.head - journal.floor,
            "position": journal.position(journal.head),
            "slowest": slowest(self._clients.standings()),
        }

    def _make_site(self, metrics: Metrics) -> GuardedSite:
        settings = self._settings
        factory = RelayFactory(self._clients, self._admission, self._reactor, settings.compression)
        return relay_site(
            pages=FilePath(str(self._pages)),
            config={"title": settings.title, "ws": "ws", "heartbeat": settings.heartbeat},
            status=lambda: {"ready": self.ready, **self._public_status()},
            websocket=Upgrade(factory, self._admission, settings.origins, metrics),
            origins=settings.origins,
            reactor=self._reactor,
            admission=self._admission,
            faces={
                b"events": Events(self._entrance),
                b"poll": Poll(self._entrance),
                b"feed.json": Feed(self._entrance, settings.title, next(iter(settings.origins), None)),
            },
            publish=Publish(self._publisher, self._tokens.authority, settings.origins, metrics, self._reactor),
        )
