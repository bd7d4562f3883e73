# -*- test-case-name: tests.unit.test_cli -*-
"""`python -m streamer` is the `streamer` program."""

from streamer.cli import main

main(prog_name="streamer")
