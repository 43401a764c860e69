"""Putting a bundle into a repository as a new version: checked, listed, signed, and there whole or not at all."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, time
from pathlib import Path

from piaccel import durable, files, packing
from piaccel.bundles import Bundle
from piaccel.errors import ModelError, NotFoundError, OptionError, ServiceError, WriteError
from piaccel.packing import Check
from piaccel.serving import golden, release
from piaccel.serving.contents import RELEASE, Contents, visible
from piaccel.serving.repository import check_name, order


@dataclass(frozen=True, kw_only=True)
class Published:
    """A version that was put into a repository, or would have been."""

    path: Path
    model: str
    version: str
    counter: int
    files: tuple[str, ...]
    checks: tuple[Check, ...]
    samples: int
    """Golden samples in it."""
    keys: tuple[str, ...] = ()
    """Ids of the keys that signed it."""
    dry_run: bool = False


def publish(
    source: Path,
    repository: Path,
    *,
    name: str | None = None,
    version: str | None = None,
    keys: Sequence[Path] = (),
    pictures: Sequence[str | os.PathLike[str]] = (),
    latency_ms: Mapping[str, float] | None = None,
    memory_mb: Mapping[str, float] | None = None,
    not_after: datetime | None = None,
    device: str | None = None,
    dry_run: bool = False,
) -> Published:
    """Check a bundle and place a copy of it as ``repository/name/version``, with its list of files.

    ``name`` is the bundle's and ``version`` the next number where none is given. ``pictures`` become its golden
    samples; without any it keeps its own. ``keys`` are private keys that sign it.
    Raises OptionError for what is no bundle, a version that exists or a name that cannot be one, ModelError or what a
    check found, WriteError; the repository is then as it was.
    """
    bundle = Bundle.open(source)
    if bundle.manifest is None:
        raise OptionError(
            f"{source} is a bare model file", hint=f"make a bundle first: piaccel bundle {source} --out DIR"
        )
    model, number = _named(bundle, repository, name, version)
    target = repository / model / number
    signing = [release.read_signing_key(each) for each in keys]
    with Contents(bundle.path.resolve()) as contents:
        listed = [each for each in visible(contents.survey()) if each not in (RELEASE, release.SIGNATURE)]
    checks = tuple(_checked(bundle, samples=not pictures))
    counter = _next_counter(repository / model, number)
    if dry_run:
        expected = golden.read(bundle.path)
        count = len(pictures) or (len(expected.samples) if expected else 0)
    else:
        try:
            with _beside(target) as folder:
                _copy(bundle.path.resolve(), listed, folder)
                if pictures:
                    golden.make(folder, pictures, latency_ms=latency_ms, memory_mb=memory_mb)
                    checks += tuple(_sound(golden.verify(Bundle.open(folder))))
                expected = golden.read(folder)
                count = len(expected.samples) if expected else 0
                made = release.write(
                    folder,
                    model=model,
                    version=number,
                    counter=counter,
                    keys=signing,
                    not_after=not_after,
                    device=device,
                )
                listed = sorted(made.files)
                _settle(folder, target)
        except OSError as error:
            raise error if isinstance(error, NotFoundError | WriteError) else _unwritten(target, error) from error
    return Published(
        path=target,
        model=model,
        version=number,
        counter=counter,
        files=tuple(listed),
        checks=checks,
        samples=count,
        keys=tuple(release.key_id(key.public_key()) for key in signing),
        dry_run=dry_run,
    )


def date(text: str) -> datetime:
    """Read "2027-06-30" (its last second, UTC) or a time with its zone, such as "2027-06-30T12:00:00Z".

    Raises OptionError.
    """
    try:
        if re.fullmatch(r"\d{4}-\d\d-\d\d", text):
            return datetime.combine(datetime.fromisoformat(text).date(), time(23, 59, 59), UTC)
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise OptionError(f"{text!r} is no date", hint="write it as 2027-06-30") from error
    if moment.tzinfo is None:
        raise OptionError(f"{text!r} has no time zone", hint="write it as 2027-06-30T12:00:00Z")
    return moment.astimezone(UTC)


def _named(bundle: Bundle, repository: Path, name: str | None, version: str | None) -> tuple[str, str]:
    if repository.exists() and not repository.is_dir():
        raise OptionError(f"{repository} is no folder")
    try:
        model = check_name(name if name is not None else bundle.name)
        taken = versions(repository / model)
        number = str(max((int(each) for each in taken if each.isdecimal()), default=0) + 1)
        chosen = check_name(version, "version") if version is not None else number
    except ServiceError as error:
        raise OptionError(str(error), hint="name it with --name and --version") from error
    if chosen in taken or os.path.lexists(repository / model / chosen):
        raise OptionError(
            f"{model} has a version {chosen} already: versions are never changed", hint=f"the next one is {number}"
        )
    return model, chosen


def versions(model: Path) -> list[str]:
    """The names of a model's versions in a repository, in order; none where it is new."""
    if not model.is_dir():
        return []
    return sorted((each.name for each in model.iterdir() if each.is_dir() and each.name[0] != "."), key=order)


def _next_counter(model: Path, version: str) -> int:
    """One more than the highest of the releases that are there, and no less than the version's number."""
    counters = [int(version) if version.isascii() and version.isdecimal() else 1]
    for each in versions(model):
        path = model / each / RELEASE
        if path.is_file():
            try:
                counters.append(release.decode(path.read_bytes()).counter + 1)
            except ModelError as error:
                raise ModelError(f"{path.parent}: {error}", hint="remove that version, or push it again") from error
    return max(counters)


def _checked(bundle: Bundle, *, samples: bool) -> Iterator[Check]:
    yield from _sound(packing.check(bundle))
    if samples:
        yield from _sound(golden.verify(bundle))


def _sound(checks: Iterator[Check]) -> Iterator[Check]:
    for check in checks:
        if check.error is not None:
            text = f"{check.variant} {check.what}: {check.error}"
            raise ModelError(text, hint=check.error.hint or "see: piaccel bundle --verify DIR") from check.error
        yield check


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """A hidden folder beside the version's, which the service does not look at; removed unless it got its name."""
    durable.make_folder(target.parent)
    folder = target.with_name(f".{target.name}.{os.urandom(4).hex()}")
    os.mkdir(folder, 0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy(source: Path, names: Sequence[str], folder: Path) -> None:
    with Contents(source) as contents:
        for name in names:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with contents.open(name) as file, open(path, "xb") as copy:
                shutil.copyfileobj(file, copy)


def _settle(folder: Path, target: Path) -> None:
    """Make everything last, then give it its name."""
    for inner, _, names in os.walk(folder, topdown=False):
        for name in names:
            fd = os.open(Path(inner, name), os.O_RDONLY | os.O_NOFOLLOW)
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        durable.sync_folder(Path(inner))
    if os.path.lexists(target):  # an empty folder would be replaced
        raise OptionError(f"{target} exists by now: versions are never changed")
    os.rename(folder, target)
    durable.sync_folder(target.parent)


def _unwritten(target: Path, error: OSError) -> WriteError:
    return WriteError(f"{target} cannot be written: {files.reason(target, error)}")
