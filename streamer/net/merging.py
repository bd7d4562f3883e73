# -*- test-case-name: tests.unit.test_net_gathered -*-
"""The metrics of several processes → one page, each number with the label `process`.

Nothing is added up here: a counter that goes back to 0 with one process would make the sum go back too. Whoever wants
the sum asks for it: `sum(rate(streamer_delivered_total[1m]))`.
https://prometheus.io/docs/instrumenting/exposition_formats/
"""

from __future__ import annotations

from collections.abc import Mapping


def merged(pages: Mapping[str, str]) -> str:
    """One page of the text format 0.0.4.

    Args:
        pages: by the label's value, as `net.admin.render` writes them; what is under "" gets no label.
    """
    heads: dict[str, list[str]] = {}
    samples: dict[str, list[str]] = {}
    for process, page in pages.items():
        name = ""
        for line in page.split("\n"):
            if line.startswith("# HELP "):
                name = line.split(" ", 3)[2]
                if name not in heads:
                    heads[name], samples[name] = [line], []
            elif line.startswith("#"):
                if line not in heads.get(name, [line]):
                    heads[name].append(line)
            elif line and name in samples:
                samples[name].append(_labelled(line, process))
    lines = [line for name, head in heads.items() if samples[name] for line in (*head, *samples[name])]
    return "".join(f"{line}\n" for line in lines)


def _labelled(sample: str, process: str) -> str:
    """`name{a="b"} 1` → `name{process="2",a="b"} 1`; no name has a brace, so the first one begins the labels."""
    if not process:
        return sample
    label = f'process="{process}"'
    name, brace, rest = sample.partition("{")
    if brace:
        return f"{name}{{{label},{rest}"
    name, _, number = sample.partition(" ")
    return f"{name}{{{label}}} {number}"
