"""Coral's Edge TPU: LiteRT with the delegate in libedgetpu, on USB and PCIe; pycoral is not needed.

API: libedgetpu, tflite/public/edgetpu_c.h and tflite/edgetpu_delegate_for_custom_op_tflite_plugin.cc.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from piaccel.backends import Availability, Backend, Options, Session, _delegates, _edgetpu_errors, _tflite
from piaccel.errors import ModelError, OptionError, PiaccelError, UnavailableError

if TYPE_CHECKING:
    from piaccel.formats import Network

LIBRARY = "libedgetpu.so.1"
ENVIRONMENT = "PIACCEL_LIBEDGETPU"
_KINDS = {0: "pci", 1: "usb"}
_QUIET, _SAY_WHY = 0, 1


class _Device(ctypes.Structure):
    _fields_ = (("type", ctypes.c_int), ("path", ctypes.c_char_p))


@dataclass(frozen=True, kw_only=True)
class EdgeTPUOptions(Options):
    device: str = ""
    """Which TPU: "" any, ":0" the first of any kind, "usb", "pci", "usb:1" the second on USB."""
    performance: Literal["Low", "Medium", "High", "Max"] | None = None
    """The TPU's clock, for a device with a number only; the library's build (std or max) sets the limit."""
    library: str | None = None
    """Where libedgetpu is; $PIACCEL_LIBEDGETPU, or libedgetpu.so.1 of the system, when not given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not re.fullmatch(r"(usb|pci)?(:\d+)?", self.device):
            raise OptionError(f"device {self.device!r} is none of '', usb, pci, :0, usb:0, pci:0")
        if self.performance is not None and ":" not in self.device:
            raise OptionError(
                f"libedgetpu ignores performance for a device without a number: write device={self.device}:0"
            )


class EdgeTPU(Backend):
    suffixes = (".tflite", ".lite")
    looks_into = suffixes
    priority = 120
    accelerator = True
    options = EdgeTPUOptions
    modules = _tflite.MODULES
    install = _edgetpu_errors.INSTALL
    crash_hint = _edgetpu_errors.TOO_OLD
    hang_hint = "pull the Coral out, wait 5 s and plug it in again, into a USB 3 port or a powered hub"

    def _refuses(self, network: Network) -> str:
        return "" if network.edgetpu else _edgetpu_errors.not_compiled(network.path, network.precision)

    def stamp(self) -> str | None:
        path = _place(None)
        if path is None:
            return None
        return f"{super().stamp()} {path} {os.stat(path).st_mtime_ns}"

    def probe(self) -> Availability:
        if self.installed() and _place(None) is None:
            return Availability(False, _edgetpu_errors.absent(_named(None)), self.install, state="not installed")
        return super().probe()

    def _absent(self) -> Availability:
        reason = f"{' or '.join(self.modules)} is not installed"
        return Availability(False, reason, _tflite.INSTALL, state="not installed")

    def _probe(self) -> Availability:
        runtime = _tflite.version(_tflite.runtime())
        library = _open(_place(None) or _named(None))
        version = f"{runtime}, {_version(library)}"
        devices = tuple(f"{device} {path}".strip() for device, path in _devices(library))
        if not devices:
            reason, hint = _edgetpu_errors.NO_DEVICE
            return Availability(False, reason, hint, version, state="no device")
        return Availability(True, version=version, devices=devices)

    def _load(self, path: Path, options: EdgeTPUOptions) -> Session:
        module = _tflite.runtime()
        place = _place(options.library) or _named(options.library)  # the same file for both, whatever the linker finds
        library = _open(place)
        _check_device(_devices(library), options.device)
        delegate = _delegate(module, place, library, options)
        try:
            interpreter = _tflite.interpreter(module, path, options.thread_count, delegates=[delegate])
            placement, _ = _delegates.placement(interpreter, "Edge TPU")
            if placement is not None and not placement.taken:  # it would answer, from the CPU
                raise ModelError(f"{path}: {_edgetpu_errors.not_compiled(path, '')}")
            return _tflite.TFLiteSession(interpreter, placement)
        except PiaccelError:
            raise
        except (RuntimeError, ValueError) as error:
            raise _edgetpu_errors.unprepared(path, error) from error

    def _explain(self, error: Exception) -> str:
        return _edgetpu_errors.stopped(error)


def _named(option: str | None) -> str:
    return option or os.environ.get(ENVIRONMENT) or LIBRARY


def _place(option: str | None) -> str | None:
    """The library's file without loading it; None where it is not found."""
    named = _named(option)
    if "/" in named:
        return named if os.path.isfile(named) else None
    return next((place for folder in _folders() if os.path.isfile(place := os.path.join(folder, named))), None)


def _folders() -> Iterator[str]:
    """Where the dynamic linker looks: ld.so(8)."""
    yield from filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(":"))
    for file in sorted(Path("/etc/ld.so.conf.d").glob("*.conf")):
        yield from (line.strip() for line in file.read_text(errors="replace").splitlines() if line.startswith("/"))
    yield from ("/usr/local/lib", "/lib", "/usr/lib")


def _open(named: str) -> ctypes.CDLL:
    """Load libedgetpu. Raises UnavailableError for what is missing, or for a library that is another."""
    library = _delegates.library(named, _edgetpu_errors.INSTALL)
    for symbol in ("edgetpu_version", "edgetpu_list_devices", "edgetpu_free_devices", "edgetpu_verbosity"):
        if not hasattr(library, symbol):
            raise UnavailableError(f"{named} is no libedgetpu: it has no {symbol}", hint=_edgetpu_errors.INSTALL)
    library.edgetpu_version.restype = ctypes.c_char_p
    library.edgetpu_list_devices.restype = ctypes.POINTER(_Device)
    library.edgetpu_list_devices.argtypes = [ctypes.POINTER(ctypes.c_size_t)]
    library.edgetpu_free_devices.argtypes = [ctypes.POINTER(_Device)]
    library.edgetpu_free_devices.restype = None
    library.edgetpu_verbosity.argtypes, library.edgetpu_verbosity.restype = [ctypes.c_int], None
    return library


def _version(library: ctypes.CDLL) -> str:
    """Such as "runtime 14": the models' format, which is all that the library tells of itself."""
    text = (library.edgetpu_version() or b"").decode(errors="replace")
    found = re.search(r"RuntimeVersion\((\d+)\)", text)
    return f"runtime {found[1]}" if found else text or "of unknown version"


def _devices(library: ctypes.CDLL) -> list[tuple[str, str]]:
    """The TPUs that are connected, as ("usb:0", path); opens none of them."""
    count = ctypes.c_size_t()
    listed = library.edgetpu_list_devices(ctypes.byref(count))
    found: list[tuple[str, str]] = []
    for device in listed[: count.value] if listed else []:
        kind = _KINDS.get(device.type, "other")
        number = sum(name.startswith(kind) for name, _ in found)
        found.append((f"{kind}:{number}", (device.path or b"").decode(errors="replace")))
    if listed:
        library.edgetpu_free_devices(listed)
    return found


def _check_device(found: list[tuple[str, str]], wanted: str) -> None:
    if not found:
        reason, hint = _edgetpu_errors.NO_DEVICE
        raise UnavailableError(reason, hint=hint)
    kind, _, number = wanted.partition(":")
    fitting = [name for name, _ in found if name.startswith(kind)]
    if len(fitting) <= int(number or 0):
        there = ", ".join(f"{name} ({path})" for name, path in found)
        raise UnavailableError(f"there is no Edge TPU {wanted!r}, there are {there}", hint="choose one of these")


def _delegate(module: Any, path: str, library: ctypes.CDLL, options: EdgeTPUOptions) -> Any:
    given = {"device": options.device}
    if options.performance is not None:
        given["Performance"] = options.performance
    library.edgetpu_verbosity(_SAY_WHY)
    try:
        return _delegates.delegate(module, path, given, library)
    except _delegates.Refused as error:
        raise _edgetpu_errors.refused(str(error)) from error
    finally:
        library.edgetpu_verbosity(_QUIET)
