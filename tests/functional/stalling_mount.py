"""A FUSE file system that shows another folder and hangs for as long as a certain file exists.

Run as a process of its own: ``python stalling_mount.py SOURCE MOUNT_POINT SWITCH``. It stands in for network
storage: inotify sees nothing of it, and while it hangs nobody can interrupt a read.
"""

from __future__ import annotations

import os
import sys
import time

import mfusepy


class Stalling(mfusepy.Operations):
    use_ns = True

    def __init__(self, source: str, switch: str) -> None:
        self._source = source
        self._switch = switch

    def _real(self, path: str) -> str:
        while os.path.exists(self._switch):
            time.sleep(0.02)
        return self._source + path

    def getattr(self, path, fh=None):
        status = os.lstat(self._real(path))
        names = ("st_mode", "st_nlink", "st_uid", "st_gid", "st_size", "st_ino")
        times = {f"st_{kind}time": getattr(status, f"st_{kind}time_ns") for kind in "amc"}
        return {name: getattr(status, name) for name in names} | times

    def readdir(self, path, fh):
        with os.scandir(self._real(path)) as entries:
            return [(entry.name, {"st_ino": entry.inode(), "st_mode": 0}, 0) for entry in entries]

    def readlink(self, path):
        return os.readlink(self._real(path))

    def open(self, path, flags):
        return os.open(self._real(path), os.O_RDONLY)

    def read(self, path, size, offset, fh):
        self._real(path)
        return os.pread(fh, size, offset)

    def release(self, path, fh):
        os.close(fh)


if __name__ == "__main__":
    source, mount_point, switch = sys.argv[1:]
    options = {"attr_timeout": 0, "entry_timeout": 0, "direct_io": True, "use_ino": True}
    mfusepy.FUSE(Stalling(source, switch), mount_point, foreground=True, nothreads=False, **options)
