"""What is wanted of a source: put by an operator through the admin endpoint, or written into its watched file."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import ControlRefused
from streamer.interfaces import ISourceType
from streamer.policy.course import State
from streamer.policy.restart import delay
from streamer.registry import find
from streamer.services.streamer import APPLY_LIMIT
from streamer.services.wanted import FILE_LIMIT, Wanted
from streamer.sources.x_rules import Rule
from streamer.tables import CommonSettings
from streamer.testing import faults
from tests.unit.following import Following, x_table
from tests.unit.spooling import folder
from tests.unit.test_services_streamer import Cases, rules

PUT, DRY = "/predicates", "/predicates?dry_run=true"
NOTHING = {"added": [], "deleted": []}


def values(wanted: Any) -> list[str]:
    """The rules of a row's `wanted` or `live`."""
    return [rule["value"] for rule in wanted["rules"]]


class LiveTests(Cases):
    """Predicates that need no new connection."""

    def test_put(self) -> None:
        """Other rules are live when the answer comes, which tells what was changed; no connection was cut."""
        made, admin = self.following(rate=5.0)
        row = admin.row("PUT", PUT, {"rules": [{"value": "dog", "tag": "pets"}]})
        self.assertEqual(["dog"], self.on_server(made))
        self.assertEqual({"added": ["dog"], "deleted": ["cat"]}, row["did"])
        self.assertEqual((["dog"], ["dog"], 0, None, None), self.told(row))
        self.assertEqual(row, {**admin.row("GET", PUT), "did": row["did"]})
        self.assertEqual(1, made.x.status()["connected"])

    def told(self, row: Any) -> tuple[Any, ...]:
        """A row's columns."""
        live = None if row["live"] is None else values(row["live"])
        return values(row["wanted"]), live, row["pending"], row["applies_in"], row["problem"]

    def test_put_again(self) -> None:
        """The same once more changes nothing, and asks the upstream nothing."""
        made, admin = self.following(rate=5.0)
        admin.row("PUT", PUT, rules("dog"))
        asked = len(made.network.attempts)
        made.advance(1)
        self.assertNotIn("did", admin.row("PUT", PUT, rules("dog")))
        self.assertEqual(asked, len(made.network.attempts))

    def test_dry_run(self) -> None:
        """A dry run says what would be done and changes nothing: not the wish, not the server, not the file."""
        path = folder(self) / "birds.json"
        made, admin = self.following(rate=5.0, common=CommonSettings(predicates_file=str(path)))
        before = admin.row("GET", PUT)
        row = admin.row("PUT", DRY, rules("dog", "mouse"))
        self.assertEqual({"added": ["dog", "mouse"], "deleted": ["cat"]}, row.pop("would"))
        self.assertEqual(before, row)
        self.assertEqual(["cat"], self.on_server(made))
        self.assertFalse(path.exists())

    def test_dry_run_refused(self) -> None:
        """A dry run of what the upstream would refuse is 422 with its reason."""
        made, admin = self.following(rate=5.0)
        asked = admin.ask("PUT", DRY, rules("has:media"))
        self.assertEqual(422, asked.code)
        self.assertIn("has:media", asked.json["error"])
        self.assertEqual(["cat"], self.on_server(made))

    def test_refused(self) -> None:
        """What the upstream refuses is 422, and everything is as before: the wish, the server, the file."""
        path = folder(self) / "birds.json"
        made, admin = self.following(rate=5.0, common=CommonSettings(predicates_file=str(path)))
        admin.row("PUT", PUT, rules("bird"))
        asked = admin.ask("PUT", PUT, rules("dog", "has:media"))
        self.assertEqual(422, asked.code)
        self.assertIn("has:media", asked.json["error"])
        row = admin.row("GET", PUT)
        self.assertEqual((["bird"], ["bird"], 0, None), self.told(row)[:4])
        self.assertIn("has:media", row["problem"])
        self.assertEqual(["bird"], self.on_server(made))
        self.assertEqual(["bird"], values(json.loads(path.read_bytes())))
        made.advance(3)
        self.assertEqual(["bird"], self.on_server(made))
        self.assertTrue(made.follower.connected)
        self.assertIsNone(admin.row("PUT", PUT, rules("dog"))["problem"])

    def test_no_rules(self) -> None:
        """An empty list takes the last rule away; to leave it out leaves the server's alone, and both are told."""
        made, admin = self.following(rate=5.0)
        row = admin.row("PUT", PUT, {"rules": []})
        self.assertEqual({"added": [], "deleted": ["cat"]}, row["did"])
        self.assertEqual(([], [], 0, None, None), self.told(row))
        self.assertEqual([], self.on_server(made))
        admin.row("PUT", PUT, rules("dog"))
        row = admin.row("PUT", PUT, {})
        self.assertEqual(({"rules": None}, {"rules": None}), (row["wanted"], row["live"]))
        self.assertEqual((NOTHING, 0), (row["did"], row["pending"]))
        self.assertEqual(["dog"], self.on_server(made))
        self.assertEqual({"added": [], "deleted": ["dog"]}, admin.row("PUT", PUT, rules())["did"])

    def test_no_rules_on_the_next_connection(self) -> None:
        """X follows nothing for a source without rules; it is asked again, and rules mend it."""
        made, admin = self.following(rate=5.0)
        admin.row("PUT", PUT, {"rules": []})
        made.network.cut(0)
        made.advance(2)
        self.assertFalse(made.follower.connected)
        self.assertIn("409", made.follower.said)
        admin.row("PUT", PUT, rules("dog"))
        admin.row("POST", "/update")
        made.advance(400, step=5)
        self.assertTrue(made.follower.connected)
        self.assertEqual(["dog"], self.on_server(made))

    def test_not_understood(self) -> None:
        """What cannot be understood is 400 and says why; the file is not touched."""
        path = folder(self) / "birds.json"
        made, admin = self.following(rate=5.0, common=CommonSettings(predicates_file=str(path)))
        for body, why in (
            (b"", "empty"),
            (b"{", "no JSON"),
            (b"[]", "not predicates of a 'x-filtered' source"),
            ({"rulez": []}, "rulez"),
            ({"rules": [{"value": 5}]}, "value"),
            (rules(""), "birds"),
            (rules("a", "a"), "twice"),
            (rules("x" * 2000), "2000"),
        ):
            asked = admin.ask("PUT", PUT, body)
            self.assertEqual(400, asked.code, body)
            self.assertIn(why, asked.json["error"])
        self.assertEqual(["cat"], self.on_server(made))
        self.assertFalse(path.exists())

    def test_while_away(self) -> None:
        """Without a connection the answer comes at once, and the wish goes along with the next connection."""
        made, admin = self.following(rate=5.0)
        made.x.fault(faults.Status(503))
        made.x.fault(faults.Cut())
        made.advance(1)
        row = admin.row("PUT", PUT, rules("dog"))
        self.assertEqual((["dog"], 2), (values(row["wanted"]), row["pending"]))
        self.assertNotIn("did", row)
        self.assertEqual(["cat"], self.on_server(made))
        made.advance(10)
        self.assertEqual(["dog"], self.on_server(made))
        self.assertEqual((["dog"], ["dog"], 0, None, None), self.told(admin.row("GET", PUT)))

    def test_nobody_waits_for_ever(self) -> None:
        """Wishes that cannot be brought into force now leave nothing behind, however many there are."""
        made, admin = self.following(rate=1.0)
        admin.row("POST", "/stop")
        for number in range(20):
            admin.row("PUT", PUT, rules(f"dog{number}"))
        self.assertEqual([], made.service.alignment._waiting)
        admin.row("POST", "/start")
        made.advance(1)
        self.assertEqual(["dog19"], self.on_server(made))

    def test_no_answer(self) -> None:
        """Where the upstream does not answer, the operator is answered in time, and the wish goes on without him."""
        made, admin = self.following(rate=5.0)
        made.network.mute = True
        asked = admin.begin("PUT", PUT, rules("dog"))
        made.advance(APPLY_LIMIT - 1, step=1)
        admin.pump()
        self.assertIsNone(asked.code)
        made.advance(2)
        admin.pump()
        self.assertEqual((200, 2), (asked.code, asked.json["pending"]))
        self.assertNotIn("did", asked.json)
        made.network.mute = False
        made.advance(30)
        self.assertEqual(["dog"], self.on_server(made))
        self.assertEqual([], made.service.alignment._waiting)

    def test_fails_for_now(self) -> None:
        """Where the upstream's page fails, the operator is told that it is pending, and it is tried again."""
        made, admin = self.following(rate=5.0)
        made.network.refuses = OSError("no route")
        row = admin.row("PUT", PUT, rules("dog"))
        self.assertEqual(2, row["pending"])
        self.assertNotIn("did", row)
        made.network.refuses = None
        made.advance(10)
        self.assertEqual(["dog"], self.on_server(made))

    def test_one_replaces_another(self) -> None:
        """Of several wishes at once the last one holds; every operator is answered, and soon."""
        made, admin = self.following(rate=5.0)
        made.network.mute = True
        asked = [admin.begin("PUT", PUT, rules(value)) for value in ("a", "b", "c")]
        made.network.mute = False
        admin.pump()
        made.advance(2)
        admin.pump()
        self.assertEqual([200, 200, 200], [one.code for one in asked])
        self.assertEqual(["c"], self.on_server(made))
        self.assertEqual(["did" in one.json for one in asked], [True, False, True])

    def test_replaced_while_the_upstream_fails(self) -> None:
        """Whose wish was replaced is told so, though the one in its place has not come into force yet."""
        made, admin = self.following(rate=5.0)
        made.network.mute = True
        asked = [admin.begin("PUT", PUT, rules(value)) for value in ("a", "b", "c")]
        made.network.mute, made.network.refuses = False, OSError("no route")
        made.advance(2, step=0.25)
        admin.pump()
        self.assertEqual([200, 200, 200], [one.code for one in asked])
        self.assertEqual(["cat"], self.on_server(made))
        self.assertEqual(["c"], values(admin.row("GET", PUT)["wanted"]))
        made.network.refuses = None
        made.advance(10)
        self.assertEqual(["c"], self.on_server(made))

    def test_cut_meanwhile(self) -> None:
        """Who waits when the stream is cut is answered soon; the wish goes along with the next connection."""
        made, admin = self.following(rate=5.0)
        made.network.refuses = OSError("no route")
        admin.row("PUT", PUT, rules("dog"))
        asked = admin.begin("PUT", PUT, rules("mouse"))
        self.assertIsNone(asked.code)
        made.x.fault(faults.Cut())
        made.advance(2, step=0.05)
        admin.pump()
        self.assertFalse(made.follower.connected)
        self.assertEqual((200, 2), (asked.code, asked.json["pending"]))
        made.network.refuses = None
        made.advance(20)
        self.assertEqual(["mouse"], self.on_server(made))

    def test_refused_after_it_was_replaced(self) -> None:
        """A wish that is refused takes no other along that was made meanwhile, nor its file."""
        path = folder(self) / "birds.json"
        made, admin = self.following(rate=5.0, common=CommonSettings(predicates_file=str(path)))
        made.network.mute = True
        first = admin.begin("PUT", PUT, rules("has:media"))
        second = admin.begin("PUT", PUT, rules("dog"))
        made.network.mute = False
        admin.pump()
        made.advance(2)
        admin.pump()
        self.assertEqual([422, 200], [first.code, second.code])
        self.assertEqual(["dog"], self.on_server(made))
        self.assertEqual(["dog"], values(json.loads(path.read_bytes())))
        self.assertIsNone(admin.row("GET", PUT)["problem"])

    def test_stopped_meanwhile(self) -> None:
        """Who waits when the source is stopped is answered at once; the wish comes with the next start."""
        made, admin = self.following(rate=5.0)
        made.network.mute = True
        asked = admin.begin("PUT", PUT, rules("dog"))
        admin.row("POST", "/stop")
        self.assertEqual(200, asked.code)
        self.assertNotIn("did", asked.json)
        made.network.mute = False
        admin.row("POST", "/start")
        made.advance(1)
        self.assertEqual(["dog"], self.on_server(made))

    def test_mends(self) -> None:
        """Better rules start a source again that the upstream had refused for good."""
        made, admin = self.following(rules=[Rule("has:media", "")], rate=1.0)
        self.assertIs(State.FAILED, made.follower.course.state)
        admin.row("PUT", PUT, rules("dog"))
        made.advance(1)
        self.assertTrue(made.follower.connected)

    def test_refused_while_away(self) -> None:
        """What is refused only when the next connection is made does not end the stream that was good before."""
        made, admin = self.following(rate=5.0)
        made.x.fault(faults.Status(503))
        made.x.fault(faults.Cut())
        made.advance(1)
        admin.row("PUT", PUT, rules("has:media"))
        made.advance(30)
        self.assertTrue(made.follower.connected, made.follower.said)
        self.assertEqual(["cat"], self.on_server(made))
        self.assertIn("has:media", admin.row("GET", PUT)["problem"] or "")


class RenewedTests(Cases):
    """Predicates that need a new connection."""

    def test_delays(self) -> None:
        """The first change comes at once, with a new connection; the next waits for its delay, gathering others."""
        made, admin = self.twitter()
        row = admin.row("PUT", PUT, {"track": ["dog"]})
        self.assertEqual((2, 0.0), (row["pending"], row["applies_in"]))
        self.assertNotIn("did", row)
        made.advance(12)  # the overlap of the two connections
        self.assertEqual((0, None), (admin.row("GET", PUT)["pending"], admin.row("GET", PUT)["applies_in"]))
        changed = made.follower.course.plan.last
        row = admin.row("PUT", PUT, {"track": ["dog", "mouse"]})
        self.assertEqual((1, round(changed + delay(1) - made.clock.seconds(), 1)), (row["pending"], row["applies_in"]))
        row = admin.row("PUT", PUT, {"track": [f"dog{number}" for number in range(99)]})
        self.assertEqual((100, round(changed + 120 - made.clock.seconds(), 1)), (row["pending"], row["applies_in"]))
        connects = made.x.status()["connected"]
        made.advance(105, step=5)
        self.assertEqual((100, connects), (admin.row("GET", PUT)["pending"], made.x.status()["connected"]))
        made.advance(20, step=1)
        self.assertEqual((0, connects + 1), (admin.row("GET", PUT)["pending"], made.x.status()["connected"]))

    def test_changed_back(self) -> None:
        """A change that is taken back before its time needs no connection."""
        made, admin = self.twitter()
        admin.row("PUT", PUT, {"track": ["dog"]})
        made.advance(12)
        admin.row("PUT", PUT, {"track": ["mouse"]})
        row = admin.row("PUT", PUT, {"track": ["dog"]})
        self.assertEqual((0, None), (row["pending"], row["applies_in"]))

    def test_update_does_not_hasten(self) -> None:
        """An operator who asks for it to be brought into force gets the same delay."""
        made, admin = self.twitter()
        admin.row("PUT", PUT, {"track": ["dog"]})
        made.advance(12)
        before = admin.row("PUT", PUT, {"track": ["mouse"]})["applies_in"]
        admin.row("POST", "/update")
        self.assertEqual(before, admin.row("GET", PUT)["applies_in"])

    def test_dry_run(self) -> None:
        """A dry run says how many changes there would be and when; nothing is planned by it."""
        made, admin = self.twitter()
        self.assertEqual(
            {"pending": 3, "applies_in": 0.0}, admin.row("PUT", DRY, {"track": ["dog", "mouse"]})["would"]
        )
        made.advance(5)
        self.assertEqual(1, made.x.status()["connected"])
        admin.row("PUT", PUT, {"track": ["dog"]})
        made.advance(12)
        would = admin.row("PUT", DRY, {"track": ["dog", "mouse"]})["would"]
        self.assertEqual(1, would["pending"])
        self.assertGreater(would["applies_in"], 500)
        self.assertIsNone(admin.row("GET", PUT)["applies_in"])

    def test_limits(self) -> None:
        """What the upstream would refuse without a word is 400 with the limit, and so is to ask for nothing."""
        _, admin = self.twitter()
        for body, why in (
            ({"track": ["x" * 61]}, "60"),
            ({"track": []}, "asks for nothing"),
            ({"follow": ["@somebody"]}, "handles"),
            ({"words": ["dog"]}, "words"),
        ):
            asked = admin.ask("PUT", PUT, body)
            self.assertEqual(400, asked.code, body)
            self.assertIn(why, asked.json["error"])
        self.assertEqual(["cat"], admin.row("GET", PUT)["wanted"]["track"])

    def test_none(self) -> None:
        """A source that takes no predicates says so, to a dry run too."""
        _, admin = self.following(made=Following.of("x-sample", rate=1.0))
        for path in (PUT, DRY):
            asked = admin.ask("PUT", path, rules("dog"))
            self.assertEqual(
                (400, "a source of type 'x-sample' takes no predicates"), (asked.code, asked.json["error"])
            )
        self.assertEqual((None, None, 0), tuple(admin.row("GET", PUT)[key] for key in ("wanted", "live", "pending")))


class FileTests(Cases):
    """The watched file."""

    def kept(self, **options: Any) -> tuple[Path, Any, Any]:
        """A source with a file that is not there yet."""
        path = folder(self) / "birds.json"
        return (path, *self.following(rate=1.0, common=CommonSettings(predicates_file=str(path)), **options))

    def test_outlives_the_process(self) -> None:
        """A wish is written to the file, which the next process goes by; nothing lies beside it."""
        path, made, admin = self.kept()
        admin.row("PUT", PUT, {"rules": [{"value": "dog", "tag": "pets"}]})
        self.assertEqual({"rules": [{"value": "dog", "tag": "pets"}]}, json.loads(path.read_bytes()))
        self.assertEqual([path.name], os.listdir(path.parent))
        made.advance(5)
        self.assertIsNone(admin.row("GET", PUT)["problem"])
        second, _ = self.following(rate=1.0, common=CommonSettings(predicates_file=str(path)))
        self.assertEqual(["dog"], self.on_server(second))

    def test_written_while_stopped(self) -> None:
        """A wish for a source that is stopped is kept too."""
        path, _, admin = self.kept()
        admin.row("POST", "/stop")
        admin.row("PUT", PUT, rules("dog"))
        self.assertEqual(["dog"], values(json.loads(path.read_bytes())))

    def test_refused_put(self) -> None:
        """A refused PUT leaves no file where there was none, and one that was there byte for byte."""
        path, _, admin = self.kept()
        self.assertEqual(422, admin.ask("PUT", PUT, rules("has:media")).code)
        self.assertEqual([], os.listdir(path.parent))
        content = b'{"rules":   [{"value": "cat", "tag": "pets"}]}'
        path.write_bytes(content)
        before = path.stat()
        self.assertEqual(422, admin.ask("PUT", PUT, rules("has:media")).code)
        self.assertEqual(content, path.read_bytes())
        self.assertEqual((before.st_ino, before.st_mtime_ns), (path.stat().st_ino, path.stat().st_mtime_ns))
        self.assertEqual([path.name], os.listdir(path.parent))

    def test_written_once_it_is_live(self) -> None:
        """A wish is written when the upstream has it, and not before."""
        path, made, admin = self.kept()
        made.network.mute = True
        asked = admin.begin("PUT", PUT, rules("dog"))
        self.assertFalse(path.exists())
        made.network.mute = False
        admin.pump()
        self.assertEqual((200, ["dog"]), (asked.code, values(json.loads(path.read_bytes()))))

    def test_twice_while_it_is_asked_for(self) -> None:
        """Who wants the same as somebody whose wish is on its way hears the same, and a refused one is not kept."""
        for value, code, content in (("has:media", 422, []), ("dog", 200, ["dog"])):
            path, made, admin = self.kept()
            made.network.mute = True
            asked = [admin.begin("PUT", PUT, rules(value)) for _ in range(2)]
            made.network.mute = False
            admin.pump()
            made.advance(2)
            admin.pump()
            self.assertEqual([code, code], [one.code for one in asked])
            self.assertEqual(content, values(json.loads(path.read_bytes())) if path.exists() else [])
            self.assertEqual(content or ["cat"], self.on_server(made))

    def test_replaced_by_an_editor(self) -> None:
        """What an editor wrote while a wish was on its way is not overwritten by it."""
        path, made, admin = self.kept()
        made.network.mute = True
        asked = admin.begin("PUT", PUT, rules("dog"))
        path.write_bytes(json.dumps(rules("mouse")).encode())
        made.advance(2)
        made.network.mute = False
        admin.pump()
        made.advance(2)
        self.assertEqual(200, asked.code)
        self.assertEqual(["mouse"], self.on_server(made))
        self.assertEqual(["mouse"], values(json.loads(path.read_bytes())))

    def test_link_and_mode(self) -> None:
        """A link stays one, and the file behind it keeps its permissions and its owner."""
        path, made, admin = self.kept()
        target = path.with_name("target.json")
        target.write_bytes(json.dumps(rules("cat")).encode())
        target.chmod(0o640)
        path.symlink_to(target.name)
        admin.row("PUT", PUT, rules("dog"))
        self.assertEqual("target.json", os.readlink(path))
        self.assertEqual(["dog"], values(json.loads(target.read_bytes())))
        self.assertEqual(0o640, stat.S_IMODE(target.stat().st_mode))
        self.assertEqual({path.name, target.name}, set(os.listdir(path.parent)))
        made.advance(2)
        self.assertEqual((["dog"], None), (self.on_server(made), admin.row("GET", PUT)["problem"]))

    def test_link_to_nothing(self) -> None:
        """A link whose target is not there yet gets one."""
        path, _, admin = self.kept()
        path.symlink_to("target.json")
        admin.row("PUT", PUT, rules("dog"))
        self.assertTrue(path.is_symlink())
        self.assertEqual(["dog"], values(json.loads(path.with_name("target.json").read_bytes())))

    def test_written_too_late(self) -> None:
        """A disk that gives up once the upstream agreed is told in the row; what is live stays."""
        path, made, admin = self.kept()
        made.network.mute = True
        asked = admin.begin("PUT", PUT, rules("dog"))
        path.with_name(f"{path.name}.new").mkdir()
        made.network.mute = False
        admin.pump()
        self.assertEqual((200, ["dog"]), (asked.code, values(asked.json["live"])))
        self.assertIn(f"{path} cannot be written", asked.json["problem"])
        self.assertEqual(["dog"], self.on_server(made))

    def test_no_file(self) -> None:
        """A pipe, a device or a folder is not read, or nothing else would be done from then on; nor is it replaced."""
        path, made, admin = self.kept()
        for make in (os.mkfifo, os.mkdir, lambda at: os.symlink("/dev/zero", at)):
            make(path)
            made.advance(2)
            self.assertIn("no regular file", admin.row("GET", PUT)["problem"])
            asked = admin.ask("PUT", PUT, rules("dog"))
            self.assertEqual(409, asked.code)
            self.assertIn("no regular file", asked.json["error"])
            self.assertEqual([path.name], os.listdir(path.parent))
            self.assertEqual(["cat"], self.on_server(made))
            path.rmdir() if path.is_dir() else path.unlink()

    def test_folder_is_not_there(self) -> None:
        """Where nothing can be written that is said before the upstream is asked."""
        path, made, admin = self.kept()
        path.parent.rmdir()
        asked = admin.ask("PUT", PUT, rules("dog"))
        self.assertEqual(409, asked.code)
        self.assertIn(f"nothing can be written into {path.parent}", asked.json["error"])
        self.assertEqual(["cat"], self.on_server(made))
        path.parent.mkdir()

    def test_unusable_path(self) -> None:
        """A path that no file can have is a complaint, not an exception."""
        for path in ("a\0b", ""):
            wanted = Wanted(find(ISourceType, "x-filtered"), x_table().source, Path(path))
            self.assertIsNone(wanted.look())
            self.assertIsNotNone(wanted.problem)
            self.assertRaises(ControlRefused, wanted.write, None)

    def test_cannot_be_written(self) -> None:
        """Where it cannot be written the wish is refused, with 409, and nothing is changed."""
        path, made, admin = self.kept()
        path.mkdir()
        asked = admin.ask("PUT", PUT, rules("dog"))
        self.assertEqual(409, asked.code)
        self.assertIn(f"{path} cannot be written", asked.json["error"])
        self.assertEqual(["cat"], self.on_server(made))
        self.assertEqual(["cat"], values(admin.row("GET", PUT)["wanted"]))
        self.assertEqual([path.name], os.listdir(path.parent))

    def test_mended(self) -> None:
        """The complaint about a file goes away with its reason, also where what it says is wanted already."""
        path, made, admin = self.kept()
        path.write_bytes(b"{")
        made.advance(2)
        self.assertIn(str(path), admin.row("GET", PUT)["problem"])
        path.write_bytes(json.dumps({"rules": [{"value": "cat", "tag": "pets"}]}).encode())
        made.advance(2)
        self.assertIsNone(admin.row("GET", PUT)["problem"])

    def test_permissions_mended(self) -> None:
        """A file that could not be opened is read as soon as it can be, though nobody wrote to it."""
        path, made, admin = self.kept()
        link = path.with_name("target.json")
        link.write_bytes(json.dumps(rules("dog")).encode())
        path.symlink_to(link)
        if os.geteuid():
            link.chmod(0)
            made.advance(2)
            self.assertIn("ermission", admin.row("GET", PUT)["problem"])
            link.chmod(0o600)
        made.advance(2)
        self.assertEqual(["dog"], self.on_server(made))

    def test_replaced_by_one_of_the_same_size_and_age(self) -> None:
        """Another file of the same length and time is another file."""
        path, made, _ = self.kept()
        path.write_bytes(json.dumps(rules("dog")).encode())
        made.advance(2)
        status, other = path.stat(), path.with_name("other")
        other.write_bytes(json.dumps(rules("cow")).encode())
        os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns))
        other.replace(path)
        made.advance(2)
        self.assertEqual(["cow"], self.on_server(made))

    def test_too_long(self) -> None:
        """A file beyond the limit is not read."""
        path, made, admin = self.kept()
        path.write_bytes(json.dumps(rules("dog")).encode().ljust(FILE_LIMIT + 1))
        made.advance(2)
        self.assertIn(str(FILE_LIMIT), admin.row("GET", PUT)["problem"])
        self.assertEqual(["cat"], self.on_server(made))

    def test_refused(self) -> None:
        """What an editor wrote and the upstream refuses is not tried again, not undone, and told."""
        path, made, admin = self.kept()
        path.write_bytes(json.dumps(rules("has:media")).encode())
        made.advance(5)
        self.assertEqual(["cat"], self.on_server(made))
        self.assertIn("has:media", admin.row("GET", PUT)["problem"])
        self.assertEqual(["has:media"], values(json.loads(path.read_bytes())))

    @given(
        st.binary(max_size=40) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(msgspec.json.encode)
    )
    def test_anything(self, content: bytes) -> None:
        """Whatever stands in the file, there is a wish, a complaint, or both stay as they were; never an exception."""
        path = folder(self) / "any.json"
        wanted = Wanted(find(ISourceType, "x-filtered"), x_table().source, path)
        path.write_bytes(content)
        found = wanted.look()
        self.assertEqual(found is None, wanted.problem is not None)
        self.assertIsNone(wanted.look())
