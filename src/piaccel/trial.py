"""Opens a model that nobody vouches for in a child process: a crash, a hang or a memory bomb ends only the child.

What a child survived is remembered, so that naming a backend costs a child once for each file and version of a runtime.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import resource
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from piaccel import backends, files, isolation, models
from piaccel.backends import CameraSession, Options, Placement, Session
from piaccel.bundles import Bundle
from piaccel.errors import CrashError, HangError, InferenceError, UnavailableError
from piaccel.frames import Preprocess
from piaccel.tensors import TensorSpec
from piaccel.version import __version__

TIMEOUT_S = 120.0
_MOST_ELEMENTS = 1 << 26
_FREE_LENGTH = 64
_ENDS = {kind.__name__: kind for kind in (CrashError, HangError)}


@dataclass(frozen=True, slots=True)
class Opened:
    """What a runtime made of a file."""

    backend: str
    version: str | None
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    placement: Placement | None = None
    """What an accelerator took of it; None where one device runs all of it."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a model said to a grey picture: who ran it, how it is prepared, and what was guessed."""

    backend: str
    family: str
    task_options: dict[str, Any]
    preprocess: Preprocess
    guesses: list[str]


def open_file(
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
    arguments = name, path, options, run
    known = backends.get(name).crash_hint
    opened = _in_child("opened_here", arguments, f"{path}: {name}", timeout, memory=memory, worker=worker, known=known)
    assert isinstance(opened, Opened)
    return opened


def answer(
    path: Path,
    backend: str | None = None,
    *,
    variant: str | None = None,
    options: Sequence[str] = (),
    **overrides: Any,
) -> Answered:
    """Load a bundle or a file in a child process and let it answer a grey picture; arguments as for ``models.load``.

    Raises what loading and predicting raise, CrashError when the runtime killed the child, HangError.
    """
    who = f"{path if variant is None else f'{path}, {variant}'}: {backend or 'a runtime'}"
    arguments = path, backend, variant, tuple(options), overrides
    known = backends.get(backend).crash_hint if backend else ""
    answered = _in_child("answered_here", arguments, who, TIMEOUT_S, known=known)
    assert isinstance(answered, Answered)
    return answered


def once(
    path: str | os.PathLike[str],
    backend: str,
    *,
    variant: str | None = None,
    options: Sequence[str] = (),
    again: bool = False,
    **overrides: Any,
) -> None:
    """Do what ``answer`` does, unless these files did it before with this version of the runtime, and so prepared.

    Raises what ``answer`` raises; a crash or a hang is remembered too, and raised again without suffering it again
    until ``forget`` is called, or with ``again``.
    """
    bundle = Bundle.open(path)
    if backends.get(backend).brings_camera:  # it takes no picture, and a child would start an upload that nobody sees
        return
    asked = {key: overrides.get(key) for key in ("task", "size")}  # the rest changes nothing that native code sees
    key = repr(
        (__version__, backend, backends.get(backend).stamp(), bundle.checksums(), variant, tuple(options), asked)
    )
    mark = files.cache() / "opened" / f"{hashlib.sha256(key.encode(errors='replace')).hexdigest()[:32]}.json"
    if not again and _recall(mark):
        return
    try:
        answer(bundle.path, backend, variant=variant, options=options, **overrides)
    except (CrashError, HangError) as error:
        at = time.strftime("%Y-%m-%d %H:%M")
        files.remember(mark, {"error": type(error).__name__, "message": str(error), "at": at})
        raise
    files.remember(mark, {"opened": bundle.path.name})


def forget() -> None:
    """Drop what is remembered of files that a runtime opened, or died of."""
    files.forget(files.cache() / "opened")


def _recall(mark: Path) -> bool:
    """Whether the trial that ``mark`` stands for went well before. Raises the crash or hang that it ended in."""
    kept = files.recall(mark)
    if kind := _ENDS.get(str(kept.get("error"))):
        hint = "use another backend, or try it again after: piaccel backends --again"
        raise kind(f"{kept.get('message')}, seen {kept.get('at')}", hint=hint)
    return "opened" in kept


def _in_child(
    function: str,
    arguments: tuple[Any, ...],
    who: str,
    timeout: float,
    *,
    memory: int | None = None,
    worker: isolation.Worker | None = None,
    known: str = "",
) -> object:
    """Run a function of this module in a child that may have ``memory`` bytes; ``who`` is blamed when it dies.

    ``known`` is what the backend knows of such deaths.
    """
    call = worker.call if worker is not None else isolation.call
    limit = memory or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return call(f"{__name__}:{function}", limit, *arguments, timeout=timeout)
    except CrashError as error:
        cause = str(error).rpartition(": ")[2]
        hint = "the file is damaged, or this runtime has a bug: open it with another backend"
        raise CrashError(f"{who} died of it ({cause})", hint="; ".join(filter(None, (known, hint)))) from error
    except HangError as error:
        raise HangError(f"{who} did not open it within {timeout:g} s") from error


def opened_here(memory: int, name: str, path: Path, options: Options | None, run: bool) -> Opened:
    """What the child of ``open_file`` does."""
    _limit(memory)
    found = backends.probe_in_this_process(name)
    if not found.ok:
        raise UnavailableError(found.reason, hint=found.hint)
    with backends.get(name).load(path, options) as session:
        if run:
            _run(session)
        return Opened(name, found.version, session.inputs, session.outputs, session.placement)


def answered_here(
    memory: int,
    path: Path,
    backend: str | None,
    variant: str | None,
    options: Sequence[str],
    overrides: Mapping[str, Any],
) -> Answered:
    """What the child of ``answer`` does."""
    _limit(memory)
    with models.load(path, backend, variant=variant, threads=1, options=options, **overrides) as model:
        if not isinstance(model.session, CameraSession):
            model.predict(np.full((*model.preprocessing.size, 3), 127, np.uint8))
        kind = type(model.task)
        stated = {name: getattr(model.task, name) for name in _fields(kind)}
        changed = {name: value for name, value in stated.items() if value != getattr(kind(), name)}
        return Answered(model.backend, model.task.family, changed, model.preprocessing, model.guesses)


def _fields(kind: Any) -> list[str]:
    return [field.name for field in dataclasses.fields(kind)]


def _limit(memory: int) -> None:
    # Else a damaged length makes the kernel end whatever process is the largest, which need not be this one.
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (memory if most == resource.RLIM_INFINITY else min(memory, most), most))


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
