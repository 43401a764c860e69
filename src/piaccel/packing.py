"""Makes bundles from model files, and checks them whole: files, checksums, labels, and that each variant answers."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from piaccel import backends, bundles, files, formats, models, trial
from piaccel.bundles import Bundle, Manifest, PreprocessTable, Variant, VariantTable
from piaccel.errors import ModelError, OptionError, PiaccelError, UnavailableError, WriteError
from piaccel.trial import Answered


@dataclass(frozen=True)
class Check:
    """One check of a bundle. ``error`` is None where it passed; ``note`` says what could not be checked here."""

    variant: str
    what: str
    error: PiaccelError | None = None
    note: str = ""


def check(bundle: Bundle) -> Iterator[Check]:
    """Check each variant's files against the manifest, then open it and let it answer in a child process."""
    for variant in bundle.variants:
        try:
            variant.check()
            formats.read(variant.path)
        except UnavailableError as error:
            yield Check(variant.name, "files", note=str(error))
        except PiaccelError as error:
            yield Check(variant.name, "files", error)
            continue
        else:
            yield Check(variant.name, "files")
        yield _check_answer(bundle, variant)


def _check_answer(bundle: Bundle, variant: Variant) -> Check:
    try:
        answered = trial.answer(bundle.path, variant=variant.name)
    except UnavailableError as error:
        return Check(variant.name, "answers", note=str(error))
    except PiaccelError as error:
        return Check(variant.name, "answers", error)
    return Check(variant.name, "answers", note=f"on {answered.backend}")


def pack(
    sources: Sequence[Path],
    out: Path,
    *,
    name: str | None = None,
    description: str = "",
    licence: str = "",
    fallback: Sequence[str] = (),
    dry_run: bool = False,
    **overrides: Any,
) -> tuple[Manifest, list[str]]:
    """Make a bundle at ``out`` from files of one network; return its manifest, and what was guessed.

    ``fallback`` names backends in the order in which they are to serve; ``overrides`` are those of ``piaccel.load``.
    A file whose runtime or device is not here is taken untried, as long as another one answers. The folder appears
    whole or not at all.
    Raises OptionError when ``out`` exists, ModelError when the files do not belong together or do not work.
    """
    if out.exists():
        raise OptionError(f"{out} exists", hint="choose another --out, or remove it first")
    bare = [_bare(path) for path in _without_weights(sources)]
    variants = [each.variants[0] for each in bare]
    doubles = {variant.path.name for variant in variants if sum(v.path.name == variant.path.name for v in variants) > 1}
    if doubles:
        raise OptionError(f"two files are called {min(doubles)}")
    chosen = models.Overrides(**overrides)
    labels = chosen.read_labels() or next((each.labels for each in bare if each.labels), None)
    answers, untried = _answers(variants, overrides)
    first = next(each for each in answers if each)
    for variant, other in zip(variants, answers, strict=True):
        if other and (other.family, other.preprocess.size) != (first.family, first.preprocess.size):
            raise ModelError(
                f"{variant.path} is {_summary(other)}, {variants[answers.index(first)].path} is {_summary(first)}",
                hint="a bundle holds variants of one network; make a bundle for each",
            )
    manifest = Manifest(
        format=1,
        name=name or out.name,
        description=description,
        licence=licence,
        labels="labels.txt" if labels else None,
        task={"family": first.family, **first.task_options},
        preprocess=PreprocessTable.of(first.preprocess),
        variants=[
            _variant_table(variant, other or first, first) for variant, other in zip(variants, answers, strict=True)
        ],
        fallback=[backends.get(each).name for each in fallback],
    )
    if not dry_run:
        _write(out, manifest, variants, labels)
    return manifest, [*untried, *dict.fromkeys(guess for each in answers if each for guess in each.guesses)]


def _answers(variants: Sequence[Variant], overrides: dict[str, Any]) -> tuple[list[Answered | None], list[str]]:
    """What each variant answers, None where its runtime or device is not here, and a line for each of these."""
    answers: list[Answered | None] = []
    untried: list[str] = []
    missing: UnavailableError | None = None
    for variant in variants:
        try:
            answers.append(trial.answer(variant.path, **overrides))
        except UnavailableError as error:
            missing = missing or error
            answers.append(None)
            untried.append(f"that {variant.path.name} is a variant of it: it cannot be tried here ({error})")
    if missing and not any(answers):
        raise missing
    return answers, untried


def _without_weights(sources: Sequence[Path]) -> list[Path]:
    """Drop the weights files that belong to another file of the list, as a shell's ``net.*`` brings them."""
    paths = [files.existing(source) for source in sources]
    weights = {bundles.weights_of(path) for path in paths}
    return [path for path in paths if path not in weights]


def _bare(path: Path) -> Bundle:
    formats.kind_of(path)  # a folder is none: a bundle holds files, not bundles
    return Bundle.open(path)


def _summary(answered: Answered) -> str:
    height, width = answered.preprocess.size
    return f"{answered.family} at {height}x{width}"


def _variant_table(variant: Variant, answered: Answered, first: Answered) -> VariantTable:
    try:
        network = formats.read(variant.path)
    except UnavailableError:
        precision = "unknown"
    else:
        precision = network.precision or "unknown"
        if network.format == "onnx" and network.size_bytes > variant.path.stat().st_size:
            raise ModelError(
                f"{variant.path} keeps weights in other files, which a bundle does not hold",
                hint="save it as one file first: onnx.save(onnx.load(FILE), FILE)",
            )
    own = PreprocessTable.of(answered.preprocess)
    return VariantTable(
        name=variant.path.name,
        file=variant.path.name,
        format=variant.format,  # type: ignore[arg-type]
        precision=precision,
        sha256=files.sha256(variant.path),
        weights=variant.weights.name if variant.weights else None,
        weights_sha256=files.sha256(variant.weights) if variant.weights else None,
        preprocess=own if own != PreprocessTable.of(first.preprocess) else None,
    )


def _write(out: Path, manifest: Manifest, variants: Sequence[Variant], labels: tuple[str, ...] | None) -> None:
    try:
        _write_folder(out, manifest, variants, labels)
    except OSError as error:
        raise WriteError(f"{out} cannot be written: {files.reason(out, error)}") from error


def _write_folder(out: Path, manifest: Manifest, variants: Sequence[Variant], labels: tuple[str, ...] | None) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    try:
        for variant in variants:
            for source in filter(None, (variant.path, variant.weights)):
                files.write_atomic(beside / source.name, source.read_bytes())
        if labels:
            files.write_atomic(beside / "labels.txt", "\n".join(labels) + "\n")
        files.write_atomic(beside / bundles.MANIFEST, manifest.to_toml())
        beside.chmod(0o755)
        os.rename(beside, out)
    except BaseException:
        shutil.rmtree(beside)
        raise
