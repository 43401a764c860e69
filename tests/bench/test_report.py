from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pytest

from piaccel.bench import SCHEMA, Report, report
from piaccel.errors import InputError, NotFoundError
from tests.bench import reports

PUBLISHED = Path(__file__).parents[2] / "docs" / "schemas" / "report-1.schema.json"


@pytest.fixture(scope="module")
def made() -> Report:
    return reports.report(count=40)


def test_a_report_comes_back_as_it_was_with_every_sample(made: Report, tmp_path: Path) -> None:
    report.write(made, tmp_path / "deep" / "report.json")
    assert report.read(tmp_path / "deep" / "report.json") == made


def test_hostile_names_and_empty_reports_come_back_too() -> None:
    for each in (reports.report(hostile=True, count=5), Report({}, {}, {}, [])):
        assert report.from_json(report.to_json(each)) == each


def test_the_schema_version_stands_first_and_each_measurement_on_a_line_of_its_own(made: Report) -> None:
    lines = report.to_json(made).decode().splitlines()
    assert lines[0] == f'{{"schema": "{SCHEMA}",'
    assert sum('"backend":' in line for line in lines) == len(made.measurements)


def test_paths_and_numpy_numbers_in_conditions_become_plain_json(made: Report) -> None:
    odd = replace(
        made, conditions={"images": [PurePosixPath("a/b.jpg")], "size": np.int64(96), "scale": np.float32(0.5)}
    )
    assert report.from_json(report.to_json(odd)).conditions == {"images": ["a/b.jpg"], "size": 96, "scale": 0.5}


def test_what_json_cannot_hold_is_refused(made: Report) -> None:
    with pytest.raises(TypeError, match="a report cannot hold"):
        report.to_json(replace(made, conditions={"images": object()}))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"none\.json: no such file"):
        report.read(tmp_path / "none.json")


def test_a_folder_is_not_a_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be read: Is a directory"):
        report.read(tmp_path)


@pytest.mark.parametrize("data", [b"ELF\x7f\x00", b"latency: 5 ms", b"\xff\xfe\x00", b'{"schema": }'])
def test_a_file_that_is_not_json_is_named_in_one_line(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "odd.json").write_bytes(data)
    with pytest.raises(InputError, match=r"odd\.json: not JSON: .+") as caught:
        report.read(tmp_path / "odd.json")
    assert "\n" not in str(caught.value)
    assert "piaccel bench --json" in caught.value.hint


def test_a_truncated_report_is_called_truncated_wherever_it_was_cut(made: Report) -> None:
    data = report.to_json(made)
    for length in (0, 1, 10, len(data) // 3, len(data) - 3):
        with pytest.raises(InputError, match="the JSON ends in the middle of the report"):
            report.from_json(data[:length])


@pytest.mark.parametrize("document", [[], 5, "text", None, {}, {"schema": 3}, {"schema": "pyperf/1"}])
def test_json_of_another_kind_is_not_a_report(document: object) -> None:
    with pytest.raises(InputError, match="JSON, but not a piaccel report"):
        report.from_json(json.dumps(document).encode())


def test_a_report_of_another_schema_version_is_refused_with_both_versions(made: Report) -> None:
    data = report.to_json(made).replace(SCHEMA.encode(), b"piaccel.report/2")
    with pytest.raises(InputError, match=r"its schema is 'piaccel\.report/2', this piaccel reads 'piaccel\.report/1'"):
        report.from_json(data)


def test_a_missing_or_wrong_field_is_named_with_its_place(made: Report) -> None:
    document = json.loads(report.to_json(made))
    del document["measurements"][1]["threads"]
    with pytest.raises(InputError, match=r"measurements\[1\]: Object missing required field `threads`"):
        report.from_json(json.dumps(document).encode())
    document["measurements"][1]["threads"] = "four"
    with pytest.raises(InputError, match=r"measurements\[1\]\.threads: Expected `int`, got `str`"):
        report.from_json(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"latency_ns": [5, 0]}, "a time below 1 ns"),
        ({"duration_ns": 0}, "duration_ns is below 1 ns"),
        ({"stages_ns": {"sleep": [1]}}, "unknown stage 'sleep'"),
        ({"stages_ns": {"decode": [1, 2], "inference": [1]}}, "stages of unequal length"),
        ({"series": [{"name": "temperature_c", "unit": "°C", "at_ns": [1], "values": []}]}, "unequal times and values"),
    ],
)
def test_samples_no_statistic_can_be_drawn_from_are_refused(
    made: Report, change: dict[str, object], complaint: str
) -> None:
    document = json.loads(report.to_json(made))
    document["measurements"][1]["repeats"][2].update(change)
    with pytest.raises(InputError, match=rf"measurements\[1\] \(litert/fp32\): repeats\[2\].*{complaint}"):
        report.from_json(json.dumps(document).encode())


def test_the_published_schema_is_the_one_of_the_types() -> None:
    assert json.loads(PUBLISHED.read_text()) == report.json_schema(), (
        f"write it again: python -m piaccel.bench.report > {PUBLISHED}"
    )


def test_the_schema_names_every_field_and_requires_the_version(made: Report) -> None:
    definitions = report.json_schema()["$defs"]
    assert set(definitions["Report"]["properties"]) == set(asdict(made))
    assert "schema" in definitions["Report"]["required"]
    assert definitions["Report"]["properties"]["schema"] == {"const": SCHEMA}
    assert set(definitions) == {"Report", "Measurement", "Repeat", "Series", "Agreement", "Verdict", "Power"}
