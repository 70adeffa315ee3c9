"""A door before a server that asks for a user and a password, as a reverse proxy in front of MLflow does."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager

from tests.forwarding import Door, door


@contextmanager
def password_door(port: int, user: str, password: str) -> Iterator[tuple[int, list[int]]]:
    """A port before the server's on this machine, and the status of every answer. Without the password it answers 401."""
    answers: list[int] = []
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    with door(_Asking, port, wanted=wanted, answers=answers) as found:
        yield found, answers


class _Asking(Door):
    wanted: str
    answers: list[int]

    def pass_on(self) -> None:
        if self.headers.get("Authorization") == self.wanted:
            self.answer(*self.from_upstream(without=("authorization",)))
        else:
            self.answer(401, [], b"who is this?")

    def answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.answers.append(status)
        super().answer(status, headers, content)
