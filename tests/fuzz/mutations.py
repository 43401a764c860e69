"""Ways to damage a file, each case made again from its number."""

import os
import random
import re
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

LENGTHS = (0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 0xFFFF_FFF0, 0x0100_0000)
NUMBERS = (
    b"0",
    b"-1",
    b"-233",
    b"1",
    b"65536",
    b"2147483647",
    b"99999999999999999999",
    b"1e38",
    b"nan",
    b"",
    b"9" * 5000,
)
_EDGE = 4096


def cases(default: int) -> int:
    """How many cases to run; PIACCEL_FUZZ_CASES asks for another number."""
    return int(os.environ.get("PIACCEL_FUZZ_CASES", default))


def mutate(number: int, seeds: list[bytes]) -> bytes:
    """Return case ``number``: one of the seeds, damaged in one to three ways."""
    chance = random.Random(number)
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        if data:
            chance.choice(WAYS)(chance, data, seeds)
    return bytes(data)


def _place(chance: random.Random, data: bytearray) -> int:
    """Anywhere, but more often near the ends, where the structure is and not the weights."""
    kind = chance.random()
    if kind < 0.4:
        return chance.randrange(min(_EDGE, len(data)))
    if kind < 0.6:
        return len(data) - 1 - chance.randrange(min(_EDGE, len(data)))
    return chance.randrange(len(data))


def truncate(chance: random.Random, data: bytearray, _: list[bytes]) -> None:
    del data[_place(chance, data) :]


def flip_bits(chance: random.Random, data: bytearray, _: list[bytes]) -> None:
    for _flip in range(chance.choice((1, 1, 2, 8))):
        data[_place(chance, data)] ^= 1 << chance.randrange(8)


def scramble(chance: random.Random, data: bytearray, _: list[bytes]) -> None:
    start = _place(chance, data)
    length = min(chance.choice((1, 4, 16, 64, 1024)), len(data) - start)
    data[start : start + length] = chance.randbytes(length)


def edit_length(chance: random.Random, data: bytearray, _: list[bytes]) -> None:
    """Flatbuffers and raw headers keep lengths and offsets in four aligned bytes."""
    for _edit in range(chance.choice((1, 1, 3))):
        start = _place(chance, data) & ~3
        value = chance.choice((*LENGTHS, len(data), len(data) - start, chance.getrandbits(32)))
        data[start : start + 4] = struct.pack("<I", value)


def edit_varint(chance: random.Random, data: bytearray, _: list[bytes]) -> None:
    """Protobuf keeps lengths and tags in bytes whose highest bit says that another follows."""
    start = _place(chance, data)
    data[start : start + 1] = chance.choice(
        (b"\xff" * 9 + b"\x01", b"\xff\xff\xff\xff\x0f", b"\x80\x80\x04", b"\x00", b"\x7f")
    )


def edit_number(chance: random.Random, data: bytearray, _: list[bytes]) -> None:
    """Text formats keep them in digits."""
    found = [match.span() for match in re.finditer(rb"-?\d+", data[:200_000])]
    if found:
        start, end = chance.choice(found)
        data[start:end] = chance.choice(NUMBERS)


def edit_line(chance: random.Random, data: bytearray, _: list[bytes]) -> None:
    lines = data.split(b"\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    kind = chance.randrange(3)
    if kind == 0:
        del lines[one]
    elif kind == 1:
        lines[one], lines[other] = lines[other], lines[one]
    else:
        lines[one:one] = [lines[other]] * chance.choice((1, 2, 300))
    data[:] = b"\n".join(lines)


def splice(chance: random.Random, data: bytearray, seeds: list[bytes]) -> None:
    """Put a piece of this seed or another one somewhere else."""
    other = chance.choice(seeds)
    start = chance.randrange(len(other))
    piece = other[start : start + chance.choice((4, 32, 256, 2048))]
    target = _place(chance, data)
    data[target : target + (len(piece) if chance.random() < 0.5 else 0)] = piece


def remove(chance: random.Random, data: bytearray, _: list[bytes]) -> None:
    start = _place(chance, data)
    del data[start : start + chance.choice((1, 4, 64, 1024))]


def keep_only_the_head(chance: random.Random, data: bytearray, _: list[bytes]) -> None:
    head = chance.choice((0, 4, 8, 16, 64))
    data[head:] = chance.randbytes(chance.choice((0, 16, 400, 5000)))


WAYS: tuple[Callable[[random.Random, bytearray, list[bytes]], None], ...] = (
    truncate,
    flip_bits,
    scramble,
    edit_length,
    edit_varint,
    edit_number,
    edit_line,
    splice,
    remove,
    keep_only_the_head,
)


def write_cases(folder: Path, files: list[Path], numbers: range) -> Iterator[tuple[int, Path]]:
    """Write each case over the one before, damaged in the model or in the weights beside it; yield number and path."""
    suffix = files[0].suffix
    path = folder / f"case{suffix}"
    models = [file.read_bytes() for file in files]
    weights = [file.with_suffix(".bin").read_bytes() for file in files if suffix in (".param", ".xml")]
    for number in numbers:
        seed = number // 4 % len(files)
        if weights and number % 4 == 0:
            path.write_bytes(models[seed])
            path.with_suffix(".bin").write_bytes(mutate(number, [weights[seed]]))
        else:
            if weights:
                path.with_suffix(".bin").write_bytes(weights[seed])
            path.write_bytes(mutate(number, [models[seed]] if weights else models))
        yield number, path
