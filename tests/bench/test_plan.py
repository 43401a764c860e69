"""What is to be measured."""

from __future__ import annotations

from pathlib import Path

import pytest

from piaccel.bench import plan
from piaccel.bench.environment import usable_cores
from piaccel.bundles import Bundle
from piaccel.errors import OptionError


def test_every_backend_that_opens_the_file_is_a_candidate_for_each_thread_count(tiny_model: Path) -> None:
    made = plan.make(Bundle.open(tiny_model), ["litert"], threads=[1, 2, 1])
    assert [(each.backend, each.threads) for each in made.candidates] == [("litert", 1), ("litert", 2)]
    assert made.candidates[0].version
    assert made.candidates[0].precision == "int8"
    assert made.versions["litert"] == made.candidates[0].version


def test_threads_default_to_one_for_each_usable_core(tiny_model: Path) -> None:
    made = plan.make(Bundle.open(tiny_model), ["litert"])
    assert [each.threads for each in made.candidates] == [usable_cores()]


def test_a_backend_that_refuses_what_its_format_would_fit_is_told_with_the_reason(tiny_model: Path) -> None:
    made = plan.make(Bundle.open(tiny_model))
    refused = {candidate.backend: reason for candidate, reason in made.rejected}
    assert "quantized" in refused["opencv"]
    assert not {"onnxruntime", "ncnn"} & set(refused)  # another format altogether: not worth a word


def test_the_reference_may_be_a_backend_that_was_not_asked_for(tiny_model: Path) -> None:
    made = plan.make(Bundle.open(tiny_model), ["openvino"])
    assert {each.backend for each in made.candidates} == {"openvino"}
    assert made.references[0].backend == "litert"


def test_options_go_to_the_backends_that_have_them(tiny_model: Path) -> None:
    made = plan.make(Bundle.open(tiny_model), ["litert", "openvino"], options=["xnnpack=false"])
    chosen = {each.backend: each.all_options for each in made.candidates}
    assert chosen["litert"]["xnnpack"] is False
    assert "xnnpack" not in chosen["openvino"]


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"only_backends": ["tensorrt"]}, "tensorrt"),
        ({"only_variants": ["int4"]}, "int4"),
        ({"threads": [0]}, "0 threads"),
        ({"options": ["colour=red"]}, "colour"),
        ({"options": ["xnnpack=perhaps"]}, "xnnpack"),
    ],
)
def test_what_does_not_exist_is_named_before_anything_runs(
    tiny_model: Path, arguments: dict[str, list[str]], named: str
) -> None:
    with pytest.raises(OptionError, match=named):
        plan.make(Bundle.open(tiny_model), **arguments)  # type: ignore[arg-type]


def test_float32_is_the_most_exact_and_integers_the_least() -> None:
    order = ["int8", "unknown", "fp16", "fp32", "int8-weights"]
    assert sorted(order, key=plan._exactness) == ["fp32", "fp16", "unknown", "int8", "int8-weights"]
