"""Golden samples: pictures in a bundle with the answers that are expected to them, and what an answer may cost.

They lie in the bundle's folder ``golden``; ``expected.json`` says what is expected. What is in it is data: nothing is
executed, a picture's file is a plain name in that folder, and is what its sha256 says or is refused.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np

from piaccel import files, images, isolation, models
from piaccel.bundles import Bundle, Variant
from piaccel.device import board
from piaccel.errors import ModelError, OptionError, PiaccelError, UnavailableError, WriteError
from piaccel.models import Model
from piaccel.packing import Check
from piaccel.serving import compared, memory
from piaccel.serving.compared import ANSWER, Bounds
from piaccel.serving.runner import GoldenCheck
from piaccel.tensors import Array

FOLDER = "golden"
EXPECTED = "expected.json"
SUFFIXES = (".jpeg", ".jpg", ".png")
MOST_SAMPLES = 64
MOST_PICTURE_BYTES = 16 << 20
MOST_EXPECTED_BYTES = 8 << 20
CLASSES = {"BCM2712": "pi5", "BCM2711": "pi4", "BCM2837": "pi3", "BCM2836": "pi2", "BCM2835": "pi1"}
"""Boards that answer equally fast, by their SoC: pi5 is also a Compute Module 5 and a Pi 500, pi3 a Pi Zero 2 W."""
_RUNS = 20
"""So many runs are timed, where they take no longer than _RUNS_S together; each sample at least once."""
_RUNS_S = 3.0
_CHECK_TIMEOUT_S = 300.0

_Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}$")]
_Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Positive = Annotated[float, msgspec.Meta(gt=0)]
_Budgets = dict[Literal["pi5", "pi4", "pi3", "pi2", "pi1", "any"], _Positive]


class Tolerance(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """``piaccel.bench.agreement.Bounds`` as a file holds them."""

    cosine: Annotated[float, msgspec.Meta(ge=0, le=1)]
    tie: Annotated[float, msgspec.Meta(ge=0, le=1)]
    overlap: Annotated[float, msgspec.Meta(ge=0, le=1)]
    share: Annotated[float, msgspec.Meta(ge=0, le=1)]
    distance: Annotated[float, msgspec.Meta(ge=0, le=1)]

    def bounds(self) -> Bounds:
        return Bounds(**{name: getattr(self, name) for name in self.__struct_fields__})


class Sample(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """One picture of ``expected.json``."""

    file: _Name
    sha256: _Sha256
    result: dict[str, Any]
    """``compared.plain`` of the task's result."""
    tolerance: Tolerance | None = None
    """None: TIGHT between float32 variants, LOOSE where one is quantized, as in ``piaccel bench``."""


class Reference(msgspec.Struct, forbid_unknown_fields=True):
    """Who gave the answers that are expected."""

    variant: str
    backend: str
    precision: str


class Expected(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """``golden/expected.json``."""

    format: Literal[1]
    kind: str
    made_by: Reference
    samples: Annotated[list[Sample], msgspec.Meta(min_length=1, max_length=MOST_SAMPLES)]
    threshold: float | None = None
    """The score below which the task drops a box."""
    latency_ms: _Budgets = {}
    """The longest p95 of preparing, running and decoding one picture, by class of board."""
    memory_mb: _Budgets = {}
    """The most memory that the version's own process may take, by class of board."""


@dataclass(frozen=True)
class _Run:
    result: dict[str, Any]
    broken: str
    ms: float


def read(bundle: Path) -> Expected | None:
    """Return what a bundle expects, None where it has no golden samples. Raises ModelError for what is not right."""
    if not os.path.lexists(bundle / FOLDER):
        return None
    blob = _read(bundle, EXPECTED, MOST_EXPECTED_BYTES)
    try:
        expected = msgspec.json.decode(blob, type=Expected)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ModelError(f"{FOLDER}/{EXPECTED}: {error}") from error
    names = [sample.file for sample in expected.samples]
    if len(set(names)) != len(names):
        raise ModelError(f"{FOLDER}/{EXPECTED}: two samples have the same file")
    if any(sample.result.get("kind") != expected.kind for sample in expected.samples):
        raise ModelError(f"{FOLDER}/{EXPECTED}: a sample's result is not of the kind {expected.kind!r}")
    return expected


def check(model: Model, bundle: Path, *, alone: bool = False, root: str | os.PathLike[str] = "/") -> GoldenCheck:
    """Answer the golden samples of the bundle at this path and compare; a bundle without any passes with samples=0.

    The samples of another bundle than the model's own ask for the same answers only: their scores, time and memory are
    that bundle's. ``alone`` says that this process holds nothing but the model, so that its memory can be judged.
    """
    own = os.path.realpath(bundle) == os.path.realpath(model.bundle.path)
    try:
        expected = read(bundle)
        if expected is None:
            return GoldenCheck(samples=0, reason="")
        pictures = [_picture(bundle, sample) for sample in expected.samples]
    except ModelError as error:
        return GoldenCheck(samples=0, reason=str(error))
    wrong: list[str] = []
    for sample, picture in zip(expected.samples, pictures, strict=True):
        try:
            told = _compare(model, expected, sample, _run(model, picture), own=own)
        except PiaccelError as error:
            told = str(error)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            told = f"what {EXPECTED} expects is no {expected.kind}: {type(error).__name__}"
        if told:
            wrong.append(f"{sample.file}: {told}")
    times = () if wrong else _warm_times(model, pictures)
    memory_bytes = memory.own_bytes() if alone else None
    reason = _summary(wrong, len(pictures))
    if not reason and own:
        reason = _over_budget(expected, device_class(root), times, memory_bytes)
    return GoldenCheck(
        samples=len(pictures), reason=reason, failed=len(wrong), latency_ms=times, memory_bytes=memory_bytes
    )


def make(
    bundle: Path,
    pictures: Sequence[str | os.PathLike[str]],
    *,
    backend: str | None = None,
    variant: str | None = None,
    latency_ms: Mapping[str, float] | None = None,
    memory_mb: Mapping[str, float] | None = None,
) -> Expected:
    """Write the answers of a bundle's reference variant (the first float32 one, where none is named) into it.

    The folder ``golden`` appears whole, with copies of the pictures, in the place of one that was there.
    Raises what ``piaccel.load`` raises, InputError for what is no picture, OptionError for too many or for other
    formats than JPEG and PNG, ModelError for a model that answers with NaN, WriteError.
    """
    opened = Bundle.open(bundle)
    if opened.manifest is None:
        raise OptionError(f"{bundle} is no bundle", hint="make one first: piaccel bundle FILE... --out DIR")
    chosen = variant or reference(opened).name
    paths = images.find_images(pictures)
    blobs = {path.name: _bytes_of(path) for path in paths}
    if not 0 < len(paths) <= MOST_SAMPLES or len(blobs) < len(paths):
        raise OptionError(f"{len(paths)} golden samples: give 1 to {MOST_SAMPLES}, each with a name of its own")
    with models.load(opened.path, backend, variant=chosen) as model:
        samples = [_sample(model, name, blob) for name, blob in blobs.items()]
        made = {
            "format": 1,
            "kind": model.task.kind,
            "made_by": Reference(chosen, model.backend, model.variant.precision),
            "samples": samples,
            "threshold": getattr(model.task, "threshold", None),
            "latency_ms": dict(latency_ms or {}),
            "memory_mb": dict(memory_mb or {}),
        }
    try:
        expected = msgspec.convert(msgspec.to_builtins(made), Expected)
    except msgspec.ValidationError as error:
        raise OptionError(
            f"golden samples: {error}", hint=f"boards are {', '.join(CLASSES.values())} or any"
        ) from error
    _write(opened.path, expected, blobs)
    return expected


def reference(bundle: Bundle) -> Variant:
    """The variant whose answers are expected: the first of float32, else the first."""
    exact = (each for each in bundle.variants if each.precision.lower() in ("fp32", "float32", "f32"))
    return next(exact, bundle.variants[0])


def verify(bundle: Bundle) -> Iterator[Check]:
    """Let each variant answer the bundle's golden samples in a child process of its own; nothing where it has none."""
    try:
        if bundle.manifest is None or read(bundle.path) is None:
            return
    except ModelError as error:
        yield Check(FOLDER, "golden", error)
        return
    for variant in bundle.variants:
        try:
            call = f"{__name__}:checked_here"
            found = isolation.call(call, bundle.path, variant.name, timeout=_CHECK_TIMEOUT_S)
            assert isinstance(found, GoldenCheck)
        except UnavailableError as error:
            yield Check(variant.name, "golden", note=str(error))
        except PiaccelError as error:
            yield Check(variant.name, "golden", error)
        else:
            wrong = ModelError(found.reason) if found.reason else None
            yield Check(variant.name, "golden", wrong)


def checked_here(path: Path, variant: str) -> GoldenCheck:
    """What the child of ``verify`` does."""
    with models.load(path, variant=variant, threads=1) as model:
        return check(model, path, alone=True)


def device_class(root: str | os.PathLike[str] = "/") -> str:
    """The class of this board in a budget, "any" where it is no Raspberry Pi that is known."""
    return CLASSES.get(board.detect(root).soc or "", "any")


def p95(times_ms: Sequence[float]) -> float:
    """The time below which 95 % of the runs stay."""
    return sorted(times_ms)[ceil(0.95 * len(times_ms)) - 1]


def _compare(model: Model, expected: Expected, sample: Sample, run: _Run, *, own: bool) -> str:
    if run.broken:
        return run.broken
    if not own:
        bounds = ANSWER
    elif sample.tolerance is not None:
        bounds = sample.tolerance.bounds()
    else:
        bounds = compared.bounds_for(expected.made_by.precision, model.variant.precision)
    return compared.difference(expected.kind, sample.result, run.result, bounds, expected.threshold)


def _run(model: Model, picture: Array) -> _Run:
    begun, waited = time.perf_counter_ns(), _waited_ns()
    feeds, geometry = model.preprocess(picture)
    outputs = model.infer(feeds)
    broken = next((f"output {name!r} holds NaN or infinite values" for name in outputs if _broken(outputs[name])), "")
    result = {} if broken else compared.plain(model.postprocess(outputs, geometry), picture.shape[:2])
    taken = time.perf_counter_ns() - begun - (_waited_ns() - waited)
    return _Run(result, broken, taken / 1e6)


def _broken(output: Array) -> bool:
    return output.dtype.kind == "f" and not np.isfinite(output).all()


def _warm_times(model: Model, pictures: Sequence[Array]) -> tuple[float, ...]:
    """Each sample was answered before: these runs are warm."""
    times: list[float] = []
    end = time.perf_counter() + _RUNS_S
    while len(times) < max(_RUNS, len(pictures)):
        if times and time.perf_counter() > end:
            break
        times.append(_run(model, pictures[len(times) % len(pictures)]).ms)
    return tuple(times)


def _waited_ns() -> int:
    """How long this thread stood ready without a core, in all; 0 where the kernel does not tell.

    A candidate is looked at in a process of the lowest priority, beside a version that serves: what the others take
    is no fault of its. Source: Linux, Documentation/scheduler/sched-stats.rst.
    """
    try:
        return int(Path("/proc/thread-self/schedstat").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _over_budget(expected: Expected, name: str, times: Sequence[float], memory_bytes: int | None) -> str:
    latency, most = (budgets.get(name, budgets.get("any")) for budgets in (expected.latency_ms, expected.memory_mb))  # type: ignore[call-overload]
    if latency is not None and times and p95(times) > latency:
        return f"p95 of {len(times)} runs is {p95(times):.1f} ms, the budget for {name} is {latency:g} ms"
    if most is not None and memory_bytes is not None and memory_bytes > most * 1e6:
        return f"takes {memory_bytes / 1e6:.0f} MB, the budget for {name} is {most:g} MB"
    return ""


def _summary(wrong: Sequence[str], samples: int) -> str:
    return f"{len(wrong)} of {samples} golden samples: {'; '.join(wrong[:3])}" if wrong else ""


def _picture(bundle: Path, sample: Sample) -> Array:
    blob = _read(bundle, sample.file, MOST_PICTURE_BYTES)
    if hashlib.sha256(blob).hexdigest() != sample.sha256:
        raise ModelError(f"{FOLDER}/{sample.file}: not the picture that {EXPECTED} states (sha256)")
    try:
        return images.decode_image(blob, f"{FOLDER}/{sample.file}")
    except PiaccelError as error:
        raise ModelError(str(error)) from error


def _read(bundle: Path, name: str, most: int) -> bytes:
    """Read a file of the folder, of which no part may be a link."""
    try:
        folder = os.open(bundle / FOLDER, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
        finally:
            os.close(folder)
        with open(fd, "rb") as file:
            blob = file.read(most + 1)
    except OSError as error:
        raise ModelError(f"{FOLDER}/{name}: {error.strerror}") from error
    if len(blob) > most:
        raise ModelError(f"{FOLDER}/{name}: larger than {most >> 20} MiB")
    return blob


def _bytes_of(path: Path) -> bytes:
    if path.suffix.lower() not in SUFFIXES:
        raise OptionError(f"{path}: a golden sample is a JPEG or a PNG picture")
    if path.stat().st_size > MOST_PICTURE_BYTES:
        raise OptionError(f"{path}: larger than {MOST_PICTURE_BYTES >> 20} MiB")
    return path.read_bytes()


def _sample(model: Model, name: str, blob: bytes) -> Sample:
    run = _run(model, images.decode_image(blob, name))
    if run.broken:
        raise ModelError(f"{name}: {run.broken}")
    return Sample(name, hashlib.sha256(blob).hexdigest(), run.result)


def _write(bundle: Path, expected: Expected, blobs: Mapping[str, bytes]) -> None:
    try:
        beside = Path(tempfile.mkdtemp(dir=bundle, prefix=f".{FOLDER}."))
        try:
            for name, blob in blobs.items():
                files.write_atomic(beside / name, blob)
            text = msgspec.json.format(msgspec.json.encode(expected), indent=1)
            files.write_atomic(beside / EXPECTED, text + b"\n")
            beside.chmod(0o755)
            if (bundle / FOLDER).exists():
                os.rename(bundle / FOLDER, beside.with_name(f"{beside.name}.before"))
            os.rename(beside, bundle / FOLDER)
        finally:
            shutil.rmtree(beside, ignore_errors=True)
            shutil.rmtree(beside.with_name(f"{beside.name}.before"), ignore_errors=True)
    except OSError as error:
        raise WriteError(f"{bundle / FOLDER} cannot be written: {files.reason(bundle, error)}") from error
