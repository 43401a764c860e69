"""Keeping native output away from the user."""

import ctypes
import os
import subprocess
import sys
import threading

import pytest

from piaccel import chatter

LIBC = ctypes.CDLL(None)


def say(text: bytes) -> None:
    """Write to the file descriptors as a C library does, past sys.stdout."""
    for fd in (1, 2):
        os.write(fd, text)


def test_what_a_library_prints_is_lost_and_what_comes_after_is_not(capfd: pytest.CaptureFixture[str]) -> None:
    say(b"before ")
    with chatter.quiet():
        say(b"chatter ")
        LIBC.puts(b"chatter from C")
        LIBC.fflush(None)
    say(b"after")
    assert capfd.readouterr() == ("before after", "before after")


def test_an_error_passes_and_the_output_is_restored(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="as it is"), chatter.quiet():
        raise ValueError("as it is")
    say(b"after")
    assert capfd.readouterr().err == "after"


def test_what_python_had_buffered_before_is_not_lost(capfd: pytest.CaptureFixture[str]) -> None:
    sys.stdout.write("buffered")
    with chatter.quiet():
        pass
    assert capfd.readouterr().out == "buffered"


def test_it_nests(capfd: pytest.CaptureFixture[str]) -> None:
    with chatter.quiet():
        with chatter.quiet():
            say(b"inner")
        say(b"outer")
    say(b"after")
    assert capfd.readouterr().out == "after"


def test_threads_that_overlap_leave_the_output_as_it_was(capfd: pytest.CaptureFixture[str]) -> None:
    second_is_in, first_is_out = threading.Event(), threading.Event()

    def second() -> None:
        with chatter.quiet():
            second_is_in.set()
            first_is_out.wait(10)

    thread = threading.Thread(target=second)
    with chatter.quiet():
        thread.start()
        second_is_in.wait(10)
    first_is_out.set()
    thread.join()
    say(b"after")
    assert capfd.readouterr() == ("after", "after")


def test_no_file_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with chatter.quiet():
            pass
    assert len(os.listdir("/proc/self/fd")) == before


def test_nothing_is_hidden_when_asked_for(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIACCEL_VERBOSE", "")
    chatter.set_verbose(True)
    try:
        with chatter.quiet():
            say(b"chatter")
        assert os.environ["PIACCEL_VERBOSE"] == "1"
    finally:
        chatter.set_verbose(False)
    assert capfd.readouterr() == ("chatter", "chatter")


@pytest.mark.parametrize(("value", "verbose"), [("1", "True"), ("0", "False"), ("", "False")])
def test_children_learn_it_from_the_environment(value: str, verbose: str) -> None:
    script = "from piaccel import chatter; print(chatter.verbose())"
    environment = {**os.environ, "PIACCEL_VERBOSE": value}
    output = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment).stdout
    assert output.strip() == verbose


def test_a_process_without_standard_output_works_too() -> None:
    script = (
        "import os, sys; os.close(1); os.close(2); sys.stdout = sys.stderr = None\n"
        "from piaccel import chatter\n"
        "with chatter.quiet(): pass\n"
        "os._exit(7)"
    )
    assert subprocess.run([sys.executable, "-c", script]).returncode == 7
