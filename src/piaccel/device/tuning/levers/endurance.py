"""For a board that runs unattended: the hardware watchdog, and fewer writes to the card. A matter of purpose."""

from __future__ import annotations

from collections.abc import Iterator

from piaccel.device.findings import Subject
from piaccel.device.tuning import dropins
from piaccel.device.tuning.lever import Lever, whole

_HEAD = "# Written by piaccel tune; piaccel tune revert removes it.\n"
_LOG_SIZE = "64M"


def levers(subject: Subject) -> Iterator[Lever]:
    """Watchdog, where logs are kept, how many."""
    if subject.board.is_pi:
        yield _watchdog(subject)
    storage = dropins.systemd(subject.tree, "journald.conf", "Storage")
    volatile = storage == "volatile"
    yield Lever(
        "logs",
        "where the system's log is kept",
        storage or "auto",
        "volatile",
        "A log in memory writes nothing to the card.",
        "systemd, journald.conf(5)",
        risk="after a crash or a power cut the log is gone",
        needs_reboot=True,
        opt_in=True,
        changes=()
        if volatile
        else (whole("etc/systemd/journald.conf.d/99-piaccel-logs.conf", f"{_HEAD}[Journal]\nStorage=volatile\n"),),
    )
    size = dropins.systemd(subject.tree, "journald.conf", "SystemMaxUse")
    yield Lever(
        "log-size",
        "how much of the card the system's log may take",
        size or "a tenth of the disk, 4 GiB at most",
        _LOG_SIZE,
        "A full card stops a service.",
        "systemd, journald.conf(5)",
        risk="older messages are dropped sooner; no published figure of what the card gains",
        needs_reboot=True,
        opt_in=True,
        changes=()
        if size or volatile
        else (
            whole(
                "etc/systemd/journald.conf.d/99-piaccel-log-size.conf", f"{_HEAD}[Journal]\nSystemMaxUse={_LOG_SIZE}\n"
            ),
        ),
        refused="the log is kept in memory only, so it takes none of the card" if volatile else "",
    )


def _watchdog(subject: Subject) -> Lever:
    seconds = dropins.systemd(subject.tree, "system.conf", "RuntimeWatchdogSec")
    off = seconds in (None, "0", "off")
    return Lever(
        "watchdog",
        "hardware watchdog: a reboot when the kernel or systemd hangs",
        "off" if off else seconds,
        "1m",
        "An unattended board comes back by itself. A minute is what Raspberry Pi OS sets where it sets one; less "
        "resets a small board that is only busy.",
        "systemd-system.conf(5); raspberrypi-sys-mods, 40-rpi-enable-watchdog.conf",
        risk="the board resets when systemd is held up for a minute",
        needs_reboot=True,
        opt_in=True,
        changes=(
            whole("etc/systemd/system.conf.d/99-piaccel-watchdog.conf", f"{_HEAD}[Manager]\nRuntimeWatchdogSec=1m\n"),
        )
        if off
        else (),
    )
