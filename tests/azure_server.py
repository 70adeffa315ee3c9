"""A server on loopback that speaks as Azure's storage does: Azurite, installed once by npm below `.build/`.

For Google's, fake-gcs-server 1.56 refuses the client's PUT (400 and 404), so no test here has one.
"""

import base64
import hashlib
import hmac
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from typing import Final

import pytest

from tests.ports import free_port, wait_for_port

MADE: Final = Path(__file__).parents[1] / ".build"
ACCOUNT: Final = "devstoreaccount1"
KEY: Final = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""Azurite's account and key are the same everywhere, and public."""
CONTAINER: Final = "lakes"
SPOKEN: Final = "2021-08-06"
"""Of Azure's protocol."""
PLAIN: Final = {"AWS_ALLOW_HTTP": "true"}
"""The one switch for servers without TLS, whatever cloud they speak for."""


@contextmanager
def azurite() -> Iterator[dict[str, str]]:
    """The environment in which `abfss://lakes@devstoreaccount1.dfs.core.windows.net` is a container of a server here."""
    program, port = _azurite(), free_port()
    with _running([str(program), "--inMemoryPersistence", "--skipApiVersionCheck", "--silent", "--blobPort", str(port)], port):
        date, path = formatdate(usegmt=True), f"/{ACCOUNT}/{CONTAINER}"
        words = "PUT" + "\n" * 12 + f"x-ms-date:{date}\nx-ms-version:{SPOKEN}\n/{ACCOUNT}{path}\nrestype:container"
        sign = base64.b64encode(hmac.new(base64.b64decode(KEY), words.encode(), hashlib.sha256).digest())
        headers = {"x-ms-date": date, "x-ms-version": SPOKEN, "Authorization": f"SharedKey {ACCOUNT}:{sign.decode()}"}
        _send(f"http://127.0.0.1:{port}{path}?restype=container", headers, method="PUT")
        yield PLAIN | {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": f"http://127.0.0.1:{port}"}


def _azurite() -> Path:
    program = MADE / "azurite" / "node_modules" / ".bin" / "azurite-blob"
    if not program.exists():
        npm = shutil.which("npm") or pytest.skip("Azurite is installed by npm, which this machine lacks")
        program.parents[2].mkdir(parents=True, exist_ok=True)
        words = [npm, "install", "--no-fund", "--no-audit", "--no-save", "azurite@3.35.0"]
        subprocess.run(words, cwd=program.parents[2], check=True, capture_output=True, timeout=600)
    return program


@contextmanager
def _running(words: list[str], port: int) -> Iterator[None]:
    """The program takes connections on its port."""
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_port(port, process)
        yield
    finally:
        process.kill()
        process.wait()


def _send(url: str, headers: dict[str, str], body: bytes | None = None, method: str = "POST") -> None:
    urllib.request.urlopen(urllib.request.Request(url, data=body, headers=headers, method=method), timeout=30)
