"""Descriptions of endpoints."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.endpoints import _SystemdParser, quoteStringArgument, serverFromString
from twisted.internet.testing import MemoryReactorClock
from twisted.python.systemd import ListenFDs
from twisted.trial.unittest import SynchronousTestCase

from streamer.endpoints import DOMAINS, not_handed, problem

PRINTABLE = st.text(st.characters(min_codepoint=32, max_codepoint=126, exclude_characters=":"), min_size=1)


class SystemdTests(SynchronousTestCase):
    """`systemd:…`, outside a unit."""

    def test_good(self) -> None:
        """A good one is good although there is no socket; that there is none is told by name or number."""
        for description, which in (
            ("systemd:domain=INET:name=relay", "named 'relay'"),
            ("systemd:name=relay:domain=INET6", "named 'relay'"),
            ("systemd:domain=UNIX:index=0", "number 0"),
            ("systemd:INET:0", "number 0"),
            ("systemd:index=1:INET", "number 1"),
        ):
            with self.subTest(description):
                self.assertIsNone(problem(description))
                self.assertIn(f"systemd handed over no socket {which}; ", str(not_handed(description)))

    def test_malformed(self) -> None:
        """What systemd could never fulfil is refused, with what is to change."""
        for rest, sentence in (
            ("", "domain is one of INET, INET6, UNIX"),
            (":name=relay", "domain is one of INET, INET6, UNIX"),
            (":domain=inet:name=relay", "domain is one of INET, INET6, UNIX"),
            (":domain=INET", "give either name, which is the socket's FileDescriptorName=, or index"),
            (":domain=INET:name=relay:index=0", "give either name"),
            (":domain=INET:index=-1", "index is the socket's number, from 0"),
            (":domain=INET:index=", "index is the socket's number"),
            (":domain=INET:name=", "name is made of printable ASCII"),
            (":domain=INET:name=é", "name is made of printable ASCII"),
            (":domain=INET:name=a\\:b", "name is made of printable ASCII"),
            (":domain=INET:name=" + 256 * "a", "at most 255"),
            (":domain=INET:nmae=relay", "there is no 'nmae'; there are domain, index, name"),
            (":domain=INET:name=a:name=b", "name stands there twice"),
            (":domain=INET:name=a\\", "a backslash at the end stands for nothing"),
            (":INET:0:a:b", "there is no 'b'"),
        ):
            with self.subTest(rest):
                said = str(problem(f"systemd{rest}"))
                self.assertIn("is no endpoint such as 'systemd:domain=INET:name=relay': ", said)
                self.assertIn(sentence, said)

    @given(st.sampled_from(DOMAINS), PRINTABLE.filter(lambda name: len(name) <= 255))
    def test_as_twisted_reads_it(self, domain: str, name: str) -> None:
        """Whatever a socket's name, what passes here finds the socket of that name, once systemd hands it over."""
        description = f"systemd:domain={domain}:name={quoteStringArgument(name)}"
        self.assertIsNone(problem(description))
        self.assertIn(f"named {name!r}", str(not_handed(description)))
        self.patch(_SystemdParser, "_sddaemon", ListenFDs([7], [name]))
        try:
            self.assertIsNone(not_handed(description))
            self.assertEqual(7, serverFromString(MemoryReactorClock(), description).fileno)
        finally:
            self.patch(_SystemdParser, "_sddaemon", ListenFDs([], []))


class OtherTests(SynchronousTestCase):
    """All others are Twisted's to judge."""

    def test_others(self) -> None:
        """None needs a socket from anybody; a bad one is told why."""
        for description, good in (
            ("tcp:8080:interface=127.0.0.1", True),
            ("unix:/run/x", True),
            ("tcp:65536", False),
            ("systemctl:x", False),
        ):
            with self.subTest(description):
                self.assertIsNone(not_handed(description))
                self.assertEqual(good, problem(description) is None)
