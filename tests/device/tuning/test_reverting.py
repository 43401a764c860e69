"""The way back, when others have changed the files too; rights, links, the journal, what waits for a reboot."""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path

import pytest

from piaccel.device import tuning
from piaccel.device.tree import Tree
from piaccel.device.tuning import planning, reverting
from piaccel.device.tuning.journal import FOLDER
from piaccel.device.tuning.lever import Command, Edit, Lever
from piaccel.errors import InputError, UnavailableError, WriteError
from piaccel.testing.fake_board import FakeBoard
from tests.device.tuning.ordinary import ordinary_user
from tests.device.tuning.trees import snapshot

CONFIG, CMDLINE = "boot/firmware/config.txt", "boot/firmware/cmdline.txt"
UNIT = "etc/systemd/system/piaccel-governor.service"
GOVERNOR = "sys/devices/system/cpu/cpufreq/policy0/scaling_governor"


@pytest.fixture
def board(tmp_path: Path) -> FakeBoard:
    made = FakeBoard(tmp_path / "pi", "pi5", os="bookworm")
    made.plug("hailo8", speed="5.0 GT/s PCIe")
    return made


def apply(board: FakeBoard, *names: str) -> None:
    tuning.plan(board.root, names or None).apply()


def test_lines_that_somebody_added_since_stay_and_ours_go(board: FakeBoard) -> None:
    first = (board.root / CONFIG).read_text()
    apply(board)
    with open(board.root / CONFIG, "a") as file:
        file.write("dtoverlay=imx219\n")
    line = (board.root / CMDLINE).read_text()
    (board.root / CMDLINE).write_text(line.replace("rootwait", "rootwait quiet"))
    assert tuning.status(board.root).files[CONFIG] == "changed since"
    done = tuning.revert(board.root)
    assert done.refused == {}
    assert set(done.kept) == {CONFIG, CMDLINE}
    assert (board.root / CONFIG).read_text() == f"{first}dtoverlay=imx219\n"
    assert (board.root / CMDLINE).read_text() == line.partition(" psi=1")[0] + " quiet\n"
    assert tuning.status(board.root).files == {}


def test_a_file_of_ours_that_somebody_changed_is_left_alone_until_it_is_gone(board: FakeBoard) -> None:
    before = snapshot(board.root)
    apply(board, "governor", "psi")
    board.write(UNIT, "[Service]\nExecStart=/bin/true\n")
    done = tuning.revert(board.root)
    assert list(done.refused) == [UNIT]
    assert "remove it" in done.refused[UNIT]
    assert (board.root / UNIT).read_text() == "[Service]\nExecStart=/bin/true\n"
    assert (board.root / GOVERNOR).read_text() == "ondemand\n", "the rest is taken back"
    (board.root / UNIT).unlink()
    assert tuning.revert(board.root).refused == {}
    assert snapshot(board.root) == before


def test_a_line_of_ours_that_somebody_changed_is_left_alone_and_what_was_first_is_saved(board: FakeBoard) -> None:
    board.write(CMDLINE, "quiet psi=0\n")
    apply(board, "psi")
    board.write(CMDLINE, "quiet psi=2\n")
    reason = tuning.revert(board.root).refused[CMDLINE]
    saved = Path(reason.rpartition(" ")[2])
    assert saved.is_relative_to(board.root / FOLDER)
    assert saved.read_text() == "quiet psi=0\n"
    assert (board.root / CMDLINE).read_text() == "quiet psi=2\n"
    assert "changed by somebody else" in tuning.plan(board.root, ["psi"]).left_alone["psi"]
    saved.replace(board.root / CMDLINE)
    assert tuning.revert(board.root).refused == {}
    assert not (board.root / FOLDER).exists()


def test_what_was_there_before_the_very_first_apply_is_what_comes_back(board: FakeBoard) -> None:
    before = snapshot(board.root)
    for name in ("psi", "isolation", "pcie-gen", "governor"):
        apply(board, name)
    assert set(tuning.status(board.root).levers) == {"psi", "isolation", "pcie-gen", "governor"}
    tuning.revert(board.root)
    assert snapshot(board.root) == before


def test_mode_and_owner_of_a_file_are_kept_there_and_back(board: FakeBoard) -> None:
    path = board.root / CMDLINE
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 1000, 1000)
    there = path.stat()
    apply(board, "psi")
    assert (path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) == (there.st_mode, there.st_uid, there.st_gid)
    tuning.revert(board.root)
    assert (path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) == (there.st_mode, there.st_uid, there.st_gid)


def test_bytes_that_are_no_text_survive_the_journal(board: FakeBoard) -> None:
    data = bytes(range(1, 256)) + b"\r\n# \xff\xfe"
    board.write_bytes(CONFIG, data)
    apply(board, "pcie-gen")
    assert (board.root / CONFIG).read_bytes() != data
    tuning.revert(board.root)
    assert (board.root / CONFIG).read_bytes() == data


def test_a_file_can_be_removed_and_comes_back(board: FakeBoard) -> None:
    before = snapshot(board.root)
    gone = Lever(
        "gone", "a file that goes", None, None, "-", "-", changes=(Edit("etc/dphys-swapfile", lambda _: None),)
    )
    plan = planning.make(Tree(board.root), [gone])
    assert "+++ /dev/null" in plan.diff()
    plan.apply()
    assert not (board.root / "etc/dphys-swapfile").exists()
    assert tuning.status(board.root).files == {"etc/dphys-swapfile": "as written"}
    tuning.revert(board.root)
    assert snapshot(board.root) == before


def test_a_link_inside_the_root_is_followed_and_one_that_leads_out_is_refused(board: FakeBoard, tmp_path: Path) -> None:
    inside = board.root / "boot/firmware/real.txt"
    (board.root / CMDLINE).rename(inside)
    (board.root / CMDLINE).symlink_to("real.txt")
    apply(board, "psi")
    assert (board.root / CMDLINE).is_symlink()
    assert "psi=1" in inside.read_text()
    tuning.revert(board.root)
    outside = tmp_path / "outside"
    outside.write_text("mine\n")
    (board.root / CMDLINE).unlink()
    (board.root / CMDLINE).symlink_to(outside)
    plan = tuning.plan(board.root, ["psi", "governor"])
    assert "outside" in plan.left_alone["psi"]
    assert [each.name for each in plan.levers] == ["governor"]
    plan.apply()
    assert outside.read_text() == "mine\n"


def test_a_masked_service_of_ours_stays_masked(board: FakeBoard) -> None:
    link = board.root / UNIT
    (board.root / "dev/null").mkdir(parents=True)
    link.symlink_to("../../../dev/null")
    plan = tuning.plan(board.root)
    assert "cannot be read" in plan.left_alone["governor"]
    plan.apply()
    assert link.is_symlink()


def test_a_value_of_the_kernel_that_somebody_else_has_set_since_is_left(board: FakeBoard) -> None:
    apply(board, "governor")
    board.set(governor="schedutil")
    assert tuning.status(board.root).settings == {GOVERNOR: "changed since"}
    tuning.revert(board.root)
    assert (board.root / GOVERNOR).read_text() == "schedutil\n"
    assert not (board.root / UNIT).exists()


def test_what_waits_for_a_reboot_is_known_by_the_boot(board: FakeBoard) -> None:
    apply(board)
    assert tuning.status(board.root).levers["psi"] is True
    assert tuning.status(board.root).levers["governor"] is False
    board.write("proc/sys/kernel/random/boot_id", "another\n")
    assert tuning.status(board.root).levers["psi"] is False
    (board.root / "proc/sys/kernel/random/boot_id").unlink()
    assert tuning.status(board.root).levers["psi"] is None


def test_a_plan_that_is_out_of_date_changes_nothing(board: FakeBoard) -> None:
    plan = tuning.plan(board.root)
    board.write(CMDLINE, "quiet\n")
    before = snapshot(board.root / "etc")
    with pytest.raises(WriteError, match="has changed since it was looked at"):
        plan.apply()
    assert snapshot(board.root / "etc") == before
    assert (board.root / CMDLINE).read_text() == "quiet\n"


def test_an_ordinary_user_may_plan_but_not_apply(board: FakeBoard) -> None:
    apply(board, "psi")
    with ordinary_user(board.root):
        plan = tuning.plan(board.root)
        assert plan.closed
        assert tuning.status(board.root).levers
        before = snapshot(board.root)
        with pytest.raises(UnavailableError, match="only root may change"):
            plan.apply()
        with pytest.raises(UnavailableError, match="only root may change"):
            tuning.revert(board.root)
        assert snapshot(board.root) == before


def test_two_at_the_same_time_are_kept_apart(board: FakeBoard) -> None:
    apply(board, "psi")
    fd = os.open(board.root / FOLDER, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        with pytest.raises(UnavailableError, match="at work already"):
            apply(board, "governor")
        with pytest.raises(UnavailableError, match="at work already"):
            tuning.revert(board.root)
    finally:
        os.close(fd)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"format": 2}', '{"format": 1, "files": 3}'])
def test_a_damaged_journal_is_named_and_nothing_is_changed(board: FakeBoard, text: str) -> None:
    apply(board, "psi")
    board.write(f"{FOLDER}/journal.json", text)
    for work in (tuning.plan, tuning.revert, tuning.status):
        with pytest.raises(InputError, match=r"journal\.json is damaged"):
            work(board.root)


def test_the_journal_can_be_read_by_people(board: FakeBoard) -> None:
    first = (board.root / CMDLINE).read_text()
    apply(board, "psi")
    document = json.loads((board.root / FOLDER / "journal.json").read_text())
    assert document["files"][CMDLINE]["first"] == first
    assert document["levers"]["psi"]["needs_reboot"] is True


def test_a_command_that_fails_says_what_it_said() -> None:
    assert planning.run(["true"]) == ""
    assert planning.run(["false"]) == "false: exit code 1"
    assert "No such file" in planning.run(["no-such-program-anywhere"])


class LiveTree(Tree):
    """A tree that is taken for the running system, on which commands are run."""

    @property
    def live(self) -> bool:
        return True


def test_on_the_running_system_a_command_is_run_and_undone(board: FakeBoard, tmp_path: Path) -> None:
    before = snapshot(board.root)
    mark = tmp_path / "mark"
    command = Command(("touch", str(mark)), ("rm", str(mark)))
    lever = Lever("mark", "a file elsewhere", None, None, "-", "-", changes=(command,))
    done = planning.make(LiveTree(board.root), [lever]).apply()
    assert done.ran == (f"touch {mark}",)
    assert done.failed == ()
    assert mark.exists()
    assert reverting.revert(LiveTree(board.root)).commands == (f"rm {mark}",)
    assert not mark.exists()
    assert snapshot(board.root) == before


def test_a_command_that_cannot_be_undone_stays_in_the_journal(board: FakeBoard, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    lever = Lever("mark", "-", None, None, "-", "-", changes=(Command(("false",), ("rm", str(mark))),))
    assert planning.make(LiveTree(board.root), [lever]).apply().failed == ("false: exit code 1",)
    assert list(reverting.revert(LiveTree(board.root)).refused) == [f"rm {mark}"]
    mark.touch()
    assert reverting.revert(LiveTree(board.root)).refused == {}
    assert not (board.root / FOLDER).exists()


def test_reverting_nothing_makes_nothing(board: FakeBoard) -> None:
    before = snapshot(board.root)
    done = tuning.revert(board.root)
    assert (done.files, done.settings, done.refused) == ((), (), {})
    assert snapshot(board.root) == before
