"""A door on loopback before a server on this machine: what comes in is passed on, unless the door does something else."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CHUNKED = ("transfer-encoding",)
SKIPPED = {"transfer-encoding", "connection", "content-length"}


class Door(BaseHTTPRequestHandler):
    """Passes every request on. Classes of it say in `pass_on` what becomes of a request."""

    protocol_version = "HTTP/1.1"
    upstream: int

    def pass_on(self) -> None:
        self.answer(*self.from_upstream())

    def from_upstream(self, without: tuple[str, ...] = ()) -> tuple[int, list[tuple[str, str]], bytes]:
        """Status, headers and body of the server's answer, which hears no header named in `without`."""
        headers = {name: value for name, value in self.headers.items() if name.lower() not in (*without, *CHUNKED)}
        server = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=120)
        server.request(self.command, self.path, self.body, headers)
        found = server.getresponse()
        return found.status, found.getheaders(), found.read()

    def answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in SKIPPED:
                self.send_header(name, value)
        length = next((value for name, value in headers if name.lower() == "content-length"), None)
        length = length if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _received(self) -> None:
        chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        self.body = self._chunks() if chunked else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.pass_on()

    def _chunks(self) -> bytes:
        """A body whose length its sender did not know: of an empty file, for one."""
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = do_PATCH = _received

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def door(kind: type[Door], upstream: int, *, port: int = 0, **fields: Any) -> Iterator[int]:
    """The port of a door of that kind before the server's: `port`, or any; `fields` are set on its handlers."""
    handler = type("Handler", (kind,), {"upstream": upstream, **fields})
    server = ThreadingHTTPServer(("127.0.0.1", port), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
