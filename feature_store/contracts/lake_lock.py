"""A shared or exclusive lock on a file of the lake, held by a process and given back by the kernel when it dies.

Open-file-description locks: POSIX record locks (which a JVM takes as `FileLock`, and NFS carries between hosts) that belong to
one open file. So two locks inside one process exclude each other too, and closing one does not drop the other.
"""

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

POLL_SECONDS: Final = 0.02
_WHOLE_FILE: Final = "@hhqqi4x"
"""struct flock: type, whence, start, length (0: to the end), pid (must be 0)."""


@contextmanager
def locked(path: Path, *, exclusive: bool, seconds: float) -> Iterator[None]:
    """The lock for the length of a block. TimeoutError if others hold it for longer than `seconds`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _take(handle, path, fcntl.F_WRLCK if exclusive else fcntl.F_RDLCK, time.monotonic() + seconds)
        yield
    finally:
        os.close(handle)


def _take(handle: int, path: Path, kind: int, until: float) -> None:
    request = struct.pack(_WHOLE_FILE, kind, os.SEEK_SET, 0, 0, 0)
    while True:
        try:
            fcntl.fcntl(handle, fcntl.F_OFD_SETLK, request)
            return
        except (BlockingIOError, PermissionError):  # EAGAIN or EACCES: another holds it
            if time.monotonic() >= until:
                raise TimeoutError(f"{path} is locked by another process") from None
            time.sleep(POLL_SECONDS)
