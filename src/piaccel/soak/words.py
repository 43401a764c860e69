"""What a soak found, in sentences."""

from __future__ import annotations

from piaccel.bench._html_scale import number
from piaccel.soak import Soak
from piaccel.soak.findings import Findings, Sustainable
from piaccel.soak.verdict import Verdict, span


def conclusion(soak: Soak, found: Findings, verdict: Verdict) -> str:
    """The whole story in one or two sentences."""
    rate = None if found.rate_steady_per_s is None else f"{number(found.rate_steady_per_s)} answers a second"
    best = found.sustainable
    match verdict.kind:
        case "pass":
            room = "" if found.head_room_c is None else f", {found.head_room_c:.0f} °C below where throttling begins"
            return f"It holds {rate}: the temperature has settled{room}."
        case "throttles":
            after = span(found.throttled_after_s or 0.0)
            hold = "" if best is None else f" It can hold {number(best.rate_per_s)} a second ({sustainable(best)})."
            return f"It throttles after {after} and ends at {rate}.{hold}"
        case "under-voltage":
            return "The supply is too weak for this load: mend that first."
        case "failed":
            return f"It did not last: {verdict.reasons[0]}."
        case "not settled":
            more = "" if found.longer_minutes is None else f" Run {found.longer_minutes} minutes longer."
            return f"It did not throttle in {span(found.load_s)}, but it had not settled either.{more}"
        case "sensor missing":
            known = f"It gave {rate}; how hot" if rate else "How hot"
            return f"{known} it gets cannot be told: {verdict.reasons[0]}."


def sustainable(best: Sustainable | None) -> str:
    """How the sustainable rate is known."""
    if best is None:
        return ""
    minutes = span(60 * best.minutes)
    return {
        "measured": f"held for {minutes}" + (", more was not asked for" if best.at_least else ""),
        "estimated": "estimated from the fit, not tried",
        "confirmed": f"confirmed for {minutes}",
        "refuted": f"estimated: a tenth more throttled again after {minutes}",
    }[best.basis]


def table(found: Findings) -> list[tuple[str, str, str]]:
    """What was measured: name, at the begin of the load, at its end."""

    def cell(value: float | None, unit: str, by: float = 1.0) -> str:
        return "not measurable here" if value is None else f"{number(value / by)} {unit}"

    never = "never" if found.throttling_known else "not measurable here"
    after = found.throttled_after_s
    lines = [
        ("rate", cell(found.rate_start_per_s, "/s"), cell(found.rate_steady_per_s, "/s")),
        ("median latency", cell(found.p50_start_ms, "ms"), cell(found.p50_steady_ms, "ms")),
        ("p99 latency", cell(found.p99_start_ms, "ms"), cell(found.p99_steady_ms, "ms")),
        ("clock", cell(found.clock_start_hz, "MHz", 1e6), cell(found.clock_steady_hz, "MHz", 1e6)),
        ("temperature", cell(found.idle_c, "°C idle"), cell(found.steady_c, "°C")),
        ("power", cell(found.idle_w, "W idle"), cell(found.power_w, "W")),
        ("energy of an answer", "", cell(found.energy_mj, "mJ above idle")),
        ("time to throttle", "", never if after is None else span(after)),
    ]
    best = found.sustainable
    if best is not None:
        lines.append(("sustainable rate", "", f"{number(best.rate_per_s)} /s, {sustainable(best)}"))
    return lines
