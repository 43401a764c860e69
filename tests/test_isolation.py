"""Child processes: results, errors, crashes and hangs."""

import ctypes
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from piaccel import chatter, isolation
from piaccel.errors import CrashError, HangError, InferenceError, ModelError, PiaccelError
from piaccel.isolation import Worker

LONG = 60.0


# What the children do.
def add(a: int, b: int) -> int:
    return a + b


def count(n: int) -> Iterator[int]:
    yield from range(n)


def count_and_fall() -> Iterator[int]:
    yield 1
    os.abort()


def fall(number: int) -> None:
    sys.stderr.write("a first line\nthe last words\n")
    sys.stderr.flush()
    os.kill(os.getpid(), number)


def read_nowhere() -> None:
    ctypes.string_at(0)


def leave(code: int) -> None:
    os._exit(code)


def sleep() -> None:
    time.sleep(600)


def refuse() -> None:
    raise ModelError("the file is broken", hint="mend it")


def fail() -> None:
    raise ValueError("a header\nthe reason")


def unsendable() -> Any:
    return lambda: None


def say_quietly() -> None:
    with chatter.quiet():
        os.write(2, b"why I fall\n")
        os.abort()


def facts() -> dict[str, Any]:
    return {"pid": os.getpid(), "path": sys.path, "setting": os.environ.get("SETTING"), "cwd": os.getcwd()}


def target(function: Any) -> str:
    return f"{__name__}:{function.__name__}"


def test_a_result_comes_back() -> None:
    assert isolation.call(target(add), 2, 3, timeout=LONG) == 5


def test_a_worker_keeps_its_process_between_calls() -> None:
    with Worker() as worker:
        first = worker.call(target(facts), timeout=LONG)["pid"]
        assert worker.call(target(facts), timeout=LONG)["pid"] == first == worker.pid
        assert first != os.getpid()


def test_a_generator_s_values_come_one_by_one_and_call_gives_the_last() -> None:
    with Worker() as worker:
        assert list(worker.stream(target(count), 3, timeout=LONG)) == [0, 1, 2]
        assert worker.call(target(count), 3, timeout=LONG) == 2
        assert worker.call(target(count), 0, timeout=LONG) is None


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGILL, signal.SIGABRT, signal.SIGKILL])
def test_a_deadly_signal_is_named_with_the_last_words(number: signal.Signals) -> None:
    with pytest.raises(CrashError, match=number.name) as caught:
        isolation.call(target(fall), int(number), timeout=LONG)
    assert caught.value.hint == "the last words"


def test_a_segmentation_fault_is_an_error_here() -> None:
    with pytest.raises(CrashError, match="SIGSEGV"):
        isolation.call(target(read_nowhere), timeout=LONG)


def test_a_child_that_leaves_is_a_crash_with_its_status() -> None:
    with pytest.raises(CrashError, match="exit status 3"):
        isolation.call(target(leave), 3, timeout=LONG)


def test_quiet_code_s_last_words_are_kept() -> None:
    with pytest.raises(CrashError, match="SIGABRT") as caught:
        isolation.call(target(say_quietly), timeout=LONG)
    assert caught.value.hint == "why I fall"


def test_a_child_that_does_not_answer_is_ended() -> None:
    with Worker() as worker:
        worker.start()
        pid = worker.pid
        assert pid is not None
        with pytest.raises(HangError, match=r"sleep did not answer within 0\.5 s"):
            worker.call(target(sleep), timeout=0.5)
        assert not Path(f"/proc/{pid}").exists()


def test_after_a_crash_a_new_child_answers() -> None:
    with Worker() as worker:
        with pytest.raises(CrashError):
            worker.call(target(read_nowhere), timeout=LONG)
        assert worker.call(target(add), 1, 1, timeout=LONG) == 2


def test_a_child_that_was_killed_between_calls_is_replaced() -> None:
    with Worker() as worker:
        worker.start()
        assert worker.pid is not None
        os.kill(worker.pid, signal.SIGKILL)
        while worker.pid is not None:
            time.sleep(0.01)
        assert worker.call(target(add), 1, 1, timeout=LONG) == 2


def test_what_came_before_a_crash_is_not_lost() -> None:
    with Worker() as worker:
        stream = worker.stream(target(count_and_fall), timeout=LONG)
        assert next(stream) == 1
        with pytest.raises(CrashError, match="SIGABRT"):
            next(stream)


def test_a_stream_left_early_ends_the_child() -> None:
    with Worker() as worker:
        stream = worker.stream(target(count), 1000, timeout=LONG)
        next(stream)
        stream.close()  # type: ignore[attr-defined]
        assert worker.pid is None
        assert worker.call(target(add), 1, 1, timeout=LONG) == 2


def test_our_own_errors_arrive_as_they_are() -> None:
    with pytest.raises(ModelError, match="the file is broken") as caught:
        isolation.call(target(refuse), timeout=LONG)
    assert caught.value.hint == "mend it"


def test_other_errors_arrive_as_inference_errors() -> None:
    with pytest.raises(InferenceError, match="ValueError: a header the reason"):
        isolation.call(target(fail), timeout=LONG)


@pytest.mark.parametrize("name", ["no_such_module:f", f"{__name__}:no_such_function"])
def test_a_function_that_is_not_there_is_an_error(name: str) -> None:
    with pytest.raises(PiaccelError, match="no_such"):
        isolation.call(name, timeout=LONG)


def test_a_result_that_cannot_travel_is_an_error() -> None:
    with Worker() as worker:
        with pytest.raises(InferenceError):
            worker.call(target(unsendable), timeout=LONG)
        assert worker.call(target(add), 1, 1, timeout=LONG) == 2


def test_the_environment_can_be_added_to() -> None:
    assert isolation.call(target(facts), timeout=LONG, env={"SETTING": "on"})["setting"] == "on"


def test_the_child_finds_the_same_modules_whatever_lies_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("numpy", "json", "random"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('the wrong one')\n")
    monkeypatch.chdir(tmp_path)
    found = isolation.call(target(facts), timeout=LONG)
    assert found["cwd"] == str(tmp_path)
    assert found["path"] == sys.path


def test_closing_ends_the_child_and_may_be_repeated() -> None:
    worker = Worker()
    worker.start()
    pid = worker.pid
    worker.close()
    worker.close()
    assert worker.pid is None
    assert not Path(f"/proc/{pid}").exists()


def hold_on(lock: str) -> None:
    """Native code that never lets Python run: the regular expression takes longer than anybody waits."""
    Path(lock).write_text(str(os.getpid()))
    re.match(r"(a+)+$", "a" * 60 + "b")


def test_a_child_ends_with_a_parent_that_is_killed_in_the_middle(tmp_path: Path) -> None:
    lock = tmp_path / "pid"
    script = f"from piaccel.isolation import call; call({target(hold_on)!r}, {str(lock)!r}, timeout=600)"
    parent = subprocess.Popen([sys.executable, "-c", script], cwd=Path(__file__).parents[1])
    while not lock.exists() or not lock.read_text():
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    child = Path(f"/proc/{lock.read_text()}/stat")
    for _ in range(600):
        if not child.exists() or child.read_text().split()[2] == "Z":  # a zombie where nobody collects orphans
            return
        time.sleep(0.05)
    pytest.fail("the child outlived its parent")


def test_a_worker_that_never_started_closes() -> None:
    Worker().close()


def test_no_file_descriptor_is_left_open() -> None:
    before = len(os.listdir("/proc/self/fd"))
    isolation.call(target(add), 1, 1, timeout=LONG)
    with pytest.raises(CrashError):
        isolation.call(target(leave), 1, timeout=LONG)
    assert len(os.listdir("/proc/self/fd")) == before
