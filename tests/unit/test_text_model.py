"""Which text encoder a name means: its revision changes with its files alone, a hub's name is looked up and never hangs."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.feature_store.text_model import text_model
from tests.text_models import tiny_bert, with_tokenizer

PROJECT = Path(__file__).resolve().parents[2]
COMMIT = "a" * 40
NAME = f"acme/tiny-bert@{COMMIT}"
ASK = """
import sys
from nightrank.feature_store import text_model as texts
from nightrank.feature_store.contracts.errors import NightrankError
texts.HUB_SECONDS = 0.5
try:
    found = texts.text_model(texts.TextSettings(encoder=sys.argv[1]))
    print(found.folder, found.revision)
except NightrankError as error:
    print(error.exit_code, error.message, error.remedy)
"""
ANSWERS = {
    "silent": None,
    "drops": b"",
    "busy": b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "unknown": b"HTTP/1.1 404 No\r\nX-Error-Code: RepoNotFound\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    "page": b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>",
    "refuses": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
}


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    return with_tokenizer(tiny_bert(tmp_path_factory.mktemp("bert")))


@contextmanager
def answering(answer: bytes | None) -> Iterator[str]:
    """Address of a server that gives every request this answer; None: it holds the connection and says nothing."""
    held = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                held.append(connection)
                if answer is not None:
                    connection.recv(65_536)
                    connection.sendall(answer)
                    connection.close()

        Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
        server.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()


def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"http://127.0.0.1:{server.getsockname()[1]}"


def hub(home: Path, **environment: str) -> dict[str, str]:
    """The environment of a process whose hub is where it is told and whose cache is `home`."""
    ours = {key: value for key, value in os.environ.items() if not key.upper().startswith(("HF_", "HUGGING"))}
    return {**ours, "HF_HOME": str(home), "no_proxy": "127.0.0.1", **environment}


def run_with(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    command = command or ("-c", ASK, NAME)
    return subprocess.run(
        [sys.executable, *command], cwd=PROJECT, env=environment, capture_output=True, text=True, timeout=60, check=False
    )


def cached(home: Path, folder: Path) -> Path:
    """The folder as the hub's own client keeps it: blobs, and a snapshot of links to them. Returns the snapshot."""
    repository = home / "hub" / "models--acme--tiny-bert"
    snapshot = repository / "snapshots" / COMMIT
    for part in (repository / "blobs", repository / "refs", snapshot):
        part.mkdir(parents=True)
    (repository / "refs" / "main").write_text(COMMIT)
    for number, file in enumerate(sorted(folder.iterdir())):
        shutil.copy(file, repository / "blobs" / f"{number:040d}")
        (snapshot / file.name).symlink_to(Path("../../blobs") / f"{number:040d}")
    return snapshot


@pytest.mark.parametrize("offline", [True, False])
def test_a_hub_name_is_the_model_in_the_cache_where_the_hub_does_not_answer(tmp_path, bert, offline):
    snapshot = cached(tmp_path, bert)
    environment = {"HF_HUB_OFFLINE": "1"} if offline else {"HF_ENDPOINT": closed_port()}
    answer = run_with(hub(tmp_path, **environment))
    assert answer.stdout.split() == [str(snapshot), text_model(TextSettings(encoder=str(bert))).revision], answer.stderr


@pytest.mark.parametrize("how", ANSWERS)
def test_a_hub_or_a_proxy_that_gives_no_model_is_unreachable_and_is_not_waited_for(tmp_path, how):
    with answering(ANSWERS[how]) as address:
        proxied = {"HF_ENDPOINT": "https://hub.invalid", "https_proxy": address}
        began = time.monotonic()
        answer = run_with(hub(tmp_path, **(proxied if how == "refuses" else {"HF_ENDPOINT": address})))
    assert time.monotonic() - began < 30
    assert answer.stdout.startswith(f"8 text.encoder {NAME}: neither a folder nor a model the hub gave ("), answer.stderr
    assert "download the model and name its folder" in answer.stdout


def test_a_stage_whose_model_no_hub_gives_ends_with_code_8_and_says_what_to_do(tmp_path):
    stage = ("--root", str(tmp_path / "lake"), "--date", "2024-03-10", "--set", f"text.encoder={NAME}")
    answer = run_with(hub(tmp_path, HF_ENDPOINT=closed_port()), "-m", "nightrank.spark_jobs.embed_items", *stage)
    assert answer.returncode == 8, answer.stderr
    assert f"| dependency_unreachable: text.encoder {NAME}: " in answer.stderr and "Traceback" not in answer.stderr
    assert "what to do: check the name and the network, or download the model and name its folder" in answer.stderr


def revision(folder: Path, **more) -> str:
    return text_model(TextSettings(encoder=str(folder), **more)).revision


def test_a_revision_is_that_of_weights_tokenizer_and_length_wherever_the_folder_lies(tmp_path, bert):
    moved = Path(shutil.copytree(bert, tmp_path / "moved"))
    (moved / "README.md").write_text("another word about it")
    others = [tiny_bert(tmp_path / "weights", seed=1), Path(shutil.copytree(bert, tmp_path / "tokenizer"))]
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(bert / file, others[0])
    tokenizer = others[1] / "tokenizer.json"
    tokenizer.write_text(tokenizer.read_text().replace('"w9"', '"w99"'))
    assert revision(moved) == revision(bert)
    assert len({revision(bert), *map(revision, others), revision(bert, max_tokens=64)}) == 4


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("acme/tiny-bert", "names none"),
        ("acme/tiny-bert@main", "not a commit of 40 hex digits"),
        ("acme/tiny-bert@v1.0", "not a commit of 40 hex digits"),
        (f"acme/tiny-bert@{'A' * 40}", "not a commit of 40 hex digits"),
        (f"acme/tiny-bert@{'a' * 39}", "not a commit of 40 hex digits"),
    ],
)
def test_a_hub_s_model_without_its_commit_is_refused_before_the_hub_is_asked(name, wrong):
    with pytest.raises(ConfigError, match=f"text.encoder {name}: .*{wrong}") as caught:
        text_model(TextSettings(encoder=name))
    assert "write acme/tiny-bert@<commit>" in caught.value.remedy


def test_weights_that_are_no_safetensors_are_not_opened(tmp_path, bert):
    folder = Path(shutil.copytree(bert, tmp_path / "pickled"))
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match=r"holds no .*safetensors, and other weight formats are not opened"):
        text_model(TextSettings(encoder=str(folder)))


def test_a_file_beside_the_weights_that_is_never_opened_is_no_part_of_the_revision(tmp_path, bert):
    folder = Path(shutil.copytree(bert, tmp_path / "both"))
    (folder / "pytorch_model.bin").write_bytes(b"a pickle")
    assert revision(folder) == revision(bert)
