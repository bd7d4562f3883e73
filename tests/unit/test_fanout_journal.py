"""The ring of events."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import DecodeError
from streamer.fanout import journal as module
from streamer.fanout import logged as logged_module
from streamer.fanout.journal import Journal, Located
from streamer.fanout.position import START, Verdict, written
from streamer.message import Entry
from streamer.testing.relay_events import entry, message

EXPIRED, UNKNOWN = Located(Verdict.EXPIRED), Located(Verdict.UNKNOWN)


def filled(*offsets: int, **limits: int) -> Journal:
    journal = Journal(**limits)
    for offset in offsets:
        journal.append(entry(offset))
    return journal


def position(offset: int) -> str:
    return written(f"/sources/x#post:{offset}", offset)


class JournalTests(SynchronousTestCase):
    """Appending and evicting."""

    def test_limits(self) -> None:
        """The oldest entries leave at either limit; the newest stays however large it is."""
        journal = filled(1, 2, 3, 4, entries_limit=2)
        self.assertEqual((journal.floor, journal.head, journal[2].offset), (2, 4, 3))
        self.assertRaises(KeyError, journal.__getitem__, 1)
        journal = Journal(bytes_limit=500)
        for offset in range(10):
            journal.append(entry(offset, size=100))
        self.assertLessEqual(journal.bytes, 500)
        journal.append(entry(10, size=1000))
        self.assertEqual(journal.head - journal.floor, 1)

    def test_bytes_are_counted(self) -> None:
        """`bytes` is the sum of what is held."""
        journal = filled(1, 2, 3, 4, 5, entries_limit=3)
        self.assertEqual(journal.bytes, sum(journal[place].size for place in range(journal.floor, journal.head)))

    def test_repeats(self) -> None:
        """An id that was seen lately is not appended again, even when its entry has left."""
        journal = filled(1, 2, 3, entries_limit=1)
        self.assertIsNone(journal.append(entry(4, id_="post:1")))
        self.assertEqual(journal.head, 3)

    def test_ids_are_bounded(self) -> None:
        """Only the last ids are remembered."""
        self.patch(module, "IDS_KEPT", 2)
        journal = filled(1, 2, 3)
        self.assertIsNotNone(journal.append(entry(4, id_="post:1")))
        self.assertIsNone(journal.append(entry(5, id_="post:3")))

    def test_bad_events(self) -> None:
        """What would break a frame that many clients share is refused."""
        journal = Journal()
        for body in (b"", b"{", b"[1]", b'{"a":"\xff"}', b"{}{}", b'{"a":' + b"[" * 9999 + b"]" * 9999 + b"}"):
            with self.subTest(body=body[:10]):
                self.assertRaises(DecodeError, journal.append, Entry(1, message(body)))
        large = b'{"a":"' + b"x" * logged_module.EVENT_LIMIT + b'"}'
        self.assertRaises(DecodeError, journal.append, Entry(1, message(large)))
        self.assertEqual(journal.head, 0)

    def test_attributes(self) -> None:
        """An event that clients could not tell, route or read is refused; the same with nothing wrong is taken."""
        good = entry(1, "post.x").message
        for changes in (
            {"content_type": "application/json"},
            {"message_id": ""},
            {"topic": "post.y"},
            *({"body": good.body.replace(part, b"")} for part in (b'"id": "post:1", ', b'"source": "/sources/x", ')),
            {"body": good.body.replace(b'"topic": "post.x", ', b"")},
            {"body": good.body.replace(b'"1.0"', b'"0.3"')},
            {"body": good.body.replace(b'"post:1"', b'""')},
            {"body": good.body.replace(b'"post:1"', b"1")},
        ):
            with self.subTest(changes=changes):
                bad = msgspec.structs.replace(good, **changes)
                self.assertNotEqual(bad, good)
                self.assertRaises(DecodeError, Journal().append, Entry(1, bad))
        self.assertIsNotNone(Journal().append(Entry(1, good)))

    def test_deleted(self) -> None:
        """Of a deleted post nothing is served; where it stood its deletion stands, at the same position."""
        journal = Journal()
        for offset, kind in enumerate(("post", "geo", "notice"), 1):
            journal.append(entry(offset, f"{kind}.x", f"{kind}:7", 1000, kind=kind, text="secret"))
        journal.append(entry(4, "post.x", "post:8", text="kept"))
        positions = [journal.position(place) for place in range(5)]
        journal.append(entry(5, "delete.x", "delete:7", kind="delete", id="7"))
        for place in (0, 1, 2):
            self.assertEqual(journal[place].event, journal[4].event)
        self.assertIn(b"kept", journal[3].event)
        self.assertEqual([journal.position(place) for place in range(5)], positions)
        self.assertEqual(journal.rewritten, 3)
        self.assertEqual(journal.bytes, sum(journal[place].size for place in range(5)))

    def test_deleted_before_it_came(self) -> None:
        """A post that comes after its deletion, as upstreams warn it may, is never held as anything but deleted."""
        journal = Journal()
        journal.append(entry(1, "delete.x", "delete:7", kind="delete", id="7"))
        for offset, kind in enumerate(("post", "geo", "notice"), 2):
            journal.append(entry(offset, f"{kind}.x", f"{kind}:7", kind=kind, text="secret"))
        journal.append(entry(5, "post.x", "post:8", text="kept"))
        for place in (1, 2, 3):
            self.assertEqual(journal[place].event, journal[0].event)
        self.assertIn(b"kept", journal[4].event)

    def test_deleted_elsewhere(self) -> None:
        """A deletion of what is not held, or of another source's post, rewrites nothing."""
        journal = filled(1, 2, entries_limit=1)
        journal.append(entry(3, "delete.x", kind="delete", id="1"))
        journal.append(entry(4, "delete.x", kind="delete"))
        self.assertEqual(journal.rewritten, 0)

    def test_log_made_again(self) -> None:
        """Offsets that fall mean another log: what was held is dropped and its positions mean nothing."""
        journal = filled(10, 11, 12)
        journal.append(entry(0, id_="post:new"))
        self.assertEqual((journal.floor, journal.head), (3, 4))
        self.assertEqual(journal.locate(position(11)), UNKNOWN)
        self.assertEqual(journal.locate(START), Located(Verdict.FOUND, 3))

    def test_redelivery_is_no_new_log(self) -> None:
        """The same entry twice is a repeat, whatever its offset."""
        journal = filled(10, 11, 12)
        self.assertIsNone(journal.append(entry(11)))
        self.assertEqual(journal.floor, 0)


class LocateTests(SynchronousTestCase):
    """Positions."""

    def test_start(self) -> None:
        """The start is found only where nothing can have stood before what is held."""
        self.assertEqual(Journal().locate(START), Located(Verdict.FOUND, 0))
        self.assertEqual(filled(0, 1).locate(START), Located(Verdict.FOUND, 0))
        self.assertEqual(filled(7, 8).locate(START), EXPIRED)
        self.assertEqual(filled(0, 1, entries_limit=1).locate(START), EXPIRED)
        self.assertEqual(Journal().position(0), START)

    def test_verdicts(self) -> None:
        """Found, too old, ahead of us, between two entries, of another log, or no position at all."""
        journal = filled(2, 5, 9, 12, entries_limit=2)
        self.assertEqual(journal.locate(position(12)), Located(Verdict.FOUND, 4))
        self.assertEqual(journal.locate(position(9)), Located(Verdict.FOUND, 3))
        self.assertEqual(journal.locate(position(5)), Located(Verdict.FOUND, 2))
        self.assertEqual(journal.locate(position(2)), EXPIRED)
        self.assertEqual(journal.locate(position(13)), UNKNOWN)
        self.assertEqual(journal.locate(position(10)), UNKNOWN)
        self.assertEqual(journal.locate(written("another", 9)), UNKNOWN)
        self.assertEqual(journal.locate(written("another", 5)), UNKNOWN)
        for text in ("", "v1", "v1.x.3", "v2.-.0", "v1.-.1", "v1.12345678.01", "v1.12345678.9" + "9" * 40, "a" * 99):
            self.assertEqual(journal.locate(text), UNKNOWN)

    def test_older_than_our_history(self) -> None:
        """A position before the first entry we ever read has expired."""
        self.assertEqual(filled(100, 101).locate(position(50)), EXPIRED)

    def test_offset_of_a_repeat(self) -> None:
        """A relay that began later took a repeat for a first sight; its position is understood here too."""
        journal = filled(1, 2)
        journal.append(entry(3, id_="post:1"))
        journal.append(entry(4))
        self.assertEqual(journal.locate(written("/sources/x#post:1", 3)), Located(Verdict.FOUND, 2))
        self.assertEqual(journal.locate(written("another", 3)), UNKNOWN)

    def test_ahead(self) -> None:
        """A position after all that was read may yet come; one that was read, or is none, cannot."""
        journal = filled(1, 5)
        journal.append(entry(9, id_="post:1"))
        for text, ahead in ((position(6), True), (position(5), False), (START, False), ("x", False)):
            self.assertEqual(journal.ahead(text), ahead)
        self.assertFalse(journal.ahead(written("/sources/x#post:1", 9)))
        self.assertTrue(Journal().ahead(position(1)))

    @given(st.lists(st.integers(1, 5), min_size=1, max_size=40), st.integers(1, 10), st.data())
    def test_round_trip(self, steps: list[int], limit: int, data: st.DataObject) -> None:
        """The position of any place that is held is located there, whatever the gaps between offsets."""
        journal = Journal(entries_limit=limit)
        offset = 0
        for step in steps:
            offset += step
            journal.append(entry(offset))
        place = data.draw(st.integers(max(journal.floor, 1), journal.head))
        self.assertEqual(journal.locate(journal.position(place)), Located(Verdict.FOUND, place))
