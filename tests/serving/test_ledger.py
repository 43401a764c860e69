"""What is remembered of a model, and what it means at the next start."""

import contextlib
import logging
import stat
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from piaccel.errors import ServiceError, WriteError
from piaccel.serving.ledger import Ledger, Record, Ref

OLD, NEW, OLDER = Ref("1", "1" * 64), Ref("2", "2" * 64), Ref("0", "0" * 64)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "state" / "models")


def test_everything_that_is_written_is_read_again(ledger: Ledger) -> None:
    record = Record(
        committed=OLD,
        previous=OLDER,
        candidate=NEW,
        stage="probation",
        attempts=1,
        labels={"canary": "2"},
        shares={"canary": 0.1},
        unloaded=True,
        counters={"key": 7},
    )
    record.quarantine("3" * 64, "3", "golden check: label 1, not 2")
    ledger.write("parts", record)
    assert Ledger(ledger.folder).read("parts") == record
    assert record.quarantined["3" * 64].reason == "golden check: label 1, not 2"
    assert ledger.names() == ["parts"]
    assert [path.name for path in ledger.folder.iterdir()] == ["parts.json"]
    assert stat.S_IMODE((ledger.folder / "parts.json").stat().st_mode) == 0o644


def test_a_model_that_nobody_wrote_of_has_an_empty_record(ledger: Ledger) -> None:
    assert ledger.read("parts") == Record()
    assert ledger.names() == []
    assert not ledger.folder.exists()


def test_two_records_share_nothing() -> None:
    first, second = Record(), Record()
    first.labels["stable"] = "1"
    first.happened("committed", "1")
    first.quarantine("1" * 64, "1", "bad")
    assert second == Record()


def test_the_history_keeps_the_last_fifty() -> None:
    record = Record()
    for number in range(60):
        record.happened("committed", str(number))
    assert [each.version for each in record.history] == [str(number) for number in range(10, 60)]


@pytest.mark.parametrize(
    "blob", [b"", b"{", b"\0" * 300, b"[]", b'{"committed": 3}', b'{"stage": "\xff"}', b"[" * 100_000]
)
def test_a_damaged_record_is_kept_aside_and_does_not_stop_the_start(
    ledger: Ledger, blob: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    ledger.write("parts", Record(committed=OLD))
    (ledger.folder / "parts.json").write_bytes(blob)
    with caplog.at_level(logging.WARNING, "piaccel"):
        assert ledger.read("parts") == Record()
    assert "is damaged" in caplog.text
    assert (ledger.folder / "parts.json.damaged").read_bytes() == blob
    assert ledger.names() == []
    ledger.write("parts", Record(committed=NEW))
    assert ledger.read("parts").committed == NEW


@settings(deadline=None)
@given(st.data())
def test_no_damage_to_a_record_is_more_than_a_value_error(data: st.DataObject) -> None:
    blob = bytearray(msgspec.json.encode(Record(OLD, OLDER, NEW, "probation", 1)))
    for _ in range(data.draw(st.integers(1, 4))):
        blob[data.draw(st.integers(0, len(blob) - 1))] = data.draw(st.integers(0, 255))
    del blob[data.draw(st.integers(0, len(blob))) :]
    with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):
        msgspec.json.decode(bytes(blob), type=Record)


def test_what_a_later_piaccel_adds_to_a_record_is_no_damage(ledger: Ledger) -> None:
    ledger.write("parts", Record(committed=OLD))
    path = ledger.folder / "parts.json"
    path.write_text(path.read_text().replace("{", '{"new_field": [1],', 1))
    assert ledger.read("parts").committed == OLD


def test_a_folder_in_a_records_place_is_told_as_an_unwritable_state(ledger: Ledger) -> None:
    (ledger.folder / "parts.json").mkdir(parents=True)
    assert ledger.read("parts") == Record()
    with pytest.raises(WriteError, match=r"^the state of model parts cannot be written: Is a directory"):
        ledger.write("parts", Record())
    assert [path.name for path in ledger.folder.iterdir()] == ["parts.json"]


def test_what_a_cut_off_write_left_is_written_over(ledger: Ledger) -> None:
    ledger.write("parts", Record(committed=OLD))
    (ledger.folder / ".parts.json.new").write_text('{"committed": ')
    assert ledger.names() == ["parts"]
    ledger.write("parts", Record(committed=NEW))
    assert [path.name for path in ledger.folder.iterdir()] == ["parts.json"]


def test_a_name_that_is_none_is_refused(ledger: Ledger) -> None:
    for name in ("..", "../x", "a/b", ""):
        with pytest.raises(ServiceError, match="is no model name"):
            ledger.write(name, Record())


def test_a_ledger_that_can_be_written_says_so(ledger: Ledger) -> None:
    assert not ledger.read_only  # its folder is not there yet, but can be made


def test_a_candidate_in_quarantine_is_none_any_more() -> None:
    record = Record(committed=OLD, candidate=NEW, stage="probation", attempts=2)
    record.quarantine(NEW.digest, NEW.version, "took the service down 2 times")
    assert (record.candidate, record.stage, record.attempts) == (None, "", 0)
    assert record.quarantined[NEW.digest].reason == "took the service down 2 times"
