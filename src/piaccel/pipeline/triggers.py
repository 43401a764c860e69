"""What tells that a part is coming: a light barrier, an encoder, a timer, the camera itself, or your own program."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from piaccel import specs
from piaccel.errors import OptionError, UnavailableError

Announce = Callable[[int], None]
"""Takes the moment (CLOCK_MONOTONIC, ns) at which the part is in front of the camera."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every trigger can be told."""

    delay_s: float = 0.0
    """From the trigger to the moment the part is in front of the camera."""
    patience_s: float = 0.5
    """A part whose frame has not come so long after that is given out without a result."""
    early_s: float = 0.0
    """A frame exposed so much before that moment will do as well."""
    counts: int = 0
    """Encoder: pulses from one part to the next."""
    pull_up: bool = True
    """GPIO: the pin is pulled up and the trigger connects it to ground."""
    bounce_s: float = 0.002
    """GPIO: changes that follow within this time are one."""


class Trigger(ABC):
    """Calls ``announce`` for each part from ``start`` to ``stop``."""

    def __init__(self, target: str, options: Options) -> None:
        self.target = target
        self.chosen = options

    @abstractmethod
    def start(self, announce: Announce) -> None:
        """Raises UnavailableError or OptionError when it cannot be had."""

    def stop(self) -> None:  # noqa: B027 - not every trigger holds something
        """Announce no more. Idempotent."""

    def _due(self, at_ns: int) -> int:
        return at_ns + round(self.chosen.delay_s * 1e9)


class Manual(Trigger):
    """``fire`` is called by the program that runs the pipeline."""

    def __init__(self, target: str = "", options: Options | None = None) -> None:
        super().__init__(target, options or Options())
        self._announce: Announce | None = None

    def start(self, announce: Announce) -> None:
        self._announce = announce

    def stop(self) -> None:
        self._announce = None

    def fire(self, at_ns: int | None = None) -> None:
        """A part passes the trigger now, or at ``at_ns`` (CLOCK_MONOTONIC)."""
        if self._announce is not None:
            self._announce(self._due(time.monotonic_ns() if at_ns is None else at_ns))


class EveryFrame(Trigger):
    """The camera is triggered itself (a sensor's external trigger): every frame of it is a part."""

    def start(self, announce: Announce) -> None:
        pass


class Timer(Trigger):
    """``timer:200ms``: a part at fixed times, on an absolute schedule."""

    def __init__(self, target: str, options: Options) -> None:
        super().__init__(target, options)
        self._period_ns = round(specs.duration_s(target, "trigger timer") * 1e9)
        if self._period_ns <= 0:
            raise OptionError("trigger timer: a period must be above 0", hint="such as timer:200ms")
        self._over = threading.Event()

    def start(self, announce: Announce) -> None:
        self._over.clear()
        threading.Thread(target=self._run, args=(announce,), name="piaccel-trigger", daemon=True).start()

    def _run(self, announce: Announce) -> None:
        at = time.monotonic_ns()
        while not self._over.wait(max(0.0, (at - time.monotonic_ns()) / 1e9)):
            announce(self._due(at))
            at += self._period_ns

    def stop(self) -> None:
        self._over.set()


class Gpio(Trigger):
    """``gpio:27``: a light barrier at a pin (gpiozero's numbering: BCM)."""

    _button: Any = None

    def start(self, announce: Announce) -> None:
        gpiozero = _gpiozero("gpio")
        pin = int(self.target) if self.target.isdecimal() else self.target
        try:
            self._button = gpiozero.Button(pin, pull_up=self.chosen.pull_up, bounce_time=self.chosen.bounce_s or None)
        except Exception as error:  # a pin factory raises what it likes
            raise UnavailableError(f"trigger gpio:{self.target}: {' '.join(str(error).split())}") from error
        self._button.when_pressed = lambda: announce(self._due(time.monotonic_ns()))

    def stop(self) -> None:
        if self._button is not None:
            self._button.close()
            self._button = None


class Encoder(Trigger):
    """``encoder:17+27,counts=400``: a rotary encoder on the belt's shaft; a part each ``counts`` steps forward."""

    _encoder: Any = None

    def __init__(self, target: str, options: Options) -> None:
        super().__init__(target, options)
        a, plus, b = target.partition("+")
        if not plus or not a.strip().isdecimal() or not b.strip().isdecimal():
            raise OptionError(f"trigger encoder:{target} names no two pins", hint="such as encoder:17+27,counts=400")
        if options.counts < 1:
            raise OptionError("trigger encoder needs the steps from part to part", hint="such as counts=400")
        self._pins = int(a), int(b)

    def start(self, announce: Announce) -> None:
        gpiozero = _gpiozero("encoder")
        try:
            self._encoder = gpiozero.RotaryEncoder(*self._pins, max_steps=0)
        except Exception as error:  # a pin factory raises what it likes
            raise UnavailableError(f"trigger encoder:{self.target}: {' '.join(str(error).split())}") from error
        following = self.chosen.counts

        def turned() -> None:
            nonlocal following
            while self._encoder is not None and self._encoder.steps >= following:
                following += self.chosen.counts
                announce(self._due(time.monotonic_ns()))

        self._encoder.when_rotated_clockwise = turned

    def stop(self) -> None:
        encoder, self._encoder = self._encoder, None
        if encoder is not None:
            encoder.close()


_KINDS: dict[str, type[Trigger]] = {
    "source": EveryFrame,
    "timer": Timer,
    "gpio": Gpio,
    "encoder": Encoder,
    "manual": Manual,
}


def make(given: str | Mapping[str, Any] | Trigger) -> Trigger:
    """Return the trigger that a text or a table names: source, timer:200ms, gpio:27, encoder:17+27, manual."""
    if isinstance(given, Trigger):
        return given
    text = f"{given}:" if isinstance(given, str) and given in _KINDS else given
    spec = specs.parse(text, {name: name for name in _KINDS})
    if not spec.kind:
        raise OptionError(f"no trigger is meant by {spec.target!r}", hint=f"choose from {', '.join(_KINDS)}")
    return _KINDS[spec.kind](spec.target, specs.options(Options, f"trigger {spec.kind}", spec.options))


def _gpiozero(kind: str) -> Any:
    try:
        import gpiozero
    except ImportError as error:
        raise OptionError(f"trigger {kind} needs gpiozero", hint="pip install 'piaccel[gpio]'") from error
    return gpiozero
