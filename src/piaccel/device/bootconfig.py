"""The firmware's configuration file, ``config.txt`` (RP docs, config_txt.adoc)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from piaccel.device.board import Board

_INCLUDE = re.compile(r"\s*include\s+([\w.-]+)\s*(?:#.*)?$")
_DEEPEST = 4
_SETTING = re.compile(r"(\w+)\s*=\s*(.*)")


def settings(text: str | None, board: Board) -> Iterator[tuple[str, str]]:
    """The settings that hold for this board: a filter such as [pi4] lasts until the next one."""
    applies = True
    for line in lines(text):
        if line.startswith("["):
            applies = _applies(board, line.strip("[]").lower())
        elif applies and (found := _SETTING.match(line)):
            yield found[1], found[2].strip()


def whole(read: Callable[[str], str | None], name: str = "config.txt", depth: int = 0) -> str | None:
    """The file with each ``include FILE`` replaced by what is in that one, as the firmware reads it; ``read`` gives
    a file's text by its name on the boot partition, None where there is none.
    """
    text = read(name)
    if text is None or depth > _DEEPEST:
        return text
    return "\n".join(
        (whole(read, found[1], depth + 1) or "") if (found := _INCLUDE.match(line)) else line
        for line in text.split("\n")
    )


def lines(text: str | None) -> list[str]:
    """The lines without comments and white space; empty ones are left out."""
    stripped = [line.partition("#")[0].strip() for line in (text or "").split("\n")]
    return [line for line in stripped if line]


def is_setting(line: str) -> bool:
    """Whether a line sets something."""
    return _SETTING.match(line) is not None


def _applies(board: Board, filter_name: str) -> bool:
    model, soc = board.model or "", board.soc
    zero = "Zero" in model
    return {
        "all": True,
        "pi5": soc == "BCM2712",
        "pi4": soc == "BCM2711",
        "pi3": soc == "BCM2837" and not zero,
        "pi3+": "Plus" in model,
        "pi0": zero,
        "pi02": "Zero 2" in model,
        "pi400": model.startswith("Raspberry Pi 400"),
        "pi500": model.startswith("Raspberry Pi 500"),
        "cm4": "Compute Module 4 " in model,
        "cm4s": "Compute Module 4S" in model,
        "cm5": "Compute Module 5" in model,
    }.get(filter_name, False)
