"""Whether the labels that sinks wait for can ever come: a reject actuator with a misspelt label would never fire."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from piaccel.errors import OptionError
from piaccel.pipeline.outlet import Outlet
from piaccel.pipeline.stream import Stream
from piaccel.sinks import Rule

_RULES = ("on", "reject", "trigger")
"""Options of sinks that hold a rule."""
_LISTED = 12


def check(outlet: Outlet, streams: Iterable[Stream]) -> None:
    """Raise OptionError for a label that no model of the sink's streams has; models without labels may say anything."""
    known = [stream.labels for stream in streams]
    if not all(known):
        return
    every = sorted({label for labels in known for label in labels})
    for option in _RULES:
        for label in Rule.of(str(getattr(outlet.sink.chosen, option, ""))).labels:
            if label not in every:
                near = get_close_matches(label, every, n=3)
                listed = ", ".join(every[:_LISTED]) + (", ..." if len(every) > _LISTED else "")
                raise OptionError(
                    f"{outlet.name}: {option}={label!r} can never come: no model here has that label",
                    hint=f"did you mean {' or '.join(near)}?" if near else f"the labels are {listed}",
                )
