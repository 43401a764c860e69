"""What the fake camera is and how it fails; travels to child processes in an environment variable."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass
from typing import Any

VARIABLE = "PIACCEL_FAKE_IMX500"


@dataclass(frozen=True)
class Settings:
    cameras: tuple[str, ...] = ("imx500",)
    """The sensors that are connected."""
    import_error: str = ""
    """"numpy": built for another NumPy; "libcamera": a picamera2 from PyPI."""
    bound: bool = True
    """Whether the sensor has its device node; without, it was not there when the board started."""
    denied: str = ""
    """What the user may not open: the node, or debugfs, which older versions read."""
    busy: bool = False
    """Whether another program has the camera."""
    firmware_error: str = ""
    """What the driver says to the network, such as "[Errno 22] Invalid argument"; '' takes it."""
    upload_s: float = 0.0
    """How long starting the camera takes while the network is uploaded."""
    tells_progress: bool = True
    """Whether debugfs may be read."""
    silent_frames: int = 2
    """Frames without a result at the beginning; -1: none ever has one."""
    silent_every: int = 0
    """Each so many frames one has no result; 0: each has one."""
    dropped: tuple[int, ...] = ()
    """Frames that never reach the program."""
    lost_after: int = -1
    """After so many frames there are none any more; -1: never."""
    loss: str = "silence"
    """"silence": waiting for a frame never ends; "error": it raises."""
    shapes: tuple[tuple[int, ...], ...] = ()
    """The outputs' shapes without a batch; none: what the file states, flat."""
    answers: tuple[Any, ...] = ()
    """The outputs' values, nested lists of these shapes, the same for each frame; none: counted on from the frame."""
    injects: bool = True
    """Whether this picamera2 can give pictures to the network; older ones cannot."""
    missed_pictures: int = 0
    """So many pictures are answered by a frame that has passed already."""
    crop: tuple[int, int, int, int] = (0, 0, 4056, 3040)
    """The part of the sensor that frames show."""

    paced: bool = False
    """Whether frames come in real time, one a FrameDuration; else each is there at once."""
    platform: str = "pisp"
    """"vc4": a Pi 4 or older, whose second scaler gives YUV only; "pisp": a Pi 5."""

    def to_text(self) -> str:
        return json.dumps(dataclasses.asdict(self))


def current() -> Settings:
    """The settings of the fake that is in use."""
    return Settings(**json.loads(os.environ.get(VARIABLE, "{}")))
