"""The sensor of a Hailo module, through a HailoRT of the vendor's signature."""

from pathlib import Path

import pytest

from piaccel.device import power
from piaccel.device.power.hailo import Hailo
from piaccel.errors import UnavailableError
from piaccel.testing import hailo
from piaccel.testing.fake_board import FakeBoard


def test_a_module_with_a_sensor_tells_its_power_again_and_again() -> None:
    with hailo.fake(power_w=1.85):
        source = Hailo()
        assert [source.read(), source.read()] == [1.85, 1.85]
        source.close()
        source.close()
        assert source.read() == 1.85


def test_it_holds_the_module_alone_and_compares_nothing_with_the_processor() -> None:
    reason = power.refusal(Hailo(), power.used_by("litert"), power.used_by("hailo"))
    assert reason is not None
    assert "the processor" in reason


def test_a_module_without_a_sensor_is_told_and_not_asked_again() -> None:
    with hailo.fake(power_w=None):
        source = Hailo()
        assert source.read() is None
        assert "tells no power" in source.reason
    with hailo.fake(power_w=2.0):
        assert source.read() is None


def test_without_a_device_or_a_binding_there_is_a_reason() -> None:
    with hailo.fake(devices=()):
        source = Hailo()
        assert source.read() is None
        assert "not found" in source.reason


def test_another_machines_hailo_is_never_asked(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path / "pi", "pi5", accelerators=["hailo8"])
    with pytest.raises(UnavailableError, match="this machine's own"):
        power.find(board.root, "hailo")
