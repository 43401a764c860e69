"""Edits of config.txt and cmdline.txt, and taking them back."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from piaccel.device import bootconfig
from piaccel.device.board import Board, detect
from piaccel.device.tuning.boot_files import add_line, add_words, comment_out, in_force
from piaccel.device.tuning.taking_back import take_back
from piaccel.testing.fake_board import FakeBoard

LINE = "dtparam=pciex1_gen=3"
WORDS = ("psi=1", "cgroup_enable=memory")

_lines = st.sampled_from(
    (
        *("[all]", "[pi4]", "[pi5]", "[none]", "# a comment", "dtparam=pciex1_gen=2", "dtparam=audio=on,pciex1_gen=3"),
        *(LINE, "gpu_mem=128", "", "  ", "dtoverlay=vc4-kms-v3d", "[PI5]  # why", "\ufeff[pi4]", "ä=ö"),
    )
)
_ends = st.sampled_from(["\n", "\r\n"])
likely = st.lists(st.tuples(_lines, _ends)).map(lambda parts: "".join(a + b for a, b in parts).encode())
texts = st.one_of(likely, likely.map(lambda text: text.rstrip(b"\r\n")), st.binary(max_size=80))


@pytest.fixture(scope="module")
def board(tmp_path_factory: pytest.TempPathFactory) -> Board:
    return detect(FakeBoard(tmp_path_factory.mktemp("pi") / "pi", "pi5").root)


def text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


@given(texts)
@example(b"[pi4]\x0c")
@example(b"foo\x0c[pi4]")
@settings(deadline=None)
def test_an_added_setting_holds_once_below_all_that_was_there(board: Board, data: bytes) -> None:
    after = add_line(data, LINE, board)
    assert after.startswith(data)
    assert in_force(text(after), LINE, board)
    assert add_line(after, LINE, board) == after
    if data:
        assert take_back("config.txt", data, after, after) == data


@given(texts, st.lists(_lines).map(lambda lines: "".join(f"{line}\n" for line in lines).encode()))
@settings(deadline=None)
def test_lines_that_somebody_added_below_ours_mean_the_same_when_ours_is_gone(
    board: Board, data: bytes, added: bytes
) -> None:
    ours = add_line(data, LINE, board)
    assume(ours != data)
    without = take_back("config.txt", data, ours, ours + added)
    if without is None:
        return  # told to the user, and left alone
    mine = list(bootconfig.settings(text(ours), board))
    theirs = list(bootconfig.settings(text(ours + added), board))[len(mine) :]
    first = list(bootconfig.settings(text(data), board))
    assert list(bootconfig.settings(text(without), board)) == first + theirs


@given(texts)
@settings(deadline=None)
def test_commenting_out_changes_nothing_but_a_hash_and_can_be_taken_back(board: Board, data: bytes) -> None:
    after = comment_out(data, lambda key, _: key == "gpu_mem", board)
    assert "gpu_mem" not in dict(bootconfig.settings(text(after), board))
    assert len(after.split(b"\n")) == len(data.split(b"\n"))
    assert comment_out(after, lambda key, _: key == "gpu_mem", board) == after
    for was, now in zip(data.split(b"\n"), after.split(b"\n"), strict=True):
        assert now in (was, b"#" + was)
    if data:
        assert take_back("config.txt", data, after, after) == data


@given(
    st.one_of(st.binary(max_size=60), st.from_regex(rb"( ?(psi=0|root=/dev/x|cgroup_enable=cpuset|quiet)){0,5}\r?\n?"))
)
@settings(deadline=None)
def test_the_command_line_stays_one_line_with_the_words_in_it_once(data: bytes) -> None:
    after = add_words(data, WORDS)
    assert after.count(b"\n") == data.count(b"\n")
    first = after.split(b"\n")[0]
    for word in WORDS:
        assert word.encode() in first.split()
    assert add_words(after, WORDS) == after
    if data:
        assert take_back("cmdline.txt", data, after, after) == data


def test_another_value_of_a_word_is_replaced_and_other_names_of_cgroup_enable_stay() -> None:
    after = add_words(b"quiet psi=0 cgroup_enable=cpuset rootwait\r\n", WORDS)
    assert after == b"quiet psi=1 cgroup_enable=cpuset rootwait cgroup_enable=memory\r\n"


def test_windows_line_ends_are_kept_and_a_missing_last_one_is_mended(board: Board) -> None:
    assert add_line(b"a=1\r\nb=2", "c=3", board) == b"a=1\r\nb=2\r\nc=3\r\n"


def test_a_setting_in_a_filter_of_another_board_does_not_count(board: Board) -> None:
    data = b"[pi4]\ndtparam=pciex1_gen=3\n"
    assert add_line(data, LINE, board) == data + b"[all]\ndtparam=pciex1_gen=3\n"
    same = b"[pi5]\ndtparam=pciex1_gen=3\n"
    assert add_line(same, LINE, board) == same


def test_a_setting_that_a_later_line_overrides_is_set_again_at_the_end(board: Board) -> None:
    data = b"dtparam=pciex1_gen=3\n[pi5]\ndtparam=pciex1_gen=2\n"
    assert add_line(data, LINE, board) == data + b"[all]\ndtparam=pciex1_gen=3\n"


def test_what_somebody_changed_elsewhere_is_kept_when_ours_is_taken_out() -> None:
    first = b"a=1\nb=2\n"
    ours = b"a=1\nb=2\nc=3\n"
    assert take_back("x/config.txt", first, ours, b"a=9\nb=2\nc=3\nd=4\n") == b"a=9\nb=2\nd=4\n"
    assert take_back("x/config.txt", first, ours, b"a=1\nb=2\nd=4\n") == b"a=1\nb=2\nd=4\n", "ours is gone already"
    assert take_back("x/cmdline.txt", b"quiet", b"quiet psi=1", b"quiet psi=1 splash") == b"quiet splash"


def test_a_line_of_ours_that_somebody_changed_is_not_touched() -> None:
    assert take_back("config.txt", b"gpu_mem=128\n", b"#gpu_mem=128\n", b"#gpu_mem=64\n") is None
    assert take_back("etc/systemd/x.conf", b"[A]\n", b"[A]\nb=1\n", b"[A]\nb=1\nc=1\n") is None


@pytest.mark.parametrize(
    ("kind", "name", "holds"),
    [
        ("cm5", "cm5", True),
        ("cm5", "pi5", True),
        ("pi5", "cm5", False),
        ("pi400", "pi400", True),
        ("pi4", "pi400", False),
    ],
)
def test_filters_of_modules_and_keyboards_are_understood(tmp_path: Path, kind: str, name: str, holds: bool) -> None:
    there = detect(FakeBoard(tmp_path / "pi", kind).root)  # type: ignore[arg-type]
    assert dict(bootconfig.settings(f"[{name}]\na=1\n", there)) == ({"a": "1"} if holds else {})
