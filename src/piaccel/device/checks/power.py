"""Supply, heat and clock (RP docs, frequency-management.adoc: the firmware slows the ARM cores down from 80 °C on)."""

from __future__ import annotations

from collections.abc import Iterator

from piaccel.device.findings import Finding, Subject

_WARM_C = 75.0
_SECTION = "sensors"
_SUPPLY = {
    "BCM2712": "the 27 W USB-C supply (5.1 V, 5 A)",
    "BCM2711": "the 15 W USB-C supply (5.1 V, 3 A)",
}
_SMALL_SUPPLY = "a 5.1 V, 2.5 A supply"


def firmware(subject: Subject) -> Iterator[Finding]:
    """The firmware does not tell the throttle flags."""
    sensor = subject.sensors["throttled"]
    if subject.board.is_pi and subject.throttled is None:
        cure = "Join the group, then log out and in again." if "usermod" in sensor.hint else ""
        yield Finding(
            _SECTION,
            "warning",
            f"throttling cannot be seen: {sensor.reason}",
            "Without the firmware's flags a measurement of a throttled board looks like any other, and the clock shown "
            "is the one requested.",
            cure,
            sensor.hint,
        )


def under_voltage(subject: Subject) -> Iterator[Finding]:
    """The supply is too weak, now or since boot."""
    flags = subject.throttled
    now = subject.readings["under_voltage"] == 1
    if not now and not (flags and "under-voltage" in flags.since_boot):
        return
    supply = _SUPPLY.get(subject.board.soc or "", _SMALL_SUPPLY)
    yield Finding(
        _SECTION,
        "problem" if now else "warning",
        "under-voltage now" if now else "under-voltage has happened since boot",
        "Below 4.63 V the firmware slows the CPU down and USB devices drop out; numbers taken then are wrong "
        "(RP docs, frequency-management.adoc).",
        f"Use {supply} with its own cable, and power USB devices from a hub."
        + ("" if now else " The flag stays until the next boot."),
    )


def slowed(subject: Subject) -> Iterator[Finding]:
    """The firmware slows the CPU down, now or since boot."""
    flags = subject.throttled
    if flags is None:
        return
    supply_is_the_cause = subject.readings["under_voltage"] == 1
    now = [word for word in flags.now if word != "under-voltage"]
    before = [word for word in flags.since_boot if word != "under-voltage" and word not in now]
    if now:
        yield Finding(
            _SECTION,
            "problem",
            f"the CPU is slowed down now: {', '.join(now)}{_circumstances(subject)}",
            "Every latency measured now is too long, and it changes while you measure.",
            "Mend the supply first." if supply_is_the_cause else _cooling(subject),
            "" if supply_is_the_cause else _soft_limit_command(subject),
        )
    elif before:
        yield Finding(
            _SECTION,
            "warning",
            f"the CPU has been slowed down since boot: {', '.join(before)}",
            "It will happen again under the same load, in the middle of a measurement. The flag stays until the next "
            "boot.",
            _cooling(subject),
        )


def temperature(subject: Subject) -> Iterator[Finding]:
    """Hot, though the firmware does nothing about it yet."""
    celsius = subject.readings["temperature_c"]
    if not subject.board.is_pi or celsius is None or celsius < _WARM_C:
        return
    flags = subject.throttled
    if flags is None or not flags.now:
        yield Finding(
            _SECTION,
            "warning",
            f"{celsius:.1f} °C: the firmware slows the CPU down from 80 °C on",
            "A benchmark will reach that within minutes (RP docs, frequency-management.adoc).",
            "Fit a heat sink or a fan.",
        )


def clock(subject: Subject) -> Iterator[Finding]:
    """The measured clock lies below the maximum although there is work, and no flag says why."""
    measured, maximum = subject.readings["clock_hz"], subject.board.max_freq_hz
    if measured is None or not maximum or "requested" in subject.sensors["clock_hz"].source:
        return
    load, cores = subject.readings["load"], subject.board.cores
    busy = subject.board.governor == "performance" or (load is not None and cores is not None and load >= cores)
    if busy and measured < 0.95 * maximum and not (subject.throttled and subject.throttled.now):
        yield Finding(
            _SECTION,
            "warning",
            f"the CPU runs at {measured / 1e6:.0f} of {maximum / 1e6:.0f} MHz under load",
            "No throttle flag explains it; a limit in config.txt (arm_freq, temp_limit) may.",
            "Look for limits.",
            f"grep -nE '^(arm_freq|temp_limit|arm_boost|initial_turbo)' {subject.boot}/config.txt",
        )


def facts(subject: Subject) -> Iterator[Finding]:
    """What the sensors say, and which of them this machine lacks."""
    said, missing = [], []
    for sensor in subject.sensors:
        value = subject.readings[sensor.name]
        (missing.append(_LABELS[sensor.name]) if value is None else said.append(_worded(subject, sensor.name, value)))
    if said:
        yield Finding(_SECTION, "ok", "; ".join(said))
    if missing:
        yield Finding(_SECTION, "ok", f"not measurable here: {', '.join(missing)}")


_LABELS = {
    "temperature_c": "temperature",
    "clock_hz": "clock",
    "throttled": "throttled",
    "under_voltage": "under-voltage",
    "fan_rpm": "fan",
    "memory_available_bytes": "memory",
    "load": "load",
}


def _worded(subject: Subject, name: str, value: float) -> str:
    label = _LABELS[name]
    if name == "temperature_c":
        return f"{value:.1f} °C"
    if name == "clock_hz":
        requested = " (requested)" if "requested" in subject.sensors[name].source else ""
        return f"{label} {value / 1e6:.0f} MHz{requested}"
    if name == "throttled":
        return f"{label}: {subject.throttled}"
    if name == "under_voltage":
        return f"{label}: {'yes' if value else 'no'}"
    if name == "memory_available_bytes":
        return f"{label} {value / 2**30:.1f} GiB available"
    return f"{label} {value:g}" + (" rpm" if name == "fan_rpm" else "")


def _circumstances(subject: Subject) -> str:
    celsius, hertz, maximum = (
        subject.readings["temperature_c"],
        subject.readings["clock_hz"],
        subject.board.max_freq_hz,
    )
    heat = f" at {celsius:.1f} °C" if celsius is not None else ""
    measured = hertz is not None and "requested" not in subject.sensors["clock_hz"].source
    return heat + (f", {hertz / 1e6:.0f} of {maximum / 1e6:.0f} MHz" if measured and hertz and maximum else "")


def _soft_limited(subject: Subject) -> bool:
    return bool(subject.throttled and subject.throttled.soft_limit and "Plus" in (subject.board.model or ""))


def _cooling(subject: Subject) -> str:
    if _soft_limited(subject):
        return "Fit a heat sink. With one, the soft limit may be raised from 60 to 70 °C (then reboot)."
    return "Fit a heat sink or a fan, and give the case air. Measure again when it is below 70 °C."


def _soft_limit_command(subject: Subject) -> str:
    if not _soft_limited(subject):
        return ""
    return f"printf '\\n[all]\\ntemp_soft_limit=70\\n' | sudo tee -a {subject.boot}/config.txt"
