"""Finding plug-ins: our files, and other packages' entry points."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from piaccel import plugins
from piaccel.backends import Backend
from piaccel.errors import OptionError

_GOOD = """
from piaccel.backends import Backend

class _Base(Backend):
    pass

class Good(_Base):
    suffixes, priority, modules, install = (".x",), 1, ("json",), "pip install x"
    def _probe(self): ...
    def _load(self, path, options): ...
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package with entry points; a test writes its modules."""
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    names = ["good", "empty", "double", "broken", "litert"]
    lines = "\n".join(f"{name} = other_plugins.{name}" for name in names)
    (info / "entry_points.txt").write_text(f"[piaccel.backends]\n{lines}\n")
    folder = tmp_path / "other_plugins"
    folder.mkdir()
    (folder / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    _forget()
    yield folder
    _forget()


def _forget() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "other_plugins"]:
        del sys.modules[name]
    importlib.invalidate_caches()
    plugins.names.cache_clear()
    plugins._others.cache_clear()


def test_our_files_are_listed_by_name_and_sorted() -> None:
    found = plugins.names("backends")
    assert {"litert", "ncnn", "onnxruntime", "opencv", "openvino"} <= set(found)
    assert list(found) == sorted(found)
    assert not any(name.startswith("_") for name in found)


def test_another_package_s_entry_points_are_listed_without_importing_them(package: Path) -> None:
    assert "broken" in plugins.names("backends")


def test_another_package_s_class_is_found(package: Path) -> None:
    (package / "good.py").write_text(_GOOD)
    assert plugins.load("backends", "good", Backend).__name__ == "Good"  # type: ignore[type-abstract]


def test_our_own_name_cannot_be_taken(package: Path) -> None:
    found = plugins.load("backends", "litert", Backend)  # type: ignore[type-abstract]
    assert found.__module__ == "piaccel.backends.litert"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("empty", "", "must define one Backend, it defines 0"),
        ("double", _GOOD + _GOOD.replace("Good", "Better"), "must define one Backend, it defines 2"),
        ("broken", "import no_such_part", "does not import: ModuleNotFoundError: No module named 'no_such_part'"),
    ],
)
def test_a_module_that_is_no_plug_in_is_named(package: Path, name: str, text: str, message: str) -> None:
    (package / f"{name}.py").write_text(text)
    with pytest.raises(OptionError, match=message) as caught:
        plugins.load("backends", name, Backend)  # type: ignore[type-abstract]
    assert f"other_plugins.{name}" in str(caught.value)


def test_an_unknown_name_is_answered_with_the_choice() -> None:
    with pytest.raises(OptionError, match="no backend is called 'nothing'") as caught:
        plugins.load("backends", "nothing", Backend)  # type: ignore[type-abstract]
    assert "litert" in caught.value.hint
