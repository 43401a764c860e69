"""Which row is fastest, in a sentence: only rows that are valid and give the reference's answer can be."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from piaccel.bench import Measurement, Report
from piaccel.bench.statistics import difference, summary


def winner(report: Report) -> Measurement | None:
    """Return the fastest row that is valid and agrees; None where no row is both."""
    ranked = ranking(report.measurements)
    return next((row for row in ranked if may_win(row)), None)


def in_order(report: Report) -> list[Measurement]:
    """Return all rows as they are shown: those that may win, fastest first; then those that may not; then the rest."""
    ranked = ranking(report.measurements)
    rest = [row for row in report.measurements if not any(row is other for other in ranked)]
    return sorted(ranked, key=lambda row: not may_win(row)) + rest


def may_win(row: Measurement) -> bool:
    """Whether a row is valid and gives the reference's answer."""
    return row.verdict.valid and row.agreement is not None and row.agreement.agrees


def ranking(rows: Sequence[Measurement]) -> list[Measurement]:
    """Return the measured rows, fastest first, valid or not; see ``cost``."""
    costs = [(cost(row), row) for row in rows]
    return [row for price, row in sorted(((p, r) for p, r in costs if p is not None), key=lambda pair: pair[0])]


def cost(row: Measurement) -> float | None:
    """What one sample costs, in ms, so that less is faster; None where nothing was measured.

    The median latency for single-stream and multi-stream (LoadGen's p90 and p99 are shown beside it: a median needs far
    fewer samples to be trusted), and one over the rate for offline and server.
    """
    numbers = summary(row)
    if numbers is None:
        return None
    if row.scenario == "server":
        rate = row.server["rate_per_s"] if row.server else None
        return 1e3 / rate if rate else None
    if row.scenario == "offline":
        return 1e3 / numbers.fps
    return numbers.latency.p50_ms / row.samples_per_query


def sentence(report: Report) -> str:
    """Say what the report found: the winner and by how much, or why there is none."""
    best = winner(report)
    if best is None:
        return _nobody(report)
    youngest = best.scenario == "camera"
    text = f"{label(best, report)} {'gives the youngest results' if youngest else 'is fastest'}: {_speed(best)}"
    others = [row for row in ranking(report.measurements) if may_win(row) and row is not best]
    if others:
        text += f", {_lead(best, others[0], report)}"
        equal = [row for row in others[1:] if _same(best, row)]
        if equal:
            either = " either" if _same(best, others[0]) else ""
            text += f"; not distinguishable from {' and '.join(label(row, report) for row in equal)}{either}"
    return text + "." + _faster_but(best, report)


def label(row: Measurement, report: Report) -> str:
    """Name a row as briefly as the report allows."""
    several_counts = len({each.threads for each in report.measurements}) > 1
    one_variant = len({each.variant for each in report.measurements}) == 1
    name = row.backend if one_variant else row.name
    return f"{name} with {row.threads} thread{'s' if row.threads > 1 else ''}" if several_counts else name


def _speed(row: Measurement) -> str:
    numbers = summary(row)
    assert numbers is not None
    if row.scenario == "server":
        assert row.server is not None
        bound = row.server["latency_bound_ns"] / 1e6
        return f"{row.server['rate_per_s']:.4g} queries per second with 99 % answered within {bound:g} ms"
    if row.scenario == "offline":
        return f"{numbers.fps:.4g} samples per second"
    if row.scenario == "camera":
        latency = numbers.latency
        return f"{latency.p50_ms:.3g} ms old at the median (p95 {latency.p95_ms:.3g} ms), {numbers.fps:.3g} a second"
    query = f" for a query of {row.samples_per_query}" if row.samples_per_query > 1 else ""
    return f"{numbers.latency.p50_ms:.3g} ms median{query} (p90 {numbers.latency.p90_ms:.3g} ms)"


def _lead(best: Measurement, second: Measurement, report: Report) -> str:
    if _same(best, second):
        return f"but not distinguishable from {label(second, report)} ({_speed(second)})"
    ours, theirs = cost(best), cost(second)
    assert ours is not None
    assert theirs is not None
    alone = min(len(best.repeats), len(second.repeats)) < 2
    doubt = ", as far as a single repeat can tell" if alone else ""
    if best.scenario == "camera":
        return f"{label(second, report)} comes next ({_speed(second)}){doubt}"
    return f"{theirs / ours:.3g} times as fast as {label(second, report)} ({_speed(second)}){doubt}"


def _same(best: Measurement, other: Measurement) -> bool:
    """Whether both could be equally fast for all that was measured; a single repeat says nothing of it."""
    found = difference(best, other)
    return found is not None and found.interval is not None and not found.significant


def _faster_but(best: Measurement, report: Report) -> str:
    """Name the rows that look faster but may not win: a reader would wonder."""
    texts = []
    for row in ranking(report.measurements):
        if row is best:
            break
        wrong = row.agreement is not None and not row.agreement.agrees
        why = (
            "its answers are wrong"
            if wrong
            else "not valid"
            if not row.verdict.valid
            else "its answers were not checked"
        )
        texts.append(f"{label(row, report)} ({why})")
    return f" Faster, but out of the contest: {', '.join(texts)}." if texts else ""


def _nobody(report: Report) -> str:
    measured = ranking(report.measurements)
    if not measured:
        unmet = any(row.repeats for row in report.measurements)
        return "No rate met the latency bound." if unmet else "Nothing could be measured."
    wrong = [row for row in measured if row.agreement is not None and not row.agreement.agrees]
    if len(wrong) == len(measured):
        return "Nothing is called fastest: no row gives the reference's answer."
    reasons = Counter(reason.partition(":")[0] for row in measured for reason in row.verdict.reasons)
    why = f" ({', '.join(reason for reason, _ in reasons.most_common(3))})" if reasons else ""
    candidates = [row for row in measured if row not in wrong]
    return (
        f"Nothing is called fastest: no row is valid{why}. "
        f"By the numbers alone it would be {label(candidates[0], report)}: {_speed(candidates[0])}."
    )
