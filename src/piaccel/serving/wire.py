"""What the service and a version's process say to one another; the tensors themselves lie in ``slots``.

A call is one message each way over a socket of whole messages (SOCK_SEQPACKET) that only these two hold.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from piaccel.errors import InputError
from piaccel.serving.slots import Place

MAX_BYTES = 1 << 16
"""Of one message: below every Linux's limit for a socket's buffer."""


class Ask(msgspec.Struct, array_like=True):
    """A call. ``open`` and ``check`` have a pickle at their only place, ``predict`` a picture's file."""

    number: int
    what: Literal["open", "infer", "predict", "check", "weigh"]
    places: list[Place]
    wanted: list[str] = []
    annotate: bool = False


class Answer(msgspec.Struct, array_like=True):
    """The answer to the call with this number. "value" and "error" have a pickle at their only place."""

    number: int
    what: Literal["tensors", "picture", "value", "error"]
    places: list[Place]
    worked_ns: int


_encode = msgspec.msgpack.Encoder().encode


def encode(message: Ask | Answer) -> bytes:
    """Raises InputError for a message that is too long, which takes hundreds of tensors."""
    told = _encode(message)
    if len(told) > MAX_BYTES:
        raise InputError(f"{len(message.places)} tensors at once are too many")
    return told


decode_ask = msgspec.msgpack.Decoder(Ask).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode
