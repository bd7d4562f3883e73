# -*- test-case-name: tests.unit -*-
"""Streamer: bytes → frames → items → bus → events → bus → clients.

This folder is the entry hall; it holds the words that every room uses:

* `interfaces` every seam of the house, with units, errors and who may block
* `message`    Item, Event, Message: the values that travel; topics and their escaping
* `activity`   what an item says, in words that do not depend on its upstream
* `upstream`   Request, Response, Ending: between a source and the adapter that does its I/O
* `errors`     one small tree of exceptions
* `settings`   TOML to frozen settings (`tables`), with `toml_marks` (where a key stands) and `secrets`
* `registry`   plugins by name
* `metrics`    every counter and gauge, named once
"""
