"""The description of AMQP that txAMQP is given, held against pika's."""

from __future__ import annotations

import inspect
import sys
from typing import Any

from pika import amqp_object, frame, spec
from twisted.trial.unittest import SynchronousTestCase
from txamqp.connection import Frame, Method
from txamqp.factory import AMQFactory

from streamer.bus.factory import check_url
from streamer.bus.txamqp_codec import pack, unpack
from streamer.bus.txamqp_spec import DESCRIPTION, protocol

VALUES: dict[str, Any] = {
    "bit": True,
    "octet": 0xA1,
    "short": 0xB1B2,
    "long": 0xC1C2C3C4,
    "longlong": 0xD1D2D3D4D5D6D7D8,
    "shortstr": "kürzer",
    "longstr": "länger " * 50,
    "table": {"größe": 7, "wahr": True, "leer": None, "lang": 2**40, "innen": {"reihe": ["a", -1, {"b": False}]}},
}


def pikas() -> dict[tuple[int, int], Any]:
    """pika's methods by their numbers."""
    found = {}
    for group in vars(spec).values():
        if inspect.isclass(group) and issubclass(group, amqp_object.Class):
            for method in vars(group).values():
                if inspect.isclass(method) and issubclass(method, amqp_object.Method):
                    found[group.INDEX, method.INDEX & 0xFFFF] = method
    return found


class SpecTests(SynchronousTestCase):
    """Names, numbers, types."""

    def test_methods(self) -> None:
        """Each method is to the byte what pika writes, comes back as it was, and pika has no others; so are names."""
        known = pikas()
        for group in protocol().classes:
            for method in group.methods:
                with self.subTest(method=f"{group.name}.{method.name}"):
                    theirs = known.pop((group.id, method.id))
                    self.assertEqual(theirs.NAME.lower(), f"{group.name}.{method.name}".replace("-", ""))
                    names = list(inspect.signature(theirs.__init__).parameters)[1:]
                    for ours, name in zip(method.fields, names, strict=True):
                        if not ours.name.startswith("reserved"):
                            self.assertEqual(
                                ours.name.replace("-", ""), name.replace("_", "").replace("globalqos", "global")
                            )
                    for flip in (False, True):
                        values = [
                            place % 2 == flip if field.type == "bit" else VALUES[field.type]
                            for place, field in enumerate(method.fields)
                        ]
                        one = theirs(*values)
                        written = pack(Frame(3, Method(method, *values)))
                        self.assertEqual(written, frame.Method(3, one).marshal())
                        again = unpack(protocol(), written)
                        self.assertEqual(
                            (again.channel, again.payload.method, list(again.payload.args)), (3, method, values)
                        )
                    self.assertEqual(bool(method.responses), one.synchronous)
        self.assertEqual({method.NAME for method in known.values()}, {"Access.Request", "Access.RequestOk"})  # of 0-8

    def test_properties(self) -> None:
        """The content properties are pika's, in the order of their flags."""
        basic = protocol().classes.byname["basic"]
        names = [field.name.replace("-", "_") for field in basic.fields]
        self.assertEqual(names, list(inspect.signature(spec.BasicProperties).parameters))
        flags = [getattr(spec.BasicProperties, f"FLAG_{name.upper()}") for name in names]
        self.assertEqual(flags, sorted(flags, reverse=True))
        carrying = {method.name for group in protocol().classes for method in group.methods if method.content}
        self.assertEqual(carrying, {"publish", "return", "deliver", "get-ok"})

    def test_numbers(self) -> None:
        """The constants are pika's."""
        constants = {constant.name.replace("-", "_").upper(): constant.id for constant in protocol().constants}
        theirs = {name: number for name, number in vars(spec).items() if name in constants}
        self.assertEqual(theirs, {name: constants[name] for name in theirs})
        self.assertGreater(len(theirs), 20)

    def test_readable_by_bare_txamqp(self) -> None:
        """txAMQP's own factory takes the file as it is."""
        client = AMQFactory(spec=str(DESCRIPTION)).buildProtocol(None)
        self.assertTrue(callable(client.channelFactory(1, client.outgoing, client).confirm_select))

    def test_not_installed(self) -> None:
        """Without txAMQP the URL is refused, with what to install; and without its password."""
        there = {name: sys.modules[name] for name in ("txamqp", "txamqp.spec")}
        self.addCleanup(sys.modules.update, there)
        sys.modules.update(dict.fromkeys(there))  # type: ignore[arg-type]  # None is "not to be found"
        error = self.assertRaises(ValueError, check_url, "txamqp+amqp://user:secret@host/v")
        self.assertIn("pip install 'streamer[txamqp]'", str(error))
        self.assertNotIn("secret", str(error))
        self.assertIsNotNone(check_url("amqp://user:secret@host/v"))
