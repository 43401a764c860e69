"""The seam: looking up, probing in a child, loading, and what becomes of a runtime's errors."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from piaccel import backends
from piaccel.backends import Options, Session, distinct, last_line
from piaccel.errors import InferenceError, InputError, ModelError, OptionError, UnavailableError
from piaccel.tensors import Array, TensorSpec
from tests.formats import samples

RUNTIMES = ("ai_edge_litert", "cv2", "ncnn", "onnx", "onnxruntime", "openvino", "tensorflow", "tflite_runtime")
OURS = ("litert", "ncnn", "onnxruntime", "opencv", "openvino")


def test_the_five_runtimes_are_listed() -> None:
    assert set(OURS) <= set(backends.names())


def loaded_by(statement: str) -> set[str]:
    """The top-level modules that a fresh interpreter has after ``statement``."""
    script = f"{statement}\nimport sys; print(*{{name.partition('.')[0] for name in sys.modules}})"
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return set(output.split())


def test_looking_all_up_loads_numpy_and_the_standard_library_only() -> None:
    found = loaded_by(f"import piaccel, piaccel.backends as b; [b.get(name).installed() for name in {OURS}]")
    allowed = loaded_by("import numpy, multiprocessing.connection")
    assert not found & set(RUNTIMES)
    assert found - allowed - set(sys.stdlib_module_names) == {"piaccel"}


def test_an_unknown_name_is_answered_with_those_that_exist() -> None:
    with pytest.raises(OptionError, match="'tensorrt'") as caught:
        backends.get("tensorrt")
    assert "litert" in caught.value.hint


@pytest.mark.parametrize(
    ("name", "cause"), [("segfaults", "SIGSEGV"), ("illegal", "SIGILL"), ("aborts", "SIGABRT"), ("exits", "status 3")]
)
def test_a_runtime_that_kills_its_process_is_reported(strange: Path, name: str, cause: str) -> None:
    found = backends.get(name).probe()
    assert not found.ok
    assert cause in found.reason
    assert "pip install --force-reinstall strange" in found.hint


def test_what_is_known_of_a_crash_and_what_it_last_said_are_told(strange: Path) -> None:
    hint = backends.get("segfaults").probe().hint
    assert "when the moon is full" in hint
    assert "about to fall" in hint


def test_an_illegal_instruction_is_explained(strange: Path) -> None:
    assert "instructions that the CPU" in backends.get("illegal").probe().hint


def test_a_runtime_that_hangs_is_reported(strange: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "PROBE_TIMEOUT_S", 2.0)
    found = backends.get("hangs").probe()
    assert not found.ok
    assert found.reason == "starting it takes longer than 2 s"


def test_a_hang_is_remembered_for_this_version_of_the_runtime(strange: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "PROBE_TIMEOUT_S", 2.0)
    backends.get("hangs").probe()
    monkeypatch.setattr(backends, "PROBE_TIMEOUT_S", 600.0)  # which the test would not survive
    again = backends.get("hangs").probe()
    assert again.reason.startswith("starting it takes longer than 2 s, seen ")
    assert again.hint.endswith("piaccel backends --again")
    monkeypatch.setattr(type(backends.get("hangs")), "stamp", lambda self: "a newer version")
    monkeypatch.setattr(backends, "PROBE_TIMEOUT_S", 1.0)
    assert backends.get("hangs").probe().reason == "starting it takes longer than 1 s"


def test_what_is_remembered_can_be_forgotten_and_need_not_be_readable(strange: Path, tmp_path: Path) -> None:
    backends.get("segfaults").probe()
    (kept,) = tmp_path.glob("cache/piaccel/crashed/segfaults-*.json")
    kept.write_text("[]")
    assert ", seen " not in backends.get("segfaults").probe().reason
    assert ", seen " in backends.get("segfaults").probe().reason
    backends.forget()
    assert ", seen " not in backends.get("segfaults").probe().reason


@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("old_numpy", "pip install 'numpy<2'"),
        ("old_system", "Raspberry Pi OS Bookworm or later"),
        ("big_pages", "kernel=kernel8.img"),
        ("no_library", "sudo apt install libgl1"),
        ("raises", "pip install strange"),
    ],
)
def test_a_runtime_that_does_not_start_is_reported_with_what_mends_it(strange: Path, name: str, remedy: str) -> None:
    found = backends.get(name).probe()
    assert not found.ok
    assert len(found.reason.splitlines()) == 1
    assert remedy in found.hint


def test_a_runtime_that_is_not_installed_is_reported_with_the_command(strange: Path) -> None:
    found = backends.get("absent").probe()
    assert not found.ok
    assert found.reason == "not_installed_anywhere.part is not installed"
    assert found.state == "not installed"
    assert found.hint == "pip install strange"


def test_a_sound_backend_of_another_package_is_ready(strange: Path) -> None:
    assert backends.get("sound").probe().ok


def test_a_backend_that_does_not_import_is_named(strange: Path) -> None:
    with pytest.raises(OptionError, match=r"strangers\.does_not_import does not import: ImportError: missing part"):
        backends.get("does_not_import")


def test_a_runtime_s_error_becomes_one_line_with_the_file(strange: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.strange"
    path.touch()
    with pytest.raises(ModelError) as caught:
        backends.get("sound").load(path)
    assert str(caught.value) == f"{path}: sound cannot open it: no such thing"


def test_loading_without_the_runtime_names_the_command(strange: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.strange"
    path.touch()
    for name in ("absent", "unimportable"):
        with pytest.raises(UnavailableError, match=name) as caught:
            backends.get(name).load(path)
        assert caught.value.hint == "pip install strange"


class Failing(Session):
    """Raises what a runtime might, whatever it is fed."""

    def __init__(self, error: Exception) -> None:
        self.inputs = (TensorSpec("x", (None, 2), np.dtype(np.float32)),)
        self.outputs = ()
        self.error = error
        self.closed = 0

    def _run(self, feeds: object) -> dict[str, Array]:
        raise self.error

    def _close(self) -> None:
        self.closed += 1


def test_a_failure_while_running_becomes_an_inference_error() -> None:
    with pytest.raises(InferenceError, match="the reason"):
        Failing(ValueError("a header\nthe reason\n")).run({"x": np.zeros((1, 2), np.float32)})


def test_a_failure_while_running_names_the_file_and_the_backend(strange: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    with backends.get("litert").load(samples.tflite(path)) as session:
        session._run = Failing(ValueError("a header\nthe reason\n"))._run  # type: ignore[method-assign]
        with pytest.raises(InferenceError) as caught:
            session.run({"image": np.zeros((1, 8, 8, 3), np.float32)})
    assert str(caught.value) == f"{path}: litert failed: the reason"


def test_a_run_that_was_submitted_gives_its_answer_or_its_error_later() -> None:
    feeds = {"x": np.ones((1, 2), np.float32)}
    with pytest.raises(InferenceError, match="the reason"):
        Failing(ValueError("a header\nthe reason\n")).submit(feeds).result()
    with pytest.raises(InputError, match="'x' is missing"):
        Failing(ValueError("")).submit({})
    session = Failing(ValueError(""))
    session._run = dict  # type: ignore[method-assign,assignment]
    assert session.depth == 1
    assert session.submit(feeds).result() == feeds


def test_an_error_raised_on_purpose_while_running_stays_itself() -> None:
    with pytest.raises(InputError, match="as it is"):
        Failing(InputError("as it is")).run({"x": np.zeros((1, 2), np.float32)})


def test_a_free_dimension_takes_any_length_but_none() -> None:
    session = Failing(InferenceError("it ran"))
    with pytest.raises(InferenceError, match="it ran"):
        session.run({"x": np.zeros((7, 2), np.float32)})
    with pytest.raises(InputError, match=r"shape \(0, 2\), expected \(\?, 2\)"):
        session.run({"x": np.zeros((0, 2), np.float32)})


def test_the_other_byte_order_is_a_wrong_dtype() -> None:
    with pytest.raises(InputError, match="'x' has dtype >f4"):
        Failing(InferenceError("")).run({"x": np.zeros((1, 2), ">f4")})


def test_an_array_without_a_name_is_refused() -> None:
    with pytest.raises(InputError, match="takes arrays by name, got a ndarray"):
        Failing(InferenceError("")).run(np.zeros((1, 2), np.float32))  # type: ignore[arg-type]


def test_what_a_session_holds_is_given_back_once() -> None:
    with Failing(InferenceError("")) as session:
        session.close()
    session.close()
    assert session.closed == 1


def test_threads_default_to_the_cores_this_process_may_use() -> None:
    assert Options().thread_count >= 1
    assert Options(threads=3).thread_count == 3


def test_names_that_repeat_get_a_number() -> None:
    assert distinct(["a", "b", "a", "", "", "a"]) == ["a", "b", "a:1", "", ":1", "a:2"]


def test_the_last_line_of_an_empty_error_is_its_kind() -> None:
    assert last_line(ValueError()) == "ValueError"
    assert last_line(ValueError("one\n two \n\n")) == "two"
