"""LiteRT's delegates and custom operators: real libraries, compiled here, run by the real runtime."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import piaccel
from piaccel import backends, cli, config, isolation, trial
from piaccel.backends import Placement
from piaccel.backends.litert import LiteRTOptions
from piaccel.errors import CrashError, InferenceError, ModelError, OptionError, UnavailableError
from piaccel.testing.native import compile_library
from tests.backends import coral, networks

BACKEND = backends.get("litert")
PAGE = Path(__file__).parents[2] / "docs" / "delegates.md"


def options(**given: Any) -> LiteRTOptions:
    return LiteRTOptions(threads=1, **given)


def compiled(folder: Path, name: str, text: str, *arguments: str) -> Path:
    (folder / name).write_text(text)
    try:
        return compile_library(folder / name, (folder / name).with_suffix(".so"), *arguments)
    except UnavailableError as error:
        pytest.skip(str(error))


def block(language: str, containing: str) -> str:
    """The page's code block in ``language`` that contains a text."""
    blocks = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)
    (found,) = [each for each in blocks if containing in each]
    return str(found)


def test_a_delegate_takes_its_operators_and_the_session_tells_how_many(libedgetpu: Path, tmp_path: Path) -> None:
    path = coral.compiled_file(tmp_path / "half.tflite", "acme-op", left=True)
    with BACKEND.load(path, options(delegate=f"{libedgetpu}:take=acme-op")) as session:
        assert session.placement == Placement(libedgetpu.name, taken=1, left=1)
        assert str(session.placement) == f"1 of 2 operators on {libedgetpu.name}, 1 on the CPU"
        answered = session.run({"x": coral.picture()})["z"]
    np.testing.assert_array_equal(answered, coral.answer(coral.picture()).reshape(1, 50))


def test_a_delegate_that_takes_nothing_is_told_too(libedgetpu: Path, tmp_path: Path) -> None:
    path = networks.tflite_file(tmp_path / "plain.tflite")
    with BACKEND.load(path, options(delegate=str(libedgetpu))) as session:
        assert session.placement == Placement(libedgetpu.name, taken=0, left=1)
        answered = session.run({"x": networks.picture()})["y"]
    np.testing.assert_allclose(answered, networks.answer(networks.picture()), atol=1e-5)


def test_without_a_delegate_there_is_no_placement(tmp_path: Path) -> None:
    with BACKEND.load(networks.tflite_file(tmp_path / "plain.tflite"), options()) as session:
        assert session.placement is None


def test_full_delegation_can_be_required_and_what_stays_on_the_cpu_is_named(libedgetpu: Path, tmp_path: Path) -> None:
    delegate = f"{libedgetpu}:take=acme-op"
    whole = coral.compiled_file(tmp_path / "whole.tflite", "acme-op")
    with BACKEND.load(whole, options(delegate=delegate, require_full_delegation=True)) as session:
        assert session.placement == Placement(libedgetpu.name, taken=1, left=0)
    half = coral.compiled_file(tmp_path / "half.tflite", "acme-op", left=True)
    with pytest.raises(ModelError, match="leaves 1 of 2 operators to the CPU: RESHAPE") as caught:
        BACKEND.load(half, options(delegate=delegate, require_full_delegation=True))
    assert str(half) in str(caught.value)
    assert "leave require_full_delegation out" in caught.value.hint


def test_the_options_are_read_from_the_command_line(libedgetpu: Path) -> None:
    given = config.options(
        LiteRTOptions, [f"delegate={libedgetpu}:device=usb:0,take=a", "require_full_delegation=true"]
    )
    assert given.delegate == f"{libedgetpu}:device=usb:0,take=a"
    assert given.require_full_delegation


@pytest.mark.parametrize("text", ["", ":a=b", "lib.so:a", "lib.so:=b", "lib.so:a=b,c"])
def test_a_delegate_that_is_written_wrongly_is_refused(text: str) -> None:
    with pytest.raises(OptionError, match=re.escape("is not LIB[:key=value,...]")):
        LiteRTOptions(delegate=text)


def test_full_delegation_without_a_delegate_is_refused() -> None:
    with pytest.raises(OptionError, match="needs a delegate"):
        LiteRTOptions(require_full_delegation=True)


@pytest.mark.parametrize("option", ["delegate", "custom_ops"])
def test_a_library_that_is_not_there_is_named_in_one_line(option: str, tmp_path: Path) -> None:
    path = networks.tflite_file(tmp_path / "plain.tflite")
    for missing in (str(tmp_path / "absent.so"), "libabsent.so.7"):
        with pytest.raises(UnavailableError) as caught:
            BACKEND.load(path, options(**{option: missing}))
        assert str(caught.value) == f"the library {missing} is not there"
        assert caught.value.hint


@pytest.mark.parametrize("option", ["delegate", "custom_ops"])
def test_a_file_that_is_no_library_is_named_in_one_line(option: str, tmp_path: Path) -> None:
    path = networks.tflite_file(tmp_path / "plain.tflite")
    text = tmp_path / "text.so"
    text.write_text("not a library")
    with pytest.raises(UnavailableError, match="is no library that this computer can load: file too short") as caught:
        BACKEND.load(path, options(**{option: str(text)}))
    assert str(text) in str(caught.value)
    assert caught.value.hint


def test_a_library_that_lacks_another_says_which(tmp_path: Path) -> None:
    other = compiled(tmp_path, "other.c", "int other(void) { return 1; }", "-Wl,-soname,libother.so")
    needy = compiled(tmp_path, "needy.c", "int other(void); int needy(void) { return other(); }", str(other))
    with pytest.raises(UnavailableError, match=r"needy\.so needs libother\.so, which is not installed") as caught:
        BACKEND.load(networks.tflite_file(tmp_path / "plain.tflite"), options(delegate=str(needy)))
    assert "libother.so" in caught.value.hint


def test_a_library_without_the_right_function_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = networks.tflite_file(tmp_path / "plain.tflite")
    other = compiled(tmp_path, "other.c", "int other(void) { return 1; }")
    with pytest.raises(UnavailableError, match="is no delegate: it has no tflite_plugin_create_delegate"):
        BACKEND.load(path, options(delegate=str(other)))
    with pytest.raises(UnavailableError, match="registers no operators: it has no function RegisterSelectedOps") as one:
        BACKEND.load(path, options(custom_ops=str(other)))
    assert "other.so:FUNCTION" in one.value.hint
    with pytest.raises(UnavailableError, match="it has no function absent"):
        BACKEND.load(path, options(custom_ops=f"{other}:other,absent"))
    assert capfd.readouterr() == ("", "")


def test_a_delegate_that_refuses_tells_what_it_printed(
    libedgetpu: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = """
    #include <stdio.h>
    void* tflite_plugin_create_delegate(char** k, char** v, size_t n, void (*report)(const char*)) {
      fprintf(stderr, "E acme: starting\\nE acme: no device at /dev/acme0\\n");
      if (n) report("option not known");
      return NULL;
    }
    void tflite_plugin_destroy_delegate(void* delegate) { (void)delegate; }
    """
    acme = compiled(tmp_path, "acme.c", source)
    path = networks.tflite_file(tmp_path / "plain.tflite")
    with pytest.raises(UnavailableError, match="refuses to start: it says: E acme: no device at /dev/acme0"):
        BACKEND.load(path, options(delegate=str(acme)))
    with pytest.raises(UnavailableError, match="refuses to start: it says: option not known"):
        BACKEND.load(path, options(delegate=f"{acme}:colour=red"))
    with pytest.raises(UnavailableError, match="refuses to start: it does not say why"):
        BACKEND.load(path, options(delegate=f"{libedgetpu}:mode=no-device,device=usb:7"))
    assert capfd.readouterr() == ("", "")


def test_a_delegate_that_crashes_kills_only_the_child_and_is_remembered(
    libedgetpu: Path, shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = shared / "models/imagenet/mobilenet_v1_0.25_128_quant.tflite"
    given = [f"delegate={libedgetpu}:mode=crash-on-load"]
    with pytest.raises(CrashError, match=r"litert died of it .SIGSEGV."):
        piaccel.load(path, "litert", options=given)
    monkeypatch.setattr(trial, "answer", None)  # it is not tried again
    with pytest.raises(CrashError, match=r"SIGSEGV.*, seen 20"):
        piaccel.load(path, "litert", options=given)


def test_a_delegate_that_fails_in_a_run_is_an_inference_error(libedgetpu: Path, tmp_path: Path) -> None:
    path = coral.compiled_file(tmp_path / "net.tflite", "acme-op")
    with BACKEND.load(path, options(delegate=f"{libedgetpu}:take=acme-op,mode=lost-after:2")) as session:
        feeds = {"x": coral.picture()}
        session.run(feeds)
        session.run(feeds)
        with pytest.raises(InferenceError, match=r"net\.tflite: litert failed: .*Failed to execute request"):
            session.run(feeds)


def test_the_documented_operator_compiles_and_runs(tmp_path: Path) -> None:
    library = compiled(tmp_path, "square.cc", block("cpp", "acme-square"))
    path = networks.custom_tflite_file(tmp_path / "square.tflite", "acme-square")
    with pytest.raises(ModelError, match="litert does not know its operator 'acme-square'"):
        BACKEND.load(path, options())
    for text in (str(library), f"{library}:RegisterSelectedOps"):
        with BACKEND.load(path, options(custom_ops=text)) as session:
            answered = session.run({"x": np.array([[1, -2, 3, 0.5]], np.float32)})["y"]
        np.testing.assert_array_equal(answered, np.array([[1, 4, 9, 0.25]], np.float32))


def test_an_operator_and_a_delegate_work_together(libedgetpu: Path, tmp_path: Path) -> None:
    library = compiled(tmp_path, "square.cc", block("cpp", "acme-square"))
    net = networks.TFLite()
    x, y, z = (net.tensor(name, (1, 4)) for name in "xyz")
    net.operator("CUSTOM", [x], [y], custom="acme-op")
    net.operator("CUSTOM", [y], [z], custom="acme-square")
    path = net.write(tmp_path / "both.tflite", [x], [z])
    given = options(custom_ops=str(library), delegate=f"{libedgetpu}:take=acme-op")
    with BACKEND.load(path, given) as session:
        assert session.placement == Placement(libedgetpu.name, taken=1, left=1)
        answered = session.run({"x": np.array([[1, 2, 3, 4]], np.float32)})["z"]
    np.testing.assert_array_equal(answered, np.array([[1, 4, 9, 16]], np.float32))


def test_a_library_that_registers_another_operator_leaves_the_model_s_unknown(tmp_path: Path) -> None:
    library = compiled(tmp_path, "square.cc", block("cpp", "acme-square"))
    path = networks.custom_tflite_file(tmp_path / "cube.tflite", "acme-cube")
    with pytest.raises(ModelError, match="litert does not know its operator 'acme-cube'"):
        BACKEND.load(path, options(custom_ops=str(library)))


def test_the_header_refuses_a_resolver_of_another_layout(tmp_path: Path) -> None:
    program = """
    #include "custom_op.h"
    extern "C" int refused(void) {
      static char nothing[512];
      TfLiteRegistration kernel = {};
      return !piaccel::add_custom(nothing, "acme", kernel);
    }
    """
    library = compiled(tmp_path, "layout.cc", program)
    assert isolation.call(f"{__name__}:refused_in_this_process", str(library), timeout=30)


def refused_in_this_process(library: str) -> bool:
    import ctypes

    check: Callable[[], int] = ctypes.CDLL(library).refused
    return bool(check())


def test_the_command_line_takes_a_delegate_and_shows_what_it_took(
    libedgetpu: Path, tmp_path: Path, demo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = coral.compiled_file(tmp_path / "whole.tflite", "acme-op")
    half = coral.compiled_file(tmp_path / "half.tflite", "acme-op", left=True)
    given = [str(demo / "images" / "gear_good.jpg"), "--task", "classification", "--require-full-delegation"]
    delegate = ["--delegate", f"{libedgetpu}:take=acme-op"]
    assert cli.main(["predict", str(whole), *given, *delegate]) == 0
    assert f"1 of 1 operators on {libedgetpu.name}, 0 on the CPU" in capsys.readouterr().err
    assert cli.main(["predict", str(half), *given, *delegate]) == 1
    assert "leaves 1 of 2 operators" in capsys.readouterr().err
    assert cli.main(["predict", str(half), *given]) == 2
    assert "needs a delegate" in capsys.readouterr().err
