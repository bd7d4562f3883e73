"""The configuration: strict, with places and suggestions, and secrets from outside."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import ConfigurationError
from streamer.secrets import Secret, resolve
from streamer.settings import load, loads
from streamer.tables import RelaySettings

REFERENCE = Path(__file__).resolve().parents[2] / "conf" / "streamer.toml"
SOURCE = '[sources.birds]\ntype = "x-filtered"\ntoken = "t"\n'


def folder(case: SynchronousTestCase) -> Path:
    """A folder of the test's own, removed after it."""
    temporary = tempfile.TemporaryDirectory()
    case.addCleanup(temporary.cleanup)
    return Path(temporary.name)


class SettingsTests(SynchronousTestCase):
    """What a good file means."""

    def test_empty(self) -> None:
        """Everything has a default."""
        settings = loads("")
        self.assertEqual("memory:", settings.bus.url.reveal())
        self.assertEqual(RelaySettings(), settings.relay)
        self.assertEqual({}, settings.sources)

    def test_reference_file(self) -> None:
        """The shipped reference is valid, and its commented defaults are the defaults."""
        settings = load(str(REFERENCE), {"X_BEARER_TOKEN": "secret"})
        self.assertEqual("secret", settings.sources["birds"].own.token.reveal())
        text = REFERENCE.read_text(encoding="utf-8")
        uncommented = "\n".join(
            line.removeprefix("# ") if line.startswith("# ") and " = " in line and "`" not in line else line
            for line in text.split("\n")
            if not line.startswith("# ") or line.split(" ", 2)[2].startswith("= ")
        )
        spelled = loads(uncommented, environ={"X_BEARER_TOKEN": "secret"})
        self.assertEqual(settings.relay, spelled.relay)
        self.assertEqual(settings.enrich, spelled.enrich)
        self.assertEqual(settings.streamer, spelled.streamer)
        self.assertEqual(settings.sources["birds"].own, spelled.sources["birds"].own)
        self.assertIn("journal_entries = 50000", uncommented)

    def test_source(self) -> None:
        """A source's own keys are those of its plugin."""
        settings = loads(SOURCE + 'base_url = "http://127.0.0.1:1"\nbackfill_minutes = 5\n')
        self.assertEqual(5, settings.sources["birds"].own.backfill_minutes)

    def test_secrets_do_not_show(self) -> None:
        """A settings object can be printed without giving a token or a broker's password away."""
        settings = loads('[bus]\nurl = "amqp://u:hush@h/"\n' + SOURCE.replace('"t"', '"hush"'))
        self.assertNotIn("hush", repr(settings))


class ProblemTests(SynchronousTestCase):
    """What a bad file is answered with."""

    def problems(self, text: str, **environ: str) -> list[str]:
        """The sentences about a file called x.toml."""
        with self.assertRaises(ConfigurationError) as caught:
            loads(text, "x.toml", environ)
        return list(caught.exception.problems)

    def test_unknown_key(self) -> None:
        """File, line, column, table and a suggestion."""
        self.assertEqual(
            ["x.toml:2:3: unknown key 'hydrator' in [enrich] (did you mean 'hydrators'?)"],
            self.problems('[enrich]\n  hydrator = ["geo"]\n'),
        )

    def test_unknown_table(self) -> None:
        """At the top as well."""
        self.assertEqual(
            ["x.toml:1:2: unknown key 'source' (did you mean 'sources'?)"], self.problems("[source]\na = 1\n")
        )

    def test_all_at_once(self) -> None:
        """Every problem of the file is reported, in the order of their places."""
        found = self.problems("[relay]\nfoo = 1\n[enrich]\nprefetch = 0\n[bus]\nurl = 1\n[streamer]\nbar = 1\n")
        self.assertEqual(
            ["x.toml:2:1", "x.toml:4:1", "x.toml:6:1", "x.toml:8:1"], [row.split(": ")[0] for row in found]
        )

    def test_wrong_type(self) -> None:
        """The key is named, and what was expected."""
        (problem,) = self.problems('[relay]\ntitle = "x"\nclients = "many"\n')
        self.assertEqual("x.toml:3:1: relay.clients: Expected `int`, got `str`", problem)

    def test_inside_an_array(self) -> None:
        """An element of an array has its own place."""
        (problem,) = self.problems(
            SOURCE + '[sources.birds.predicates]\nrules = [{ value = "a" },\n  { vlaue = "b" }]\n'
        )
        expected = "x.toml:6:5: unknown key 'vlaue' in [sources.birds.predicates.rules.1] (did you mean 'value'?)"
        self.assertEqual(expected, problem)
        (problem,) = self.problems(SOURCE + "[sources.birds.predicates]\nrules = [{ value = 5 }]\n")
        self.assertEqual("x.toml:5:12: sources.birds.predicates.rules.0.value: Expected `str`, got `int`", problem)

    def test_nothing_asked_for(self) -> None:
        """A filter that asks for nothing is refused here, unless a file says what to ask for."""
        table = '[sources.old]\ntype = "twitter-v1"\nuser = "u"\npassword = "p"\n'
        (problem,) = self.problems(table)
        self.assertRegex(problem, r"^x\.toml:1:\d+: \[sources\.old\] asks for nothing: filter needs at least one of ")
        for more in (
            'stream = "sample"\n',
            'predicates_file = "old.json"\n',
            '[sources.old.predicates]\ntrack = ["kakapo"]\n',
        ):
            self.assertEqual(["old"], list(loads(table + more).sources), more)
        self.assertEqual(["birds"], list(loads(SOURCE).sources))

    def test_missing_key(self) -> None:
        """A missing key is reported at the table that should hold it."""
        (problem,) = self.problems('\n[sources.birds]\ntype = "x-filtered"\n')
        self.assertEqual("x.toml:2:10: sources.birds: Object missing required field `token`", problem)

    def test_unknown_plugins(self) -> None:
        """Sources, hydrators and events list what there is."""
        (problem,) = self.problems('[sources.birds]\ntype = "x-filterd"\n')
        self.assertEqual("x.toml:2:1: unknown source type 'x-filterd' (did you mean 'x-filtered'?)", problem)
        (problem,) = self.problems('[enrich]\nevents = ["post",\n "zzz"]\n')
        self.assertIn(
            "x.toml:3:2: unknown event kind 'zzz' (known are change, delete, gap, geo, notice, post, scrub)", problem
        )

    def test_shed(self) -> None:
        """Only kinds that some source makes can be shed; a gap, for instance, never is."""
        (problem,) = self.problems('[streamer]\nshed = ["post",\n "delet"]\n' + SOURCE)
        self.assertIn(
            "x.toml:3:2: streamer.shed: no source makes items of kind 'delet' (did you mean 'delete'?)", problem
        )
        hook = '[sources.x]\ntype = "webhook"\nopen = true\nkind = "deploy"\n'
        self.assertEqual(("deploy",), loads('[streamer]\nshed = ["deploy"]\n' + hook).streamer.shed)
        (problem,) = self.problems('[streamer]\nshed = ["gap"]\n' + SOURCE)
        self.assertIn("(known are delete, post)", problem)

    def test_source_without_type(self) -> None:
        """A source must say what it is."""
        (problem,) = self.problems('[sources.birds]\ntoken = "t"\n')
        self.assertEqual("x.toml:1:10: [sources.birds] needs a key 'type', the name of a source type", problem)

    def test_source_name(self) -> None:
        """A name that would need escaping in every topic is refused."""
        (problem,) = self.problems('[sources."a.b"]\ntype = "x-filtered"\n')
        self.assertIn("x.toml:1:10: a source's name is made of", problem)

    def test_plugin_says_no(self) -> None:
        """What a plugin finds contradictory is reported at the source's table."""
        (problem,) = self.problems(SOURCE + 'base_url = "http://example.com"\n')
        self.assertIn("x.toml:1:10: [sources.birds] base_url 'http://example.com' would send credentials", problem)

    def test_token_of_ours(self) -> None:
        """A token that no header can carry would shut everybody out; it is not shown."""
        for written in ("", "two hush", "h\u00fcsh", "hush\\u0000"):
            (problem,) = self.problems(f'[streamer]\ntoken = "{written}"\n')
            self.assertIn("x.toml:2:1: [streamer] token must be printable ASCII without spaces", problem)
            self.assertNotIn("hush", problem)
        self.assertEqual(Secret("a-b+c/d="), loads('[streamer]\ntoken = "a-b+c/d="').streamer.token)

    def test_one_account(self) -> None:
        """Two spellings of one server are one server, which allows one connection."""
        other = SOURCE.replace("birds", "others") + 'base_url = "https://API.x.com:443/"\n'
        (problem,) = self.problems(SOURCE + other)
        self.assertIn("x.toml:4:10: [sources.others] follows the same stream", problem)

    def test_password_in_a_url(self) -> None:
        """What should not stand in a URL is not printed."""
        for url in ("https://user:hush@api.x.com", "https://api.x.com/?key=hush"):
            (problem,) = self.problems(SOURCE + f'base_url = "{url}"\n')
            self.assertIn("[sources.birds] base_url 'https://api.x.com' must hold no query", problem)
            self.assertNotIn("hush", problem)

    def test_predicates_file(self) -> None:
        """It must be a path that a file can have, with nothing else there; it need not be there yet."""
        here = folder(self)
        (here / "folder").mkdir()
        os.mkfifo(here / "pipe")
        for path, why in (
            ("", "must name a file"),
            ("a\\u0000b", "must name a file"),
            (str(here / "folder"), "is no regular file"),
            (str(here / "pipe"), "is no regular file"),
        ):
            (problem,) = self.problems(SOURCE + f'predicates_file = "{path}"\n')
            self.assertIn("x.toml:4:1: [sources.birds] predicates_file", problem)
            self.assertIn(why, problem)
        loads(SOURCE + f'predicates_file = "{here / "later.json"}"\n')

    def test_predicates_file_twice(self) -> None:
        """Two sources with one file would change each other, however it is spelled."""
        here = folder(self)
        (here / "link.json").symlink_to("a.json")
        one = SOURCE + f'predicates_file = "{here / "a.json"}"\n'
        for spelled in ("a.json", "x/../a.json", "link.json"):
            other = '[sources.others]\ntype = "x-filtered"\ntoken = "u"\n' + f'predicates_file = "{here}/{spelled}"\n'
            (problem,) = self.problems(one + other)
            self.assertIn("x.toml:8:1: [sources.others] predicates_file", problem)
            self.assertIn("is that of [sources.birds] too", problem)
        loads(one + other.replace("link.json", "b.json"))

    def test_rules(self) -> None:
        """No rules at all, and none of ours, are two things."""
        for more, found in (("", None), ("[sources.birds.predicates]", None), ("predicates = { rules = [] }", ())):
            self.assertEqual(found, loads(SOURCE + more).sources["birds"].source.predicates.rules)

    def test_one_port_twice(self) -> None:
        """What one process listens on for two purposes is said, in whatever way it is written."""
        for text, place, key, other in (
            ('[streamer]\nadmin = "tcp:8184"', "1:2", "streamer.hooks", "streamer.admin"),
            ('[streamer]\nhooks = "tcp:8181:interface=127.0.0.1"', "2:1", "streamer.hooks", "streamer.admin"),
            ('[relay]\nadmin = "tcp:port=8080:interface=127.0.0.1"', "2:1", "relay.admin", "relay.listen"),
        ):
            (problem,) = self.problems(text + "\n")
            self.assertRegex(problem, f"^x.toml:{place}: {key}: '.*' is where {other} listens")
        for text in (
            '[streamer]\nhooks = "tcp:8080"',
            '[streamer]\nadmin = "tcp:1:interface=127.0.0.1"\nhooks = "tcp:1:interface=127.0.0.2"',
            '[relay]\nadmin = "tcp:0"\nlisten = "tcp:0"',
        ):
            loads(text + "\n")

    def test_endpoint(self) -> None:
        """A listening address is checked without listening."""
        (problem,) = self.problems('[relay]\nlisten = "tpc:8080"\n')
        self.assertIn("x.toml:2:1: relay.listen: 'tpc:8080' is no endpoint", problem)

    def test_endpoint_out_of_reach(self) -> None:
        """Ports and certificates that cannot be are found before anything listens."""
        for written in ("tcp:99999", "tcp:port=70000", "ssl:0:privateKey=/nonexistent.pem"):
            (problem,) = self.problems(f'[relay]\nadmin = "{written}"\n')
            self.assertIn(f"x.toml:2:1: relay.admin: {written!r} is no endpoint", problem)

    def test_origins(self) -> None:
        """Origins go into a header, and are compared with what browsers send: no slash at the end, nothing odd."""
        for written in ("http://127.0.0.1:8080/", "*", "http://a b; script-src http://evil", "null"):
            (problem,) = self.problems(f'[relay]\norigins = ["{written}"]\n')
            self.assertIn("relay.origins.0", problem)

    def test_bounds(self) -> None:
        """Endless times and sizes are refused."""
        for row in ("heartbeat = inf", "heartbeat = nan", "history = inf", "journal_entries = 99999999999999999999"):
            self.assertEqual(1, len(self.problems(f"[relay]\n{row}\n")), row)

    def test_twice(self) -> None:
        """An event kind named twice would publish everything twice."""
        (problem,) = self.problems('[enrich]\nevents = ["post",\n "post"]\n')
        self.assertEqual("x.toml:3:2: enrich.events: 'post' stands there twice", problem)

    def test_byte_order_mark(self) -> None:
        """An editor's byte order mark is no part of the file."""
        path = folder(self) / "x.toml"
        path.write_bytes(b'\xef\xbb\xbf[relay]\ntitle = "x"\n')
        self.assertEqual("x", load(str(path)).relay.title)

    def test_endless_number(self) -> None:
        """A number of more digits than Python reads is no traceback."""
        (problem,) = self.problems("x = " + "9" * 5000)
        self.assertTrue(problem.startswith("x.toml:1:1: "), problem)

    def test_too_deep(self) -> None:
        """A file nested beyond all reason is no traceback."""
        (problem,) = self.problems("x = " + "[" * 5000 + "]" * 5000)
        self.assertIn("x.toml:1:1: ", problem)

    def test_syntax(self) -> None:
        """A syntax error has the same form."""
        (problem,) = self.problems("[relay\n")
        self.assertTrue(problem.startswith("x.toml:1:7: "), problem)
        (problem,) = self.problems("a = [1,\n")
        self.assertTrue(problem.startswith("x.toml:2:1: "), problem)

    def test_secret_missing(self) -> None:
        """A secret that cannot be had names what is missing, and where it was asked for."""
        (problem,) = self.problems('[sources.birds]\ntype = "x-filtered"\ntoken = "$NOPE"\n')
        self.assertIn("x.toml:3:1: sources.birds.token: the environment variable NOPE is not set", problem)

    def test_no_file(self) -> None:
        """A missing file and a folder are problems like any other."""
        for path in ("no-such-file.toml", "/"):
            with self.assertRaises(ConfigurationError) as caught:
                load(path)
            self.assertIn(f"{path}: cannot be read", str(caught.exception))

    def test_not_utf8(self) -> None:
        """Neither is a file in another encoding a traceback."""
        path = folder(self) / "x.toml"
        path.write_bytes(b"# \xff")
        with self.assertRaises(ConfigurationError):
            load(str(path))


class SecretTests(SynchronousTestCase):
    """Where secrets come from."""

    def test_literal_and_environment(self) -> None:
        """$NAME reads the environment; anything else is itself."""
        self.assertEqual(Secret("x"), resolve("x", {}))
        self.assertEqual(Secret("y"), resolve("$X", {"X": "y"}))

    def test_files(self) -> None:
        """Files and systemd credentials, stripped of white space."""
        here = folder(self)
        (here / "token").write_text(" s3cret\n", encoding="utf-8")
        (here / "empty").write_text("\n", encoding="utf-8")
        self.assertEqual(Secret("s3cret"), resolve(f"file:{here / 'token'}", {}))
        self.assertEqual(Secret("s3cret"), resolve("credential:token", {"CREDENTIALS_DIRECTORY": str(here)}))
        for written, environ in (
            (f"file:{here / 'none'}", {}),
            (f"file:{here / 'empty'}", {}),
            ("credential:token", {}),
            ("credential:../token", {"CREDENTIALS_DIRECTORY": str(here)}),
            ("$EMPTY", {"EMPTY": ""}),
        ):
            with self.assertRaises(ValueError):
                resolve(written, environ)

    def test_repr(self) -> None:
        """A secret does not show itself."""
        self.assertNotIn("hush", repr(Secret("hush")) + str(Secret("hush")))
