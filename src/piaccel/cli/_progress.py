"""The progress bar of commands that measure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from piaccel.bench.run import Progress as Step

_NARROW = 80


@contextmanager
def progress(before: str) -> Iterator[Callable[[Step], None] | None]:
    """Yield what tells the bar how far things are, None where nobody sees it; until then it says ``before``."""
    import sys

    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    console = Console(stderr=True)
    whole, rest = Column(no_wrap=True), Column(no_wrap=True, overflow="ellipsis", ratio=1)
    columns = (
        BarColumn(10 if console.width < _NARROW else 24),
        TimeRemainingColumn(compact=True, table_column=whole),
        TextColumn("{task.fields[left]}", table_column=whole),
        TextColumn("{task.description}", table_column=rest),
    )
    with Progress(*columns, console=console, transient=True, expand=True, speed_estimate_period=600) as bar:
        shown = bar.add_task(before, total=None, left="")

        def tell(step: Step) -> None:
            if step.done == 0:  # a sitting begins, the only one or auto's next
                bar.reset(shown, total=step.total)
            bar.update(shown, completed=step.done, description=escape(step.text), left="left")

        yield tell
