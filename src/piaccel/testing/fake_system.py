"""The files of a fake board's operating system that never change while it runs."""

from __future__ import annotations

from piaccel.testing.captures import Profile, Release

USER_GROUPS = frozenset({"adm", "dialout", "sudo", "audio", "video", "plugdev", "netdev", "gpio", "i2c", "spi"})
"""Those that the first user of Raspberry Pi OS is in."""


def kernel_files(release: Release, flavour: str) -> dict[str, str]:
    """What tells that this flavour of the release's kernel runs."""
    kernel = f"{release.kernel}-{flavour}"
    return {
        "proc/version": f"Linux version {kernel} (serge@raspberrypi.com) ({release.compiler}, GNU ld (GNU Binutils for "
        f"Debian) {release.binutils}) #1 SMP PREEMPT Debian {release.kernel_package} ({release.kernel_date})\n",
        "proc/sys/kernel/osrelease": f"{kernel}\n",
        f"lib/modules/{kernel}/modules.dep": "kernel/drivers/media/v4l2-core/videodev.ko.xz:\n",
    }


def system_files(profile: Profile, release: Release) -> dict[str, str]:
    """What the board and its release say of themselves, by name."""
    return {
        "proc/device-tree/model": f"{profile.model}\0",
        "proc/device-tree/compatible": "".join(f"{name}\0" for name in profile.compatible),
        "proc/cmdline": "reboot=w coherent_pool=1M 8250.nr_uarts=1 pci=pcie_bus_safe cgroup_disable=memory "
        "numa_policy=interleave  smsc95xx.macaddr=2C:CF:67:00:00:01 vc_mem.mem_base=0x3fc00000 "
        "vc_mem.mem_size=0x40000000  console=ttyAMA10,115200 console=tty1 root=PARTUUID=585bdb7b-02 rootfstype=ext4 "
        "fsck.repair=yes rootwait\n",
        "proc/mounts": "/dev/mmcblk0p2 / ext4 rw,noatime 0 0\n/dev/mmcblk0p1 /boot/firmware vfat rw,relatime 0 0\n",
        "proc/swaps": f"Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n{release.swaps}",
        "etc/os-release": f'PRETTY_NAME="{release.name}"\nNAME="Debian GNU/Linux"\nVERSION_ID="{release.version}"\n'
        f"VERSION_CODENAME={release.name.split('(')[1].rstrip(')')}\nID=debian\n",
        "etc/rpi-issue": f"Raspberry Pi reference {release.kernel_date}\nGenerated using pi-gen\n",
        "etc/passwd": "root:x:0:0:root:/root:/bin/bash\npi:x:1000:1000:,,,:/home/pi:/bin/bash\n",
        "proc/sys/kernel/random/boot_id": "6a2b9f0e-51c4-4f5e-9d6a-0d0d31b5a001\n",
        "proc/sys/vm/swappiness": "60\n",
        "boot/firmware/cmdline.txt": "console=serial0,115200 console=tty1 root=PARTUUID=585bdb7b-02 rootfstype=ext4 "
        "fsck.repair=yes rootwait\n",
        "boot/firmware/config.txt": "dtparam=audio=on\ncamera_auto_detect=1\ndisplay_auto_detect=1\nauto_initramfs=1\n"
        "dtoverlay=vc4-kms-v3d\nmax_framebuffers=2\ndisable_fw_kms_setup=1\narm_64bit=1\ndisable_overscan=1\n"
        "arm_boost=1\n\n[cm4]\notg_mode=1\n\n[cm5]\ndtoverlay=dwc2,dr_mode=host\n\n[all]\n",
        "usr/lib/udev/rules.d/50-udev-default.rules": 'SUBSYSTEM=="video4linux", GROUP="video"\n'
        'SUBSYSTEM=="usb", ENV{DEVTYPE}=="usb_device", MODE="0664"\n',
        "dev/vcio": "",
        "lib/ld-linux-aarch64.so.1": "",
        f"usr/bin/python{release.python}": "",
        **release.files,
    }
