"""What the owner of a board runs to prove the ways to run a model that are there: each accelerator, each runtime.

Each is measured, compared with the CPU's answers where the model has a variant for the CPU, and soaked: it answers the
same pictures for a minute, and must say the same at the end as at the beginning.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from piaccel import backends
from piaccel.bench import Agreement, Measurement, Report
from piaccel.bench.run import Progress, benchmark
from piaccel.bench.statistics import percentile
from piaccel.bundles import Bundle
from piaccel.errors import InputError
from piaccel.fallback import share_out
from piaccel.images import find_images
from piaccel.selftest.soak import Soak as Soak
from piaccel.selftest.soak import soak
from piaccel.version import __version__

SCHEMA = "piaccel.selftest/1"
MODELS = ("usr/share/hailo-models/*.hef", "usr/share/imx500-models/*.rpk")
"""Where the vendors' packages put models on a Raspberry Pi."""

Tell = Callable[[Progress], None]


@dataclass(frozen=True)
class Proof:
    """One way to run a model, and whether it held: a variant in a backend."""

    model: str
    variant: str
    backend: str
    version: str | None
    accelerator: bool
    passed: bool
    reasons: tuple[str, ...]
    """Why it did not pass; empty when it did."""
    notes: tuple[str, ...] = ()
    """What could not be checked, and why."""
    p50_ms: float | None = None
    p99_ms: float | None = None
    valid: bool = False
    """Whether the numbers were taken under valid conditions; it can pass without."""
    invalid_because: tuple[str, ...] = ()
    agreement: Agreement | None = None
    soak: Soak | None = None


@dataclass(frozen=True)
class SelfTest:
    """Everything that was found on one board."""

    board: dict[str, Any]
    environment: dict[str, Any]
    runtimes: list[dict[str, Any]]
    """Every backend with its state, version, devices, reason and hint."""
    proofs: list[Proof]
    findings: list[dict[str, Any]]
    """What ``piaccel doctor`` has to say: problems and warnings."""
    created: str = ""
    piaccel: str = __version__
    interrupted: bool = False
    schema: str = SCHEMA

    @property
    def passed(self) -> bool:
        return bool(self.proofs) and all(proof.passed for proof in self.proofs)


@dataclass
class _Plan:
    """What was asked for."""

    soak_s: float
    duration_s: float
    images: tuple[Path, ...]
    options: tuple[str, ...]
    root: str | os.PathLike[str]
    tell: Tell | None
    names: list[str] = field(default_factory=list)
    versions: dict[str, str | None] = field(default_factory=dict)


def run(
    models: Sequence[str | os.PathLike[str]] = (),
    *,
    only: Sequence[str] | None = None,
    options: Iterable[str] = (),
    images: Sequence[str | os.PathLike[str]] = (),
    soak_s: float = 60.0,
    duration_s: float = 2.0,
    root: str | os.PathLike[str] = "/",
    progress: Tell | None = None,
) -> SelfTest:
    """Prove every backend that is ready here, or those named in ``only``, on ``models``.

    Without ``models`` those are taken that the vendors' packages put on the board. ``options`` are the backends' own
    as "key=value". A backend that crashes or fails is a proof that did not pass. Ctrl-C ends it; what was finished is
    in the result, marked ``interrupted``. Raises NotFoundError, ModelError, OptionError for what was asked wrongly,
    InputError when there is no model.
    """
    from piaccel.bench.environment import fingerprint
    from piaccel.device import board, doctor

    plan = _Plan(soak_s, duration_s, tuple(find_images(images)), tuple(options), root, progress)
    plan.names = [backends.get(name).name for name in only] if only else list(backends.names())
    bundles = [Bundle.open(path) for path in models] or _on_the_board(plan)
    runtimes = [_runtime(name) for name in plan.names]
    plan.names = [each["name"] for each in runtimes if each["state"] == "ready"]
    plan.versions = {each["name"]: each["version"] for each in runtimes}
    proofs: list[Proof] = []
    interrupted = False
    try:
        for bundle in bundles:
            for proof in _prove(bundle, plan):
                proofs.append(proof)
    except KeyboardInterrupt:
        interrupted = True
    described = board.detect(root).fingerprint()
    found = doctor.diagnose(root).of("problem", "warning")
    return SelfTest(
        board=described,
        environment=fingerprint({}, plan.versions),
        runtimes=runtimes,
        proofs=proofs,
        findings=[{"severity": each.severity, "what": each.what, "command": each.command} for each in found],
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        interrupted=interrupted,
    )


def _runtime(name: str) -> dict[str, Any]:
    found = backends.get(name).probe()
    return {
        "name": name,
        "state": found.state,
        "version": found.version,
        "devices": list(found.devices),
        "reason": found.reason,
        "hint": found.hint,
    }


def _on_the_board(plan: _Plan) -> list[Bundle]:
    """For each backend the smallest model on the board that it takes."""
    paths = [path for pattern in MODELS for path in Path(plan.root).glob(pattern)]
    paths.sort(key=lambda path: path.stat().st_size)
    found: dict[Path, Bundle] = {}
    for name in plan.names:
        path = next((path for path in paths if backends.get(name).accepts(path)), None)
        if path is not None:
            found[path] = Bundle.open(path)
    if not found:
        raise InputError("there is no model to test with", hint="name one: piaccel selftest MODEL_OR_BUNDLE")
    return list(found.values())


def _prove(bundle: Bundle, plan: _Plan) -> Iterable[Proof]:
    """Measure every ready backend on the bundle, then soak the accelerators, and the fastest of the CPU's runtimes."""
    names = [name for name in plan.names if any(backends.get(name).accepts(each.path) for each in bundle.variants)]
    watching = [name for name in names if backends.get(name).brings_camera]
    for name in watching:
        yield from _watched(bundle, name, plan)
    names = [name for name in names if name not in watching]
    if not names:
        return
    report = benchmark(
        bundle.path,
        backends=names,
        options=plan.options,
        images=plan.images,
        duration_s=plan.duration_s,
        root=plan.root,
        progress=plan.tell,
    )
    fastest = min((row for row in report.measurements if row.repeats), key=_median_ms, default=None)
    for row in report.measurements:
        worth = row.repeats and (backends.get(row.backend).accelerator or row is fastest)
        soaked = _soak(bundle, row, plan) if worth else None
        yield _judge(bundle, row, report, soaked)


def _watched(bundle: Bundle, name: str, plan: _Plan) -> Iterable[Proof]:
    """Let a device with a camera of its own answer to what it sees: no other backend sees the same."""
    backend = backends.get(name)
    mine = share_out(plan.options, plan.names).get(name, ())
    for variant in bundle.variants:
        if not backend.accepts(variant.path):
            continue
        soaked = soak(bundle, variant.name, name, mine, (), plan.soak_s or plan.duration_s, plan.root)
        yield Proof(
            model=bundle.name,
            variant=variant.name,
            backend=name,
            version=plan.versions.get(name),
            accelerator=backend.accelerator,
            passed=not soaked.reasons(),
            reasons=tuple(soaked.reasons()),
            notes=("its answers are to what its own camera saw: they were compared with nobody's",),
            soak=soaked,
        )


def _soak(bundle: Bundle, row: Measurement, plan: _Plan) -> Soak:
    def tell(seconds: float) -> None:
        if plan.tell is not None:
            text = f"soaking {row.name}: {seconds:.0f} of {plan.soak_s:.0f} s"
            plan.tell(Progress(round(seconds) or 1, round(plan.soak_s) or 1, text))

    mine = tuple(each for each in plan.options if each.partition("=")[0].strip() in row.options)
    return soak(bundle, row.variant, row.backend, mine, plan.images, plan.soak_s, plan.root, tell)


def _judge(bundle: Bundle, row: Measurement, report: Report, soaked: Soak | None) -> Proof:
    reasons, notes = [], []
    if row.error:
        reasons.append(row.error)
    elif row.agreement is None:
        notes.append("its answers were compared with nobody's: the model has no variant that another backend opens")
    elif row.name == report.reference:
        notes.append("it is the reference that the others are compared with")
    elif not row.agreement.agrees:
        reasons.append(f"its answers are not those of {report.reference}: {row.agreement.detail}")
    if soaked is not None:
        reasons += soaked.reasons()
    latencies = [each for repeat in row.repeats for each in repeat.latency_ns]
    return Proof(
        model=bundle.name,
        variant=row.variant,
        backend=row.backend,
        version=row.version,
        accelerator=backends.get(row.backend).accelerator,
        passed=not reasons,
        reasons=tuple(reasons),
        notes=tuple(notes),
        p50_ms=percentile(latencies, 50) / 1e6 if latencies else None,
        p99_ms=percentile(latencies, 99) / 1e6 if latencies else None,
        valid=row.verdict.valid,
        invalid_because=row.verdict.reasons,
        agreement=row.agreement,
        soak=soaked,
    )


def _median_ms(row: Measurement) -> float:
    return percentile([each for repeat in row.repeats for each in repeat.latency_ns], 50) / 1e6
