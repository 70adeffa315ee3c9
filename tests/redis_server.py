"""A real redis-server on loopback that keeps what it was told; it can be killed and started again."""

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.ports import free_port

PROGRAM: Final = shutil.which("redis-server")


class RedisServer:
    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.folder, self.process = folder, None
        self.address = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """It answers afterwards, and knows every write that it had acknowledged."""
        options = [
            "--port",
            str(self.port),
            "--dir",
            str(self.folder),
            "--appendonly",
            "yes",
            "--appendfsync",
            "always",
            "--save",
            "",
        ]
        assert PROGRAM is not None
        self.process = subprocess.Popen([PROGRAM, "--bind", "127.0.0.1", *options], stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while not self._answers():
            assert self.process.poll() is None and time.monotonic() < deadline
            time.sleep(0.05)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as one:
                one.sendall(b"PING\r\n")
                return one.recv(7) == b"+PONG\r\n"
        except OSError:
            return False


@contextmanager
def redis_server(folder: Path) -> Iterator[RedisServer]:
    """A server whose data is in the folder, which is made."""
    folder.mkdir()
    server = RedisServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()
