"""A function as a sink: for programs that run a pipeline themselves."""

from __future__ import annotations

from collections.abc import Callable

from piaccel.errors import OptionError
from piaccel.pipeline.outlet import Outlet
from piaccel.sinks import Event, Options, Sink


class FunctionSink(Sink):
    """Calls a function with each event, picture included, from a thread of its own and with a short queue."""

    delivery = "at most once"
    wants_image = True
    queue = 16

    def __init__(self, function: Callable[[Event], None]) -> None:
        super().__init__(getattr(function, "__name__", "function"), Options())
        self._function = function

    def open(self) -> None:
        pass

    def deliver(self, event: Event) -> None:
        self._function(event)

    def close(self) -> None:
        pass

    def __str__(self) -> str:
        return self.target


def outlet(given: Sink | Callable[[Event], None]) -> Outlet:
    """Return the outlet of a sink or a function. Raises OptionError for anything else."""
    if isinstance(given, Sink):
        return Outlet(given)
    if not callable(given):
        raise OptionError(f"a sink is a text, a table, a Sink or a function, not a {type(given).__name__}")
    return Outlet(FunctionSink(given))
