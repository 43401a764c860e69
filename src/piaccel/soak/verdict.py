"""Whether the board can keep this up: one word, the reasons, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from piaccel.soak import Soak
from piaccel.soak.findings import KEPT, MARGIN_C, Findings

Kind = Literal["pass", "failed", "under-voltage", "throttles", "not settled", "sensor missing"]

_DRIFT = 0.05
_GROWTH_SHARE, _GROWTH_BYTES = 0.1, 32 * 2**20


@dataclass(frozen=True)
class Verdict:
    """``kind`` is the gravest that holds; ``advice`` is what mends it."""

    kind: Kind
    reasons: tuple[str, ...]
    advice: tuple[str, ...]

    @property
    def passed(self) -> bool:
        return self.kind == "pass"


def judge(soak: Soak, found: Findings) -> Verdict:
    """Say whether it passed, and every reason why not."""
    holding = tuple(_holding(soak, found))
    kind: Kind = holding[0] if holding else "pass"
    return Verdict(kind, tuple(_reasons(soak, found, holding)), tuple(_advice(soak, found, holding)))


def _holding(soak: Soak, found: Findings) -> Iterator[Kind]:
    """The gravest first."""
    if soak.gave_up or not found.answers or found.errors > _DRIFT * (found.answers + found.errors):
        yield "failed"
    if found.under_voltage:
        yield "under-voltage"
    if found.throttled_after_s is not None:
        yield "throttles"
    elif not found.throttling_known or found.hottest_c is None or _lost(soak):
        yield "sensor missing"
    elif not found.settled or soak.interrupted:
        yield "not settled"


def _lost(soak: Soak) -> bool:
    """Whether the sensors fell silent while it ran."""
    load = [row for row in soak.rows if row.stage == "load"]
    return any(row.temperature_c is None for row in load) and any(row.temperature_c is not None for row in load)


def _reasons(soak: Soak, found: Findings, holding: tuple[Kind, ...]) -> Iterator[str]:
    if soak.gave_up:
        yield f"the load ended early: {soak.gave_up}"
    elif not found.answers:
        yield "nothing was answered"
    if found.errors:
        yield f"{found.errors} of {found.answers + found.errors} requests failed"
    if found.under_voltage:
        yield "the supply fell below 4.63 V: clocks fall and cards corrupt, whatever the heat"
    if found.throttled_after_s is not None:
        yield f"throttled {span(found.throttled_after_s)} after the load began, for {found.held_share:.0%} of its time"
        if found.loss is not None and found.rate_steady_per_s is not None:
            yield (
                f"the rate fell from {found.rate_start_per_s:.3g} to {found.rate_steady_per_s:.3g} a second "
                f"({-found.loss:+.0%})"
            )
        if found.settled is False:
            yield "the throttled rate had not settled"
    elif "sensor missing" in holding:
        yield soak.sensors_note or (
            "the sensors fell silent while it ran" if _lost(soak) else "temperature or throttling cannot be read here"
        )
    elif found.settled is False:
        yield f"the temperature was still changing, {found.slope_c_per_min or 0.0:+.1f} °C a minute"
    elif found.head_room_c is not None:
        yield f"settled at {found.steady_c:.0f} °C, {found.head_room_c:.0f} °C below where throttling begins"
        ambient = soak.environment.get("ambient_c")
        if ambient is not None and found.head_room_c > MARGIN_C:  # the board is as much warmer as the air is
            yield f"so it should hold in air of up to {ambient + found.head_room_c - MARGIN_C:.0f} °C"
    elif found.steady_c is not None:
        yield f"settled at {found.steady_c:.0f} °C, not throttled"
    if soak.interrupted:
        yield "cut short by the user"
    rate = soak.plan.rate_per_s
    if rate and found.rate_steady_per_s is not None and found.rate_steady_per_s < KEPT * rate:
        yield f"{rate:g} a second were asked for, {found.rate_steady_per_s:.3g} were answered"
    yield from _drifts(soak, found)


def _drifts(soak: Soak, found: Findings) -> Iterator[str]:
    first, last = found.p50_start_ms, found.p50_steady_ms
    if first and last and abs(last / first - 1) > _DRIFT:
        yield f"median latency went from {first:.3g} to {last:.3g} ms ({last / first - 1:+.0%})"
    growth = found.rss_growth_bytes
    base = next((row.rss_bytes for row in soak.rows if row.stage == "load" and row.rss_bytes), None)
    if growth and base and growth > max(_GROWTH_SHARE * base, _GROWTH_BYTES):
        yield f"memory grew by {growth / 2**20:.0f} MiB while it ran"


def _advice(soak: Soak, found: Findings, holding: tuple[Kind, ...]) -> Iterator[str]:
    board = soak.environment.get("board") or {}
    model = str(board.get("model") or "")
    if "under-voltage" in holding:
        newest = any(name in model for name in ("Raspberry Pi 5", "Compute Module 5"))
        yield f"use the official {'27 W' if newest else '15 W'} supply and a short cable"
    if "throttles" in holding:
        cooler = "an active cooler" if "Raspberry Pi 5" in model else "a heat sink, better with a fan"
        yield f"fit {cooler}, or move more air past the one that is there"
        best = found.sustainable
        if best is not None:
            period = f"{1000 / best.rate_per_s:.0f}ms"
            yield (
                f"or limit the rate to {best.rate_per_s:.3g} a second: the clients', or "
                f"`piaccel run --policy paced --period {period}`"
            )
    elif "not settled" in holding and found.longer_minutes is not None:
        yield f"run longer: {found.longer_minutes} more minutes"
    if "sensor missing" in holding:
        yield "run it on the board itself, as a user in the group video (`piaccel doctor` tells what is missing)"
    if "failed" in holding:
        yield "look at the errors below, and try `piaccel predict` or one request by hand"


def span(seconds: float) -> str:
    """Write a length of time: 45 s, 4 min 29 s, 30 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min" + (f" {whole % 60} s" if whole % 60 else "")
