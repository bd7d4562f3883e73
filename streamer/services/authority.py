# -*- test-case-name: tests.unit.test_services_authority -*-
"""Keeps the keys by which the relay checks tokens up to date, from a file or from the web.

Whoever issues tokens changes keys from time to time, and publishes the new one before using it. A file is looked at
every few seconds, an address every ten minutes, and sooner when somebody shows a token whose key is not known. Keys
that were had stay while no newer ones can be.
"""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from streamer.errors import ConfigurationError
from streamer.fanout.grants import Authority
from streamer.metrics import Metrics
from streamer.net.client import UpstreamClient
from streamer.net.jwks import Keys, KeySet, is_url, key_set
from streamer.net.jwks_file import file_path
from streamer.net.tokens import Tokens, fixed_keys, problems
from streamer.services.alarm import Alarm
from streamer.services.key_places import ASK_EVERY, KeySetFile, KeySetPlace, KeySetUrl
from streamer.tables import RelayAuthSettings

SKIPPED_LOGGED = 5  # keys left out that the log names, of one set


class AuthorityService(Service):
    """Checks tokens, from its start to its stop by keys that are up to date.

    Args:
        settings: `[relay.auth]`.
        client: fetches a key set.
        clock: of the real reactor, whose seconds are those since the epoch.

    Raises:
        ConfigurationError: by the constructor; `net.tokens.problems` tells the same with the place of each.
    """

    log = Logger()

    def __init__(
        self, settings: RelayAuthSettings, client: UpstreamClient, clock: IReactorTime, metrics: Metrics
    ) -> None:
        if wrong := problems(settings, files=False):
            raise ConfigurationError([sentence for _, sentence in wrong])
        self._name = settings.jwks
        self._clock = clock
        self._place = _place(settings.jwks, client)
        self._keys = Keys(fixed_keys(settings), None if self._place is None else self._sooner)
        self.authority: Authority = Tokens(settings, self._keys, metrics)
        self._alarm = Alarm(clock, self._begin)
        self._looking: Deferred[None] = succeed(None)
        self._began = 0.0  # the last look, seconds since the epoch
        self._due = 0.0  # the next
        self._had = 0  # keys of the last set; 0 while there was none
        self._problem = "" if self._place is None else "it was not read yet"

    def troubles(self) -> list[str]:
        """Why tokens cannot be checked, as sentences for the operator; not while older keys will do."""
        if self._place is None or self._had:
            return []
        return [f"relay: no token can be checked by the keys of {self._name}: {self._problem}"]

    def status(self) -> dict[str, Any]:
        """For the operator; encodes as JSON."""
        return {
            "fixed_keys": len(self._keys.fixed),
            "key_set": self._name,
            "keys": self._had,
            "trouble": self._problem,
        }

    def startService(self) -> None:
        """Get the keys; what comes before they are there is told to try again."""
        Service.startService(self)
        self._begin()

    def stopService(self) -> Deferred[None]:
        """Give up a fetch; fires when nothing is left."""
        Service.stopService(self)
        self._alarm.set(None)
        self._looking.cancel()
        return self._looking

    def _begin(self) -> None:
        if self._place is not None:
            self._began = self._clock.seconds()
            self._looking = Deferred.fromCoroutine(self._look(self._place))
            self._looking.addErrback(self._gave_up)

    async def _look(self, place: KeySetPlace) -> None:
        try:
            content = await place.look()
            if content is None:
                self._keys.settle()
            else:
                self._took(key_set(content))
        except ValueError as error:
            if not self.running:  # Agent tells a cancelled request as a failed one
                return
            self._failed(str(error))
        self._set_alarm(place.again if self._problem else place.every)

    def _gave_up(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self.log.failure("while looking for keys in {name}", failure=failure, name=self._name)
            self._set_alarm(ASK_EVERY)

    def _set_alarm(self, seconds: float) -> None:
        self._due = self._clock.seconds() + seconds
        self._alarm.set(self._due)

    def _sooner(self) -> None:
        """Somebody shows a token whose key is not known: look as soon as that is allowed."""
        at = max(self._clock.seconds(), self._began + ASK_EVERY)
        if self.running and self._looking.called and at < self._due:
            self._set_alarm(at - self._clock.seconds())

    def _took(self, found: KeySet) -> None:
        self._keys.replace(found.keys)
        self._had, self._problem = len(found.keys), ""
        self.log.info("Tokens are checked by {count} keys of {name}", count=len(found.keys), name=self._name)
        for sentence in found.skipped[:SKIPPED_LOGGED]:
            self.log.warn("A key of {name} is left out: {sentence}", name=self._name, sentence=sentence)

    def _failed(self, problem: str) -> None:
        if problem != self._problem:
            self.log.error(
                "The keys by which tokens are checked stay as they were ({count} of {name}): {problem}",
                count=self._had,
                name=self._name,
                problem=problem,
            )
        self._problem = problem


def _place(written: str, client: UpstreamClient) -> KeySetPlace | None:
    if not written:
        return None
    return KeySetUrl(written, client) if is_url(written) else KeySetFile(file_path(written))
