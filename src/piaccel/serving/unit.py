"""The systemd unit of the service: its text, and putting it in place.

Sources: systemd.exec(5), systemd.service(5), systemd.resource-control(5).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from piaccel import files
from piaccel.errors import NotFoundError, OptionError, WriteError

NAME = "piaccel.service"
UNIT = Path("etc/systemd/system") / NAME
STATE = Path("/var/lib/piaccel")
REPOSITORY = STATE / "models"
MARK = "# Written by piaccel service install; piaccel service remove takes it away. Changes: systemctl edit piaccel"
GROUPS = ("video", "render", "plugdev")
"""Groups whose members may use the firmware, GPUs, and Coral and Hailo devices on Raspberry Pi OS."""

_TEMPLATE = """\
{mark}
[Unit]
Description=piaccel: vision models over the Open Inference Protocol
After=network.target
StartLimitIntervalSec=10min
StartLimitBurst=10

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
Restart=on-failure
RestartSec=2s
# Fed only while inference makes progress.
WatchdogSec=60s
# Models are checked and warmed up before the service says that it is ready.
TimeoutStartSec=10min
# Longer than drain_s: requests under way are answered.
TimeoutStopSec=60s
KillMode=mixed
OOMPolicy=continue

{user}
{groups}StateDirectory=piaccel piaccel/models
CacheDirectory=piaccel
Environment=XDG_CACHE_HOME=/var/cache/piaccel PYTHONUNBUFFERED=1
UMask=0027
{writable}
MemoryMax=80%
TasksMax=512
# A model that is only being checked runs at idle priority; its process is lifted when it takes over.
LimitNICE=20
LimitCORE=0

NoNewPrivileges=yes
CapabilityBoundingSet=
AmbientCapabilities=
ProtectSystem=strict
ProtectHome={home}
PrivateTmp=yes
ProtectProc=invisible
ProtectClock=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectControlGroups=yes
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
RemoveIPC=yes
KeyringMode=private
# AF_NETLINK: libusb looks for devices with it.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged
SystemCallErrorNumber=EPERM
# MemoryDenyWriteExecute stays off: OpenVINO and XNNPACK write machine code as they run.

DevicePolicy=closed
# Firmware (temperature, throttling), GPU, Coral (PCIe, USB), Hailo.
DeviceAllow=/dev/vcio rw
DeviceAllow=char-drm rw
DeviceAllow=char-apex rw
DeviceAllow=char-usb_device rw
DeviceAllow=char-hailo* rw

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """What the unit runs, and as whom."""

    python: Path
    repository: Path = REPOSITORY
    config: Path | None = None
    user: str | None = None
    """None: a user of its own, which systemd makes up while the service runs."""
    groups: tuple[str, ...] = GROUPS

    def text(self) -> str:
        """The whole file. Raises OptionError for what systemd could not start."""
        for path in (self.python, self.repository, *([self.config] if self.config else [])):
            if not path.is_absolute() or not str(path).isprintable():
                raise OptionError(f"{str(path)!r} is no absolute path that a unit can name")
        own = self.repository.is_relative_to(STATE)
        if not own and self.user is None:
            raise OptionError(
                f"{self.repository} belongs to somebody, and the service writes into it",
                hint=f"name its owner with --user, or keep the models in {REPOSITORY}",
            )
        if self.user is not None and not _is_name(self.user):
            raise OptionError(f"{self.user!r} is no user's name")
        command = [str(self.python), "-m", "piaccel", "serve", str(self.repository)]
        if self.config is not None:
            command += ["--config", str(self.config)]
        seen = (self.python, self.repository, *([self.config] if self.config else []))
        at_home = any(path.parts[1:2] in (("home",), ("root",)) for path in seen)
        return _TEMPLATE.format(
            mark=MARK,
            command=" ".join(map(_quoted, command)),
            user="DynamicUser=yes" if self.user is None else f"User={self.user}",
            groups=f"SupplementaryGroups={' '.join(self.groups)}\n" if self.groups else "",
            writable="" if own else f"ReadWritePaths={_quoted(str(self.repository))}\n",
            home="read-only" if at_home else "yes",
        )


def groups_of(root: Path) -> tuple[str, ...]:
    """Those of GROUPS that the system under ``root`` has: a unit that names another one does not start."""
    try:
        lines = (root / "etc/group").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ()
    names = {line.partition(":")[0] for line in lines}
    return tuple(name for name in GROUPS if name in names)


def install(root: Path, text: str) -> bool:
    """Write the unit; False when it was there already just so. Raises OptionError for somebody else's, WriteError."""
    path = root / UNIT
    before = _ours(path)
    if before == text:
        return False
    try:
        files.write_atomic(path, text)
        path.chmod(0o644)
    except WriteError as error:
        raise WriteError(error.message, hint="run it as root: sudo ...") from error
    return True


def remove(root: Path) -> None:
    """Take the unit away, and its place in the boot.

    Raises NotFoundError, OptionError for one that we did not write, WriteError.
    """
    path = root / UNIT
    if _ours(path) is None:
        raise NotFoundError(f"{path}: no such unit", hint="nothing to remove")
    wanted = path.parent / "multi-user.target.wants" / NAME
    try:
        if wanted.is_symlink():
            wanted.unlink()
        path.unlink()
    except OSError as error:
        raise WriteError(f"{path} cannot be removed: {error.strerror}", hint="run it as root: sudo ...") from error


def _ours(path: Path) -> str | None:
    """What we wrote there; None where there is nothing."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError):
        text = ""
    if path.is_symlink() or not text.startswith(f"{MARK}\n"):
        raise OptionError(f"{path} was not written by piaccel, and is left alone", hint="move it away first")
    return text


def _is_name(text: str) -> bool:
    return text.isascii() and text.replace("-", "").replace("_", "").isalnum() and not text[0].isdecimal()


def _quoted(text: str) -> str:
    """As systemd reads it back: specifiers, variables and quotes mean nothing in it."""
    text = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{text}"' if set(text) & set(" '\"\\;") else text
