"""Registers for a PLC: a real pymodbus client polls ours, and we write into a real pymodbus server's."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from piaccel import sinks
from piaccel.errors import OptionError, UnavailableError
from piaccel.pipeline.outlet import Outlet
from piaccel.sinks._condition import Fault
from piaccel.sinks._eventloop import EventLoop
from piaccel.sinks._registers import Registers
from piaccel.testing.sink_compliance import SinkCompliance
from tests.sinks.events import classified, event
from tests.sinks.waiting import free_port, until

pytest.importorskip("pymodbus", reason="pymodbus is not installed")


class TestModbus(SinkCompliance):
    port = free_port()

    def spec(self, folder: Path) -> str:
        return f"modbus://127.0.0.1:{self.port},streams=line1|line2"


class TestModbusWritten(SinkCompliance):
    port = free_port()

    @pytest.fixture(autouse=True)
    def plc(self) -> Iterator[None]:
        plc = Plc(self.port)
        yield
        plc.kill()

    def spec(self, folder: Path) -> str:
        return f"modbus://127.0.0.1:{self.port},serve=false,address=100,unit=3"


class Plc:
    """A device that serves 17 holding registers from 100 on, as a PLC would."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._loop = EventLoop("plc")
        self._loop.call(self._start())

    async def _start(self) -> None:
        from pymodbus.server import ModbusTcpServer
        from pymodbus.simulator import DataType, SimData, SimDevice

        device = SimDevice(id=3, simdata=[SimData(100, count=17, datatype=DataType.REGISTERS)])
        self._server: Any = ModbusTcpServer(device, address=("127.0.0.1", self.port))
        await self._server.serve_forever(background=True)

    def registers(self) -> list[int]:
        values = self._loop.call(self._server.async_getValues(3, 3, 100, 17))
        return [int(value) for value in values]

    def beat(self, value: int) -> None:
        self._loop.call(self._server.async_setValues(3, 6, 116, [value]))

    def kill(self) -> None:
        self._loop.call(self._server.shutdown())
        self._loop.close()


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def running(port: int) -> Iterator[Any]:
    outlets: list[Outlet] = []

    def run(options: str = "") -> Outlet:
        outlet = Outlet(sinks.make(f"modbus://127.0.0.1:{port}{options}"), patience_s=(0.01, 0.05))
        outlets.append(outlet)
        outlet.start()
        until(lambda: outlet.numbers().state != "opening")
        return outlet

    yield run
    for outlet in outlets:
        outlet.stop()
    assert not [thread for thread in threading.enumerate() if thread.name == "piaccel-modbus"]


@pytest.fixture
def client(port: int) -> Iterator[Any]:
    from pymodbus.client import ModbusTcpClient

    made: Any = ModbusTcpClient("127.0.0.1", port=port, timeout=5)
    yield made
    made.close()


def read(client: Any, address: int = 0, count: int = 16) -> list[int]:
    client.connect()
    answer = client.read_holding_registers(address, count=count)
    assert not answer.isError(), answer
    return list(answer.registers)


def test_a_plc_polls_the_newest_result(running: Any, client: Any) -> None:
    outlet = running()
    outlet.offer(event(1, result=classified("good"), part=70_000))
    outlet.offer(event(2, part=70_001, deadline_ns=1))
    until(lambda: outlet.numbers().sent == 2)
    registers = read(client)
    assert registers[1:8] == [2, 1, 900, 1, int(Fault.LATE), 31, 1]
    assert registers[8:] == [0, 2, 0, 0, 0, 1, 1, 70_001 - 65536]


def test_input_registers_and_every_unit_id_give_the_same(running: Any, client: Any) -> None:
    outlet = running()
    outlet.offer(event(1))
    until(lambda: outlet.numbers().sent == 1)
    client.connect()
    for unit in (0, 1, 255):
        assert client.read_input_registers(1, count=3, device_id=unit).registers == [1, 1, 900]


def test_the_heartbeat_goes_on_without_events(running: Any, client: Any) -> None:
    running()
    seen = read(client)[0]
    until(lambda: read(client)[0] not in (seen, seen + 1))


def test_silence_is_a_fault_until_an_event_comes(running: Any, client: Any) -> None:
    outlet = running(",stale=60s")
    assert read(client)[5] == Fault.STALE, "nothing was heard yet"
    assert read(client)[2] == 65535
    outlet.offer(event(1))
    until(lambda: read(client)[5] == 0)


def test_every_answer_is_of_one_event_however_fast_they_come(running: Any, client: Any) -> None:
    outlet = running(",queue=100000")
    client.connect()
    for number in range(1, 1500):
        label = ("good", "crack", "hole")[number % 3]
        outlet.offer(event(number, result=classified(label, 0.5 + number % 3 / 10), part=number))
        if number % 10 == 0:
            registers = read(client)
            part = registers[15]
            if part:
                assert registers[1] == part
                assert registers[9] == part
                assert registers[2:4] == [part % 3, 500 + part % 3 * 100]


def test_the_plc_may_write_its_heartbeat_and_nothing_else(running: Any, client: Any) -> None:
    running()
    client.connect()
    assert not client.write_register(16, 7).isError()
    assert not client.write_registers(16, [8]).isError()
    assert read(client, 16, 1) == [8]
    for refused in (
        client.write_register(3, 7),
        client.write_registers(15, [1, 2]),
        client.write_coil(0, True),
        client.mask_write_register(address=16, and_mask=0, or_mask=1),
    ):
        assert refused.isError()
    assert read(client)[1] == 0


def test_a_plc_that_stands_still_is_seen(running: Any, client: Any) -> None:
    outlet = running(",plc_watchdog=100ms,stale=60s")
    until(lambda: read(client)[5] & Fault.PLC_SILENT)
    assert outlet.numbers().facts["plc_silent"] == 1
    beat = 0

    def heard() -> bool:
        nonlocal beat
        beat = (beat + 1) & 0xFFFF
        client.write_register(16, beat)
        return not read(client)[5] & Fault.PLC_SILENT

    until(heard)


def test_streams_have_registers_of_their_own(running: Any, client: Any) -> None:
    outlet = running(",streams=left|right,address=200")
    outlet.offer(event(1, stream="right", result=classified("hole")))
    outlet.offer(event(2, stream="elsewhere"))
    until(lambda: outlet.numbers().sent == 2)
    assert read(client, 232)[1:3] == [1, 2]
    assert read(client, 200)[1:3] == [0, 65535]
    assert outlet.numbers().facts["other_streams"] == 1


def test_the_server_comes_back_on_its_port_while_clients_were_connected(running: Any, client: Any) -> None:
    outlet = running()
    read(client)
    outlet.stop()
    client.close()
    again = running()
    again.offer(event(1))
    until(lambda: read(client)[1] == 1)


def test_a_port_that_is_taken_is_tried_again(running: Any, port: int) -> None:
    first = running()
    second = running()
    until(lambda: "already in use" in second.numbers().error)
    first.stop()
    until(lambda: second.numbers().state == "open")


def test_an_address_of_another_machine_hints_at_writing() -> None:
    with pytest.raises(UnavailableError, match="cannot listen") as caught:
        sinks.make("modbus://192.0.2.1:5020").open()
    assert "serve=false" in caught.value.hint


def test_results_are_written_into_a_plc(running: Any, port: int) -> None:
    plc = Plc(port)
    try:
        outlet = running(",serve=false,address=100,unit=3")
        outlet.offer(event(1, part=5))
        until(lambda: outlet.numbers().sent == 1)
        registers = plc.registers()
        assert registers[1:8] == [1, 1, 900, 1, 0, 31, 1]
        assert registers[14:] == [0, 5, 0]
        beat = registers[0]
        until(lambda: plc.registers()[0] > beat + 1)
        outlet.stop()
    finally:
        plc.kill()


def test_a_plc_that_was_killed_and_is_back_gets_the_next_results(running: Any, port: int) -> None:
    plc = Plc(port)
    outlet = running(",serve=false,address=100,unit=3,timeout=200ms")
    outlet.offer(event(1))
    until(lambda: outlet.numbers().sent == 1)
    plc.kill()
    until(lambda: outlet.numbers().state == "failing")
    outlet.offer(event(2))
    plc = Plc(port)
    try:
        until(lambda: outlet.numbers().state == "open")
        outlet.offer(event(3, result=classified("hole")))
        until(lambda: plc.registers()[2] == 2)
        numbers = outlet.numbers()
        assert numbers.sent + sum(numbers.given_up.values()) + numbers.queued == 3
        outlet.stop()
    finally:
        plc.kill()


def test_the_heartbeat_of_a_plc_that_is_written_to_is_read(running: Any, port: int) -> None:
    plc = Plc(port)
    try:
        outlet = running(",serve=false,address=100,unit=3,plc_watchdog=100ms,stale=60s")
        until(lambda: plc.registers()[5] & Fault.PLC_SILENT)
        plc.beat(1)
        until(lambda: outlet.numbers().facts["plc_silent"] == 0)
        outlet.stop()
    finally:
        plc.kill()


def test_a_plc_without_these_registers_is_named(port: int) -> None:
    plc = Plc(port)
    try:
        sink = sinks.make(f"modbus://127.0.0.1:{port},serve=false,address=500,unit=3")
        with pytest.raises(UnavailableError, match=r"refuses to write register 500 \(exception 2\)"):
            sink.open()
        sink.close()
    finally:
        plc.kill()


def test_nobody_at_the_address_is_one_line(port: int) -> None:
    with pytest.raises(UnavailableError, match=f"127.0.0.1:{port} does not answer"):
        sinks.make(f"modbus://127.0.0.1:{port},serve=false").open()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("modbus://host:99999", "is no address"),
        ("modbus:,address=65530", "address is 65530"),
        ("modbus:,unit=256", "unit is 256"),
        ("modbus:,stale=0s", "stale"),
    ],
)
def test_options_that_cannot_be_are_refused(text: str, said: str) -> None:
    with pytest.raises(OptionError, match=said):
        sinks.make(text)


def registers() -> Registers:
    return Registers(stale_ns=100, now_ns=0)


def test_numbers_that_are_not_known_are_not_zero() -> None:
    made = registers()
    made.take(event(exposed_ns=None, result=None, cause="expired"), 0)
    words = made.words(0)
    assert words[2] == 65535
    assert words[6] == 65535
    assert words[5] == Fault.NO_RESULT | Fault.NO_TIME
    assert words[11] == 1


def test_a_held_result_is_shown_and_marked() -> None:
    made = registers()
    made.take(event(held=True), 0)
    assert made.words(0)[2:6] == [1, 900, 1, Fault.HELD]


def test_counters_go_on_past_sixteen_bits() -> None:
    made = registers()
    for _ in range(65_537):
        made.take(event(result=None, cause="expired"), 0)
    words = made.words(0)
    assert words[1] == 1
    assert words[8:12] == [1, 1, 1, 1]


def test_an_old_age_is_not_taken_for_an_unknown_one() -> None:
    made = registers()
    now_ns = event().published_ns
    made.take(event(exposed_ns=now_ns - 10**12, published_ns=now_ns), 0)
    assert made.words(0)[6] == 65534


def test_staleness_begins_and_ends() -> None:
    made = registers()
    assert made.words(0)[5] == Fault.STALE
    made.take(event(), 50)
    assert made.words(149)[5] == 0
    assert made.words(150)[5] == Fault.STALE
    assert made.words(150, plc_silent=True)[5] == Fault.STALE | Fault.PLC_SILENT
