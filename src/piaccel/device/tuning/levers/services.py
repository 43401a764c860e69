"""Services that start with the board and that inference does not need.

None has a published cost on a Raspberry Pi that we know of, so none is recommended to be stopped: each is shown, and is
moved only when it is asked for by name.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from piaccel.device.findings import Subject
from piaccel.device.tuning.lever import Command, Lever

_USES = {
    "bluetooth": "Bluetooth devices",
    "hciuart": "the Bluetooth chip on the board",
    "ModemManager": "mobile modems",
    "avahi-daemon": "finding the board as NAME.local",
    "triggerhappy": "hot keys",
    "cups": "printing",
    "cups-browsed": "finding printers",
    "lightdm": "the desktop",
}


def levers(subject: Subject) -> Iterator[Lever]:
    """One for each of these services that is enabled."""
    wants = subject.tree.glob("etc/systemd/system/*.wants")
    for name, use in _USES.items():
        unit = f"{name}.service"
        if any(os.path.lexists(folder / unit) for folder in wants):
            yield Lever(
                f"service-{name.lower()}",
                f"the service {name}: {use}",
                "enabled",
                None,
                "What it costs on this board is not published, so stopping it is not recommended: measure before and "
                "after.",
                "none",
                risk=f"no {use} any more",
                opt_in=True,
                for_speed=True,
                changes=(Command(("systemctl", "disable", "--now", unit), ("systemctl", "enable", "--now", unit)),),
            )
