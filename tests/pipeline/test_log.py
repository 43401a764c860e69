from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from piaccel.errors import OptionError
from piaccel.pipeline.log import JsonLines
from tests.pipeline import snapshots


def test_a_line_holds_a_snapshot_without_its_history(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "n.jsonl", snapshots.snapshot)
    log.write()
    (line,) = (tmp_path / "n.jsonl").read_text().splitlines()
    seen = json.loads(line)
    assert seen["streams"][0]["age"]["p50_ms"] == 30.0
    assert seen["board"]["fan_rpm"] is None
    assert seen["history"] == []


def test_a_line_comes_each_period_and_one_at_the_end(tmp_path: Path) -> None:
    log = JsonLines(tmp_path / "n.jsonl", snapshots.snapshot, 3600.0)
    log.start()
    log.stop()
    log.stop()
    assert len((tmp_path / "n.jsonl").read_text().splitlines()) == 1


def test_files_stay_below_their_size_and_old_ones_go(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    log = JsonLines(path, snapshots.snapshot, max_size_bytes=5000, keep=2)
    for _ in range(30):
        log.write()
    assert sorted(each.name for each in tmp_path.iterdir()) == ["n.jsonl", "n.jsonl.1", "n.jsonl.2"]
    for each in tmp_path.iterdir():
        assert each.stat().st_size <= 5000
        assert [json.loads(line) for line in each.read_text().splitlines()]


def test_a_line_that_a_loss_of_power_cut_does_not_spoil_the_next(tmp_path: Path) -> None:
    path = tmp_path / "n.jsonl"
    path.write_text('{"at": 1')
    log = JsonLines(path, snapshots.snapshot, 3600.0)
    log.start()
    log.stop()
    cut, whole = path.read_text().splitlines()
    assert cut == '{"at": 1'
    assert json.loads(whole)["at"] == snapshots.NOW


def test_a_folder_that_is_not_there_is_named_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"no/n\.jsonl"):
        JsonLines(tmp_path / "no" / "n.jsonl", snapshots.snapshot).start()


def test_a_period_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="not above 0"):
        JsonLines(tmp_path / "n.jsonl", snapshots.snapshot, 0.0)


def test_a_disk_that_fails_is_one_warning_and_not_the_end(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "n.jsonl"
    log = JsonLines(path, snapshots.snapshot, 0.01)
    log.start()
    path.unlink(missing_ok=True)
    path.mkdir()
    while not caplog.records:
        time.sleep(0.01)
    path.rmdir()
    log.stop()
    assert sum("not written" in record.getMessage() for record in caplog.records) >= 1
    assert json.loads(path.read_text().splitlines()[-1])["at"] == snapshots.NOW


def test_a_password_in_a_camera_s_address_is_not_written(tmp_path: Path) -> None:
    seen = snapshots.snapshot(cameras=(snapshots.camera(source="rtsp://me:secret@cam/1"),))
    JsonLines(tmp_path / "n.jsonl", lambda: seen).write()
    assert "secret" not in (tmp_path / "n.jsonl").read_text()
