"""The limits that a choice must meet: read from the command line's words, and judged; unknown is neither yes nor no."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from piaccel import specs
from piaccel.errors import OptionError
from piaccel.selection import Option


@dataclass(frozen=True)
class Kind:
    """What a limit is about. ``scale`` turns the figure's unit into the shown one."""

    option: str
    key: str
    word: str
    unit: str
    scale: float = 1.0
    at_least: bool = False


KINDS = (
    Kind("--fps", "fps", "rate", "", at_least=True),
    Kind("--max-accuracy-drop", "accuracy_drop", "accuracy drop", "%", 100.0),
    Kind("--max-latency-p99", "latency_p99_ms", "latency p99", "ms"),
    Kind("--max-temp", "temp_c", "temperature", "C"),
    Kind("--max-power", "power_w", "power", "W"),
    Kind("--max-memory", "memory_bytes", "memory", "MB", 1e-6),
)
BY_OPTION = {kind.option: kind for kind in KINDS}
_NUMBER = re.compile(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([^0-9\s]*)\s*")


@dataclass(frozen=True)
class Limit:
    """A bound in the figure's own unit: ms, fps, a fraction, °C, W, bytes."""

    kind: Kind
    bound: float

    def judge(self, option: Option) -> bool | None:
        """Say whether ``option`` meets it; None where its figure is unknown."""
        value = option.value(self.kind.key)
        if value is None:
            return None
        if math.isclose(value, self.bound, rel_tol=1e-9):  # 2 % are not 0.020000000000000004
            return True
        return value > self.bound if self.kind.at_least else value < self.bound

    @property
    def written(self) -> str:
        return written(self.kind, self.bound)


def parse(given: Mapping[str, str | None]) -> tuple[Limit, ...]:
    """Read limits by their options: {"--max-latency-p99": "80ms"}; None is left out. Raises OptionError."""
    return tuple(Limit(BY_OPTION[name], _bound(name, text)) for name, text in given.items() if text is not None)


def written(kind: Kind, value: float) -> str:
    """Write a figure in the unit in which its limit is given."""
    return f"{value * kind.scale:.4g}{kind.unit}"


def loosened(kind: Kind, value: float) -> str:
    """Write the bound that just lets ``value`` in, rounded to the loose side at the third digit."""
    shown = value * kind.scale
    if shown == 0:
        return f"0{kind.unit}"
    step = 10.0 ** (math.floor(math.log10(abs(shown))) - 2)
    rounded = (math.floor if kind.at_least else math.ceil)(round(shown / step, 9)) * step
    return f"{f'{rounded:.9f}'.rstrip('0').rstrip('.')}{kind.unit}"


def _bound(name: str, text: str) -> float:
    if name == "--max-latency-p99":
        return _positive(name, specs.duration_s(text, name) * 1e3)
    if name == "--max-memory":
        return _positive(name, float(specs.size_bytes(text, name)))
    units = {
        "--fps": ("", "fps"),
        "--max-temp": ("", "c", "°c"),
        "--max-power": ("", "w"),
        "--max-accuracy-drop": ("%",),
    }[name]
    found = _NUMBER.fullmatch(text)
    if found is None or found[2].lower() not in units:
        examples = {"--fps": "15", "--max-temp": "75", "--max-power": "8", "--max-accuracy-drop": "1.5%"}
        raise OptionError(f"{name} {text!r} cannot be read", hint=f"write it as {name} {examples[name]}")
    number = float(found[1])
    if name == "--max-accuracy-drop":
        if number > 100:
            raise OptionError(f"{name} {text!r}: no accuracy can drop by more than 100 %")
        return number / 100
    return _positive(name, number)


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise OptionError(f"{name}: a limit must be above 0")
    return value
