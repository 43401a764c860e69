"""``python -m piaccel.testing fake-board pi5 DIR``: write a fake board to try things on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import get_args

from piaccel.errors import PiaccelError
from piaccel.testing.captures import Kind, OperatingSystem, State
from piaccel.testing.fake_accelerators import Plugged
from piaccel.testing.fake_board import FakeBoard
from piaccel.testing.fake_power import Monitor


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 2 when the folder cannot take a board."""
    parser = argparse.ArgumentParser(prog="python -m piaccel.testing", description="Material to test with.")
    commands = parser.add_subparsers(dest="command", required=True)
    board = commands.add_parser("fake-board", help="write the files of a Raspberry Pi into an empty folder")
    board.add_argument("kind", choices=get_args(Kind))
    board.add_argument("folder", metavar="DIR")
    board.add_argument("--os", choices=get_args(OperatingSystem), default="bookworm")
    board.add_argument("--state", choices=get_args(State), default="cool")
    board.add_argument("--accelerator", choices=get_args(Plugged), action="append", default=[], help="may be repeated")
    board.add_argument("--monitor", choices=get_args(Monitor), action="append", default=[], help="in the 5 V feed")
    given = parser.parse_args(arguments)
    try:
        made = FakeBoard(given.folder, given.kind, os=given.os, state=given.state, accelerators=given.accelerator)
        for each in given.monitor:
            made.wire(each)
    except (PiaccelError, OSError) as error:
        sys.stderr.write(f"piaccel.testing: {error}\n")
        return 2
    described = ", ".join([given.kind, given.state, *given.accelerator, *given.monitor])
    sys.stdout.write(f"{made.root}: {described}; try: piaccel doctor --root {made.root}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
