"""An activation that is cut off, and what boots afterwards: run as a program by test_power_loss.py.

``power.py make FOLDER``: a repository whose version 1 serves, with 2 beside it; ``activate FOLDER``: 2 takes over;
``forget-files FOLDER``, ``forget-folders FOLDER``: the same without any fsync of files or of folders;
``points FOLDER``: ended before each operation in turn; ``errors FOLDER``: each operation in turn fails;
``full FOLDER``, ``read-only FOLDER``: on a disk that is; ``check FOLDER``: boots from the states of ``dropfs.py``.
The last five print JSON.
"""

import errno
import hashlib
import json
import os
import shutil
import stat
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from piaccel.errors import PiaccelError, ServiceError, WriteError
from piaccel.serving.ledger import Ledger, Record, Ref
from piaccel.serving.repository import Found, Repository
from piaccel.serving.store import Store
from tests.cutting import Failing, cut_before, instrument

STAGES = ("adopted", "staged", "attempted", "verified", "probation", "committed", "collected")
LIMIT = 2


def add(root: Path, version: str, size: int = 3000) -> None:
    """A bundle of two variants and golden samples; no runtime needs to be able to load it."""
    folder = root / "parts" / version
    (folder / "golden").mkdir(parents=True)
    (folder / "golden" / "one.json").write_text(f'{{"version": "{version}"}}')
    (folder / "labels.txt").write_text("good\nbad\n")
    text = 'format = 1\nname = "parts"\nlabels = "labels.txt"\n[task]\nfamily = "classification"\n'
    for name in ("a", "b"):
        data = hashlib.shake_128(f"{version}{name}".encode()).digest(size)
        (folder / f"{name}.tflite").write_bytes(data)
        text += (
            f'[[variants]]\nname = "{name}"\nfile = "{name}.tflite"\nformat = "tflite"\nprecision = "int8"\n'
            f'sha256 = "{hashlib.sha256(data).hexdigest()}"\n'
        )
    (folder / "model.toml").write_text(text)


def find(root: Path, version: str) -> Found:
    return Repository(root, settle_s=0).scan()["parts"][version]


def means(root: Path) -> tuple[Store, Ledger]:
    state = root / ".piaccel"
    return Store(state / "store", reserve_bytes=0, grace_s=0), Ledger(state / "models")


def boot_choice(record: Record, limit: int = LIMIT) -> tuple[Ref | None, str]:
    """Return the version to load at a start, and why the candidate must be put into quarantine ("" when it need not).

    A candidate on probation gets ``limit`` starts; each counted on disk before it begins. One that was only staged
    or verified when the power went is staged again by whoever finds it in the repository.
    """
    candidate = record.candidate
    fallback = record.committed or record.previous
    if candidate is None or candidate.digest in record.quarantined:
        return fallback, ""
    if record.attempts >= limit:
        times = "once" if record.attempts == 1 else f"{record.attempts} times"
        return fallback, f"took the service down {times}"
    return (candidate, "") if record.stage == "probation" else (fallback, "")


def begin_attempt(ledger: Ledger) -> Record:
    """Count a load of the candidate, on disk before it begins."""
    record = ledger.read("parts")
    record.attempts += 1
    ledger.write("parts", record)
    return record


def make(root: Path) -> None:
    """Version 1 serves, 0 is what a rollback would bring back, 2 has been dropped in."""
    store, ledger = means(root)
    refs = []
    for version in ("0", "1", "2"):
        add(root, version)
    for version in ("0", "1"):
        refs.append(Ref(version, store.adopt(find(root, version)).digest))
    ledger.write("parts", Record(committed=refs[1], previous=refs[0]))


def activate(root: Path, mark: Callable[[str], None]) -> None:
    """What the service does of storage's work when version 2 takes over; ``mark`` is told what has been achieved."""
    store, ledger = means(root)
    found = find(root, "2")
    stored = store.adopt(found)
    mark("adopted")
    record = ledger.read("parts")
    record.candidate, record.stage, record.attempts = Ref("2", stored.digest), "staged", 0
    ledger.write("parts", record)
    mark("staged")
    record = begin_attempt(ledger)
    mark("attempted")
    store.verify(stored.digest)
    for stage in ("verified", "probation"):
        record.stage = stage
        ledger.write("parts", record)
        mark(stage)
    record.previous, record.committed = record.committed, record.candidate
    record.candidate, record.stage, record.attempts = None, "", 0
    record.happened("committed", "2")
    ledger.write("parts", record)
    mark("committed")
    assert record.committed is not None
    assert record.previous is not None
    store.collect({record.committed.digest, record.previous.digest})
    mark("collected")


def boot(root: Path, reached: str) -> str:
    """Start after a cut, ``reached`` being the last that was achieved; return the version that serves.

    Raises AssertionError where the promise is broken.
    """
    store, ledger = means(root)
    old, new = find(root, "1").digest, find(root, "2").digest
    record = ledger.read("parts")
    assert not list(ledger.folder.glob("*.damaged")), "the record is damaged"
    chosen, quarantine = boot_choice(record, LIMIT)
    assert chosen is not None, "nothing to boot"
    assert quarantine == ""
    assert chosen.digest == {"1": old, "2": new}[chosen.version]
    store.verify(chosen.digest)
    assert record.previous is not None
    store.verify(record.previous.digest)
    done = STAGES.index(reached) if reached else -1
    if done >= STAGES.index("attempted") and record.candidate is not None:
        assert record.attempts == 1, "the attempt was forgotten"
    if done >= STAGES.index("probation"):
        assert chosen.version == "2", "what was reached is lost"
    if done < STAGES.index("verified"):
        assert chosen.version == "1", "it was never verified"
    return chosen.version


def recover(root: Path) -> None:
    """Whatever was left behind, the next activation succeeds and tidies up."""
    activate(root, lambda stage: None)
    store, ledger = means(root)
    record = ledger.read("parts")
    assert record.committed is not None
    assert record.previous is not None
    kept = {record.committed.digest, record.previous.digest}
    left = {each.name for each in store.folder.iterdir()}
    assert left == kept, f"left behind: {left - kept}"
    assert [each.name for each in ledger.folder.iterdir()] == ["parts.json"]


def forget(folders: bool) -> None:
    """Leave out every fsync of folders, or every one of files: the proof that the proof would notice."""
    real = os.fsync

    def fsync(fd: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode) != folders:
            real(fd)

    os.fsync = fsync  # type: ignore[assignment]


def cut_at(point: int, pipe: int, root: Path) -> None:
    """In a child: end the process before operation number ``point``."""
    write = os.write
    instrument(cut_before(point))
    activate(root, lambda stage: void(write(pipe, f"{stage}\n".encode())))
    os._exit(0)


def void(_: object) -> None:
    """For a lambda that must return nothing."""


def points(folder: Path) -> dict[str, Any]:
    """Cut an activation at every operation; boot and recover after each."""
    base = folder / "base"
    make(base)
    booted: list[str] = []
    failures: list[str] = []
    status = 9
    while status:
        root = folder / "cut"
        shutil.copytree(base, root)
        reading, writing = os.pipe()
        child = os.fork()
        if not child:
            try:
                cut_at(len(booted) + 1, writing, root)
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            reached = pipe.read().split()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert status in (0, 9), "the child failed"
        booted.append("")
        try:
            booted[-1] = boot(root, reached[-1] if reached else "")
            recover(root)
        except (AssertionError, PiaccelError) as error:
            failures.append(f"point {len(booted)} after {reached[-1:]}: {error!r}")
        shutil.rmtree(root)
    return {"points": len(booted), "booted": booted, "failures": failures}


def errors(folder: Path) -> dict[str, Any]:
    """Have every operation fail in turn, as a full disk or a worn card lets it; each time the old or the new boots."""
    base = folder / "base"
    make(base)
    failures: list[str] = []
    failing = Failing()
    instrument(failing)
    most = 0
    for code in (errno.ENOSPC, errno.EIO):
        for point in range(1, 10_000):
            root = folder / f"cut{code}-{point}"
            shutil.copytree(base, root)
            before = leftovers(root)
            reached = [""]
            refused = ""
            failing.at(point, code)
            try:
                activate(root, reached.append)
            except (WriteError, ServiceError) as error:
                refused = str(error)
            finally:
                hit = failing.off()
            try:
                assert bool(refused) == hit, "a failure was not told"
                assert str(root) not in refused, "a path is in what clients may read"
                boot(root, reached[-1])
                if reached[-1] == "" and not whole_copy(root):
                    assert leftovers(root) == before, f"left behind: {leftovers(root) - before}"
                recover(root)
            except (AssertionError, PiaccelError) as error:
                failures.append(f"operation {point} after {reached[-1]!r}: {error!r}")
            shutil.rmtree(root)
            most = max(most, point)
            if not hit:
                break
    return {"points": most, "failures": failures}


def leftovers(root: Path) -> set[str]:
    return {str(each.relative_to(root)) for each in (root / ".piaccel").rglob("*")}


def whole_copy(root: Path) -> bool:
    """Whether version 2 came as far as its name in the store: it may stay then, until copies are collected."""
    found = find(root, "2")
    return (root / ".piaccel" / "store" / found.digest).is_dir() and means(root)[0].verify(found.digest).is_dir()


def told(work: Callable[[], object]) -> list[str]:
    """The kind and the message of what a piece of work raises."""
    try:
        work()
    except PiaccelError as error:
        return [type(error).__name__, str(error)]
    return []


def full(root: Path) -> dict[str, Any]:
    """On a small disk that fills up: before the copy, in the midst of it, while the record is written."""
    make(root)
    store, ledger = means(root)
    before = leftovers(root)
    add(root, "3", size=100_000)
    free = os.statvfs(root)
    filler = root / "filler"

    def fill(leave: int) -> None:
        with open(filler, "wb", buffering=0) as file:
            space = os.statvfs(root)
            file.write(bytes(max(0, space.f_bavail * space.f_frsize - leave)))

    fill(leave=100_000)
    found: dict[str, Any] = {"early": told(lambda: store.adopt(find(root, "3")))}
    filler.unlink()
    assert os.statvfs(root).f_bavail == free.f_bavail
    version = find(root, "3")
    mkdir = os.mkdir

    def meanwhile(path: Any, *args: Any, **kwargs: Any) -> None:
        mkdir(path, *args, **kwargs)
        if ".adopting-" in str(path):
            fill(leave=100_000)

    os.mkdir = meanwhile
    found["midst"] = told(lambda: store.adopt(version))
    os.mkdir = mkdir
    fill(leave=0)
    record = ledger.read("parts")
    record.candidate = Ref("2", "0" * 64)
    found["record"] = told(lambda: ledger.write("parts", record))
    found["left"] = sorted(leftovers(root) ^ before)
    found["booted"] = boot(root, "")
    filler.unlink()
    recover(root)
    return found


def read_only(root: Path) -> dict[str, Any]:
    """On a disk that was remounted read-only (the worn card's last state)."""
    store, ledger = means(root)
    record = ledger.read("parts")
    stranger, _ = means(root / "elsewhere")
    there = stranger.open_in_place(find(root, "2"))
    return {
        "booted": boot(root, ""),
        "read_only": ledger.read_only,
        "adopt": told(lambda: store.adopt(find(root, "2"))),
        "record": told(lambda: ledger.write("parts", record)),
        "attempt": told(lambda: begin_attempt(ledger)),
        "collect": told(lambda: store.collect(set())),
        "in_place": str(stranger.verify(there.digest).relative_to(root)),
    }


def check(folder: Path) -> dict[str, Any]:
    """Boot and recover from every state that ``dropfs.py`` says the power may have left."""
    failures = []
    booted = set()
    states = json.loads((folder / "states.json").read_text())
    for number, state in enumerate(states):
        root = folder / "state"
        for name, text in sorted(state["tree"].items()):
            path = root / name
            if text is None:
                path.mkdir(parents=True)
            else:
                path.write_bytes(bytes.fromhex(text))
        try:
            booted.add(boot(root, state["reached"]))
            recover(root)
        except (AssertionError, PiaccelError) as error:
            failures.append(f"state {number}, {state['how']} after {state['reached']!r}, {state['last']}: {error!r}")
        shutil.rmtree(root)
    return {"states": len(states), "booted": sorted(booted), "failures": failures}


if __name__ == "__main__":
    what, where = sys.argv[1], Path(sys.argv[2])
    if what == "make":
        make(where)
    elif what in ("activate", "forget-files", "forget-folders"):
        if what != "activate":
            forget(folders=what == "forget-folders")
        # a look at a name that is not there, by which dropfs.py learns what has been achieved
        activate(where, lambda stage: void((where / f".reached-{stage}").exists()))
    else:
        work = {"points": points, "errors": errors, "full": full, "read-only": read_only, "check": check}[what]
        print(json.dumps(work(where)))
