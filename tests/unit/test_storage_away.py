"""A bucket that is away for half of the time that it is given: every call waits for it, whichever client makes it."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake

from nightrank.feature_store.contracts import lease as leases
from nightrank.feature_store.contracts.errors import ConflictError, DependencyUnreachable
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.process import ProcessId
from nightrank.feature_store.contracts.storage import locate, patience
from nightrank.feature_store.object_storage.addresses import storage_options
from tests.forwarding import Door, door
from tests.s3_server import proxy, s3_server, use

GIVEN, AWAY = 20.0, 10.0
"""Seconds. The setting's default is 60; tests/bucket has the same with 30 of 60."""


@pytest.fixture(scope="module")
def server():
    with s3_server("away") as port:
        yield port


class Cut(Door):
    """Closes kept connections too, without an answer, once the server is gone."""

    gone: threading.Event

    def pass_on(self):
        if not self.gone.is_set():
            return super().pass_on()
        self.close_connection = True
        return self.connection.shutdown(socket.SHUT_RDWR)


def written(root):
    """What each call works on."""
    for name in ("read", "swap", "delete", "list/x"):
        (root / name).write_bytes(b"before")
    write_deltalake(f"{root}/table", pa.table({"a": [1]}), storage_options=storage_options(root))


def calls(root):
    """Each call of a bucket, and what it returns when the bucket is back."""
    version = (root / "swap").read().version
    options = storage_options(root)
    return {
        "write": (lambda: (root / "write").write_bytes(b"1"), None),
        "create": (lambda: (root / "create").create(b"1"), True),
        "swap": (lambda: (root / "swap").swap(b"1", version) is not None, True),
        "read": (lambda: (root / "read").read_bytes(), b"before"),
        "list": (lambda: [str(place.name) for place, _ in (root / "list").walk()], ["x"]),
        "delete": (lambda: (root / "delete").unlink(), None),
        "delta-rs": (lambda: DeltaTable(f"{root}/table", storage_options=options).version(), 0),
    }


def all_waited(root, back):
    """Every call at once, `back` after it began; each gave what it gives, and none ended before."""
    with ThreadPoolExecutor(8) as pool:
        began = time.monotonic()
        under_way = {name: (pool.submit(call), expected) for name, (call, expected) in root.items()}
        time.sleep(AWAY)
        assert [name for name, (call, _) in under_way.items() if call.done()] == []
        back()
        assert {name: call.result() for name, (call, _) in under_way.items()} == {
            name: expected for name, (_, expected) in under_way.items()
        }
    assert time.monotonic() - began < AWAY + 2 * patience.LONGEST_PAUSE_SECONDS


def test_a_bucket_that_answers_503_is_waited_for(server, monkeypatch):
    monkeypatch.setenv(patience.VARIABLE, str(GIVEN))
    with proxy(server) as (port, faults):
        use(monkeypatch, port)
        root = locate("s3://away/busy")
        written(root)
        faults.method, waiting = "", calls(root)
        faults.refuse = 1_000_000
        all_waited(waiting, lambda: setattr(faults, "refuse", 0))
    assert len(faults.seen) < 400, "it is not asked all the time"


def test_a_server_that_is_gone_is_waited_for(server, monkeypatch):
    monkeypatch.setenv(patience.VARIABLE, str(GIVEN))
    root = locate("s3://away/gone")
    with ExitStack() as again:
        gone = threading.Event()
        with door(Cut, server, gone=gone) as port:
            use(monkeypatch, port)
            written(root)
            waiting = calls(root)
        gone.set()
        all_waited(waiting, lambda: again.enter_context(door(Door, server, port=port)))


def test_a_bucket_that_was_waited_for_in_vain_is_not_waited_for_again_before_it_answers(server, monkeypatch):
    monkeypatch.setenv(patience.VARIABLE, "8")
    with proxy(server) as (port, faults):
        use(monkeypatch, port)
        place = locate("s3://away/vain") / "x"
        place.write_bytes(b"1")
        faults.method, faults.refuse = "", 1_000_000
        took = []
        for call in (place.read_bytes, place.read_bytes, lambda: place.create(b"2")):
            began = time.monotonic()
            with pytest.raises(DependencyUnreachable):
                call()
            took.append(time.monotonic() - began)
        assert took[0] >= 8 > max(took[1:]), took
        faults.refuse = 0
        assert place.read_bytes() == b"1"
        faults.refuse = 1_000_000
        threading.Timer(4, lambda: setattr(faults, "refuse", 0)).start()
        assert place.read_bytes() == b"1", "once it has answered it is waited for again"


def test_a_run_on_another_host_is_not_silent_while_the_bucket_is(server, monkeypatch):
    """Its owner lives and cannot say so; whoever waits for the lake waits on until both see the bucket again."""
    monkeypatch.setenv(patience.VARIABLE, str(GIVEN))
    with proxy(server) as (port, faults):
        use(monkeypatch, port)
        lake = Lake("s3://away/lease")
        owner = leases.acquire(lake, "owner")
        monkeypatch.setattr(ProcessId, "is_local", property(lambda self: False))
        owner.start_heartbeat(0.5)
        faults.method, faults.refuse = "", 1_000_000
        threading.Timer(AWAY, lambda: setattr(faults, "refuse", 0)).start()
        with pytest.raises(ConflictError, match="run owner is working on this lake"):
            leases.acquire(lake, "other", silent_seconds=patience.LONGEST_PAUSE_SECONDS + 2)
        owner.release()
        assert not owner.lost.is_set()
