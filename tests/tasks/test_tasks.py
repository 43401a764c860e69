from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from piaccel import tasks
from piaccel.errors import OptionError
from piaccel.frames import Preprocess
from piaccel.tensors import TensorSpec

F32 = np.dtype(np.float32)
IMAGE = TensorSpec("x", (1, 224, 224, 3), F32, "NHWC")


def out(*shapes: tuple[int | None, ...]) -> list[TensorSpec]:
    return [TensorSpec(f"out{i}", shape, F32) for i, shape in enumerate(shapes)]


@pytest.mark.parametrize("name", tasks.names())
def test_a_family_is_a_frozen_dataclass_whose_options_all_have_defaults(name: str) -> None:
    family = tasks.get(name)
    task = family()
    assert dataclasses.is_dataclass(task)
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(task, dataclasses.fields(task)[0].name, 1)
    assert family.kind in {"classification", "detection", "segmentation", "pose", "anomaly"}


@pytest.mark.parametrize("name", tasks.names())
@pytest.mark.parametrize("dtype", ["uint8", "int8", "float32"])
def test_the_usual_preprocessing_fits_the_input_and_has_a_size_where_that_is_free(name: str, dtype: str) -> None:
    fixed = TensorSpec("x", (1, 3, 64, 96), np.dtype(dtype), "NCHW")
    free = TensorSpec("x", (None, None, None, 3), np.dtype(dtype), "NHWC")
    assert tasks.get(name).usual_preprocess(fixed).shape == (1, 3, 64, 96)
    preprocess = tasks.get(name).usual_preprocess(free)
    tensor, _ = preprocess(np.zeros((10, 10, 3), np.uint8))
    assert isinstance(preprocess, Preprocess)
    free.check(tensor)


@pytest.mark.parametrize(
    ("shapes", "family"),
    [
        ([(1, 1001)], "classification"),
        ([(None, 10)], "classification"),
        ([(1, 1, 1, 1000)], "classification"),
        ([(1, 2048, 1, 1)], "classification"),
        ([(1, 1)], None),
        ([(1, None)], None),
        ([(8, 1000)], None),
        ([(1, 1000), (1, 1000)], None),
        ([(1, 7, 7, 1280)], None),
        ([(1, 300)] * 4, None),
        ([()], None),
        ([], None),
    ],
)
def test_a_family_is_recognised_where_it_is_clear(shapes: list[tuple[int | None, ...]], family: str | None) -> None:
    assert tasks.recognise([IMAGE], out(*shapes)) == family


def test_a_task_may_be_named_by_its_family_or_its_kind() -> None:
    yolo = out((1, 84, 784 + 196 + 49))
    assert tasks.resolve("yolo", [IMAGE], out((1, 5))) == "yolo"
    assert tasks.resolve("detection", [IMAGE], yolo) == "yolo"
    assert tasks.resolve("pose", [IMAGE], yolo) == "movenet"
    assert tasks.resolve("classification", [IMAGE], out((1, 5))) == "classification"


def test_a_task_that_is_unknown_or_unclear_is_refused_with_the_choices() -> None:
    with pytest.raises(OptionError, match="no task is called 'yoga'") as unknown:
        tasks.resolve("yoga", [IMAGE], out((1, 5)))
    assert "detection, fastestdet" in unknown.value.hint
    with pytest.raises(OptionError, match=r"out0 \(1, 5\)\) fit no family of detection") as unclear:
        tasks.resolve("detection", [IMAGE], out((1, 5)))
    assert "yolo" in unclear.value.hint


def test_the_docs_name_every_family_and_every_option() -> None:
    text = (Path(__file__).parents[2] / "docs/tasks.md").read_text(encoding="utf-8")
    for name in tasks.names():
        assert f"`{name}`" in text
        for option in dataclasses.fields(tasks.get(name)):  # type: ignore[arg-type]
            assert f"`{option.name}`" in text, f"{name}.{option.name}"
