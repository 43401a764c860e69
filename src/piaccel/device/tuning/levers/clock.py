"""The CPU's clock and what keeps it up: governor, fan; overclocking is refused.

How a governor is kept over a boot: Bookworm's raspi-config.service sets ondemand late in the boot, Trixie's udev rule
60-ondemand-governor.rules early (raspberrypi-sys-mods); a service after both holds on either.
"""

from __future__ import annotations

from collections.abc import Iterator

from piaccel.device.findings import Subject
from piaccel.device.tuning import boot_files
from piaccel.device.tuning.lever import Lever, Setting, whole

_SERVICE = """\
# Written by piaccel tune; piaccel tune revert removes it.
[Unit]
Description=Hold the CPU at its full clock (piaccel tune)
After=raspi-config.service systemd-udev-settle.service

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'for each in /sys/devices/system/cpu/cpufreq/policy*/scaling_governor; do \
echo performance > "$each"; done'
"""
_WANTED = """\
# Written by piaccel tune; piaccel tune revert removes it.
[Unit]
Wants=piaccel-governor.service
"""
_FULL_C, _USUAL_FULL_C = 70, 75


def levers(subject: Subject) -> Iterator[Lever]:
    """Governor, fan, overclocking."""
    yield _governor(subject)
    if subject.board.is_pi:
        yield _fan(subject)
        yield Lever(
            "overclock",
            "a CPU clock above the board's own",
            _hertz(subject.board.max_freq_hz),
            None,
            "What a board bears differs from one to the next, and without cooling the firmware slows it down again "
            "from 80 °C on.",
            "RP docs, config_txt.adoc (overclocking) and frequency-management.adoc",
            risk="crashes, wrong results, a worn-out chip",
            refused="piaccel does not overclock; by hand, with a heat sink and a fan, and a soak test afterwards: "
            f"arm_freq=MHZ and {_voltage(subject)} in {subject.boot}/config.txt",
        )


def _governor(subject: Subject) -> Lever:
    policies = [
        str(path.relative_to(subject.tree.root))
        for path in subject.tree.glob("sys/devices/system/cpu/cpufreq/policy*/scaling_governor")
    ]
    offered = [
        (subject.tree.text(path.replace("_governor", "_available_governors")) or "").split() for path in policies
    ]
    refused = ""
    if not policies:
        refused = "the kernel does not let the clock be governed here"
    elif not all("performance" in each for each in offered):
        refused = "the kernel offers no governor of the name performance"
    return Lever(
        "governor",
        "CPU frequency governor, now and at every boot",
        subject.board.governor,
        "performance",
        "With ondemand the clock rises only after the work began: short requests are slow and measurements unsteady. "
        "It does not defeat throttling.",
        "RP docs, frequency-management.adoc; kernel.org, admin-guide/pm/cpufreq",
        risk="the idle board draws more and is warmer; no published figure",
        for_speed=True,
        changes=(
            *(Setting(path, "performance") for path in policies),
            whole("etc/systemd/system/piaccel-governor.service", _SERVICE),
            whole("etc/systemd/system/multi-user.target.d/50-piaccel-governor.conf", _WANTED),
        )
        if not refused
        else (),
        refused=refused,
    )


def _fan(subject: Subject) -> Lever:
    refused = boot_files.missing(subject, "config.txt")
    if subject.board.soc != "BCM2712":
        refused = "this board has no fan connector of its own"
    elif subject.tree.hwmon("pwmfan", "cooling_fan") is None:
        refused = "no fan is connected to the board's fan connector"
    asked = subject.parameter("fan_temp3")
    celsius = f"{int(asked) / 1000:g}" if asked and asked.isdecimal() and len(asked) < 9 else str(_USUAL_FULL_C)
    return Lever(
        "fan",
        "temperature at which the fan runs at its full speed",
        None if refused else f"{celsius} °C",
        None if refused else f"{_FULL_C} °C",
        "The firmware slows the CPU down from 80 °C on; a fan that is at full speed earlier leaves more room under "
        "constant load.",
        "RP docs, frequency-management.adoc: 50, 60, 67.5 and 75 °C by default",
        risk="more noise; no published figure of what it gains",
        needs_reboot=True,
        opt_in=True,
        changes=(boot_files.setting(subject, f"dtparam=fan_temp3={_FULL_C * 1000}"),) if not refused else (),
        refused=refused,
    )


def _voltage(subject: Subject) -> str:
    return "over_voltage_delta=MICROVOLT" if subject.board.soc in ("BCM2711", "BCM2712") else "over_voltage=STEP"


def _hertz(number: int | None) -> str | None:
    return None if number is None else f"{number / 1e6:.0f} MHz"
