"""The exceptions of pyhailort.py, with the vendor's messages."""

from ._pyhailort import STATUS


class HailoRTException(Exception):
    pass


class HailoRTTimeout(HailoRTException):
    pass


class HailoRTInvalidArgumentException(HailoRTException):
    pass


class HailoRTInvalidOperationException(HailoRTException):
    pass


class HailoRTFirmwareControlFailedException(HailoRTException):
    pass


class HailoRTInvalidFrameException(HailoRTException):
    pass


class HailoRTInvalidHEFException(HailoRTException):
    pass


class HailoRTDriverOperationFailedException(HailoRTException):
    pass


class HailoRTUnsupportedOpcodeException(HailoRTException):
    pass


class HailoRTNotFoundException(HailoRTException):
    pass


class HailoCommunicationClosedException(HailoRTException):
    pass


class HailoRTStreamAborted(HailoRTException):
    pass


class HailoRTHEFNotCompatibleWithDevice(HailoRTException):
    pass


class HailoRTNetworkGroupNotActivatedException(HailoRTException):
    pass


_LOG = "See hailort.log for more information"
_KINDS: dict[int, tuple[type[HailoRTException], str]] = {
    2: (HailoRTInvalidArgumentException, f"Invalid argument. {_LOG}"),
    4: (HailoRTTimeout, "Received a timeout - hailort has failed because a timeout had occurred"),
    6: (HailoRTInvalidOperationException, f"Invalid operation. {_LOG}"),
    18: (HailoRTFirmwareControlFailedException, "libhailort control operation failed"),
    25: (HailoRTInvalidFrameException, "An invalid frame was received"),
    26: (HailoRTInvalidHEFException, f"Invalid HEF. {_LOG}"),
    36: (
        HailoRTDriverOperationFailedException,
        "Failure in hailort driver ioctl. run 'dmesg | grep hailo' for more information",
    ),
    48: (HailoRTUnsupportedOpcodeException, "HailoRT has failed because an unsupported opcode was sent to device"),
    61: (HailoRTNotFoundException, f"Item not found. {_LOG}"),
    62: (HailoCommunicationClosedException, "Communication closed"),
    63: (HailoRTStreamAborted, "Stream was aborted"),
    69: (HailoRTNetworkGroupNotActivatedException, "Network group is not activated"),
    93: (
        HailoRTHEFNotCompatibleWithDevice,
        "HEF file is not compatible with device. See hailort.log for more information",
    ),
}


def of(status: int) -> HailoRTException:
    """The exception that the binding raises for a status of libhailort."""
    if status in _KINDS:
        kind, text = _KINDS[status]
        return kind(text)
    return HailoRTException(f"libhailort failed with error: {status} ({STATUS[status]})")
