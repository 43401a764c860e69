"""One output line of the board, through gpiozero."""

from __future__ import annotations

import os
from functools import cache
from typing import Any

from piaccel.errors import OptionError, UnavailableError


class Line:
    """An output that stays claimed, at its last level, until the process ends.

    A gpiozero device would turn its pin into an input when it is closed and at the end of the interpreter, and so let
    go of the safe level that was just set. Hence the pin itself (gpiozero "API - Pins"), which nobody closes.
    """

    def __init__(self, name: str, *, active_high: bool, active: bool) -> None:
        """Claim the pin with its level set. Raises OptionError, or UnavailableError while another program has it."""
        self._active_high = active_high
        factory = _factory()
        from gpiozero import GPIOPinInUse, PinInvalidPin

        spec: int | str = int(name) if name.isdigit() else name
        self._factory, self._spec = factory, spec
        try:
            factory.reserve_pins(self, spec)
            self._pin = factory.pin(spec)
            self._pin.output_with_state(int(active == active_high))
        except PinInvalidPin as error:
            raise OptionError(
                f"gpio: {name!r} is no pin of this board",
                hint="give the number of the GPIO, such as 17, not of the header",
            ) from error
        except GPIOPinInUse as error:
            raise OptionError(
                f"gpio: pin {name} is already used in this program", hint="give each output a pin of its own"
            ) from error
        except Exception as error:
            self.release()
            raise UnavailableError(
                f"gpio: pin {name} cannot be claimed: {error}",
                hint="another program may hold it: `gpioinfo` tells which",
            ) from error

    def set(self, active: bool) -> None:
        """Set the level; raises what the library raises."""
        self._pin.state = int(active == self._active_high)

    def release(self) -> None:
        """Let another line of this program use the pin; its level stays."""
        self._factory.release_pins(self, self._spec)

    def _conflicts_with(self, other: object) -> bool:
        """gpiozero asks this of whoever reserves a pin."""
        return other is not self


def _factory() -> Any:
    """Return the factory that the program or GPIOZERO_PIN_FACTORY has chosen, else lgpio's; never a silent stand-in."""
    try:
        from gpiozero import Device
    except ImportError as error:
        raise OptionError("gpio needs gpiozero", hint="pip install 'piaccel[gpio]'") from error
    try:
        if os.environ.get("GPIOZERO_PIN_FACTORY"):
            Device.ensure_pin_factory()
        return Device.pin_factory or _board()
    except ImportError as error:
        raise OptionError(
            f"gpio needs lgpio: {error}",
            hint="sudo apt install python3-lgpio, in a virtual environment made with --system-site-packages",
        ) from error
    except Exception as error:
        raise OptionError(
            f"gpio: this machine gives no access to GPIO pins: {error}",
            hint="it must have /dev/gpiochip0, and the user must be in the group gpio",
        ) from error


@cache
def _board() -> Any:
    import lgpio
    from gpiozero.pins.lgpio import LGPIOFactory, LGPIOPin

    class SteadyPin(LGPIOPin):  # type: ignore[misc]
        """Is claimed with its level: gpiozero 2.0.1 claims it low and then raises it, which fires what rests high."""

        def output_with_state(self, state: int) -> None:
            lgpio.gpio_claim_output(self.factory._handle, self._number, state)

    factory = LGPIOFactory()
    factory.pin_class = SteadyPin
    return factory
