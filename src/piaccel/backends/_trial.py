"""Opens a file that nobody vouches for in a child process: a crash, a hang or a memory bomb ends only the child."""

from __future__ import annotations

import os
import resource
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path

import numpy as np

from piaccel import backends, isolation
from piaccel.backends import Options, Session
from piaccel.errors import CrashError, HangError, InferenceError, UnavailableError
from piaccel.tensors import TensorSpec

TIMEOUT_S = 120.0
_MOST_ELEMENTS = 1 << 26
_FREE_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Opened:
    """What a runtime made of a file."""

    backend: str
    version: str | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def trial(
    name: str,
    path: Path,
    options: Options | None = None,
    *,
    run: bool = False,
    timeout: float = TIMEOUT_S,
    memory: int | None = None,
    worker: isolation.Worker | None = None,
) -> Opened:
    """Open ``path`` with the backend ``name`` in a child process, and with ``run`` feed it zeros once.

    Raises what ``Backend.load`` and ``Session.run`` raise, CrashError when the runtime killed the child, HangError
    after ``timeout`` seconds. The child may have ``memory`` bytes, as many as the board when not given. ``worker`` is
    used again instead of a fresh child: many files in little time.
    """
    target = f"{__name__}:attempt"
    arguments = name, path, options, run, memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        if worker is not None:
            opened = worker.call(target, *arguments, timeout=timeout)
        else:
            opened = isolation.call(target, *arguments, timeout=timeout)
    except CrashError as error:
        cause = str(error).rpartition(": ")[2]
        hint = "the file is damaged, or this runtime has a bug: open it with another backend"
        raise CrashError(f"{path}: {name} died of it ({cause})", hint=hint) from error
    except HangError as error:
        raise HangError(f"{path}: {name} did not open it within {timeout:g} s") from error
    assert isinstance(opened, Opened)
    return opened


def attempt(name: str, path: Path, options: Options | None, run: bool, memory: int) -> Opened:
    """What the child does."""
    # Else a damaged length makes the kernel end whatever process is the largest, which need not be this one.
    resource.setrlimit(resource.RLIMIT_DATA, (memory, resource.getrlimit(resource.RLIMIT_DATA)[1]))
    found = backends.probe_in_this_process(name)
    if not found.ok:
        raise UnavailableError(found.reason, hint=found.hint)
    with backends.get(name).load(path, options) as session:
        if run:
            _run(session)
        return Opened(name, found.version, session.inputs, session.outputs)


def _run(session: Session) -> None:
    shapes = [_fixed(spec) for spec in session.inputs]
    if sum(map(prod, shapes)) > _MOST_ELEMENTS:
        raise InferenceError(f"its inputs would have {sum(map(prod, shapes))} elements")
    session.run({spec.name: np.zeros(shape, spec.dtype) for spec, shape in zip(session.inputs, shapes, strict=True)})


def _fixed(spec: TensorSpec) -> Sequence[int]:
    """A shape that fits: a batch of 1, three channels, and a small picture where the size is free."""
    channels = {"NCHW": 1, "NHWC": 3}.get(spec.layout, -1)
    free = {0: 1, channels: 3}
    return [free.get(place, _FREE_LENGTH) if size is None else size for place, size in enumerate(spec.shape)]
