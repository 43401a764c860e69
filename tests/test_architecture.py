"""The house's rules, held by reading the source: layers, sizes, names, and what an import may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "piaccel"
VENDORS = {"hailo_platform", "picamera2"}
"""Fakes that stand on the module path under the vendor's own name: no part of our house."""
MODULES = sorted(path for path in SOURCE.rglob("*.py") if not VENDORS & set(path.parts))

# The table of docs/architecture.md: a module imports only from rows above it, or from its own part.
LAYERS = (
    {"errors", "version"},
    {"tensors"},
    {
        "config",
        "frames",
        "images",
        "plugins",
        "isolation",
        "chatter",
        "durable",
        "files",
        "formats",
        "picamera",
        "specs",
    },
    {"backends", "tasks", "sources", "sinks", "device"},
    {"apart", "bundles", "fallback", "models", "packing", "stream", "trial"},
    {"optimize", "bench", "catalogue", "compilers", "testing"},
    {"auto", "fastest", "selection", "selftest", "tuned"},
    {"pipeline"},
    {"serving", "fleet", "soak"},
    {"piaccel"},
    {"cli"},
    {"__main__"},
)
TOGETHER = (
    {
        "config",
        "frames",
        "images",
        "plugins",
        "isolation",
        "chatter",
        "durable",
        "files",
        "formats",
        "picamera",
        "specs",
    },
    {"apart", "bundles", "fallback", "models", "packing", "stream", "trial"},
    {"auto", "fastest", "tuned"},
)


def part_of(module: str) -> str:
    """Return the part of the house that a dotted module name lies in."""
    names = module.split(".")
    return names[1] if len(names) > 1 else "piaccel"


def layer_of(part: str) -> int:
    for row, parts in enumerate(LAYERS):
        if part in parts:
            return row
    raise AssertionError(f"{part} stands in no layer: add it to docs/architecture.md and to this table")


def module_name(path: Path) -> str:
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported(path: Path) -> set[str]:
    """Return the piaccel modules that a file imports, wherever in it; type-checking imports too."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            if node.module == "piaccel":
                names |= {
                    f"piaccel.{alias.name}"
                    if (SOURCE / alias.name).exists() or (SOURCE / f"{alias.name}.py").exists()
                    else "piaccel"
                    for alias in node.names
                }
            else:
                names.add(node.module)
    return {name for name in names if name == "piaccel" or name.startswith("piaccel.")}


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_imports_only_from_the_layers_above_it(path: Path) -> None:
    mine = part_of(module_name(path))
    for name in imported(path):
        other = part_of(name)
        if other == mine or any({mine, other} <= parts for parts in TOGETHER):
            continue
        assert layer_of(other) < layer_of(mine), f"{module_name(path)} imports {name}"


@pytest.mark.parametrize("path", MODULES, ids=module_name)
def test_a_module_is_small_and_has_a_telling_name(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400
    assert path.stem not in {"utils", "util", "helpers", "helper", "common", "misc", "manager"}


def loaded_by(statement: str) -> set[str]:
    """Return the top-level packages outside the standard library that a fresh interpreter has after ``statement``."""
    script = f"import sys; before = set(sys.modules)\n{statement}\nprint(*(set(sys.modules) - before))"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    names = {name.partition(".")[0] for name in output.split() if "cython" not in name}
    return names - set(sys.stdlib_module_names) - {"piaccel", "__mp_main__"}


def test_importing_piaccel_and_listing_every_plug_in_loads_numpy_at_most() -> None:
    statement = "import piaccel, piaccel.backends, piaccel.tasks\n"
    statement += "for name in piaccel.backends.names(): piaccel.backends.get(name)\n"
    statement += "for name in piaccel.tasks.names(): piaccel.tasks.get(name)"
    assert loaded_by(statement) <= {"numpy"}


def test_listing_every_source_and_sink_loads_no_library_that_one_of_them_needs() -> None:
    statement = "import piaccel.sources, piaccel.sinks\n"
    statement += "for part in (piaccel.sources, piaccel.sinks):\n    for name in part.names(): part.get(name)"
    assert loaded_by(statement) <= {"numpy", "msgspec", "typing_extensions"}  # the last by msgspec, where it is there


def test_the_help_loads_no_runtime_and_no_numpy() -> None:
    statement = "from piaccel.cli import main\nassert main(['--help']) == 0"
    script = (
        f"import contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n    {statement.splitlines()[0]}\n"
    )
    script += f"    {statement.splitlines()[1]}"
    forbidden = {"numpy", "cv2", "ai_edge_litert", "onnxruntime", "openvino", "ncnn", "onnx", "tensorflow", "psutil"}
    assert not loaded_by(script) & forbidden


def test_a_named_backend_needs_neither_the_benchmark_nor_a_look_at_all_that_is_installed(demo: Path) -> None:
    """A version of a service starts in a fresh process while others answer: what it imports, they feel."""
    code = f"""
import sys
from piaccel.serving.host import Host
from piaccel.serving.runner import Opening
from pathlib import Path
bundle = Path({str(demo / "bundle")!r})
host = Host(Opening(path=bundle, backend="litert", variant="int8-tflite", pictures=False), alone=True)
assert not host.check().reason
print(*(name for name in ("piaccel.bench.run", "importlib.metadata", "cv2") if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not done.stdout.split()
