"""Backends of another package, each broken in its own way, installed where a test says."""

from __future__ import annotations

from pathlib import Path

_BACKEND = """
from piaccel.backends import Availability, Backend, Options, Session

class Strange(Backend):
    suffixes = (".strange",)
    priority = 1
    modules = ({module!r},)
    install = "pip install strange"
    crash_hint = {hint!r}

    def _probe(self):
        {probe}
        return Availability(True, version="1.0", devices=("CPU",))

    def _load(self, path, options):
        {load}
"""

PROBES = {
    "sound": "pass",
    "segfaults": "import ctypes; print('about to fall'); import sys; sys.stdout.flush(); ctypes.string_at(0)",
    "illegal": "import os, signal; os.kill(os.getpid(), signal.SIGILL)",
    "aborts": "import os; os.abort()",
    "exits": "import os; os._exit(3)",
    "hangs": "import time; time.sleep(600)",
    "old_numpy": "raise ImportError('numpy.core.multiarray failed to import')",
    "old_system": 'raise ImportError("/lib/libc.so.6: version `GLIBC_2.38\' not found (required by strange.so)")',
    "big_pages": "raise ImportError('strange.so: ELF load command address/offset not page-aligned')",
    "no_library": "raise ImportError('libGL.so.1: cannot open shared object file: No such file or directory')",
    "raises": "raise RuntimeError('first line\\nwhat matters')",
}


def install(folder: Path, names: tuple[str, ...] = ()) -> None:
    """Install those of ``names``, or all, into ``folder``, which has to come onto the module path."""
    package = folder / "strangers"
    package.mkdir(parents=True, exist_ok=True)
    (package / "__init__.py").touch()
    for name, probe in PROBES.items():
        hint = "it falls when the moon is full" if name == "segfaults" else ""
        _write(package, name, probe=probe, hint=hint, load="raise RuntimeError('C++ says\\nno such thing\\n')")
    _write(package, "absent", module="not_installed_anywhere.part")
    _write(package, "unimportable", load="from not_installed_anywhere import thing")
    (package / "does_not_import.py").write_text("raise ImportError('missing part')\n")
    info = folder / "strangers-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strangers\nVersion: 1.0\n")
    found = names or [file.stem for file in package.glob("*.py") if file.stem != "__init__"]
    points = [f"{name} = strangers.{name}" for name in found]
    (info / "entry_points.txt").write_text("[piaccel.backends]\n" + "\n".join(sorted(points)) + "\n")


def _write(
    package: Path, name: str, *, probe: str = "pass", load: str = "pass", module: str = "json", hint: str = ""
) -> None:
    text = _BACKEND.format(probe=probe, load=load, module=module, hint=hint)
    (package / f"{name}.py").write_text(text)
