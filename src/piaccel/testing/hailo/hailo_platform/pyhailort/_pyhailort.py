"""What is native code in the vendor's module: versions, enumerations, status codes."""

from __future__ import annotations

import os
from enum import Enum, IntEnum

from piaccel.testing.hailo.settings import Settings

SETTINGS = Settings.chosen()
__version__ = SETTINGS.binding or SETTINGS.version

if os.environ.get("HAILORT_LOGGER_PATH") != "NONE":  # libhailort logs into the current folder unless told otherwise
    with open("hailort.log", "a", encoding="utf-8") as log:
        log.write("[HailoRT] [info] loaded\n")

STATUS = {
    2: "HAILO_INVALID_ARGUMENT",
    4: "HAILO_TIMEOUT",
    6: "HAILO_INVALID_OPERATION",
    8: "HAILO_INTERNAL_FAILURE",
    13: "HAILO_OPEN_FILE_FAILURE",
    18: "HAILO_FW_CONTROL_FAILURE",
    25: "HAILO_INVALID_FRAME",
    26: "HAILO_INVALID_HEF",
    36: "HAILO_DRIVER_OPERATION_FAILED",
    48: "HAILO_UNSUPPORTED_OPCODE",
    61: "HAILO_NOT_FOUND",
    62: "HAILO_COMMUNICATION_CLOSED",
    63: "HAILO_STREAM_ABORT",
    69: "HAILO_NETWORK_GROUP_NOT_ACTIVATED",
    73: "HAILO_DEVICE_IN_USE",
    74: "HAILO_OUT_OF_PHYSICAL_DEVICES",
    76: "HAILO_INVALID_DRIVER_VERSION",
    79: "HAILO_NOT_SUPPORTED",
    82: "HAILO_QUEUE_IS_FULL",
    91: "HAILO_HEF_FILE_CORRUPTED",
    92: "HAILO_HEF_NOT_SUPPORTED",
    93: "HAILO_HEF_NOT_COMPATIBLE_WITH_DEVICE",
}


class FormatType(Enum):
    AUTO = 0
    UINT8 = 1
    UINT16 = 2
    FLOAT32 = 3


class FormatOrder(Enum):
    NHWC = 1
    NC = 7
    HAILO_NMS_WITH_BYTE_MASK = 21
    HAILO_NMS_BY_CLASS = 23
    HAILO_NMS_BY_SCORE = 24


class SchedulingAlgorithm(Enum):
    NONE = 0
    ROUND_ROBIN = 1


class DeviceArchitecture(IntEnum):
    HAILO8 = 1
    HAILO8L = 2
    HAILO15H = 3
    HAILO15L = 4
    HAILO15M = 5
    HAILO10H = 6
