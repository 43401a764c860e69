"""Compiles a variant of a bundle, and adds what comes of it as a new variant."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from piaccel import bundles, chatter, files, formats, images, packing
from piaccel.bundles import Bundle, CompiledTable, PreprocessTable, VariantTable
from piaccel.compilers import WHOLE_OUTPUT, Compiler, Job, Report, Step, compiler_for
from piaccel.errors import ModelError, OptionError, UnavailableError, WriteError

_PREPARED = (".zip", ".keras")
"""What is compiled on its way and is no variant of a bundle."""


@dataclass(frozen=True)
class Plan:
    """What is to be compiled, and how."""

    target: str
    compiler: Compiler
    bundle: Bundle
    source: Path
    calibration: tuple[Path, ...]

    def job(self, bundle: Bundle, folder: Path) -> Job:
        own = [variant for variant in bundle.variants if variant.path.name == self.source.name]
        preprocess = bundle.preprocess_of(own[0]) if own else bundle.preprocess
        return Job(self.source.absolute(), self.target, folder, preprocess, self.calibration)

    def steps(self) -> tuple[Step, ...]:
        """Return the commands, as they would run in the current folder."""
        return self.compiler.steps(self.job(self.bundle, Path()))

    @property
    def bare(self) -> bool:
        """Whether there is no bundle yet."""
        return self.bundle.manifest is None


@dataclass(frozen=True)
class Compiled:
    """What came of it: the bundle's new variant, or a file for the next host."""

    bundle: Path
    variant: VariantTable | None
    report: Report | None
    carry: Path | None = None
    left: tuple[Step, ...] = ()
    """Steps that another host has to run, with ``carry``."""
    guesses: tuple[str, ...] = ()
    """What was guessed where the bundle was made of a bare file."""


def plan(
    path: Path,
    target: str,
    *,
    variant: str | None = None,
    source: Path | None = None,
    calibration: Path | None = None,
) -> Plan:
    """Choose what to compile: the named variant, ``source``, or the first variant that the compiler takes.

    Raises OptionError, NotFoundError, and ModelError naming why the compiler takes none.
    """
    compiler = compiler_for(target)
    bundle = _opened(path, compiler)
    chosen = files.existing(source) if source else _chosen(bundle, compiler, target, variant)
    if source and (reason := compiler.refusal(chosen)):
        raise ModelError(f"{chosen} cannot be compiled for {target}: {reason}", hint=compiler.advice)
    if calibration and not compiler.calibrates:
        raise OptionError(f"--calibration: the compiler for {target} takes a network that is quantized already")
    pictures = images.find_images([calibration]) if calibration else []
    return Plan(target, compiler, bundle, chosen, tuple(pictures))


def _opened(path: Path, compiler: Compiler) -> Bundle:
    found = files.existing(path)
    if found.suffix.lower() in _PREPARED and found.suffix.lower() in compiler.suffixes:
        raise OptionError(
            f"{found} is no model that piaccel opens", hint=f"name the bundle it belongs to: BUNDLE --source {found}"
        )
    return Bundle.open(found)


def _chosen(bundle: Bundle, compiler: Compiler, target: str, name: str | None) -> Path:
    refusals: dict[str, list[str]] = {}
    for each in [bundle.variant(name)] if name else bundle.variants:
        reason = compiler.refusal(each.path)
        if not reason:
            each.check()
            return each.path
        refusals.setdefault(reason, []).append(each.path.name)
    if len(refusals) > 1:  # a file of another format says least
        refusals = {reason: names for reason, names in refusals.items() if not reason.startswith("it is no ")}
    raise ModelError(
        f"{bundle.path} cannot be compiled for {target}: "
        + "; ".join(f"{', '.join(names)}: {reason}" for reason, names in refusals.items()),
        hint=compiler.advice or f"name another file of the network with --source FILE ({', '.join(compiler.suffixes)})",
    )


def build(
    plan: Plan, out: Path | None = None, name: str | None = None, tell: Callable[[str], None] = lambda _: None
) -> Compiled:
    """Run the commands and add the file made to the bundle, or to a new one at ``out``; the source stays.

    ``tell`` gets each command before it runs. The bundle changes whole or not at all.
    Raises OptionError for a bare file without ``out`` and for a name that is taken, UnavailableError when the first
    program is not installed, ModelError when the compiler fails.
    """
    suffix = formats.SUFFIXES[plan.compiler.format][0]
    name = name or f"{plan.source.stem}_{plan.target}{suffix}"
    _check(plan, out, name)
    with tempfile.TemporaryDirectory(prefix="piaccel-compile-") as work, _place(plan, out) as (folder, guesses):
        job = plan.job(Bundle.open(folder), Path(work))
        plan.compiler.prepare(job)
        said, left = _run(plan, job, tell)
        if left:
            carry = plan.compiler.steps(job)[-len(left) - 1].carry
            assert carry is not None, "a step whose result no other host takes needs the next one's program"
            kept = folder / f"{plan.source.stem}_{carry.name}"
            files.write_atomic(kept, _made(plan, carry))
            return Compiled((out or plan.bundle.path), None, None, (out or plan.bundle.path) / kept.name, left, guesses)
        made, report = plan.compiler.collect(job, said)
        table = _add(folder, plan, job, made, report, name)
    return Compiled(out or plan.bundle.path, table, report, guesses=guesses)


def _check(plan: Plan, out: Path | None, name: str) -> None:
    if plan.bare and out is None:
        raise OptionError(f"{plan.bundle.path} is a bare file", hint="name the bundle to make: --out DIR")
    if out is not None and out.exists():
        raise OptionError(f"{out} exists", hint="choose another --out, or leave it out to add to the bundle itself")
    if plan.compiler.calibrates and not plan.calibration:
        raise OptionError(
            f"compiling for {plan.target} quantizes the network, which needs pictures of what it will see",
            hint="name a folder of them: --calibration FOLDER",
        )
    if Path(name).name != name:
        raise OptionError(f"--name {name!r} is not a plain name")
    if name in [variant.name for variant in plan.bundle.variants]:
        raise OptionError(f"{plan.bundle.path} has a variant {name!r}", hint="choose another --name")
    if out is None and not os.access(plan.bundle.path, os.W_OK):
        raise WriteError(f"{plan.bundle.path} cannot be written", hint="make a new bundle: --out DIR")
    first = plan.steps()[0]
    if not first.installed:
        raise UnavailableError(f"{first.command[0]} is not installed", hint=f"it needs {first.host.title}")


@contextmanager
def _place(plan: Plan, out: Path | None) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Give the folder to add to, and what was guessed; a new bundle appears at ``out`` when the body ended well."""
    if out is None:
        yield plan.bundle.path, ()
        return
    guesses: list[str] = []
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise WriteError(f"{out} cannot be written: {files.reason(out, error)}") from error
    try:
        folder = beside / "bundle"
        if plan.bare:
            _, guesses = packing.pack([plan.bundle.path], folder, name=out.name)
        else:
            shutil.copytree(plan.bundle.path, folder)
        yield folder, tuple(guesses)
        os.rename(folder, out)
    finally:
        shutil.rmtree(beside)


def _run(plan: Plan, job: Job, tell: Callable[[str], None]) -> tuple[str, tuple[Step, ...]]:
    """Run what can be run here; return what was printed, and the steps that another host has to run."""
    steps = plan.compiler.steps(job)
    said = ""
    for index, step in enumerate(steps):
        if not step.installed:
            return said, steps[index:]
        tell(shlex.join(step.command))
        try:
            done = subprocess.run(
                step.command,
                cwd=job.folder,
                stdin=subprocess.DEVNULL,  # a question would wait for ever
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                check=False,
            )
        except OSError as error:  # made for another CPU, or not executable
            raise UnavailableError(
                f"{step.command[0]} does not start: {error.strerror}", hint=f"it needs {step.host.title}"
            ) from error
        if chatter.verbose():
            sys.stderr.write(done.stdout)
        said += done.stdout
        if done.returncode != 0:
            reason, hint = plan.compiler.explain(job, done.stdout)
            raise ModelError(f"{plan.source}: {step.command[0]} failed: {reason}", hint=hint)
    return said, ()


def _made(plan: Plan, path: Path) -> bytes:
    blob = path.read_bytes() if path.is_file() else b""
    if not blob:
        raise ModelError(f"{plan.source}: the compiler ended well and made no {path.name}", hint=WHOLE_OUTPUT)
    return blob


def _add(folder: Path, plan: Plan, job: Job, made: Path, report: Report, name: str) -> VariantTable:
    """Write the file, then the manifest that names it: a crash between the two leaves the bundle as it was."""
    blob = _made(plan, made)
    if (kind := formats.kind_of(made)) != plan.compiler.format:
        raise ModelError(f"{plan.source}: the compiler made {formats.TITLES[kind]}")
    bundle = Bundle.open(folder)
    assert bundle.manifest is not None
    path = folder / (name if name.endswith(made.suffix) else name + made.suffix)
    if path.exists() and path.name in [each.name for v in bundle.variants for each in (v.path, v.weights) if each]:
        raise OptionError(f"{path.name} is a file of another variant", hint="choose another --name")
    files.write_atomic(path, blob)
    own = plan.compiler.preprocess(job) or job.preprocess
    table = VariantTable(
        name=name,
        file=path.name,
        format=kind,
        precision="int8",
        sha256=files.sha256(path),
        preprocess=PreprocessTable.of(own) if own and own != bundle.preprocess else None,
        compiled=CompiledTable(
            target=plan.target,
            compiler=report.compiler,
            source=plan.source.name,
            source_sha256=files.sha256(plan.source),
            taken=report.taken,
            left=report.left,
            fits=report.fits,
            facts=dict(report.facts),
        ),
    )
    whole = msgspec.structs.replace(bundle.manifest, variants=[*bundle.manifest.variants, table])
    files.write_atomic(folder / bundles.MANIFEST, whole.to_toml())
    return table
