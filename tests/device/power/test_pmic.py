"""The regulator of a Pi 5: rails paired by name, and nothing summed up that is not whole."""

import random
from pathlib import Path

import pytest

from piaccel.device import power
from piaccel.device.power.pmic import rails_of
from piaccel.device.power.source import PowerSource
from piaccel.errors import UnavailableError
from piaccel.testing.captures import PMIC
from piaccel.testing.fake_board import FakeBoard
from piaccel.testing.thermal import ThermalBoard

LOADED_A = "0.09368929 0.08783370 0.18054710 0.22543980 0.06666720 0.17566740 0.37670900 6.22421000"
LOADED_V = "3.69977600 3.31003300 1.80512600 1.10476100 0.60146460 1.11025500 0.80146440 0.86173300"
BUSY = (
    ["3V7_WL_SW", "3V3_SYS", "1V8_SYS", "DDR_VDD2", "DDR_VDDQ", "1V1_SYS", "0V8_SW", "VDD_CORE"],
    LOADED_A.split(),
    LOADED_V.split(),
)
REST = (
    ["3V3_DAC", "3V3_ADC", "0V8_AON", "HDMI"],
    ["0.00006105", "0.00036630", "0.00305250", "0.02417580"],
    ["3.31318300", "3.30677300", "0.80029220", "5.08664000"],
)


def answer(*rails: tuple[list[str], list[str], list[str]]) -> str:
    whole = [each for group in rails for each in zip(*group, strict=True)]
    amperes = [f" {name}_A current({number})={value}A" for number, (name, value, _) in enumerate(whole)]
    volts = [f" {name}_V volt({number})={value}V" for number, (name, _, value) in enumerate(whole)]
    return "\n".join([*amperes, *volts, " EXT5V_V volt(24)=5.08V"])


@pytest.fixture
def board(tmp_path: Path) -> FakeBoard:
    return FakeBoard(tmp_path / "pi", "pi5")


def pmic(root: Path) -> PowerSource:
    source = power.find(root, "pmic")
    assert source is not None
    return source


def test_the_sum_of_a_real_capture_is_exact(board: FakeBoard) -> None:
    assert pmic(board.root).read() == pytest.approx(3.50705, abs=5e-6)


def test_the_sum_of_a_board_with_four_busy_cores_is_exact() -> None:
    assert sum(rails_of(answer(BUSY, REST)).values()) == pytest.approx(7.23982, abs=5e-6)


def test_rails_are_paired_by_name_whatever_the_order() -> None:
    lines = PMIC.splitlines()
    random.Random(1).shuffle(lines)
    rails = rails_of("\n".join(lines))
    assert rails["VDD_CORE"] == pytest.approx(1.54489 * 0.88725180)
    assert len(rails) == 12
    assert not {"EXT5V", "BATT"} & rails.keys()


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("  VDD_CORE_V volt(15)=0.88725180V\n", "", "VDD_CORE"),
        ("  DDR_VDD2_A current(3)=0.11613570A\n", "", "DDR_VDD2"),
        ("1.54489000A", "1.54489000V", "not a current"),
        ("1.54489000A", "nanA", "not a current"),
        ("HDMI_A", "VDD_CORE_A", "twice"),
        ("current(7)", "volt(7)", "not a current"),
    ],
)
def test_an_answer_that_is_not_whole_is_no_sum_of_the_rest(board: FakeBoard, old: str, new: str, words: str) -> None:
    source = pmic(board.root)
    assert old in PMIC
    board.answer("pmic_read_adc", PMIC.replace(old, new, 1).rstrip("\n"))
    assert source.read() is None
    assert words in source.reason


def test_a_rail_that_goes_away_later_is_a_failure(board: FakeBoard) -> None:
    source = pmic(board.root)
    board.answer("pmic_read_adc", "\n".join(line for line in PMIC.splitlines() if "HDMI" not in line))
    assert source.read() is None
    assert "left out HDMI" in source.reason
    board.set(power_w=4.0)
    assert source.read() == pytest.approx(4.0, abs=1e-4)
    assert source.reason == ""


def test_a_core_without_power_is_a_failure_and_idle_memory_without_is_none(board: FakeBoard) -> None:
    source = pmic(board.root)
    board.answer("pmic_read_adc", PMIC.replace("0.11613570A", "0.00000000A").rstrip("\n"))
    assert source.read() == pytest.approx(3.50705 - 0.1161357 * 1.108424, abs=5e-6)
    board.answer("pmic_read_adc", PMIC.replace("1.54489000A", "0.00000000A").rstrip("\n"))
    assert source.read() is None


@pytest.mark.parametrize("kind", ["zero2w", "pi3b+", "pi4", "pi400"])
def test_older_boards_have_no_regulator_that_measures(tmp_path: Path, kind: str) -> None:
    root = FakeBoard(tmp_path / "pi", kind).root  # type: ignore[arg-type]
    with pytest.raises(UnavailableError, match="only the Pi 5 family"):
        power.find(root, "pmic")
    assert power.find(root) is None


def test_a_user_who_may_not_ask_the_firmware_is_told_the_cure(board: FakeBoard) -> None:
    board.close_firmware()
    with pytest.raises(UnavailableError, match="group video") as caught:
        power.find(board.root, "pmic")
    assert "usermod" in caught.value.hint


def test_it_refuses_to_compare_the_processor_with_an_accelerator(board: FakeBoard) -> None:
    source = pmic(board.root)
    for backend in ("edgetpu", "hailo", "imx500"):
        reason = power.refusal(source, power.used_by("litert"), power.used_by(backend))
        assert reason is not None
        assert "USB devices" in reason
    assert power.refusal(source, power.used_by("litert"), power.used_by("onnxruntime")) is None


def test_the_energy_of_work_follows_the_model_of_the_board(tmp_path: Path) -> None:
    board = ThermalBoard(tmp_path / "pi", "pi5", cooling="active")
    source = pmic(board.root)
    meter = power.Meter(source, 2, clock=board.now_ns)
    idle = power.measure_idle(source, 3, 2, clock=board.now_ns, sleep=board.sleep)
    assert idle.watts == pytest.approx(3.51, abs=0.01)
    begun = board.now_ns()

    def sample() -> None:
        meter.sample()

    with board.every(0.5, sample):
        board.advance(10, 1.0)
    net = meter.between(begun + 500_000_000, board.now_ns()).above(idle)
    assert net.joules == pytest.approx(9.5 * (7.24 - 3.51), rel=0.01)
    assert net.uncertainty_j is None  # nobody publishes how exact the regulator is


def test_a_firmware_that_falls_silent_in_the_middle_gives_no_energy(board: FakeBoard) -> None:
    meter = power.Meter(pmic(board.root), 100)
    meter.sample()
    board.close_firmware()
    meter.sample()
    meter.stop()
    assert meter.energy.joules is None
    assert meter.energy.missing == 2
    assert "group video" in meter.energy.reason
