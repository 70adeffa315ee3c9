"""A door before a server that asks for a user and a password, as a reverse proxy in front of MLflow does."""

import base64
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def password_door(port: int, user: str, password: str) -> Iterator[tuple[int, list[int]]]:
    """A port before the server's on this machine, and the status of every answer. Without the password it answers 401."""
    answers: list[int] = []
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    handler = type("Handler", (_Handler,), {"wanted": wanted, "upstream": port, "answers": answers})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_address[1], answers
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wanted: str
    upstream: int
    answers: list[int]

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != self.wanted:
            return self._answer(401, b"who is this?")
        upstream = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=120)
        headers = {name: value for name, value in self.headers.items() if name.lower() != "authorization"}
        upstream.request(self.command, self.path, body, headers)
        found = upstream.getresponse()
        return self._answer(found.status, found.read(), found.getheader("Content-Type") or "application/json")

    def _answer(self, status: int, content: bytes, kind: str = "text/plain") -> None:
        self.answers.append(status)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_DELETE = do_POST = do_PATCH = _pass_on

    def log_message(self, format: str, *args: object) -> None:
        pass
