"""Opens a model with what runs it: the backend that is named, the first of a list that works, or the fastest."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from piaccel import backends, models, trial
from piaccel.bundles import Bundle
from piaccel.fallback import FallbackModel, order_of, share_out
from piaccel.models import Model

if TYPE_CHECKING:
    from piaccel.bench.run import Progress


@dataclass(frozen=True)
class Pick:
    """What to run a model with on this board, and why."""

    variant: str
    backend: str
    threads: int
    options: tuple[str, ...]
    """Those of the caller's "key=value" options that this backend has."""
    why: str


def load(
    path: str | os.PathLike[str],
    backend: str = "auto",
    *,
    variant: str | None = None,
    threads: int | None = None,
    options: Iterable[str] = (),
    root: str | os.PathLike[str] = "/",
    progress: Callable[[Progress], None] | None = None,
    fallback: bool = True,
    isolate: bool = False,
    try_first: bool = True,
    **overrides: Any,
) -> Model:
    """Load a bundle or a model file, ready to predict.

    With a list such as "hailo > edgetpu > litert", or where the bundle's manifest has one, it is the first of these
    that works, and the next when that fails; ``Model.status`` tells who answers. ``fallback=False`` takes the first
    of them or raises why it cannot. With "auto" the backend, variant and thread count are the fastest that give the
    reference's answer on this board, measured the first time (some seconds, in child processes) and remembered;
    ``Model.why`` tells the reason. A bundle's ``[choice]`` for this board
    comes before that. With a backend's name nothing is measured, but a child process opens the file first
    where it never did: a runtime that the file kills is a CrashError (not with ``try_first=False``, for a process that
    may die). ``isolate`` runs the network in a process of its
    own (``piaccel.apart``). ``options`` are the backends' own as
    "key=value"; ``overrides`` say what no manifest does: task, task_options, labels, size, mean, std, colour, resize
    (``piaccel.models.Overrides``).
    Raises NotFoundError, ModelError, OptionError, or UnavailableError when no runtime that fits is installed.
    """
    chosen_options = tuple(options)
    bundle = Bundle.open(path)
    if order := bundle.fallback if backend == "auto" else order_of(backend):
        given = share_out(chosen_options, order)

        def open_backend(name: str, again: bool = False) -> Model:
            mine = given.get(name, ())
            if try_first:
                trial.once(path, name, variant=variant, options=mine, again=again, **overrides)
            if isolate:
                from piaccel import apart  # few need it

                found, _ = models.candidates(bundle, [name], [variant] if variant else None)[0]
                return apart.open_model(bundle, found, name, threads=threads, options=mine, **overrides)
            return models.load(path, name, variant=variant, threads=threads, options=mine, **overrides)

        return FallbackModel(order, open_backend) if fallback and len(order) > 1 else open_backend(order[0])
    pairs = models.candidates(bundle, None, [variant] if variant else None)
    if all(backends.get(name).brings_camera for _, name in pairs):  # nothing can be fed and measured
        return models.load(path, variant=variant, threads=threads, options=chosen_options, **overrides)
    asked = variant is not None or threads is not None or bool(chosen_options)
    pick = None if asked else _stated(bundle, root)
    if pick is not None and try_first:
        trial.once(path, pick.backend, variant=pick.variant, options=pick.options, **overrides)
    if pick is None:
        from piaccel import fastest  # the benchmark, which others have no need of

        pick = fastest.choose(
            bundle, variant=variant, threads=threads, options=chosen_options, root=root, progress=progress, **overrides
        ).pick
    opened = models.open_model
    if isolate:
        from piaccel import apart

        opened = apart.open_model
    return opened(
        bundle,
        bundle.variant(pick.variant),
        pick.backend,
        threads=pick.threads,
        options=pick.options,
        why=pick.why,
        **overrides,
    )


def _stated(bundle: Bundle, root: str | os.PathLike[str]) -> Pick | None:
    """What the manifest's ``[choice]`` says for this board, where its backend can run here."""
    from piaccel.device import board

    choice = bundle.choice
    if choice is None:
        return None
    here = board.detect(root)
    if choice.board and choice.board != (here.model or here.cpu):
        return None
    if not backends.get(choice.backend).probe().ok:
        return None
    return Pick(choice.variant, choice.backend, choice.threads, tuple(choice.options), "as the bundle's [choice] says")
