"""Models on disk: a bundle (a folder with ``model.toml``, labels and variants of one network) or a bare file.

The manifest is data: nothing in a bundle is ever executed, and its paths stay inside it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from piaccel import config, files, formats, tasks
from piaccel.errors import ChecksumError, ModelError, NotFoundError, OptionError
from piaccel.frames import Colour, Preprocess, Resize

MANIFEST = "model.toml"
_Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Positive = Annotated[int, msgspec.Meta(gt=0)]
_Numbers = Annotated[tuple[float, ...], msgspec.Meta(min_length=1, max_length=4)]


class PreprocessTable(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """``[preprocess]``: pixels 0..255 become ``(pixel - mean) / std``."""

    size: tuple[_Positive, _Positive]
    resize: Resize = "stretch"
    colour: Colour = "RGB"
    mean: _Numbers = (0.0, 0.0, 0.0)
    std: _Numbers = (1.0, 1.0, 1.0)
    fill: Annotated[int, msgspec.Meta(ge=0, le=255)] = 114

    @classmethod
    def of(cls, preprocess: Preprocess) -> PreprocessTable:
        return cls(**{name: getattr(preprocess, name) for name in cls.__struct_fields__})

    def build(self) -> Preprocess:
        return Preprocess(**{name: getattr(self, name) for name in self.__struct_fields__})


class CompiledTable(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """``[variants.compiled]``: what a vendor's compiler made the file of, and what it said of it."""

    target: str
    compiler: str
    source: str
    source_sha256: _Sha256
    taken: int | None = None
    """Operators on the accelerator."""
    left: int | None = None
    """Operators that stay on the CPU."""
    fits: bool | None = None
    """Whether it fits into the accelerator's memory whole."""
    facts: dict[str, str] = {}

    def __str__(self) -> str:
        operators = (
            f", {self.taken} of {self.taken + (self.left or 0)} operators taken" if self.taken is not None else ""
        )
        fits = {True: ", fits the memory whole", False: ", does not fit the memory whole", None: ""}[self.fits]
        return f"for {self.target} of {self.source} by the {self.compiler}{operators}{fits}"


class VariantTable(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """``[[variants]]``: one file of the network."""

    name: str
    file: str
    format: formats.Format
    precision: str
    sha256: _Sha256
    weights: str | None = None
    weights_sha256: _Sha256 | None = None
    accuracy: float | None = None
    preprocess: PreprocessTable | None = None
    compiled: CompiledTable | None = None


class AccuracyTable(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """``[accuracy]``: how the variants' accuracy was measured."""

    metric: str
    samples: _Positive
    data: str = ""


class ChoiceTable(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """``[choice]``: what to run the model with where nothing else is asked for; ``piaccel choose`` writes it."""

    backend: str
    variant: str
    threads: _Positive
    options: list[str] = []
    """The backend's own, as "key=value"."""
    board: str = ""
    """The board's model that it was measured on, and holds for; "": any."""


class Manifest(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """``model.toml``."""

    format: Literal[1]
    name: str
    task: dict[str, Any]
    variants: Annotated[list[VariantTable], msgspec.Meta(min_length=1)]
    description: str = ""
    licence: str = ""
    origin: str = ""
    """The address that its file was pulled from."""
    labels: str | None = None
    preprocess: PreprocessTable | None = None
    accuracy: AccuracyTable | None = None
    fallback: list[str] = []
    """Backends in the order in which they are to serve; the next one when one is missing or lost."""
    choice: ChoiceTable | None = None

    def to_toml(self) -> bytes:
        """Encode as TOML; ``format`` stands first, so that a reader of the future knows what follows."""
        import tomli_w

        text: str = tomli_w.dumps({"format": self.format, **msgspec.to_builtins(self)})
        return text.encode()


@dataclass(frozen=True)
class Variant:
    """One file of a network. ``sha256`` and ``accuracy`` are None where nobody stated them."""

    name: str
    path: Path
    format: str
    precision: str
    sha256: str | None = None
    weights: Path | None = None
    weights_sha256: str | None = None
    accuracy: float | None = None
    preprocess: Preprocess | None = None

    def check(self) -> None:
        """Raise NotFoundError or ChecksumError unless the files are there and are the ones the manifest states."""
        for path, stated in ((self.path, self.sha256), (self.weights, self.weights_sha256)):
            if path is None:
                continue
            actual = files.sha256(path)
            if stated is not None and actual != stated:
                raise ChecksumError(
                    f"{path}: sha256 is {actual[:12]}…, the manifest states {stated[:12]}…",
                    hint="the file was changed or damaged: copy it again, or make the bundle anew",
                )


@dataclass(frozen=True)
class Bundle:
    """One model. ``task`` and ``preprocess`` are None for a bare file that does not tell: they are guessed then."""

    name: str
    path: Path
    variants: tuple[Variant, ...]
    task: tasks.Task | None = None
    preprocess: Preprocess | None = None
    labels: tuple[str, ...] = ()
    manifest: Manifest | None = None

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Bundle:
        """Open a bundle's folder, its ``model.toml``, or a bare model file; reads no weights.

        Raises NotFoundError, or ModelError for a manifest that is wrong or reaches outside the folder.
        """
        found = files.existing(path)
        if found.name == MANIFEST:
            found = found.parent
        return _open_folder(found) if found.is_dir() else _open_file(found)

    @property
    def fallback(self) -> tuple[str, ...]:
        """The backends that the manifest names, in the order in which they are to serve; none for most bundles."""
        return tuple(self.manifest.fallback) if self.manifest else ()

    @property
    def choice(self) -> ChoiceTable | None:
        """What the manifest says to run it with; None for most bundles."""
        return self.manifest.choice if self.manifest else None

    def variant(self, name: str) -> Variant:
        """Return the variant called ``name``. Raises OptionError."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise OptionError(f"{self.path} has no variant {name!r}", hint=f"it has {', '.join(self._names())}")

    def preprocess_of(self, variant: Variant) -> Preprocess | None:
        """Return the variant's own preprocessing, else the bundle's; None where neither is stated."""
        return variant.preprocess or self.preprocess

    def checksums(self) -> list[str]:
        """Return the sha256 of every file of every variant, as the files are now, sorted. Raises NotFoundError."""
        paths = (path for variant in self.variants for path in (variant.path, variant.weights) if path)
        return sorted(files.sha256(path) for path in paths)

    def _names(self) -> list[str]:
        return [variant.name for variant in self.variants]


def read_labels(path: Path) -> tuple[str, ...]:
    """Read one label a line. Raises NotFoundError or ModelError (empty, or not text)."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise NotFoundError(f"{path}: no such file") from error
    except (UnicodeDecodeError, IsADirectoryError) as error:
        raise ModelError(f"{path}: labels must be a text file, one label a line") from error
    labels = tuple(line.strip() for line in text.splitlines())
    while labels and not labels[-1]:
        labels = labels[:-1]
    if not labels:
        raise ModelError(f"{path}: holds no labels", hint="write one label a line")
    return labels


def build_task(table: dict[str, Any]) -> tasks.Task:
    """Make the task of a ``[task]`` table: its ``family`` and that family's options. Raises OptionError."""
    chosen = dict(table)
    family = chosen.pop("family", None)
    if not isinstance(family, str):
        raise OptionError("task.family is missing", hint=f"choose from {', '.join(tasks.names())}")
    return config.options(tasks.get(family), (), **chosen)


def _open_folder(folder: Path) -> Bundle:
    manifest_path = folder / MANIFEST
    if not manifest_path.is_file():
        if (folder / "saved_model.pb").is_file():
            formats.kind_of(folder)  # says what it is, and how to convert it
        raise NotFoundError(f"{folder}: a folder without {MANIFEST}", hint="make a bundle with: piaccel bundle FILE...")
    manifest = config.read_toml(manifest_path, Manifest)
    names = [table.name for table in manifest.variants]
    if len(set(names)) != len(names):
        raise ModelError(f"{manifest_path}: two variants have the same name")
    try:
        task = build_task(manifest.task)
        preprocess = manifest.preprocess.build() if manifest.preprocess else None
        variants = tuple(_variant(folder, table) for table in manifest.variants)
    except OptionError as error:
        raise ModelError(f"{manifest_path}: {error}", hint=error.hint) from error
    return Bundle(
        name=manifest.name,
        path=folder,
        variants=variants,
        task=task,
        preprocess=preprocess,
        labels=read_labels(_inside(folder, manifest.labels)) if manifest.labels else (),
        manifest=manifest,
    )


def _variant(folder: Path, table: VariantTable) -> Variant:
    return Variant(
        name=table.name,
        path=_inside(folder, table.file),
        format=table.format,
        precision=table.precision,
        sha256=table.sha256,
        weights=_inside(folder, table.weights) if table.weights else None,
        weights_sha256=table.weights_sha256,
        accuracy=table.accuracy,
        preprocess=table.preprocess.build() if table.preprocess else None,
    )


def _inside(folder: Path, name: str) -> Path:
    """Return the path of a file of the bundle; a manifest may not reach outside its folder, not by a link either."""
    try:
        path = (folder / name).resolve()
    except (OSError, ValueError) as error:
        raise ModelError(f"{folder / MANIFEST}: {name!r} is not a file name") from error
    if not path.is_relative_to(folder.resolve()):
        raise ModelError(f"{folder / MANIFEST}: {name!r} is outside the bundle")
    return folder / name


def _open_file(path: Path) -> Bundle:
    kind = formats.kind_of(path)
    variant = Variant(name=path.name, path=path, format=kind, precision="unknown", weights=weights_of(path))
    name = path.stem.removesuffix(".ncnn")
    if kind not in formats.DESCRIBED:
        return Bundle(name=name, path=path, variants=(variant,))
    network = formats.read(path)
    task = build_task(dict(network.task)) if network.task else None
    return Bundle(name, path, (variant,), task, network.preprocess, network.labels)


def weights_of(path: Path) -> Path | None:
    """Return the weights file that stands beside an ncnn ``.param`` or an OpenVINO ``.xml``."""
    weights = path.with_suffix(".bin")
    return weights if path.suffix in (".param", ".xml") and weights.is_file() else None
