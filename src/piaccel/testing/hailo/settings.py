"""What the fake accelerator is and how it fails; travels to child processes in an environment variable."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass

VARIABLE = "PIACCEL_FAKE_HAILO"


@dataclass(frozen=True)
class Settings:
    version: str = "4.23.0"
    """HailoRT's: 4.x drives Hailo-8 and 8L, 5.x Hailo-10H."""
    binding: str = ""
    """The version of the binding's native part; '' is the same."""
    driver: str = ""
    """The kernel driver's version; '' is the same. Another one makes opening fail with status 76."""
    architecture: str = "HAILO8L"
    devices: tuple[str, ...] = ("0000:01:00.0",)
    open_status: int = 0
    """The status that opening the device fails with: 73 and 74 in use, 13 no permission, 36 driver, ..."""
    configure_status: int = 0
    run_status: int = 0
    """The status that the runs after ``good_runs`` end with; 62 is a lost device."""
    hangs: bool = False
    """The runs after ``good_runs`` never end."""
    good_runs: int = 0
    delay_ms: float = 0.0
    queue: int = 4
    """Runs that may be in flight."""
    numpy_clash: bool = False
    """Buffers arrive empty, as those of NumPy 2 do at a binding that was built for NumPy 1."""
    temperature_c: float | None = 48.5
    power_w: float | None = None
    """None: this module has no sensor."""

    def to_text(self) -> str:
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def chosen(cls) -> Settings:
        """What the environment asks for; a healthy Hailo-8L when it does not."""
        given = json.loads(os.environ.get(VARIABLE, "{}"))
        if "devices" in given:
            given["devices"] = tuple(given["devices"])
        return cls(**given)

    @property
    def major(self) -> int:
        return int(self.version.partition(".")[0])
