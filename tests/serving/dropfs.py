"""A filesystem that forgets what was not fsynced when the power goes (FUSE, in memory).

``dropfs.py MOUNT FROM OUT COMMAND...``: mounts itself with FROM's files, all of them safe, at MOUNT, runs the command
there, unmounts, and writes to OUT every state that a cut after any operation may have left. What a cut may keep:

* of a file: what was last fsynced; or what was written since, all of it or the first half; or zeros of that length
* of a folder: the names as last fsynced, or after any number of the changes since, in their order

``strict`` states keep nothing that was not fsynced, ``lazy`` ones all names but only data that was (as with delayed
allocation), ``kept`` everything, ``mixed`` draw lots. Needs fusepy (Debian: python3-fusepy, libfuse2).
"""

import errno
import importlib.util
import json
import os
import random
import stat
import subprocess
import sys
import time
from typing import Any

fuse: Any = importlib.import_module(
    "fusepy" if importlib.util.find_spec("fusepy") else "fuse"
)  # Debian's name is fusepy

MIXES = 8


class File:
    def __init__(self, data: bytes = b"") -> None:
        self.data = bytearray(data)
        self.safe = data
        self.clean = True
        self.mode = stat.S_IFREG | 0o644

    def after_cut(self, how: str, lots: random.Random) -> str:
        if self.clean:
            return self.safe.hex()
        kept = {"strict": 0, "lazy": 0, "kept": 1, "mixed": lots.randrange(4)}[how]
        if kept == 0:
            return self.safe.hex()
        if kept == 1:
            return self.data.hex()
        return self.data[: len(self.data) // 2].hex() if kept == 2 else bytes(len(self.data)).hex()


class Folder:
    def __init__(self) -> None:
        self.entries: dict[str, Any] = {}
        self.since: list[dict[str, Any]] = [{}]
        """The names as last fsynced, and after each change since."""
        self.mode = stat.S_IFDIR | 0o755

    def changed(self) -> None:
        self.since.append(dict(self.entries))

    def synced(self) -> None:
        self.since = [dict(self.entries)]

    def after_cut(self, how: str, lots: random.Random, prefix: str, tree: dict[str, Any]) -> None:
        last = len(self.since) - 1
        entries = self.since[{"strict": 0, "lazy": last, "kept": last, "mixed": lots.randrange(last + 1)}[how]]
        for name, node in entries.items():
            if isinstance(node, Folder):
                tree[prefix + name] = None
                node.after_cut(how, lots, f"{prefix}{name}/", tree)
            else:
                tree[prefix + name] = node.after_cut(how, lots)


def loaded(path: str) -> Any:
    """What lies there, all of it safe."""
    if not os.path.isdir(path):
        with open(path, "rb") as file:
            return File(file.read())
    folder = Folder()
    for name in os.listdir(path):
        folder.entries[name] = loaded(os.path.join(path, name))
    folder.synced()
    return folder


class DropFS(fuse.Operations):  # type: ignore[misc]
    """Names of the methods are FUSE's."""

    def __init__(self, root: Folder) -> None:
        self.root = root
        self.reached = ""
        self.states: dict[str, dict[str, Any]] = {}
        self.lots = random.Random(1)
        self.operations = 0
        self.cut("the start")

    def cut(self, last: str) -> None:
        """Note what would be left if the power went now."""
        self.operations += 1
        for how in ("strict", "lazy", "kept", *["mixed"] * MIXES):
            tree: dict[str, Any] = {}
            self.root.after_cut(how, self.lots, "", tree)
            key = json.dumps([self.reached, tree], sort_keys=True)
            self.states.setdefault(key, {"reached": self.reached, "how": how, "last": last, "tree": tree})

    def node(self, path: str) -> Any:
        found: Any = self.root
        for name in path.split("/"):
            if name:
                found = found.entries.get(name) if isinstance(found, Folder) else None
            if found is None:
                raise fuse.FuseOSError(errno.ENOENT)
        return found

    def above(self, path: str) -> tuple[Any, str]:
        folder, _, name = path.rpartition("/")
        return self.node(folder), name

    def getattr(self, path: str, fh: Any = None) -> dict[str, Any]:
        if path.startswith("/.reached-"):
            self.reached = path.removeprefix("/.reached-")
            self.cut(self.reached)
        node = self.node(path)
        size = len(node.data) if isinstance(node, File) else 4096
        return {"st_mode": node.mode, "st_nlink": 1, "st_size": size, "st_uid": os.getuid(), "st_gid": os.getgid()}

    def readdir(self, path: str, fh: Any) -> list[str]:
        return [".", "..", *self.node(path).entries]

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 10**6, "f_bfree": 10**6, "f_bavail": 10**6}

    def create(self, path: str, mode: int, fi: Any = None) -> int:
        folder, name = self.above(path)
        folder.entries[name] = File()
        folder.changed()
        self.cut(f"create {path}")
        return 0

    def read(self, path: str, size: int, offset: int, fh: Any) -> bytes:
        return bytes(self.node(path).data[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: Any) -> int:
        node = self.node(path)
        node.data[offset : offset + len(data)] = data
        node.clean = False
        self.cut(f"write {path}")
        return len(data)

    def truncate(self, path: str, length: int, fh: Any = None) -> None:
        node = self.node(path)
        del node.data[length:]
        node.clean = False
        self.cut(f"truncate {path}")

    def fsync(self, path: str, datasync: int, fh: Any) -> None:
        node = self.node(path)
        node.safe, node.clean = bytes(node.data), True
        self.cut(f"fsync {path}")

    def fsyncdir(self, path: str, datasync: int, fh: Any) -> None:
        self.node(path).synced()
        self.cut(f"fsync {path}/")

    def mkdir(self, path: str, mode: int) -> None:
        folder, name = self.above(path)
        folder.entries[name] = Folder()
        folder.changed()
        self.cut(f"mkdir {path}")

    def unlink(self, path: str) -> None:
        folder, name = self.above(path)
        del folder.entries[name]
        folder.changed()
        self.cut(f"remove {path}")

    def rmdir(self, path: str) -> None:
        if self.node(path).entries:
            raise fuse.FuseOSError(errno.ENOTEMPTY)
        self.unlink(path)

    def rename(self, old: str, new: str) -> None:
        before, old_name = self.above(old)
        after, new_name = self.above(new)
        there = after.entries.get(new_name)
        if isinstance(there, Folder) and there.entries:
            raise fuse.FuseOSError(errno.ENOTEMPTY)
        after.entries[new_name] = before.entries.pop(old_name)
        after.changed()
        if before is not after:
            before.changed()
        self.cut(f"rename {old} {new}")

    def chmod(self, path: str, mode: int) -> None:
        self.node(path).mode = mode

    def chown(self, path: str, uid: int, gid: int) -> None:
        pass

    def utimens(self, path: str, times: Any = None) -> None:
        pass


def main(mount: str, source: str, out: str, *command: str) -> int:
    system = DropFS(loaded(source))
    child = os.fork()
    if not child:
        status = 1
        try:
            while not os.path.ismount(mount):
                time.sleep(0.01)
            status = subprocess.run(command, check=False, timeout=120).returncode
        finally:
            subprocess.run(["umount", mount], check=False)
            os._exit(status)
    try:
        fuse.FUSE(system, mount, foreground=True, nothreads=True, hard_remove=True, big_writes=True)
    except RuntimeError as error:
        os.kill(child, 9)
        os.waitpid(child, 0)
        print(f"nothing can be mounted here: {error}", file=sys.stderr)
        return 2
    with open(out, "w", encoding="utf-8") as file:
        json.dump(list(system.states.values()), file)
    print(system.operations)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
