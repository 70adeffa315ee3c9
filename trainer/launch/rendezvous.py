"""Where the ranks of launcher `pods` meet: Horovod's rendezvous server, and in front of it the job for those who come.

`GET /nightrank/<rank>/<token>`, once a second: 200 and the job as soon as all ranks are there; 404 until then; 409 where the
rank was given to another process, 400 for a rank that the training does not have. The server lives for one training.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from horovod.runner.common.util.hosts import get_host_assignments, parse_hosts
from horovod.runner.http.http_server import RendezvousHandler, RendezvousHTTPServer

from nightrank.feature_store.contracts.errors import ConfigError, StalledError
from nightrank.feature_store.contracts.secrets import masked
from nightrank.trainer.config.job import Job
from nightrank.trainer.launch.one_rank import host_of

SCOPE: Final = "nightrank"
FRESH_SECONDS: Final = 10.0
"""A rank that has not been heard of for this long has gone again."""


class Gathering:
    """Which ranks have come, and the job that they are given once all have."""

    def __init__(self, job: Job) -> None:
        self.port = 0
        self._size = job.config.workers
        self._body = json.dumps(masked(job.model_dump(mode="json"))).encode()
        self._seen: dict[int, tuple[str, float]] = {}
        self._own = ""
        self._lock = threading.Lock()
        self._complete = threading.Event()

    def wait(self, seconds: float) -> str:
        """All ranks have come; the address by which they reached this one. StalledError names those that did not."""
        if not self._complete.wait(seconds):
            raise StalledError(
                f"ranks {self._missing()} of {self._size} did not come to port {self.port} within {seconds:.0f} s",
                "start `nightrank join` for each of them; raise trainer.watchdog.startup_seconds if their pods start late",
            )
        return self._own

    def answer(self, rank: int, token: str, own: str) -> tuple[int, bytes]:
        """Status and body for a process that wants to be `rank`."""
        if not 0 < rank < self._size:
            return 400, f"this training has the ranks 0 to {self._size - 1}".encode()
        with self._lock:
            if not self._complete.is_set():
                self._seen[rank] = (token, time.monotonic())
                self._own = own
                if self._missing():
                    return 404, b""
                self._complete.set()
            return (200, self._body) if self._seen[rank][0] == token else (409, b"")

    def _missing(self) -> list[int]:
        now = time.monotonic()
        here = {rank for rank, (_, at) in self._seen.items() if now - at < FRESH_SECONDS}
        return sorted(set(range(1, self._size)) - here)


class _Server(RendezvousHTTPServer):  # type: ignore[misc]
    daemon_threads = True
    gathering: Gathering


class _Handler(RendezvousHandler):  # type: ignore[misc]
    server: _Server

    def do_GET(self) -> None:
        match self.path.split("/"):
            case ["", scope, rank, token] if scope == SCOPE and rank.isdigit():
                status, body = self.server.gathering.answer(int(rank), token, self.connection.getsockname()[0])
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            case _:
                super().do_GET()


@contextmanager
def gathering(job: Job) -> Iterator[Gathering]:
    """Inside, the server is up on `trainer.rendezvous_port`. ConfigError where the port is taken."""
    port, size = job.config.rendezvous_port, job.config.workers
    try:
        server = _Server(("", port), _Handler, 0)
    except OSError as error:
        raise ConfigError(f"port {port} cannot be opened: {error.strerror}", "set trainer.rendezvous_port") from None
    server.gathering = Gathering(job)
    server.gathering.port = port
    server.init(get_host_assignments(parse_hosts(",".join(f"{host_of(rank)}:1" for rank in range(size))), size))
    thread = threading.Thread(target=server.serve_forever, name="rendezvous", daemon=True)
    thread.start()
    try:
        yield server.gathering
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
