"""``choose``: open what is given, measure it, decide."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from piaccel.bench.run import Progress
from piaccel.device.power import PowerSource
from piaccel.errors import OptionError
from piaccel.selection import PREFERENCES, Prefer, Selection
from piaccel.selection import pictures as shown
from piaccel.selection.decision import decide
from piaccel.selection.evidence import with_drops
from piaccel.selection.front import front
from piaccel.selection.limits import Limit
from piaccel.selection.score import published
from piaccel.selection.search import ROUNDS, Round, Search, bundles_of, run

SHORT_RUN = (
    "temperatures are those of a short run at full rate; what the board holds for good is measured by: piaccel soak"
)


def choose(
    paths: Sequence[str | os.PathLike[str]],
    limits: Sequence[Limit] = (),
    *,
    images: Path | None = None,
    prefer: Prefer = "accuracy",
    allow_unknown: bool = False,
    backends: Sequence[str] | None = None,
    threads: Sequence[int] | None = None,
    options: Sequence[str] = (),
    power: PowerSource | None = None,
    root: str | os.PathLike[str] = "/",
    rounds: Sequence[Round] = ROUNDS,
    progress: Callable[[Progress], None] | None = None,
    **overrides: Any,
) -> Selection:
    """Find what to run on this board: measure all ways to run the models at ``paths``, and pick what meets ``limits``.

    ``paths`` are bundles, model files, or folders of them; ``images`` is a folder of pictures to measure accuracy on;
    ``backends`` and ``threads`` narrow what is tried (else all, with one, half and all cores);
    ``overrides`` as for ``piaccel.load``. Ctrl-C ends the search: what was measured by then is judged, and
    ``interrupted`` says so. Raises NotFoundError, InputError, ModelError, OptionError for what is wrong before that.
    """
    from piaccel.device import board, sensors

    if prefer not in PREFERENCES:
        raise OptionError(f"prefer {prefer!r} is unknown", hint=f"choose from {', '.join(PREFERENCES)}")
    described = board.detect(root).fingerprint()
    bundles = bundles_of(paths)
    search = Search(
        bundles,
        limits,
        images=shown.find(images) if images is not None else (),
        backends=backends,
        threads=threads,
        options=options,
        overrides=overrides,
        sensors=sensors.find(root),
        power=power,
        board=described,
        rounds=rounds,
    )
    interrupted = run(search, progress)
    stated = [published(bundle, variant.name) for bundle in bundles for variant in bundle.variants]
    found = with_drops(search.options, stated)
    decision = decide(found, limits, prefer, allow_unknown)
    notes = ["interrupted: this is what was measured by then, some of it shortly"] if interrupted else []
    if any(each.value("temp_c") is not None for each in found):
        notes.append(SHORT_RUN)
    return Selection(
        options=found,
        front=[each.name for each in front(found)],
        pick=decision.pick,
        why=decision.why,
        prefer=prefer,
        limits={limit.kind.option: limit.written for limit in limits},
        unjudged=list(decision.unjudged),
        fits=decision.fits,
        ruled_out=decision.ruled_out,
        changes=list(decision.changes),
        left_out=search.left_out,
        notes=notes,
        board=str(described.get("model") or described.get("cpu") or ""),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        interrupted=interrupted,
    )
