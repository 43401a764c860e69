"""What the protocol says of a version: metadata, Triton's model configuration, numbers."""

from __future__ import annotations

from typing import Any

from piaccel.serving import datatypes
from piaccel.serving.lineup import STABLE, Lineup
from piaccel.serving.repository import order
from piaccel.serving.snapshot import ModelNumbers, Stage, State, VersionNumbers
from piaccel.serving.version import Version
from piaccel.tensors import TensorSpec

EXTENSIONS = (
    "binary_tensor_data",
    "classification",
    "model_repository",
    "model_configuration",
    "schedule_policy",
    "statistics",
)
_STATES: dict[Stage, State] = {"staged": "LOADING", "verifying": "LOADING", "draining": "UNLOADING"}


def metadata(lineup: Lineup, version: Version) -> dict[str, Any]:
    """``{"name", "versions", "platform", "inputs", "outputs"}`` as the protocol has it."""
    return {
        "name": lineup.name,
        "versions": sorted(lineup.loaded, key=order),
        "platform": f"piaccel_{version.facts.backend}",
        "inputs": [_described(spec) for spec in version.facts.inputs],
        "outputs": [_described(spec) for spec in version.facts.outputs],
    }


def configuration(lineup: Lineup, version: Version) -> dict[str, Any]:
    """Triton's ModelConfig as JSON has it; shapes include the batch, so ``max_batch_size`` is 0."""
    settings = lineup.settings
    policies: dict[str, dict[str, Any]] = {
        "latest": {"latest": {"num_versions": settings.keep}},
        "all": {"all": {}},
        "specific": {"specific": {"versions": [int(each) for each in settings.versions if each.isdecimal()]}},
    }
    return {
        "name": lineup.name,
        "platform": f"piaccel_{version.facts.backend}",
        "backend": version.facts.backend,
        "version_policy": policies[settings.policy],
        "max_batch_size": 0,
        "input": [_configured(spec) for spec in version.facts.inputs],
        "output": [_configured(spec) for spec in version.facts.outputs],
        "instance_group": [{"name": lineup.name, "kind": "KIND_CPU", "count": settings.instances}],
    }


def numbers(lineup: Lineup) -> ModelNumbers:
    """The model as it stands now, its newest version first."""
    record = lineup.record
    quarantined = {each.version: each.reason for each in record.quarantined.values()}
    known = {*lineup.found, *lineup.loaded, *lineup.passing, *quarantined}
    rows = []
    for name in sorted(known, key=order, reverse=True):
        labels = [label for label, version in record.labels.items() if version == name]
        if name == lineup.serving:
            labels = [STABLE, *labels]
        if name in lineup.loaded:
            rows.append(_loaded(lineup, lineup.loaded[name], tuple(labels)))
            continue
        found = lineup.found.get(name)
        passing = lineup.passing.get(name)
        stage: Stage = "quarantined" if name in quarantined else "unloaded"
        reason = quarantined.get(name, "")
        if passing is not None and name not in quarantined:
            stage, reason = passing.stage, passing.reason
        elif not reason and found is not None and not found.whole:
            reason = found.reason
        rows.append(
            VersionNumbers(
                version=name,
                state=_STATES.get(stage, "UNAVAILABLE"),
                stage=stage,
                reason=reason or ("unloaded" if stage == "unloaded" else ""),
                labels=tuple(labels),
            )
        )
    back = record.committed if lineup.probation else record.previous
    return ModelNumbers(
        name=lineup.name,
        ready=lineup.ready,
        required=lineup.settings.required,
        serving=lineup.serving,
        previous=back.version if back else "",
        swapping=next(
            (name for name, each in lineup.passing.items() if each.stage != "draining"),
            lineup.serving if lineup.probation else "",
        ),
        rung=lineup.rung,
        rungs=max(1, len(lineup.settings.ladder)),
        versions=tuple(rows),
    )


def _loaded(lineup: Lineup, version: Version, labels: tuple[str, ...]) -> VersionNumbers:
    meter, facts, crew = version.meter, version.facts, version.crew
    stage: Stage = "shadow" if version.name == lineup.shadowed and version.stage == "standby" else version.stage
    watched = lineup.probation if version.name == lineup.serving else None
    shares = [share for label, share in lineup.record.shares.items() if label in labels]
    share = sum(shares) if version.name != lineup.serving else 1 - sum(lineup.record.shares.values())
    agreement = version.agreed / version.compared if version.compared else None
    return VersionNumbers(
        version=version.name,
        state=_STATES.get(stage, "READY"),
        stage=stage,
        reason=version.reason,
        digest=version.digest,
        labels=labels,
        share=share,
        backend=facts.backend,
        variant=facts.variant,
        threads=facts.threads,
        why=facts.why if version.weighing is None else f"{facts.why}; {_batches(version)}",
        kind=facts.kind,
        pid=next(iter(crew.pids), None),
        memory_bytes=facts.memory_bytes,
        loaded_at=version.loaded_at,
        last_request_at=meter.last_request_at,
        succeeded=meter.succeeded,
        failed=dict(meter.failed),
        runs=meter.runs,
        queued=crew.queued,
        running=crew.running,
        rate=meter.rate,
        p50_ms=meter.percentile_ms(50),
        p95_ms=meter.percentile_ms(95),
        p99_ms=meter.percentile_ms(99),
        queue_ns=meter.queue_ns,
        input_ns=meter.input_ns,
        infer_ns=meter.infer_ns,
        output_ns=meter.output_ns,
        total_ns=meter.total_ns,
        failed_ns=meter.failed_ns,
        crashes=crew.crashes,
        hangs=crew.hangs,
        cancelled=crew.cancelled,
        agreement=agreement,
        compared=version.compared,
        golden_at=version.golden_at,
        probation_left=watched.left if watched else None,
    )


def _batches(version: Version) -> str:
    verb = "run together" if version.batcher is not None else "run alone"
    return f"requests {verb}: {version.weighing}"


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {
        "name": spec.name,
        "datatype": datatypes.name_of(spec.dtype),
        "shape": [-1 if size is None else size for size in spec.shape],
    }


def _configured(spec: TensorSpec) -> dict[str, Any]:
    name = datatypes.name_of(spec.dtype)
    return {
        "name": spec.name,
        "data_type": "TYPE_STRING" if name == "BYTES" else f"TYPE_{name}",
        "dims": [str(-1 if size is None else size) for size in spec.shape],
    }
