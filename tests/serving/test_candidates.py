"""Every bad version is refused, by what has to refuse it; the good one is not."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from piaccel.errors import CrashError, PiaccelError
from piaccel.serving import release
from piaccel.serving.process import ProcessRunner
from piaccel.serving.runner import Opening
from tests.serving import candidates
from tests.serving.candidates import BAD, Signer


@pytest.fixture(scope="module", autouse=True)
def fragile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with candidates.fragile_backend(tmp_path_factory.mktemp("site")):
        yield


@pytest.fixture(scope="module")
def before(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The version that serves."""
    return candidates.good(demo, tmp_path_factory.mktemp("good") / "2")


async def asked(folder: Path, backend: str, variant: str, before: Path) -> tuple[str, str]:
    """What refuses a version when it is opened in a process of its own and checked, and in which words."""
    try:
        opening = Opening(path=folder, backend=backend, variant=variant, threads=1)
        runner = await ProcessRunner.open(opening, hang_s=120.0, idle=True)
    except CrashError as error:
        return "crash", str(error)
    except PiaccelError as error:
        return "opening", str(error)
    try:
        for samples in (None, before):
            found = await runner.check(samples)
            if found.reason:
                names = {"ms": "latency", "MB": "memory"}
                by = names.get(found.reason[-2:], "golden" if samples is None else "golden of the version before")
                return by, found.reason
    except CrashError as error:
        return "crash", str(error)
    finally:
        await runner.close()
    return "", ""


@pytest.mark.parametrize(("backend", "variant"), [("fragile", "fp32-tflite"), ("onnxruntime", "fp32-onnx")])
def test_the_good_version_is_not_refused(before: Path, backend: str, variant: str) -> None:
    assert asyncio.run(asked(before, backend, variant, before)) == ("", "")


@pytest.mark.parametrize("name", [name for name, each in BAD.items() if each.refused_by != "signature"])
def test_a_bad_version_is_refused_by_what_has_to(demo: Path, tmp_path: Path, before: Path, name: str) -> None:
    candidate = BAD[name]
    folder = candidates.bad(name, demo, tmp_path / "3")
    by, reason = asyncio.run(asked(folder, candidate.backend, candidate.variant, before))
    assert by == candidate.refused_by, reason
    assert candidate.reason in reason


@pytest.mark.parametrize("name", [name for name, each in BAD.items() if each.refused_by == "signature"])
def test_a_version_without_a_good_signature_is_refused_before_anything_of_it_is_opened(
    demo: Path, tmp_path: Path, name: str
) -> None:
    signer = Signer.new(tmp_path / "key")
    keys = release.read_keys([signer.public])
    taken = release.verify(
        candidates.good(demo, tmp_path / "2", signer), keys, model="parts", now=time.time(), highest={}
    )
    highest = {taken.key_id: taken.counter}
    folder = candidates.bad(name, demo, tmp_path / "3", signer)
    with pytest.raises(PiaccelError, match=BAD[name].reason):
        release.verify(folder, keys, model="parts", now=time.time(), highest=highest)


def test_a_bad_network_with_a_good_signature_is_left_to_the_golden_check(demo: Path, tmp_path: Path) -> None:
    signer = Signer.new(tmp_path / "key")
    folder = candidates.bad("nan", demo, tmp_path / "2", signer)
    found = release.verify(folder, release.read_keys([signer.public]), model="parts", now=time.time(), highest={})
    assert found.counter == 102
