from pathlib import Path

from piaccel.device import bootconfig, tuning
from piaccel.device.board import detect
from piaccel.device.tuning.levers import look
from piaccel.testing.fake_board import FakeBoard


def test_included_files_are_read_in_their_place_and_circles_end(tmp_path: Path) -> None:
    board = detect(FakeBoard(tmp_path, "pi4").root)
    files = {
        "config.txt": "[pi5]\ninclude five.txt\n[all]\ninclude extra.txt # ours\ninclude gone.txt\narm_boost=0",
        "five.txt": "gpu_mem=256",
        "extra.txt": "arm_boost=1\ninclude config.txt",
    }
    text = bootconfig.whole(lambda name: files.get(name))
    assert text is not None
    found = list(bootconfig.settings(text, board))
    assert found[0] == ("arm_boost", "1"), "what the [pi5] section includes is not for this board"
    assert found[-1] == ("arm_boost", "0")
    assert ("gpu_mem", "256") not in found
    assert bootconfig.whole(lambda _: None) is None


def test_a_lever_sees_what_an_included_file_sets(tmp_path: Path) -> None:
    board = FakeBoard(tmp_path, "pi5")
    config = next(tmp_path.rglob("boot/firmware/config.txt"))
    config.write_text(config.read_text() + "\n[all]\ninclude fan.txt\n")
    (config.parent / "fan.txt").write_text("dtparam=fan_temp3=60000\n")
    assert next(each for each in tuning.levers(board.root) if each.name == "fan").now in (None, "60 °C")
    settings = look(board.root).settings
    assert ("dtparam", "fan_temp3=60000") in settings
