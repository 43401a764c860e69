"""What may be pulled: the package's own list and the user's, each a TOML file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from piaccel import config
from piaccel.bundles import MANIFEST, PreprocessTable
from piaccel.errors import ModelError, NotFoundError

LABELS = "labels.txt"
OWN = Path(__file__).with_name("models.toml")
_Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
_FileName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")]
_Sha256 = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
_Text = Annotated[str, msgspec.Meta(min_length=1)]
_Bytes = Annotated[int, msgspec.Meta(gt=0)]


class RemoteFile(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """One file: its name in the bundle, its addresses in the order in which they are asked, its size and sha256."""

    name: _FileName
    urls: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    size: _Bytes
    sha256: _Sha256

    def __post_init__(self) -> None:
        for url in self.urls:
            parts = urlsplit(url)
            if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
                raise ValueError(f"{url!r} is not an http or https address, without a user or password in it")


class Published(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """``[models.accuracy]``: what the model's maker measured, and where that is written. Not measured by piaccel."""

    metric: _Text
    value: float
    data: _Text
    source: _Text


class Entry(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, frozen=True):
    """``[[models]]``: one model. ``accuracy`` is None where its maker published none."""

    name: _Name
    title: _Text
    licence: _Text
    """An SPDX identifier, such as Apache-2.0, or LicenseRef-NAME for one that SPDX does not list."""
    licence_source: _Text
    task: dict[str, Any]
    preprocess: PreprocessTable
    precision: _Text
    file: RemoteFile
    weights: RemoteFile | None = None
    """The second file of formats that have two (ncnn, OpenVINO)."""
    labels: tuple[str, ...] = ()
    labels_file: RemoteFile | None = None
    accuracy: Published | None = None
    notes: str = ""

    def __post_init__(self) -> None:
        if self.labels and self.labels_file:
            raise ValueError(f"{self.name} has labels and labels_file; one of them is enough")
        if self.labels_file and self.labels_file.name != LABELS:
            raise ValueError(f"{self.name}: labels_file is called {LABELS} in a bundle")
        names = [each.name for each in self.files]
        if len(set(names)) != len(names) or MANIFEST in names:
            raise ValueError(f"{self.name} has two files of one name, or one that is called {MANIFEST}")

    @property
    def files(self) -> tuple[RemoteFile, ...]:
        """All files that are loaded."""
        return tuple(each for each in (self.file, self.weights, self.labels_file) if each)

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(each.size for each in self.files)


class _File(msgspec.Struct, forbid_unknown_fields=True):
    format: Literal[1]
    models: list[Entry]


def read(extra: Sequence[Path] = ()) -> dict[str, Entry]:
    """Return the entries by name: those of the package, and of the ``extra`` files, which win over a name before them.

    Raises NotFoundError, or ModelError naming the file and what is wrong in it.
    """
    found: dict[str, Entry] = {}
    for path in (OWN, *extra):
        entries = config.read_toml(path, _File).models
        names = [entry.name for entry in entries]
        for name in names:
            if names.count(name) > 1:
                raise ModelError(f"{path}: two models are called {name}")
        found |= {entry.name: entry for entry in entries}
    return found


def entry_of(name: str, entries: dict[str, Entry]) -> Entry:
    """Return the entry called ``name``. Raises NotFoundError with the names that are there."""
    if name not in entries:
        raise NotFoundError(
            f"the catalogue has no model {name!r}",
            hint=f"it has {', '.join(sorted(entries))}; a catalogue of your own: --catalogue FILE.toml",
        )
    return entries[name]
