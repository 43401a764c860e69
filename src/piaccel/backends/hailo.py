"""Hailo accelerators: Hailo-8 and 8L with HailoRT 4.x, Hailo-10H with 5.x (AI Kit, AI HAT+, AI HAT+ 2).

API: hailo_platform's InferModel, the same in 4.23 and 5.2. It comes with apt for the system's Python.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from piaccel.backends import Availability, Backend, Options, Session
from piaccel.backends import _hailo_board as board
from piaccel.backends import _hailo_device as device
from piaccel.backends import _hailo_errors as errors
from piaccel.errors import ModelError, OptionError, UnavailableError

_VENV = "python3 -m venv --system-site-packages with the system's Python (/usr/bin/python3), which apt installs it for"


@dataclass(frozen=True, kw_only=True)
class HailoOptions(Options):
    output: Literal["float32", "quantized"] = "float32"
    """float32: HailoRT turns outputs into real values; quantized: they stay as the chip gives them."""
    depth: int = 4
    """Runs in flight, at most."""
    timeout_ms: int = 1000
    """A run that takes longer has failed."""
    device_id: str = ""
    """The device's PCI address, such as 0000:01:00.0; '' is any."""
    group: str = "SHARED"
    """Programs that use the same device at once give the same name."""
    multi_process_service: bool = False
    """HailoRT 4.x: share the device with other programs through hailort.service."""
    network: str = ""
    """The network to run, where a file holds several."""
    priority: int | None = None
    """0 to 31, higher goes first, where several networks share the device; HailoRT's own is 16."""
    scheduler_timeout_ms: int | None = None
    """How long runs may wait for others of the same network before the device switches to it."""
    scheduler_threshold: int | None = None
    """How many runs have to wait before the device switches to this network."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("depth", "timeout_ms"):
            if getattr(self, name) < 1:
                raise OptionError(f"{name} is {getattr(self, name)}, expected 1 or more")
        if self.priority is not None and not 0 <= self.priority <= 31:
            raise OptionError(f"priority is {self.priority}, expected 0 to 31")


class Hailo(Backend):
    suffixes = (".hef",)
    looks_into = suffixes
    priority = 120
    accelerator = True
    options = HailoOptions
    modules = ("hailo_platform",)
    install = f"{board.FOR_8} (Hailo-8, 8L) or {board.FOR_10H} (Hailo-10H), then reboot; make the venv with {_VENV}"
    hang_hint = "sudo dmesg | grep hailo says why the device does not answer; then: sudo reboot"

    def _absent(self) -> Availability:
        root = board.root()
        if board.system_only(root):
            reason = "hailo_platform is installed, but not for this Python"
            return Availability(False, reason, f"make the venv with {_VENV}", state="not installed")
        seen = board.chip(root)
        reason = f"a {seen} is there, but hailo_platform is not installed" if seen else super()._absent().reason
        hint = f"{board.install(root)}, then reboot; a venv needs --system-site-packages and the system's Python"
        return Availability(False, reason, hint, state="not installed")

    def _probe(self) -> Availability:
        module = device.runtime()
        version = device.version_of(module)
        root = board.root()
        driver = board.driver(root)
        package = board.package(root, version)
        if driver is not None and driver != version:
            reason = f"the Hailo driver ({driver}) is not of HailoRT's version ({version})"
            return Availability(False, reason, board.update(package), version=version)
        found = module.Device.scan()
        if not found:
            seen = board.chip(root)
            if seen is not None and driver is None:
                reason = f"a {seen} is there, but its driver is not loaded"
                return Availability(False, reason, board.update(package), version=version)
            return Availability(False, "no Hailo device was found", board.SEATING, version=version, state="no device")
        if (node := board.forbidden(root)) is not None:
            told = errors.opening(PermissionError(str(node)), node, version)
            return Availability(False, str(told), told.hint, version=version)
        return Availability(True, version=version, devices=tuple(_name(module, number) for number in found))

    def _load(self, path: Path, options: HailoOptions) -> Session:
        from piaccel.backends._hailo_nms import prepare
        from piaccel.backends._hailo_session import HailoSession

        module = device.runtime()
        version = device.version_of(module)
        if options.multi_process_service and not version.startswith("4."):
            raise OptionError(
                f"multi_process_service is for HailoRT 4.x, here is {version}: "
                "Hailo-10H is shared by several programs without a service",
                hint="leave it out, and give all programs the same --option group=NAME",
            )
        key = device.Key(options.device_id, options.group, options.multi_process_service)
        with ExitStack() as undo:
            try:
                _check_presence(module, options.device_id)
                shared = device.acquire(module, key)
                undo.callback(shared.give_back)
                _check_chip(path, shared.architecture)
                model = shared.vdevice.create_infer_model(str(path), options.network)
                for stream in model.outputs:
                    if stream.is_nms:
                        prepare(stream, module.FormatType)
                    elif options.output == "float32":
                        stream.set_format_type(module.FormatType.FLOAT32)
                configured = model.configure()
                undo.callback(configured.shutdown)
                _schedule(configured, options)
                session = HailoSession(shared, model, configured, path, options.depth, options.timeout_ms)
            except Exception as error:
                raise errors.opening(error, path, version) from error
            undo.pop_all()
        return session


def _check_presence(module: Any, device_id: str) -> None:
    """Raise UnavailableError where there is no such device: HailoRT has one status for "none" and "in use"."""
    found = module.Device.scan()
    if not found:
        raise errors.no_device()
    if device_id and device_id not in found:
        raise UnavailableError(f"no Hailo device is at {device_id}", hint=f"these are there: {', '.join(found)}")


def _check_chip(path: Path, architecture: str | None) -> None:
    """Raise ModelError when the file is for other chips than this; before HailoRT would say so less clearly."""
    from piaccel import formats
    from piaccel.formats import hef

    chips = hef.runs_on(formats.read(path))
    if architecture is None or not chips or architecture in chips:
        return
    runs = " or ".join(_board(chip) for chip in chips if chip in board.BOARDS) or "no board for a Raspberry Pi"
    raise ModelError(
        f"{path} is compiled for {chips[0]}; this board has {_board(architecture)}",
        hint=f"{chips[0]} files run on: {runs}. Take the file for {architecture}, or compile it: "
        f"piaccel compile --target {architecture.lower()}. {board.WHICH_HEF}",
    )


def _board(architecture: str) -> str:
    known = board.BOARDS.get(architecture)
    return f"{architecture} ({known})" if known else architecture


def _schedule(configured: Any, options: HailoOptions) -> None:
    if options.priority is not None:
        configured.set_scheduler_priority(options.priority)
    if options.scheduler_timeout_ms is not None:
        configured.set_scheduler_timeout(options.scheduler_timeout_ms)
    if options.scheduler_threshold is not None:
        configured.set_scheduler_threshold(options.scheduler_threshold)


def _name(module: Any, number: str) -> str:
    """A device as listed: its address and chip."""
    try:
        opened = module.Device(number)
    except Exception:  # noqa: BLE001 - another program has it: it is there all the same
        return number
    try:
        return " ".join(filter(None, (number, device.architecture_of(lambda: opened.control))))
    finally:
        opened.release()
