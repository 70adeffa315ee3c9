"""A real S3 server on loopback (moto's), and a proxy before it that loses answers, refuses or is slow for chosen keys."""

import socket
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest

from tests.forwarding import Door, door
from tests.ports import free_port, wait_for_port

CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "word",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
}


@contextmanager
def s3_server(bucket: str):
    """The port of a server with an empty bucket; its objects are in its memory, gone afterwards."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        _make_bucket(port, bucket)
        yield port
    finally:
        process.kill()
        process.wait()


def _make_bucket(port: int, name: str) -> None:
    urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/{name}", method="PUT"), timeout=30)


def environment(port: int) -> dict[str, str]:
    """What a process is told to use the server."""
    return {**CREDENTIALS, "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true"}


def use(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    from nightrank.feature_store.contracts.storage import stores

    for name, value in environment(port).items():
        monkeypatch.setenv(name, value)
    stores._bucket.cache_clear()


@dataclass
class Faults:
    """What the proxy does to requests of `method` (empty: any) whose path holds `key`; each fault is used up by so many
    requests."""

    method: str = "PUT"
    key: str = ""
    lose: int = 0
    """The server does it, and the connection breaks before the answer."""
    refuse: int = 0
    """`status`, and the server never hears of it."""
    status: int = 503
    code: str = "SlowDown"
    delay: float = 0.0
    every: int = 1
    """A fault hits only each so-many-th of the requests that it is for."""
    matched: int = 0
    together: threading.Barrier | None = None
    """Requests wait for each other before the server hears of any."""
    seen: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, method: str, path: str) -> str:
        with self.lock:
            self.seen.append(f"{method} {path}")
            if self.method not in ("", method) or self.key not in path:
                return ""
            self.matched += 1
            if self.matched % self.every:
                return ""
            for name in ("lose", "refuse"):
                if getattr(self, name) > 0:
                    setattr(self, name, getattr(self, name) - 1)
                    return name
            return "together" if self.together else "delay" if self.delay else ""


@contextmanager
def proxy(port: int):
    """A port before the server's, and the faults it makes."""
    faults = Faults()
    with door(_Faulty, port, faults=faults) as found:
        yield found, faults


class _Faulty(Door):
    faults: Faults

    def pass_on(self) -> None:
        fault = self.faults.take(self.command, self.path)
        if fault == "refuse":
            return self.answer(self.faults.status, [], f"<Error><Code>{self.faults.code}</Code></Error>".encode())
        if fault == "together":
            self.faults.together.wait(60)
        if fault == "delay":
            time.sleep(self.faults.delay)
        answer = self.from_upstream()
        if fault == "lose":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        return self.answer(*answer)
