"""Results for a PLC over Modbus TCP, as holding registers.

``modbus://0.0.0.0:5020`` serves registers that the PLC polls: that is the default, because a PLC is the master of its
field bus, and inspection devices are what it polls. ``modbus://plc.line1:502,serve=false`` writes into the PLC's.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

from piaccel import sinks
from piaccel.errors import OptionError, UnavailableError
from piaccel.sinks import Event
from piaccel.sinks._modbus_link import Link, Served, Written
from piaccel.sinks._registers import Registers

_HEARTBEAT_NS = 250_000_000


@dataclass(frozen=True, kw_only=True)
class Options(sinks.Options):
    serve: bool = True
    """true: the PLC polls us. false: we write into the PLC's registers."""
    address: int = 0
    """The first register, counted from 0 (Modicon 40001 is 0)."""
    unit: int = 1
    """Unit id of the PLC with serve=false; a server answers to every unit id."""
    streams: str = ""
    """"left|right": each gets registers of its own, 32 apart; "" one set for the last event of any stream."""
    stale_s: float = 2.0
    """Without an event for this long the fault word says so."""
    plc_watchdog_s: float = 0.0
    """The PLC must change its register at least so often; 0: it need not."""
    timeout_s: float = 1.0
    """How long to wait for the PLC with serve=false."""


class Modbus(sinks.Sink):
    """Registers hold the newest event: what could not be written is given up."""

    options = Options
    delivery = "at most once"
    queue = 16
    tick_s = 0.25

    def __init__(self, target: str, options: sinks.Options, clock: Callable[[], int] = time.monotonic_ns) -> None:
        super().__init__(target, options)
        self._chosen = chosen = cast(Options, options)
        self._host, self._port = _address(target, 5020 if chosen.serve else 502)
        _check(chosen)
        self._clock = clock
        self._places = {name.strip(): place for place, name in enumerate(chosen.streams.split("|"))}
        stale_ns = round(chosen.stale_s * 1e9)
        self._registers = [Registers(stale_ns, clock()) for _ in self._places]
        self._link: Link | None = None
        self._written_ns = [0] * len(self._places)
        self._plc_heartbeat: int | None = None
        self._plc_moved_ns = 0
        self._others = self._plc_silences = 0
        self._plc_silent = False

    def open(self) -> None:
        """Listen, or connect. Raises OptionError or UnavailableError."""
        self.close()
        chosen = self._chosen
        try:
            import pymodbus  # noqa: F401 - only to say in one line that it is missing
        except ImportError as error:
            raise OptionError("modbus needs pymodbus", hint="pip install 'piaccel[modbus]'") from error
        if chosen.serve:
            self._link = Served(self._host, self._port, chosen.address, len(self._places))
        else:
            self._link = Written(self._host, self._port, chosen.address, chosen.unit, chosen.timeout_s)
        self._plc_heartbeat, self._plc_moved_ns = None, self._clock()
        for place in range(len(self._places)):
            self._write(place)

    def deliver(self, event: Event) -> None:
        """Show the event. Raises UnavailableError when the PLC is lost."""
        place = self._places.get(event.stream, 0 if not self._chosen.streams else None)
        if place is None:
            self._others += 1
            return
        self._registers[place].take(event, self._clock())
        self._write(place)

    def tick(self) -> None:
        """Advance the heartbeat, and listen for the PLC's."""
        if self._link is None:
            raise UnavailableError(f"{self} is closed")
        self._hear_plc(self._link)
        for place, written_ns in enumerate(self._written_ns):
            if self._clock() - written_ns >= _HEARTBEAT_NS:
                self._write(place)

    def close(self) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.close()

    def facts(self) -> Mapping[str, float]:
        link = self._link
        return {
            "plc_silent": int(self._plc_silent),
            "plc_silences": self._plc_silences,
            "other_streams": self._others,
            **(link.facts() if link is not None else {}),
        }

    def _write(self, place: int) -> None:
        if self._link is None:
            raise UnavailableError(f"{self} is closed")
        now_ns = self._clock()
        self._link.write(place, self._registers[place].words(now_ns, plc_silent=self._plc_silent))
        self._written_ns[place] = now_ns

    def _hear_plc(self, link: Link) -> None:
        if not self._chosen.plc_watchdog_s:
            return
        now_ns, heard = self._clock(), link.plc_heartbeat()
        if heard != self._plc_heartbeat:
            self._plc_heartbeat, self._plc_moved_ns = heard, now_ns
        silent = now_ns - self._plc_moved_ns >= self._chosen.plc_watchdog_s * 1e9
        self._plc_silences += silent and not self._plc_silent
        self._plc_silent = silent


def _address(target: str, port: int) -> tuple[str, int]:
    try:
        url = urlsplit(target if "://" in target else f"modbus://{target}")
        return url.hostname or "127.0.0.1", url.port or port
    except ValueError as error:
        raise OptionError(f"modbus: {target!r} is no address: {error}", hint="write modbus://HOST:PORT") from error


def _check(chosen: Options) -> None:
    last = 65535 - 32 * len(chosen.streams.split("|"))
    if not 0 <= chosen.address <= last:
        raise OptionError(f"modbus: address is {chosen.address}, expected 0..{last}")
    if not 0 <= chosen.unit <= 255:
        raise OptionError(f"modbus: unit is {chosen.unit}, expected 0..255")
    if chosen.stale_s <= 0:
        raise OptionError("modbus: stale must be longer than 0")
