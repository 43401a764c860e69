"""The self-test as a page that can be attached to an issue: a table to read, and all of the data below it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from piaccel.selftest import Proof, SelfTest


def document(result: SelfTest) -> dict[str, Any]:
    """Everything as plain data; ``schema`` comes first."""
    return {"schema": result.schema, "passed": result.passed, **asdict(result)}


def markdown(result: SelfTest) -> str:
    """The page, as GitHub shows it."""
    import msgspec

    board = result.board
    title = board.get("model") or "unknown board"
    lines = [
        f"# piaccel self-test: {title}",
        "",
        f"{result.created}, piaccel {result.piaccel}. "
        + ("**All passed.**" if result.passed else "**Not all passed.**")
        + (" Interrupted: what follows was finished by then." if result.interrupted else ""),
        "",
        "| model, variant | backend | proved | p50 ms | p99 ms | answers as the CPU | under load |",
        "|---|---|---|---|---|---|---|",
        *(_row(proof) for proof in result.proofs),
        "",
        *(f"* {_name(proof)}: {text}" for proof in result.proofs for text in (*proof.reasons, *proof.notes)),
        "",
        "| runtime | state | version | devices | why not |",
        "|---|---|---|---|---|",
        *(
            f"| {each['name']} | {each['state']} | {each['version'] or '-'} | {', '.join(each['devices']) or '-'} "
            f"| {_cell(each['reason'])} |"
            for each in result.runtimes
        ),
        "",
        *(f"* {each['severity']}: {_cell(each['what'])}" for each in result.findings),
        "",
        "<details><summary>All data</summary>",
        "",
        "```json",
        msgspec.json.format(msgspec.json.encode(document(result)), indent=1).decode(),
        "```",
        "",
        "</details>",
    ]
    return "\n".join(lines) + "\n"


def _row(proof: Proof) -> str:
    numbers = [_number(proof.p50_ms), _number(proof.p99_ms)]
    if not proof.valid and proof.p50_ms is not None:
        numbers[0] += f" (not valid: {'; '.join(proof.invalid_because)})"
    cells = [_name(proof), f"{proof.backend} {proof.version or ''}".strip(), "yes" if proof.passed else "**no**"]
    return "| " + " | ".join(_cell(each) for each in [*cells, *numbers, _agreement(proof), _soak(proof)]) + " |"


def _name(proof: Proof) -> str:
    return f"{proof.model}, {proof.variant} on {proof.backend}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _agreement(proof: Proof) -> str:
    if proof.agreement is None:
        return "not compared"
    cosine = "" if proof.agreement.cosine is None else f", cosine {proof.agreement.cosine:.4f}"
    return ("yes" if proof.agreement.agrees else "no") + cosine


def _soak(proof: Proof) -> str:
    soak = proof.soak
    if soak is None:
        return "not soaked"
    heat = "temperature not measurable here"
    if soak.hottest_c is not None and soak.start_c is not None:
        heat = f"{soak.start_c:.0f} to {soak.hottest_c:.0f} °C"
    device = "".join(f", {name} up to {value:.1f}" for name, value in soak.device.items())
    slowed = {True: ", throttled", False: "", None: ""}[soak.throttled]
    return (
        f"{soak.frames} frames in {soak.lasted_s:.0f} s, {soak.changed} changed, "
        f"{_number(soak.first_ms)} then {_number(soak.last_ms)} ms, {heat}{slowed}{device}"
    )


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())
