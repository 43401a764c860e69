"""Two reports, old and new: what became faster, what slower, and where no difference is shown.

Only like is compared with like: what may not differ between the reports stands in ``CONDITIONS``, and each group of it
can be allowed by name. What is expected to change, the versions of piaccel, of Python and of the runtimes, is listed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from piaccel.bench import Measurement, Report
from piaccel.bench.energy import Spent, spent
from piaccel.bench.statistics import Interval, difference
from piaccel.errors import ConditionsError, OptionError

Outcome = Literal["faster", "slower", "no difference", "broken", "not compared"]

CONDITIONS = {
    "board": "the machine and what is fitted to it",
    "os": "the operating system's release and word size",
    "kernel": "the kernel's release",
    "page-size": "the kernel's page size",
    "governor": "the CPU frequency governor",
    "model": "the model's name, the sha256 of each variant compared, and what was said of it instead of the manifest",
    "image": "the pictures, or the seed of the made-up ones",
    "options": "the backends' options",
    "durations": "duration and number of queries asked for",
    "latency-bound": "the server scenario's latency bound",
}
"""The groups of conditions that have to be equal, and what each holds; each may be allowed to differ."""

_BOARD_GROUPS = {
    "kernel": "kernel",
    "page_size": "page-size",
    "governor": "governor",
    "os_name": "os",
    "os_codename": "os",
    "architecture": "os",
    "process_bits": "os",
}
"""Fields of the board that are not in the group "board"."""

_CONDITION_GROUPS = {
    "images": "image",
    "inputs": "image",
    "seed": "image",
    "duration_s": "durations",
    "min_queries": "durations",
    "latency_bound_ms": "latency-bound",
    "overrides": "model",
}


@dataclass(frozen=True)
class Unequal:
    """One condition that differs between the reports."""

    group: str
    name: str
    old: Any
    new: Any

    def __str__(self) -> str:
        return f"{self.name.replace('_', ' ')}: {_short(self.old)} -> {_short(self.new)}"


@dataclass(frozen=True)
class Energies:
    """A row's energy per inference, old and new, in mJ above the idle power."""

    old_mj: float | None = None
    new_mj: float | None = None
    ratio: float | None = None
    """New over old: above 1 is more."""
    low: float | None = None
    """About 95 % of the ratio, with ``high``: the source's own error is the same in both, and cancels."""
    high: float | None = None
    refused: str = ""
    """Why they are not compared."""

    @property
    def outcome(self) -> str:
        if self.low is None or self.high is None:
            return "not compared"
        return "more energy" if self.low > 1 else "less energy" if self.high < 1 else "no difference"


@dataclass(frozen=True)
class Row:
    """One backend, variant, thread count and scenario that both reports have."""

    backend: str
    variant: str
    threads: int
    scenario: str
    outcome: Outcome
    reason: str = ""
    """Why nothing can be said, or what broke."""
    old_ms: float | None = None
    new_ms: float | None = None
    ratio: float | None = None
    """New over old: above 1 is slower."""
    interval: Interval | None = None
    """95 % confidence interval of the ratio."""
    energy: Energies | None = None
    """None where neither report has a power source."""

    @property
    def name(self) -> str:
        threads = f"{self.threads} thread{'s' if self.threads != 1 else ''}"
        return f"{self.backend}/{self.variant}, {threads}, {self.scenario}"


@dataclass(frozen=True)
class Comparison:
    """What ``compare`` found."""

    rows: list[Row]
    only_old: list[str]
    only_new: list[str]
    changed: list[str]
    """Versions that differ, which is allowed."""
    allowed: list[str]
    """Conditions that differ and were allowed to."""
    fail_above: float

    @property
    def regressions(self) -> list[Row]:
        """Rows that broke, or are significantly slower by more than ``fail_above``."""
        return [
            row
            for row in self.rows
            if row.outcome == "broken"
            or (row.outcome == "slower" and row.ratio is not None and row.ratio > 1 + self.fail_above)
        ]

    @property
    def conclusion(self) -> str:
        """The result in one sentence."""
        outcomes = [row.outcome for row in self.rows if row.outcome != "not compared"]
        if not outcomes:
            return "Nothing could be compared."
        found = [f"{outcomes.count(each)} {each}" for each in dict.fromkeys(outcomes)]
        limit = f"{self.fail_above:.1%}".replace(".0%", "%")
        worst = max(self.regressions, key=lambda row: row.ratio or math.inf, default=None)
        if worst is None:
            return f"{', '.join(found)}; nothing slower by more than {limit}."
        change = worst.outcome if worst.ratio is None else f"{worst.ratio - 1:+.1%}"
        return (
            f"{', '.join(found)}; regressions beyond {limit}: {len(self.regressions)}, worst {worst.name} ({change})."
        )


def compare(old: Report, new: Report, *, allow: Iterable[str] = (), fail_above: float = 0.05) -> Comparison:
    """Compare two reports row by row.

    ``allow`` names groups of ``CONDITIONS`` that may differ ("all" for every one); ``fail_above`` is the share by which
    a row may become slower before it counts as a regression.

    Raises ConditionsError naming each condition that differs, or when no row is in both; OptionError for an unknown
    group.
    """
    groups = set(allow)
    unknown = sorted(groups - {*CONDITIONS, "all"})
    if unknown:
        raise OptionError(f"no condition is called {unknown[0]!r}", hint=f"they are {', '.join(CONDITIONS)}, all")
    before, after = _by_key(old), _by_key(new)
    both = [key for key in before if key in after]
    if not both:
        raise ConditionsError(
            f"the reports have no row in common: {_listed(before)} in the old one, {_listed(after)} in the new one",
            hint="measure with the same backends, variants, --threads and --scenario",
        )
    pairs = [(before[key], after[key]) for key in both]
    unequal = {str(each): each for each in _unequal(old, new, pairs)}
    refused = {text: each for text, each in unequal.items() if not groups & {each.group, "all"}}
    if refused:
        raise ConditionsError(
            "the conditions are not equal: " + "; ".join(refused),
            hint="measure again under equal conditions, or add --allow "
            + ",".join(dict.fromkeys(each.group for each in refused.values())),
        )
    return Comparison(
        rows=[replace(_row(*pair), energy=_energies(old, new, *pair)) for pair in pairs],
        only_old=[_name(row) for key, row in before.items() if key not in after],
        only_new=[_name(row) for key, row in after.items() if key not in before],
        changed=list(dict.fromkeys(_changed(old, new, pairs))),
        allowed=list(unequal),
        fail_above=fail_above,
    )


def _row(old: Measurement, new: Measurement) -> Row:
    outcome, reason, found = _judge(old, new)
    key = (new.backend, new.variant, new.threads, new.scenario)
    if found is None:
        return Row(*key, outcome, reason)
    return Row(*key, outcome, reason, found.old_ms, found.new_ms, found.ratio, found.interval)


def _judge(old: Measurement, new: Measurement) -> tuple[Outcome, str, Any]:
    """Say what became of a row; a ratio is given only where both sides may be believed."""
    trouble_before, trouble_now = _trouble(old), _trouble(new)
    if trouble_now and not trouble_before:
        return "broken", trouble_now, None
    if trouble_before:
        return "not compared", f"the old one {trouble_before}", None
    for which, row in (("old", old), ("new", new)):
        if not row.verdict.valid:
            return "not compared", f"the {which} one is not valid: {'; '.join(row.verdict.reasons)}", None
    found = difference(old, new)
    if found is None:
        return "not compared", "no samples, or no rate met the latency bound", None
    if found.interval is None:
        return "no difference", "a single repeat shows none: how much processes differ is unknown", found
    if not found.significant:
        return "no difference", "", found
    return ("slower" if found.ratio > 1 else "faster"), "", found


def _energies(old: Report, new: Report, before: Measurement, now: Measurement) -> Energies | None:
    """Compare the energies of one row, where the power sources allow it."""
    if old.power is None and new.power is None:
        return None
    if old.power is None or new.power is None:
        which = "old" if old.power is None else "new"
        return Energies(refused=f"the {which} report was measured without a power source")
    if old.power.name != new.power.name:
        return Energies(refused=f"read by different sources: {old.power.name} and {new.power.name}")
    if not new.power.is_measured:
        return Energies(refused=f"{new.power.name} is a number that was given: it is the same whatever runs")
    ours, theirs = spent(before, old.power), spent(now, new.power)
    for which, found in (("old", ours), ("new", theirs)):
        if found.energy_mj is None:
            return Energies(refused=f"the {which} one has no energy: {found.reason}")
    return _energy_ratio(ours, theirs)


def _energy_ratio(old: Spent, new: Spent) -> Energies:
    assert old.energy_mj is not None
    assert new.energy_mj is not None
    if old.energy_mj <= 0 or new.energy_mj <= 0:
        return Energies(old.energy_mj, new.energy_mj, refused="it cannot be told from the idle power")
    ratio = new.energy_mj / old.energy_mj
    doubt = ratio * math.hypot((old.sampling_mj or 0.0) / old.energy_mj, (new.sampling_mj or 0.0) / new.energy_mj)
    return Energies(old.energy_mj, new.energy_mj, ratio, ratio - doubt, ratio + doubt)


def _trouble(row: Measurement) -> str:
    """What is wrong with a row that no second measurement would mend."""
    if row.error:
        return f"could not be measured: {row.error}"
    if row.agreement is not None and not row.agreement.agrees:
        return f"answers wrongly: {row.agreement.detail or 'its outputs differ from those of the reference'}"
    return ""


def _unequal(old: Report, new: Report, rows: list[tuple[Measurement, Measurement]]) -> Iterator[Unequal]:
    """Yield every condition that differs; a field that only one report has differs too."""
    for name, before, after in _differing(old.environment.get("board"), new.environment.get("board")):
        yield Unequal(_BOARD_GROUPS.get(name, "board"), name, before, after)
    cores = old.environment.get("usable_cores"), new.environment.get("usable_cores")
    if cores[0] != cores[1]:
        yield Unequal("board", "usable cores", *cores)
    if old.model.get("name") != new.model.get("name"):
        yield Unequal("model", "model", old.model.get("name"), new.model.get("name"))
    for before, after in rows:
        for name, one, other in _differing(_variant(old, before.variant), _variant(new, after.variant)):
            if name in ("sha256", "weights_sha256"):
                what = "weights of " if name == "weights_sha256" else ""
                yield Unequal("model", f"sha256 of {what}{after.variant}", one, other)
        for name in before.options.keys() & after.options.keys():  # a newer version may have more options
            if before.options[name] != after.options[name]:
                yield Unequal("options", f"{after.backend} {name}", before.options[name], after.options[name])
    for name, one, other in _differing(old.conditions, new.conditions):
        if name in _CONDITION_GROUPS:
            yield Unequal(_CONDITION_GROUPS[name], name, one, other)


def _changed(old: Report, new: Report, rows: list[tuple[Measurement, Measurement]]) -> Iterator[str]:
    """Yield every version that differs."""
    for before, after in rows:
        if before.version != after.version:
            yield str(Unequal("", after.backend, before.version, after.version))
    for name, one, other in _differing(old.environment.get("versions"), new.environment.get("versions")):
        yield str(Unequal("", name, one, other))


def _differing(old: object, new: object) -> Iterator[tuple[str, Any, Any]]:
    """Yield name, old and new value of every entry that differs."""
    before: Mapping[str, Any] = old if isinstance(old, Mapping) else {}
    after: Mapping[str, Any] = new if isinstance(new, Mapping) else {}
    for name in dict.fromkeys([*before, *after]):
        if before.get(name) != after.get(name):
            yield name, before.get(name), after.get(name)


def _variant(report: Report, name: str) -> object:
    variants = report.model.get("variants")
    return variants.get(name) if isinstance(variants, Mapping) else None


def _by_key(report: Report) -> dict[tuple[object, ...], Measurement]:
    return {(row.backend, row.variant, row.threads, row.scenario): row for row in report.measurements}


def _name(row: Measurement) -> str:
    return Row(row.backend, row.variant, row.threads, row.scenario, "not compared").name


def _listed(rows: Mapping[Any, Measurement]) -> str:
    names = [_name(row) for row in rows.values()]
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more if names else "none"


def _short(value: Any) -> str:
    if value is None:
        return "unknown"
    text = str(value)
    return f"{text[:12]}…" if len(text) == 64 and text.isalnum() else text
