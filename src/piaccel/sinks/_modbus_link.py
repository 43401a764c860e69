"""The two ways to a PLC over Modbus TCP: it polls our registers, or we write into its."""

from __future__ import annotations

import errno
import logging
import socket
from abc import ABC, abstractmethod
from typing import Any

from piaccel.errors import OptionError, UnavailableError
from piaccel.sinks._eventloop import EventLoop
from piaccel.sinks._registers import PLC_HEARTBEAT, SIZE, STRIDE


class Link(ABC):
    """Moves a stream's registers to the PLC, and the PLC's own heartbeat back."""

    @abstractmethod
    def write(self, place: int, words: list[int]) -> None:
        """Show ``words`` as the registers of the stream at ``place``, all at once. Raises UnavailableError."""

    @abstractmethod
    def plc_heartbeat(self) -> int:
        """Return the register that the PLC changes. Raises UnavailableError."""

    @abstractmethod
    def close(self) -> None: ...

    def facts(self) -> dict[str, float]:
        return {}


class Served(Link):
    """A server whose registers the PLC polls; it may write its heartbeat and nothing else."""

    def __init__(self, host: str, port: int, address: int, streams: int) -> None:
        quiet_library()
        self._base = address
        self._registers = [0] * ((streams - 1) * STRIDE + PLC_HEARTBEAT + 1)
        self._reads = 0
        self._server: Any = None
        self._loop = EventLoop("piaccel-modbus")
        try:
            self._loop.call(self._listen(host, port))
        except BaseException:
            self._loop.close()
            raise

    async def _listen(self, host: str, port: int) -> None:
        from pymodbus.server import ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        registers = SimData(self._base, count=len(self._registers), datatype=DataType.REGISTERS)
        # Device 0 answers for every unit id: PLCs send 1, 255 or 0, and a TCP device has no other.
        device = SimDevice(id=0, simdata=[registers], action=self._asked)
        self._server = ModbusTcpServer(device, address=(host, port))
        try:
            await self._server.serve_forever(background=True)
        except RuntimeError as error:  # pymodbus keeps the cause to itself
            raise _why_not(host, port, error) from error

    async def _asked(
        self, function: int, start: int, address: int, count: int, current: list[int], values: list[Any] | None
    ) -> Any:
        """Answer a request out of the registers as they are at this moment (pymodbus ``SimDevice.action``)."""
        from pymodbus.constants import ExcCodes

        if values is None:
            self._reads += 1
            current[: len(self._registers)] = self._registers
            return None
        if function not in (6, 16) or address != self._base + PLC_HEARTBEAT or count != 1:
            return ExcCodes.ILLEGAL_ADDRESS
        self._registers[PLC_HEARTBEAT] = int(values[0])
        return None

    def write(self, place: int, words: list[int]) -> None:
        self._loop.call(self._show(place * STRIDE, words))

    async def _show(self, offset: int, words: list[int]) -> None:
        # In the loop that answers, so that no answer sees half of it.
        self._registers[offset : offset + SIZE] = words

    def plc_heartbeat(self) -> int:
        return self._registers[PLC_HEARTBEAT]

    def close(self) -> None:
        try:
            self._loop.call(self._server.shutdown())
        finally:
            self._loop.close()

    def facts(self) -> dict[str, float]:
        return {"clients": len(self._server.active_connections), "reads": self._reads}


class Written(Link):
    """A client that writes into the PLC's registers."""

    def __init__(self, host: str, port: int, address: int, unit: int, timeout_s: float) -> None:
        from pymodbus.client import ModbusTcpClient

        quiet_library()
        self._name = f"{host}:{port}"
        self._base, self._unit = address, unit
        self._client = ModbusTcpClient(host, port=port, timeout=timeout_s, retries=0)
        if not self._client.connect():
            raise UnavailableError(
                f"modbus: {self._name} does not answer", hint="is the PLC on, and does it serve Modbus TCP there?"
            )

    def write(self, place: int, words: list[int]) -> None:
        self._checked("write", self._base + place * STRIDE, words)

    def plc_heartbeat(self) -> int:
        return int(self._checked("read", self._base + PLC_HEARTBEAT, []).registers[0])

    def _checked(self, what: str, address: int, words: list[int]) -> Any:
        from pymodbus.exceptions import ModbusException

        try:
            if what == "write":
                answer = self._client.write_registers(address, words, device_id=self._unit)
            else:
                answer = self._client.read_holding_registers(address, count=1, device_id=self._unit)
        except (ModbusException, OSError) as error:
            self._client.close()
            raise UnavailableError(f"modbus: {self._name} is lost: {error}") from error
        if answer.isError():
            self._client.close()
            raise UnavailableError(
                f"modbus: {self._name} refuses to {what} register {address} (exception {answer.exception_code})",
                hint="the PLC must have 17 holding registers there: see address= and unit=",
            )
        return answer

    def close(self) -> None:
        self._client.close()


def quiet_library() -> None:
    """pymodbus logs as an error what it also raises; the outlet tells it once."""
    log = logging.getLogger("pymodbus.logging")
    if log.level == logging.NOTSET:
        log.setLevel(logging.CRITICAL)


def _why_not(host: str, port: int, error: BaseException) -> OptionError | UnavailableError:
    """Say why nobody can listen there, by trying it."""
    try:
        socket.create_server((host, port)).close()
    except PermissionError:
        return OptionError(
            f"modbus: only root may listen on port {port}",
            hint="take a port above 1023, such as 5020, or give the service CAP_NET_BIND_SERVICE",
        )
    except OSError as cause:
        hint = "another program listens there: `ss -ltnp` tells which"
        if cause.errno != errno.EADDRINUSE:
            hint = "to write into the registers of a PLC at that address say serve=false"
        return UnavailableError(f"modbus: cannot listen on {host}:{port}: {cause}", hint=hint)
    return UnavailableError(f"modbus: cannot listen on {host}:{port}: {error}")
