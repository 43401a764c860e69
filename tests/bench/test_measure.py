"""One repeat, with a real network, in this process."""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from piaccel.bench import STAGES
from piaccel.bench.environment import usable_cores
from piaccel.bench.measure import Done, Job, answer, measure
from piaccel.bench.scenarios import Limits
from piaccel.bundles import Bundle
from piaccel.errors import ChecksumError, NotFoundError
from piaccel.testing import hailo
from piaccel.testing.hailo import hefs

MS = 1_000_000


def job(model: Path, **fields: Any) -> Job:
    bundle = Bundle.open(model)
    given = {"threads": 1, "scenario": "single-stream", "limits": Limits(30 * MS, min_queries=10), "cores": 2, **fields}
    return Job(bundle=bundle, variant=bundle.variants[0], backend="litert", **given)


def run(wanted: Job) -> tuple[list[str], Done]:
    *said, done = measure(wanted)
    assert isinstance(done, Done)
    return [str(word) for word in said], done


def test_phases_are_told_and_kept_apart(tiny_model: Path) -> None:
    said, done = run(job(tiny_model))
    assert said == ["loading", "warming up", "measuring"]
    repeat = done.repeat
    assert repeat.load_ns > 0
    assert repeat.first_ns > 0
    assert len(repeat.warmup_ns) >= 10
    assert len(repeat.latency_ns) >= 10
    assert repeat.duration_ns >= 30 * MS
    assert sum(repeat.latency_ns) <= repeat.duration_ns
    assert repeat.cpu_ns > 0
    assert repeat.rss_peak_bytes is not None
    assert repeat.timer_ns < min(repeat.latency_ns)
    assert repeat.stages_ns == {}
    assert done.answers == []


def test_with_a_picture_each_stage_has_its_own_samples(tiny_model: Path, picture: Path) -> None:
    said, done = run(job(tiny_model, images=(picture,)))
    assert said[-1] == "measuring end to end"
    assert list(done.repeat.stages_ns) == list(STAGES[1:])  # nothing waits where no camera goes on by itself
    assert len({len(samples) for samples in done.repeat.stages_ns.values()}) == 1
    assert all(min(samples) > 0 for samples in done.repeat.stages_ns.values())


def test_answers_come_with_their_meaning(shared: Path) -> None:
    folder = shared / "models/imagenet"
    labels, parrot = folder / "imagenet_labels.txt", shared / "images/parrot.jpg"
    wanted = job(
        folder / "mobilenet_v1_0.25_128_quant.tflite", images=(parrot,), overrides={"labels": labels}, answer=True
    )
    _, done = run(wanted)
    assert done.answers[0].result.top(1)[0].label == "macaw"  # type: ignore[attr-defined]
    assert done.task == "classification"
    alone = answer(wanted)
    assert np.array_equal(next(iter(alone[0].outputs.values())), next(iter(done.answers[0].outputs.values())))


def test_a_multi_stream_query_has_eight_samples(tiny_model: Path) -> None:
    single, many = (run(job(tiny_model, scenario=name))[1] for name in ("single-stream", "multi-stream"))
    assert many.samples_per_query == 8
    assert min(many.repeat.latency_ns) > 4 * min(single.repeat.latency_ns)


def test_offline_fills_the_cores_with_sessions(tiny_model: Path) -> None:
    _, done = run(job(tiny_model, scenario="offline", cores=2))
    assert done.note == "2 sessions at once, batch 1"
    _, alone = run(job(tiny_model, scenario="offline", threads=2, cores=2))
    assert alone.note == "batch 1"


def test_offline_keeps_a_pipelined_accelerator_busy(tmp_path: Path) -> None:
    path = hefs.write(tmp_path / "net.hef", "mean", size=(16, 16, 3))
    bundle = Bundle.open(path)
    wanted = Job(bundle, bundle.variants[0], "hailo", 1, "offline", Limits(0, min_queries=30), 2)
    with hailo.fake(delay_ms=1, queue=3):
        done = run(wanted)[1]
    assert done.note.startswith("3 in flight; hailo_temp ")
    assert done.samples_per_query == 1
    assert len(done.repeat.latency_ns) == 30
    assert sum(done.repeat.latency_ns) > 2 * done.repeat.duration_ns  # they overlap


def test_a_free_batch_dimension_is_used_offline(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [
            helper.make_node("GlobalAveragePool", ["image"], ["mean"]),
            helper.make_node("Concat", ["mean", "mean"], ["twice"], axis=1),
            helper.make_node("Flatten", ["twice"], ["scores"]),
        ],
        "free",
        [helper.make_tensor_value_info("image", kind, ["n", 3, 32, 32])],
        [helper.make_tensor_value_info("scores", kind, ["n", 6])],
    )
    free = onnx.helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    path = tmp_path / "free.onnx"
    onnx.save(free, path)
    bundle = Bundle.open(path)
    limits = Limits(10 * MS, min_queries=10)
    wanted = Job(bundle, bundle.variants[0], "onnxruntime", 1, "offline", limits, 1)
    done = run(wanted)[1]
    assert (done.samples_per_query, done.note) == (8, "batch 8")


def test_the_server_scenario_keeps_what_was_tried(tiny_model: Path) -> None:
    _, done = run(job(tiny_model, scenario="server", bound_ns=10_000 * MS))
    assert done.repeat.server is not None
    assert done.repeat.server["rate_per_s"] > 0
    assert len(done.repeat.server["tried"]) >= 4
    _, hopeless = run(job(tiny_model, scenario="server", bound_ns=1))
    assert hopeless.repeat.server is not None
    assert hopeless.repeat.server["rate_per_s"] is None


def test_the_garbage_collector_is_on_again_afterwards(tiny_model: Path) -> None:
    run(job(tiny_model))
    assert gc.isenabled()
    assert gc.get_freeze_count() == 0


def test_a_picture_that_is_not_there_is_named(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"absent\.png"):
        run(job(tiny_model, images=(tmp_path / "absent.png",)))


def test_a_file_that_was_changed_is_not_measured(tiny_model: Path) -> None:
    from dataclasses import replace

    wanted = job(tiny_model)
    with pytest.raises(ChecksumError):
        run(replace(wanted, variant=replace(wanted.variant, sha256="0" * 64)))


def test_the_cores_of_this_process_are_counted() -> None:
    assert usable_cores() >= 1
