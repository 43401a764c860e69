"""The smallest shared library for aarch64 that a system with 4 KiB pages loads and one with 16 KiB pages refuses."""

from __future__ import annotations

import struct

_LOAD, _DYNAMIC, _STACK = 1, 2, 0x6474E551
_READ, _WRITE = 4, 2
_STRTAB, _SYMTAB, _STRSZ, _SYMENT = 5, 6, 10, 11
_PAGE = 4096


def shared_library() -> bytes:
    """An ELF file whose data lie one small page further in memory than in the file. Source: elf(5)."""
    names = 64 + 4 * 56
    table = [(_STRTAB, names), (_SYMTAB, names), (_STRSZ, 1), (_SYMENT, 24), (0, 0)]
    dynamic = b"".join(struct.pack("<QQ", *entry) for entry in table)
    offset, address, size = _PAGE, 2 * _PAGE, len(dynamic)
    programs = b"".join(
        struct.pack("<IIQQQQQQ", kind, flags, start, at, at, length, length, align)
        for kind, flags, start, at, length, align in (
            (_LOAD, _READ, 0, 0, names + 24, _PAGE),
            (_LOAD, _READ | _WRITE, offset, address, size, _PAGE),
            (_DYNAMIC, _READ | _WRITE, offset, address, size, 8),
            (_STACK, _READ | _WRITE, 0, 0, 0, 16),
        )
    )
    machine, shared = 183, 3
    ident = b"\x7fELF\2\1\1".ljust(16, b"\0")
    header = ident + struct.pack("<HHIQQQIHHHHHH", shared, machine, 1, 0, 64, 0, 0, 64, 56, 4, 64, 0, 0)
    return (header + programs).ljust(offset, b"\0") + dynamic
