"""Work in child processes, so that a native crash is a reported result and every measurement starts fresh.

A ``Child`` is a new interpreter (not a fork: native libraries do not survive a fork) that ends with this process.
A ``Worker`` is one that runs functions named "module:function". Arguments and results travel as pickles over a private
pipe between the two processes; nothing from a bundle is ever unpickled.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import os
import select
import signal as signals
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from inspect import isgenerator
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import IO, Any

from piaccel import chatter
from piaccel.errors import CrashError, HangError, InferenceError, PiaccelError

_STDERR_TAIL = 2000
_CHILD = """\
import importlib, json, sys
sys.path[:] = json.loads(sys.argv[1])
module, _, function = sys.argv[2].partition(":")
getattr(importlib.import_module(module), function)(*map(int, sys.argv[3:]))
"""


class Child:
    """A process that runs ``target`` ("module:function") with the numbers of the descriptors it is given.

    The function calls ``settle`` first. Close it, or use it in ``with``.
    """

    def __init__(self, target: str, fds: Sequence[int], env: Mapping[str, str] | None = None) -> None:
        self._stderr: IO[bytes] | None = None
        if not chatter.verbose():
            self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the child; close() closes it
        output = sys.__stderr__ if self._stderr is None else self._stderr
        # -P and our own path: a child started in a folder with a numpy.py or an openvino/ of its own finds ours.
        command = [sys.executable, "-P", "-c", _CHILD, json.dumps([str(p) for p in sys.path]), target, *map(str, fds)]
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._process = subprocess.Popen(
                command,
                pass_fds=fds,
                stdin=subprocess.PIPE,  # nothing is ever written: it breaks when we die, and that ends the child
                stdout=output,
                stderr=output,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            )
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int | None:
        """The process id, None when it has ended."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def fate(self) -> str:
        """How it ended by itself, such as "SIGSEGV"; "" while it runs, and after ``close``."""
        code = self._process.poll() if self._process else None
        return "" if code is None else _signal_name(-code) if code < 0 else f"exit status {code}"

    def wait(self) -> str:
        """Wait for its end; how it ended."""
        assert self._process is not None
        self._process.wait()
        return self.fate

    def last_words(self) -> str:
        """The end of what it wrote; "" where it wrote to the user's own stderr."""
        if self._stderr is None:
            return ""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _STDERR_TAIL))
        return self._stderr.read().decode(errors="replace").strip()

    def kill(self) -> None:
        """End it without waiting for its end."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """End it. Idempotent."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            if self._process.stdin is not None:
                self._process.stdin.close()
            self._process = None
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Worker:
    """One child process. Not for use from several threads at once; close it, or use it in ``with``."""

    def __init__(self, env: Mapping[str, str] | None = None) -> None:
        self._env = env
        self._child: Child | None = None
        self._pipe: Connection[Any, Any] | None = None
        self.ended = ""
        """How the last child that ended by itself did so."""

    @property
    def pid(self) -> int | None:
        """The child's process id, None while none runs."""
        return self._child.pid if self._child else None

    @property
    def fate(self) -> str:
        """How the child ended by itself, such as "SIGSEGV"; "" while it runs, or where there is none."""
        return self._child.fate if self._child else ""

    def start(self) -> None:
        """Start the child unless it runs."""
        if self.pid is not None:
            return
        self.close()
        ours, theirs = Pipe()
        try:
            self._child = Child("piaccel.isolation:serve", [theirs.fileno()], self._env)
        except BaseException:
            ours.close()
            raise
        finally:
            theirs.close()
        self._pipe = ours

    def call(self, target: str, *args: Any, timeout: float) -> Any:
        """Run ``target(*args)`` in the child and return its result; a generator's last value.

        Raises what the function raised (a PiaccelError as itself, anything else as InferenceError),
        CrashError when the child died, HangError after ``timeout`` seconds without a word.
        The next call starts a new child.
        """
        last = None
        for value in self.stream(target, *args, timeout=timeout):
            last = value
        return last

    def stream(self, target: str, *args: Any, timeout: float) -> Iterator[Any]:
        """Run a generator in the child and yield what it yields; ``timeout`` is the longest silence in seconds."""
        self.start()
        try:
            self._send(target, args)
            while True:
                kind, value = self._receive(target, timeout)
                if kind == "end":
                    return
                if kind == "error":
                    raise value
                yield value
        except (CrashError, HangError, GeneratorExit, KeyboardInterrupt):
            self.close()
            raise

    def _send(self, target: str, args: tuple[Any, ...]) -> None:
        assert self._pipe is not None
        try:
            self._pipe.send((target, args))
        except (ConnectionResetError, BrokenPipeError) as error:
            raise self._crash(target) from error

    def _receive(self, target: str, timeout: float) -> tuple[str, Any]:
        assert self._pipe is not None
        try:
            if not self._pipe.poll(timeout):
                raise HangError(f"{target} did not answer within {timeout:g} s")
            message: tuple[str, Any] = self._pipe.recv()
            return message
        except (EOFError, ConnectionResetError, BrokenPipeError) as error:
            raise self._crash(target) from error

    def _crash(self, target: str) -> CrashError:
        assert self._child is not None
        cause = self._child.wait()
        tail = self._child.last_words()
        return CrashError(f"{target} ended its process: {cause}", hint=tail.splitlines()[-1] if tail else "")

    def close(self) -> None:
        """End the child. Idempotent."""
        self.ended = self.fate or self.ended
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None
        if self._child is not None:
            self._child.close()
            self._child = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def call(target: str, *args: Any, timeout: float, env: Mapping[str, str] | None = None) -> Any:
    """Run ``target(*args)`` in a fresh child process; errors as in ``Worker.call``."""
    with Worker(env) as worker:
        return worker.call(target, *args, timeout=timeout)


def _signal_name(number: int) -> str:
    try:
        return signals.Signals(number).name
    except ValueError:
        return f"signal {number}"


def serve(fd: int) -> None:
    """The child's loop: receive a call, send what it yields or returns, or its error."""
    settle()
    pipe: Connection[Any, Any] = Connection(fd)
    while True:
        try:
            target, args = pipe.recv()
        except EOFError:
            return
        try:
            module, _, function = target.partition(":")
            result = getattr(importlib.import_module(module), function)(*args)
            for value in result if isgenerator(result) else (result,):
                pipe.send(("value", value))
            pipe.send(("end", None))
        except PiaccelError as error:
            pipe.send(("error", error))
        except (BrokenPipeError, ConnectionResetError):
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, the parent has to hear of it
            text = " ".join(str(error).split()) or type(error).__name__
            pipe.send(("error", InferenceError(f"{type(error).__name__}: {text}")))


def settle() -> None:
    """What every child does first: leave Ctrl-C to the parent, end with it, and keep its output for a crash."""
    signals.signal(signals.SIGINT, signals.SIG_IGN)  # Ctrl-C reaches the whole group; the parent ends us
    _end_with_parent()
    chatter.leave_alone()


def _end_with_parent() -> None:
    """Have the kernel end this process when the parent's end of its stdin closes, even inside a native loop.

    SIGIO's default action does it, so no Python code has to run. PR_SET_PDEATHSIG would not do: it goes by the thread
    that started the child. Source: fcntl(2), O_ASYNC; signal(7).
    """
    signals.signal(signals.SIGIO, signals.SIG_DFL)
    fcntl.fcntl(0, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(0, fcntl.F_SETFL, fcntl.fcntl(0, fcntl.F_GETFL) | os.O_ASYNC)
    gone = select.poll()
    gone.register(0, select.POLLHUP)
    if gone.poll(0):  # it died before the line above
        os._exit(1)
