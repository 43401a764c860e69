"""The progress bar of commands that measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from piaccel.bench.run import Progress as Step


@contextmanager
def progress(before: str) -> Iterator[Callable[[Step], None] | None]:
    """Yield what tells the bar how far things are, None where nobody sees it; until then it says ``before``."""
    import sys

    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(24), TimeElapsedColumn(), TimeRemainingColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        shown = bar.add_task(before, total=None)

        def tell(step: Step) -> None:
            bar.update(shown, completed=step.done, total=step.total, description=step.text)

        yield tell
