"""Raspberry Pi revision codes (RP docs, revision-codes.adoc)."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 1 << 20

_NEW_STYLE = 1 << 23
_MEMORY_MIB = (256, 512, 1024, 2048, 4096, 8192, 16384)  # 7 means "ask the firmware"
_SOCS = ("BCM2835", "BCM2836", "BCM2837", "BCM2711", "BCM2712")
_TYPES = {
    0x00: "A", 0x01: "B", 0x02: "A+", 0x03: "B+", 0x04: "2 Model B", 0x05: "Alpha", 0x06: "Compute Module 1",
    0x08: "3 Model B", 0x09: "Zero", 0x0A: "Compute Module 3", 0x0C: "Zero W", 0x0D: "3 Model B Plus",
    0x0E: "3 Model A Plus", 0x10: "Compute Module 3+", 0x11: "4 Model B", 0x12: "Zero 2 W", 0x13: "400",
    0x14: "Compute Module 4", 0x15: "Compute Module 4S", 0x17: "5 Model B", 0x18: "Compute Module 5",
    0x19: "500", 0x1A: "Compute Module 5 Lite", 0x1B: "Compute Module 0",
}  # fmt: skip
_OLD = {
    0x02: ("B", "1.0", 256), 0x03: ("B", "1.0", 256), 0x04: ("B", "2.0", 256), 0x05: ("B", "2.0", 256),
    0x06: ("B", "2.0", 256), 0x07: ("A", "2.0", 256), 0x08: ("A", "2.0", 256), 0x09: ("A", "2.0", 256),
    0x0D: ("B", "2.0", 512), 0x0E: ("B", "2.0", 512), 0x0F: ("B", "2.0", 512), 0x10: ("B+", "1.2", 512),
    0x11: ("Compute Module 1", "1.0", 512), 0x12: ("A+", "1.1", 256), 0x13: ("B+", "1.2", 512),
    0x14: ("Compute Module 1", "1.0", 512), 0x15: ("A+", "1.1", None),
}  # fmt: skip


@dataclass(frozen=True)
class Revision:
    """What a revision code states; None where it does not state it."""

    model: str | None
    number: str | None
    soc: str | None
    ram_bytes: int | None


def decode(code: str) -> Revision | None:
    """Decode the hexadecimal code of /proc/cpuinfo's ``Revision`` line; None when it is not one."""
    try:
        bits = int(code, 16)
    except ValueError:
        return None
    if not bits & _NEW_STYLE:
        return _decode_old(bits & 0xFFFF)  # overclocked boards carry a warranty bit above
    memory, soc = bits >> 20 & 7, bits >> 12 & 15
    return Revision(
        model=_TYPES.get(bits >> 4 & 0xFF),
        number=f"1.{bits & 15}",
        soc=_SOCS[soc] if soc < len(_SOCS) else None,
        ram_bytes=_MEMORY_MIB[memory] * MIB if memory < len(_MEMORY_MIB) else None,
    )


def _decode_old(number: int) -> Revision | None:
    if number not in _OLD:
        return None
    model, board, memory = _OLD[number]
    return Revision(model, board, "BCM2835", memory * MIB if memory else None)
