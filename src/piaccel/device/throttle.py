"""The firmware's throttle flags, in words (RP docs, os.adoc: ``vcgencmd get_throttled``)."""

from __future__ import annotations

from dataclasses import dataclass

_NAMES = ("under-voltage", "clock capped", "throttled", "soft temperature limit")
_NOW = 0xF
_SINCE_BOOT = 0xF0000


@dataclass(frozen=True)
class Throttled:
    """The bits of ``get_throttled``: 0-3 hold now, 16-19 say the same has happened since boot and stay set."""

    bits: int

    @property
    def under_voltage(self) -> bool:
        """The supply is below 4.63 V now."""
        return bool(self.bits & 1)

    @property
    def capped(self) -> bool:
        """The ARM clock is capped now."""
        return bool(self.bits & 2)

    @property
    def throttled(self) -> bool:
        """The firmware throttles now."""
        return bool(self.bits & 4)

    @property
    def soft_limit(self) -> bool:
        """The soft temperature limit (60 °C on 3A+ and 3B+) holds the clock down now."""
        return bool(self.bits & 8)

    @property
    def now(self) -> tuple[str, ...]:
        """What holds now, in words."""
        return tuple(name for bit, name in enumerate(_NAMES) if self.bits >> bit & 1)

    @property
    def since_boot(self) -> tuple[str, ...]:
        """What has happened since boot, in words."""
        return tuple(name for bit, name in enumerate(_NAMES) if self.bits >> (16 + bit) & 1)

    def new_since(self, baseline: Throttled) -> Throttled:
        """What holds now, and what has happened for the first time since ``baseline`` was read.

        A since-boot bit that the baseline had already cannot tell of a second time: read the bits through the run.
        """
        return Throttled(self.bits & _NOW | self.bits & ~baseline.bits & _SINCE_BOOT)

    def __bool__(self) -> bool:
        return bool(self.bits & (_NOW | _SINCE_BOOT))

    def __str__(self) -> str:
        words = [f"{name} now" for name in self.now]
        words += [f"{name} since boot" for name in self.since_boot if name not in self.now]
        return ", ".join(words) or "no"
