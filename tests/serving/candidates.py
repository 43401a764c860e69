"""Versions that must never stay: real bundles made of the demo model, each with what has to refuse it.

``good`` makes the version that they follow. All of them are for the backend ``fragile`` (LiteRT, except that files may
tell it to die) or for onnxruntime, as ``BAD`` says; ``fragile_backend`` installs the former.
"""

from __future__ import annotations

import importlib
import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from piaccel import backends, files, plugins
from piaccel.bundles import Bundle
from piaccel.serving import golden, release

By = Literal["opening", "golden", "golden of the version before", "latency", "memory", "crash", "signature"]
LITERT, ONNX = "fp32-tflite", "fp32-onnx"
LATENCY_MS = 100.0
"""The good version takes a few milliseconds on any machine, the slow one seconds on most."""
MEMORY_MB = 300.0
_PICTURES = ("washer_good.jpg", "gear_scratched.jpg", "nut_hole_missing.jpg")
_BIAS = "network.head.dense.bias"
_OPENING, _RUNNING = b"dies when it is opened", b"dies when it is run"
_FRAGILE = """
import ctypes
from piaccel.backends.litert import LiteRT as _LiteRT

class Fragile(_LiteRT):
    def _load(self, path, options):
        end = path.read_bytes()[-64:]
        if end.endswith({opening!r}):
            ctypes.string_at(0)
        session = super()._load(path, options)
        if end.endswith({running!r}):
            run, runs = session._run, []
            def fall(feeds):
                runs.append(None)
                return run(feeds) if len(runs) < 4 else ctypes.string_at(0)
            session._run = fall
        return session
"""


@dataclass(frozen=True)
class Candidate:
    """What a bad version needs to be opened with, what refuses it, and a part of what is said then."""

    refused_by: By
    reason: str
    backend: str = "fragile"
    variant: str = LITERT


BAD = {
    "nan": Candidate("golden", "NaN or infinite"),
    "nan onnx": Candidate("golden", "NaN or infinite", "onnxruntime", ONNX),
    "flipped byte": Candidate("golden", "instead of"),
    "flipped byte onnx": Candidate("golden", "instead of", "onnxruntime", ONNX),
    "swapped labels": Candidate("golden of the version before", "instead of"),
    "slow": Candidate("latency", f"the budget for any is {LATENCY_MS:g} ms", "onnxruntime", ONNX),
    "memory hog": Candidate("memory", f"the budget for any is {MEMORY_MB:g} MB", "onnxruntime", ONNX),
    "wrong shape": Candidate("opening", "its input is 64x64", "onnxruntime", ONNX),
    "damaged": Candidate("opening", "sha256"),
    "segfault when opened": Candidate("crash", "SIGSEGV"),
    "segfault when run": Candidate("crash", "SIGSEGV"),
    "unsigned": Candidate("signature", "not signed"),
    "downgraded": Candidate("signature", "older than"),
    "expired": Candidate("signature", "expired"),
}


@dataclass(frozen=True)
class Signer:
    """A private key in a file, and its public text."""

    path: Path
    public: str

    @classmethod
    def new(cls, path: Path) -> Signer:
        return cls(path, release.new_signing_key(path))

    def sign(self, folder: Path, version: str, **given: Any) -> None:
        """Sign it as the version of "parts" with this number."""
        given = {"model": "parts", "counter": int(version), **given}
        release.write(folder, version=version, keys=[release.read_signing_key(self.path)], **given)


def good(demo: Path, folder: Path, signer: Signer | None = None) -> Path:
    """Make the version that the bad ones follow: LiteRT and ONNX, golden samples, budgets. Returns ``folder``."""
    folder.mkdir(parents=True)
    source = Bundle.open(demo / "bundle")
    assert source.manifest is not None
    manifest = source.manifest
    manifest.variants = [each for each in manifest.variants if each.name in (LITERT, ONNX)]
    for name in ("labels.txt", *(each.file for each in manifest.variants)):
        shutil.copy(demo / "bundle" / name, folder)
    (folder / "model.toml").write_bytes(manifest.to_toml())
    pictures = [demo / "images" / name for name in _PICTURES]
    budgets: dict[str, Any] = {"latency_ms": {"any": LATENCY_MS}, "memory_mb": {"any": MEMORY_MB}}
    golden.make(folder, pictures, backend="litert", **budgets)
    if signer is not None:
        signer.sign(folder, folder.name, counter=100 + int(folder.name))
    return folder


def bad(name: str, demo: Path, folder: Path, signer: Signer | None = None) -> Path:
    """Make the bad version called ``name`` in ``folder``, whose name is its number where it is signed."""
    good(demo, folder)
    kind = name.removesuffix(" onnx")
    if kind in ("nan", "flipped byte"):
        _patch_bias(folder, flip=kind == "flipped byte")
    elif kind == "swapped labels":
        labels = (folder / "labels.txt").read_text().splitlines()
        (folder / "labels.txt").write_text("\n".join(reversed(labels)) + "\n")
        shutil.rmtree(folder / golden.FOLDER)
        golden.make(folder, [demo / "images" / each for each in _PICTURES], backend="litert")
    elif kind in ("slow", "memory hog", "wrong shape"):
        _rebuild({"slow": _slow, "memory hog": _hog, "wrong shape": _small}[kind], folder / "fp32.onnx")
        if kind == "memory hog":
            budgets(folder, latency_ms={})
    elif kind.startswith("segfault"):
        with open(folder / "fp32.tflite", "ab") as file:
            file.write(_OPENING if kind == "segfault when opened" else _RUNNING)
    if kind == "damaged":
        blob = bytearray((folder / "fp32.tflite").read_bytes())
        blob[len(blob) // 2] ^= 1
        (folder / "fp32.tflite").write_bytes(blob)
    else:
        _state_sums(folder)
    if signer is not None and kind != "unsigned":
        given: dict[str, Any] = {"counter": 7 if kind == "downgraded" else 100 + int(folder.name)}
        if kind == "expired":
            given["not_after"] = datetime(2020, 1, 1, tzinfo=UTC)
        signer.sign(folder, folder.name, **given)
    return folder


def _state_sums(folder: Path) -> None:
    """The manifest states what is there now."""
    manifest = Bundle.open(folder).manifest
    assert manifest is not None
    for table in manifest.variants:
        table.sha256 = files.sha256(folder / table.file)
    (folder / "model.toml").write_bytes(manifest.to_toml())


def _patch_bias(folder: Path, *, flip: bool) -> None:
    """Make a number of the last layer NaN, or flip one bit of its exponent: one byte differs then."""
    graph = onnx.load(folder / "fp32.onnx").graph
    bias = next(numpy_helper.to_array(each) for each in graph.initializer if each.name == _BIAS).tobytes()
    for name in ("fp32.onnx", "fp32.tflite"):
        blob = bytearray((folder / name).read_bytes())
        assert blob.count(bias) == 1
        place = blob.find(bias) + 4 * 5  # of the class "gear scratched", little-endian
        if flip:
            blob[place + 3] = (blob[place + 3] & 0x7F) ^ 0x40
        else:
            blob[place : place + 4] = np.float32(np.nan).tobytes()
        (folder / name).write_bytes(blob)


def _rebuild(change: Any, path: Path) -> None:
    model = onnx.load(path)
    change(model.graph)
    onnx.checker.check_model(model)
    onnx.save(model, path)


def _lead_through(graph: Any, nodes: list[Any], last: str) -> None:
    """Put nodes that leave the picture as it is between the input and the network."""
    name = graph.input[0].name
    for node in graph.node:
        node.input[:] = [last if each == name else each for each in node.input]
    for node in reversed(nodes):
        graph.node.insert(0, node)


def _slow(graph: Any, channels: int = 96, layers: int = 24) -> None:
    """Convolutions that hand each channel on: 18 GMAC more, the same answer."""
    widen, same, narrow = (
        np.zeros((a, b, 3, 3), np.float32) for a, b in ((channels, 3), (channels,) * 2, (3, channels))
    )
    for kernel in (widen, same, narrow):
        for channel in range(min(kernel.shape[:2])):
            kernel[channel, channel, 1, 1] = 1
    names = ["widen", *["same"] * layers, "narrow"]
    graph.initializer.extend(
        numpy_helper.from_array(each, n) for each, n in ((widen, "widen"), (same, "same"), (narrow, "narrow"))
    )
    values = [graph.input[0].name, *(f"slow{i}" for i in range(len(names)))]
    nodes = [
        helper.make_node("Conv", [values[i], kernel], [values[i + 1]], pads=[1, 1, 1, 1])
        for i, kernel in enumerate(names)
    ]
    _lead_through(graph, nodes, values[-1])


def _hog(graph: Any, copies: int = 4000) -> None:
    """The picture 4000 times (442 MB), of which the largest is the picture itself."""
    graph.initializer.append(numpy_helper.from_array(np.array([copies, 3, 96, 96], np.int64), "many"))
    nodes = [
        helper.make_node("Expand", [graph.input[0].name, "many"], ["copies"]),
        helper.make_node("ReduceMax", ["copies"], ["largest"], axes=[0], keepdims=1),
    ]
    _lead_through(graph, nodes, "largest")


def _small(graph: Any) -> None:
    """Another input than the manifest's; the network itself would take it."""
    for dim in list(graph.input[0].type.tensor_type.shape.dim)[2:]:
        dim.dim_value = 64
    del graph.value_info[:]


@contextmanager
def fragile_backend(folder: Path) -> Iterator[None]:
    """Another package's backend ``fragile``: LiteRT that dies (SIGSEGV) of files that say so at their end."""
    package = folder / "fragility"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "fragile.py").write_text(_FRAGILE.format(opening=_OPENING, running=_RUNNING))
    info = folder / "fragility-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fragility\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[piaccel.backends]\nfragile = fragility.fragile\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.syspath_prepend(str(folder))
        _forget()
        yield
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "fragility"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    plugins.names.cache_clear()
    plugins._others.cache_clear()
    backends.get.cache_clear()


def budgets(folder: Path, **given: Any) -> None:
    """Change the budgets of a bundle's golden samples, before it is signed."""
    path = folder / golden.FOLDER / golden.EXPECTED
    path.write_text(json.dumps({**json.loads(path.read_text()), **given}))
