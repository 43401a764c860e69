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
            room = "" if found.head_room_c is None else f", {found.head_room_c:.0f} °C below throttling"
            return f"It holds {rate} for as long as you like{room}."
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
            known = f"It answered {rate}; how hot" if rate else "How hot"
            return f"{known} it gets cannot be told: {verdict.reasons[0]}."


def sustainable(best: Sustainable | None) -> str:
    """How the sustainable rate is known."""
    if best is None:
        return ""
    minutes = span(60 * best.minutes)
    return {
        "measured": f"held for {minutes}",
        "estimated": "estimated from the fit, not tried",
        "confirmed": f"confirmed for {minutes}",
        "refuted": f"estimated: a tenth more throttled again after {minutes}",
    }[best.basis]
