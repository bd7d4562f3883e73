"""The ring of events."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from streamer.errors import DecodeError
from streamer.fanout import journal as journal_module
from streamer.fanout import logged as logged_module
from streamer.fanout import sights as module
from streamer.fanout.journal import Journal
from streamer.fanout.locate import Located
from streamer.fanout.position import START, Mark, Verdict, written
from streamer.message import Entry
from streamer.testing.relay_events import entry, message

EXPIRED, UNKNOWN = Located(Verdict.EXPIRED), Located(Verdict.UNKNOWN)


def filled(*offsets: int, **limits: float) -> Journal:
    journal = Journal(**limits)
    for offset in offsets:
        journal.append(entry(offset))
    return journal


def position(offset: int) -> str:
    return written(f"/sources/x#post:{offset}", offset)


GOOD = entry(1).message.body  # but for what a test does to it


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
        self.patch(journal_module, "IDS_KEPT", 2)
        journal = Journal(entries_limit=1)
        for offset in (1, 2, 3):
            journal.append(entry(offset))
        self.assertIsNotNone(journal.append(entry(4, id_="post:1")))
        self.assertIsNone(journal.append(entry(5, id_="post:3")))

    def test_ids_of_what_is_held(self) -> None:
        """However many entries are held, none of them gets a second place."""
        self.patch(journal_module, "IDS_KEPT", 2)
        journal = Journal(entries_limit=10)
        for offset in range(10):
            journal.append(entry(offset))
        for offset in range(10):
            self.assertIsNone(journal.append(entry(offset + 10, id_=f"post:{offset}")))

    def test_bad_events(self) -> None:
        """What would break a frame that many clients share is refused."""
        journal = Journal()
        for body in (
            b"",
            b"{",
            b"[1]",
            b'{"a":"\xff"}',
            b"{}{}",
            GOOD.replace(b"{", b'{"x":["\xff"],', 1),
            b'{"a":' + b"[" * 9999 + b"]" * 9999 + b"}",
        ):
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

    def test_age(self) -> None:
        """An entry leaves when it came too long ago, counted from the first call that knew of it; then all may."""
        journal = filled(1, 2, age_limit=100)
        self.assertEqual(journal.expire(1000), 0)
        journal.append(entry(3))
        self.assertEqual((journal.expire(1050), journal.arrivals.oldest), (0, 1000))
        self.assertEqual((journal.expire(1099), journal.expire(1100), journal.floor), (0, 2, 2))
        self.assertEqual((journal.expire(1101), journal.arrivals.oldest), (0, 1050))
        self.assertEqual((journal.expire(1150), journal.floor, journal.head, journal.bytes), (1, 3, 3, 0))
        self.assertEqual((journal.expire(1151), journal.arrivals.oldest), (0, None))
        self.assertEqual(journal.locate(position(3)), Located(Verdict.FOUND, 3))
        journal.append(entry(3))
        self.assertEqual(journal.head, 3)
        journal.append(entry(0, id_="post:new"))
        self.assertEqual(journal.locate(position(3)), UNKNOWN)

    def test_age_piecewise(self) -> None:
        """Many that came at once leave in several calls."""
        self.patch(journal_module, "EXPIRE_STEP", 4)
        journal = filled(*range(10), age_limit=100)
        journal.expire(1000)
        self.assertEqual([journal.expire(1100 + n) for n in range(4)], [4, 4, 2, 0])

    def test_arrivals_are_bounded(self) -> None:
        """Nothing is remembered of when entries came that have left, whatever made them leave."""
        journal = Journal(entries_limit=5)
        for offset in range(100):
            journal.append(entry(offset))
            journal.expire(1000 + offset)
        self.assertEqual(len(journal.arrivals._heads), 5)
        self.assertEqual(journal.arrivals.oldest, 1095)


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
        self.assertEqual(Mark("0123abcd", 7).text, "v1.0123abcd.7")
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

    def test_awaited(self) -> None:
        """Waited for is what is ahead, and what is below the floor if that is being read; not what is no position."""
        asked: list[Mark] = []
        reading = True

        def older(mark: Mark) -> bool:
            asked.append(mark)
            return reading

        journal = filled(5, 6, 7, entries_limit=1)
        self.assertEqual([journal.awaited(text) for text in (position(5), position(8), START)], [False, True, False])
        journal.older = older
        self.assertEqual([journal.awaited(text) for text in (position(5), START)], [True, True])
        self.assertEqual([mark.text for mark in asked], [position(5), START])
        self.assertEqual([journal.awaited(text, ahead=False) for text in (position(5), position(8))], [True, False])
        for text in (position(6), position(7), written("another", 6), "x", ""):
            self.assertFalse(journal.awaited(text))
        self.assertEqual(len(asked), 3)
        reading = False
        self.assertFalse(journal.awaited(position(5)))
        empty = Journal()
        self.assertEqual((empty.awaited(position(5)), empty.awaited(START)), (True, False))
        reading, empty.older = True, older
        self.assertEqual((empty.awaited(position(5), ahead=False), empty.awaited(START)), (True, True))

    def test_disproved(self) -> None:
        """A position that was looked up in the log in vain is unknown, no longer expired; so many are remembered."""
        self.patch(module, "DISPROVED_KEPT", 1)
        journal = filled(5, 6, 7, entries_limit=1)
        first, second = Mark("00000000", 2), Mark("11111111", 3)
        journal.sights.disprove(first)
        self.assertEqual(journal.locate(first.text), UNKNOWN)
        journal.sights.disprove(second)
        self.assertEqual((journal.locate(first.text), journal.locate(second.text)), (EXPIRED, UNKNOWN))
        journal.append(entry(0, id_="post:new"))
        self.assertFalse(journal.sights.disproved(second))

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
