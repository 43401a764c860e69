"""Which power sources a machine has, and the one that a user names."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from piaccel.device.power import constant, hailo, hwmon, i2c, pmic, poe
from piaccel.device.power.source import PowerSource
from piaccel.device.tree import Tree
from piaccel.errors import OptionError, UnavailableError

_KINDS: dict[str, Callable[[Tree], list[PowerSource]]] = {
    "hwmon": hwmon.found,
    "poe": poe.found,
    "pmic": pmic.found,
    "hailo": hailo.found,
}
"""The one to prefer first: what holds the whole board before a part of it, what measures before what assumes."""
_NAMED = "auto, pmic, hwmon:ina226, i2c:ina226@1:0x40,shunt=0.01, poe, hailo, constant:4.2W"


@dataclass(frozen=True)
class Missing:
    """A kind of source that this machine lacks, why, and what would mend it."""

    name: str
    reason: str
    hint: str


@dataclass(frozen=True)
class Survey:
    """What ``look`` found."""

    sources: tuple[PowerSource, ...]
    missing: tuple[Missing, ...]

    @property
    def best(self) -> PowerSource | None:
        """What "auto" takes: one that holds at least the processor; of several INA chips none is chosen unasked."""
        inas = [each for each in self.sources if each.name.startswith("hwmon:")]
        ambiguous = inas if len(inas) > 1 else []
        return next((each for each in self.sources if "cpu" in each.covers and each not in ambiguous), None)


def look(root: str | os.PathLike[str] = "/") -> Survey:
    """Find every source of the machine under ``root``. Raises NotFoundError when the folder is missing."""
    tree = Tree(root)
    sources: list[PowerSource] = []
    missing = []
    for name, found in _KINDS.items():
        try:
            sources += found(tree)
        except UnavailableError as error:
            missing.append(Missing(name, error.message, error.hint))
    return Survey(tuple(sources), tuple(missing))


def sources(root: str | os.PathLike[str] = "/") -> list[PowerSource]:
    """The sources that this machine has, the one to prefer first. Raises NotFoundError when the folder is missing."""
    return list(look(root).sources)


def find(root: str | os.PathLike[str] = "/", given: str | None = None) -> PowerSource | None:
    """The source that ``given`` names; with None or "auto" the best that is here, None where there is none.

    Raises OptionError for another name, UnavailableError with the cure for one that is not here.
    """
    if given is None or given == "auto":
        return look(root).best
    tree = Tree(root)
    kind, _, rest = given.partition(":")
    if kind == "constant":
        return constant.parse(rest)
    if kind == "i2c":
        return i2c.named(tree, given)
    if kind.partition(",")[0] == "hwmon":
        return hwmon.named(tree, given)
    if given in _KINDS:
        return _KINDS[given](tree)[0]
    raise OptionError(f"{given!r} is no power source", hint=f"one of: {_NAMED}")
