"""Counters, and how operators see them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.test.requesthelper import DummyRequest

from streamer import metrics as m
from streamer.metrics import Metrics
from streamer.net.admin import admin_site, render


class MetricsTests(SynchronousTestCase):
    """The numbers of one process."""

    def test_counting(self) -> None:
        """Counters add up by their labels, gauges are set."""
        metrics = Metrics()
        metrics.add(m.ITEMS, "birds", "post")
        metrics.add(m.ITEMS, "birds", "post", by=2)
        metrics.add(m.ITEMS, "birds", "delete")
        metrics.set(m.UNCONFIRMED, "birds", to=7)
        self.assertEqual(3, metrics.value(m.ITEMS, "birds", "post"))
        self.assertEqual(4, metrics.total(m.ITEMS))
        self.assertEqual(7, metrics.value(m.UNCONFIRMED, "birds"))
        self.assertEqual(0, metrics.value(m.CLOSED, "never"))

    def test_wrong_labels(self) -> None:
        """A forgotten label is our own mistake and fails loudly."""
        self.assertRaises(TypeError, Metrics().add, m.ITEMS, "birds")
        self.assertRaises(TypeError, Metrics().set, m.UNCONFIRMED, to=1)

    def test_names_are_unique(self) -> None:
        """Every metric is named once."""
        self.assertEqual(len(m.ALL), len({metric.name for metric in m.ALL}))

    def test_text_format(self) -> None:
        """Prometheus text, labels escaped, a header a metric."""
        metrics = Metrics()
        metrics.add(m.CLOSED, 'a"b\\c\n')
        metrics.add(m.CLOSED, "x", by=2)
        metrics.add(m.DELIVERED, by=12345678)
        self.assertEqual(
            "# HELP streamer_client_closes_total Connections the relay closed; 1006: those that broke.\n"
            "# TYPE streamer_client_closes_total counter\n"
            'streamer_client_closes_total{code="a\\"b\\\\c\\n"} 1\n'
            'streamer_client_closes_total{code="x"} 2\n'
            "# HELP streamer_delivered_total Events written to clients.\n"
            "# TYPE streamer_delivered_total counter\n"
            "streamer_delivered_total 12345678\n",
            render(metrics),
        )


class AdminTests(SynchronousTestCase):
    """`/live /ready /metrics /status`."""

    def get(self, path: bytes, troubles: list[str]) -> tuple[int, bytes]:
        """What one page answers."""
        site = admin_site(Metrics(), lambda: {"a": 1}, lambda: troubles)
        request = DummyRequest([path])
        resource = site.getResourceFor(request)
        body = resource.render(request)
        return request.responseCode or 200, body

    def test_pages(self) -> None:
        """Live always, ready only without troubles, which are named."""
        self.assertEqual((200, b"live\n"), self.get(b"live", ["x"]))
        self.assertEqual((200, b"ready\n"), self.get(b"ready", []))
        self.assertEqual(
            (503, b"bus: away\nsource a: stalled\n"), self.get(b"ready", ["bus: away", "source a: stalled"])
        )
        self.assertEqual((200, b'{"a":1}'), self.get(b"status", []))
        self.assertEqual(200, self.get(b"metrics", [])[0])
        self.assertEqual(404, self.get(b"nope", [])[0])
