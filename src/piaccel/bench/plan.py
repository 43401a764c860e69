"""What is to be measured: every variant in every backend that can open it, for each number of threads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from piaccel import backends, config, formats, models
from piaccel.backends import Availability, Backend
from piaccel.bench.environment import usable_cores
from piaccel.bundles import Bundle, Variant
from piaccel.errors import ModelError, NotFoundError, OptionError, UnavailableError
from piaccel.fallback import share_out

_EXACTNESS = ("fp64", "fp32", "float32", "fp16", "float16", "bf16", "mixed", "unknown")
"""Precisions from the most exact one on; integers come last."""


@dataclass(frozen=True)
class Candidate:
    """One variant in one backend with one thread count."""

    variant: Variant
    backend: str
    threads: int
    version: str | None = None
    precision: str = "unknown"
    options: tuple[str, ...] = ()
    """The backend's own options, "key=value"."""
    hint: str = ""

    @property
    def name(self) -> str:
        return f"{self.backend}/{self.variant.name}"

    @property
    def all_options(self) -> dict[str, Any]:
        """Every option of the backend with its value, the defaults too."""
        kind = backends.get(self.backend).options
        return asdict(config.options(kind, self.options, threads=self.threads))


@dataclass(frozen=True)
class Plan:
    """Candidates in the order they are measured, those that cannot be, and who may be the reference, best first."""

    bundle: Bundle
    candidates: tuple[Candidate, ...]
    rejected: tuple[tuple[Candidate, str], ...] = ()
    """With the reason; the candidate's ``hint`` is what to do."""
    references: tuple[Candidate, ...] = ()
    precisions: Mapping[str, str] = field(default_factory=dict)
    """By the variant's name."""
    versions: Mapping[str, str | None] = field(default_factory=dict)
    """By the backend's name."""


def make(
    bundle: Bundle,
    only_backends: Sequence[str] | None = None,
    only_variants: Sequence[str] | None = None,
    threads: Sequence[int] | None = None,
    options: Iterable[str] = (),
) -> Plan:
    """Find out what can be measured; probes each runtime that could open a variant, in a child process.

    ``threads`` defaults to one for each usable core. An option goes to every backend that has one of that name.
    A pair whose file the backend refuses is left out, unless the backend was named or the format would fit.
    Raises OptionError for a name, a number of threads or an option that does not exist, ModelError when nothing fits.
    """
    pairs = models.candidates(bundle, only_backends, only_variants)
    counts = tuple(dict.fromkeys(threads or [usable_cores()]))
    if min(counts) < 1:
        raise OptionError(f"{min(counts)} threads cannot be, the least is 1")
    everywhere = models.candidates(bundle)
    precisions = {variant.name: precision_of(variant) for variant in bundle.variants}
    found = {name: backends.get(name).probe() for name in dict.fromkeys(name for _, name in [*pairs, *everywhere])}
    given = share_out(tuple(options), [name for _, name in pairs])

    def candidate(variant: Variant, name: str, count: int, hint: str = "") -> Candidate:
        availability = found.get(name, Availability(False))
        precision = precisions[variant.name]
        return Candidate(variant, name, count, availability.version, precision, given.get(name, ()), hint)

    rejected = [
        (candidate(variant, name, counts[0], found[name].hint), found[name].reason)
        for variant, name in pairs
        if not found[name].ok
    ]
    rejected += [
        (candidate(variant, plugin.name, counts[0]), refusal)
        for plugin, variant, refusal in _refused(bundle, only_backends, only_variants)
    ]
    cameras = {name for name in found if backends.get(name).brings_camera}  # they answer to what they see, not to us
    references = [
        candidate(variant, name, counts[0]) for variant, name in everywhere if found[name].ok and name not in cameras
    ]
    # A stable sort: the backends' priority decides next. Of equals, the CPU judges the accelerator.
    references.sort(key=lambda each: (_exactness(each.precision), "CPU" not in found[each.backend].devices))
    return Plan(
        bundle,
        tuple(
            candidate(variant, name, count)
            for variant, name in pairs
            if found[name].ok
            for count in (counts[:1] if name in cameras else counts)
        ),
        tuple(rejected),
        tuple(references),
        precisions,
        {name: availability.version for name, availability in found.items() if availability.ok},
    )


def precision_of(variant: Variant) -> str:
    """Return the precision that the manifest states, else what the file shows, else "unknown"."""
    if variant.precision != "unknown":
        return variant.precision
    try:
        return formats.read(variant.path).precision or "unknown"
    except (ModelError, NotFoundError, UnavailableError):  # the backends will say what is wrong with it
        return "unknown"


def _refused(
    bundle: Bundle, only_backends: Sequence[str] | None, only_variants: Sequence[str] | None
) -> Iterable[tuple[Backend, Variant, str]]:
    for plugin in [backends.get(name) for name in only_backends] if only_backends else backends.every():
        for variant in bundle.variants:
            refusal = plugin.refusal(variant.path)
            here = plugin.stamp() is not None  # what is not installed need not say what else stands in its way
            wanted = only_backends is not None or (here and variant.path.name.lower().endswith(plugin.suffixes))
            if refusal and wanted and (not only_variants or variant.name in only_variants):
                yield plugin, variant, refusal


def _exactness(precision: str) -> int:
    return _EXACTNESS.index(precision) if precision in _EXACTNESS else len(_EXACTNESS)
