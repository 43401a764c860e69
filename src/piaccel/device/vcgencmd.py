"""Asks the firmware through ``vcgencmd``. One answer costs about 24 ms (most of it in the firmware)."""

from __future__ import annotations

import subprocess
import time

from piaccel.device.tree import Tree
from piaccel.errors import UnavailableError

COST_MS = 24.0

_PROGRAM = "usr/bin/vcgencmd"
_DEVICE = "dev/vcio"
_PAUSE_S = 10.0
"""After a question that was not answered in time the next ones fail at once, for so long."""


class Vcgencmd:
    """The program under a tree's root; a tree that is not this machine's never asks this machine's firmware."""

    def __init__(self, tree: Tree, timeout_s: float = 2.0) -> None:
        self._tree = tree
        self._program = tree.path(_PROGRAM).absolute()
        self._timeout_s = timeout_s
        self._silent_until = 0.0

    def ask(self, *command: str) -> str:
        """Return what stands behind the '=' of the answer. Raises UnavailableError with the reason and the cure."""
        return self.answer(*command).partition("=")[2].strip()

    def answer(self, *command: str) -> str:
        """Return the whole answer, some of which have many lines. Raises UnavailableError as ``ask`` does.

        The exit status says little (raspberrypi/utils, vcgencmd.c): errors come on stdout with 0, N or 255.
        """
        asked = " ".join(command)
        silent = UnavailableError(f"vcgencmd did not answer within {self._timeout_s:g} s")
        if time.monotonic() < self._silent_until:
            raise silent
        try:
            done = subprocess.run(
                [self._program, *command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=self._timeout_s,
                check=False,
            )
        except FileNotFoundError as error:
            raise self._missing() from error
        except PermissionError as error:
            raise UnavailableError(f"{self._program} may not be run by this user") from error
        except OSError as error:
            raise UnavailableError(f"{self._program} cannot be run: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            self._silent_until = time.monotonic() + _PAUSE_S
            raise silent from error
        answer = done.stdout.decode(errors="replace").strip().strip("\0").strip()
        if "Can't open device file" in answer:
            raise self._closed()
        name, found, _ = answer.partition("=")
        if not found or name == "error":
            first = (answer or done.stderr.decode(errors="replace").strip() or "nothing").splitlines()[0]
            raise UnavailableError(f"vcgencmd {asked} answered {first}")
        return answer

    def number(self, *command: str) -> float:
        """The answer as a number, whatever unit follows it; hexadecimal when it starts with 0x."""
        value = self.ask(*command)
        try:
            return float(int(value, 16)) if value.startswith("0x") else float(value.rstrip("'CVHzA"))
        except (ValueError, OverflowError) as error:
            raise UnavailableError(f"vcgencmd {' '.join(command)} answered {value!r}, not a number") from error

    def _missing(self) -> UnavailableError:
        if self._tree.device_tree("model") is None:
            return UnavailableError("there is no Raspberry Pi firmware to ask")
        return UnavailableError("vcgencmd is not installed", hint="sudo apt install raspi-utils")

    def _closed(self) -> UnavailableError:
        if self._tree.exists(_DEVICE):
            return UnavailableError(
                "this user may not open /dev/vcio (group video)", hint='sudo usermod -aG video "$USER"'
            )
        return UnavailableError(
            "there is no /dev/vcio here (in a container it has to be passed in)", hint="docker run --device /dev/vcio"
        )
