"""What of a configuration the topology is made of."""

from __future__ import annotations

import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from streamer import settings
from streamer.errors import ConfigurationError
from streamer.services.topology_settings import TopologySettings


class TopologySettingsTests(SynchronousTestCase):
    """Two keys of a file."""

    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name, "s.toml")

    def read(self, text: str) -> TopologySettings:
        self.file.write_text(text, encoding="utf-8")
        return TopologySettings.read(str(self.file))

    def refusal(self, text: str) -> str:
        return str(self.assertRaises(ConfigurationError, self.read, text))

    def test_read(self) -> None:
        """Shards and URL, or their defaults; nothing else is looked up or judged, and no URL shows itself."""
        found = self.read('[enrich]\nshards = 4\n[bus]\nurl = "$B"\n[sources.x]\ntype = "none"\n[relay]\nx = 1')
        self.assertEqual(found.shards, 4)
        address = found.address({"B": "amqp://a:hidden@h/%2Ffeed"})
        assert address is not None
        self.assertEqual((address.user, address.vhost), ("a", "/feed"))
        self.assertNotIn("hidden", repr(self.read('bus.url = "amqp://a:hidden@h/"')))
        found = self.read("")
        self.assertEqual((found.shards, found.address({})), (0, None))

    def test_places(self) -> None:
        """What is wrong with them has its place, in the words of whoever reads the whole file."""
        for text in (
            '[enrich]\nshards = "2"',
            "[enrich]\nshards = 65",
            "[enrich]\n\nshard = 2",
            "enrich = 3",
            "\n[bis]",
            "[bus]\nurl = 3",
            "[bus]\nurls = 'x'",
            "[enrich]\nprefetch = 0",
            "[enrich",
            "x = ",
        ):
            with self.subTest(text=text):
                said = self.refusal(text)
                whole = str(self.assertRaises(ConfigurationError, settings.load, str(self.file), {}))
                self.assertEqual(said, whole)
        with self.assertRaisesRegex(ConfigurationError, "cannot be read"):
            TopologySettings.read(str(self.file) + "x")
        self.file.write_bytes(b"\xff")
        with self.assertRaisesRegex(ConfigurationError, "is not UTF-8"):
            TopologySettings.read(str(self.file))

    def test_url(self) -> None:
        """A secret that is not there, or is no URL, is told with the place of the key, and does not show itself."""
        found = self.read('\n[bus]\nurl = "$B"')
        for environ, words in (({}, "variable B is not set"), ({"B": "amqp://a:hidden@h:x/"}, "port")):
            error = str(self.assertRaises(ConfigurationError, found.address, environ))
            self.assertTrue(error.startswith(f"{self.file}:3:1: bus.url: "), error)
            self.assertIn(words, error)
            self.assertNotIn("hidden", error)
