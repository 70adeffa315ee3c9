"""Ranks on two hosts by horovodrun and ssh: two addresses of this machine, each with an ssh server of its own."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nightrank.feature_store.contracts.files import read_json
from tests.distributed.test_train import TWO, ended, stage
from tests.training_jobs import small_lake
from tests.training_lake import write_run

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
HOSTS = ("127.0.0.2", "127.0.0.3")
pytestmark = [pytest.mark.distributed, pytest.mark.skipif(SSHD is None, reason="needs an ssh server (openssh-server)")]
SERVER = """
ListenAddress {host}:{port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/key.pub
PidFile {folder}/{host}.pid
UsePAM no
StrictModes no
PasswordAuthentication no
"""
CLIENT = """
Host 127.0.0.*
  Port {port}
  IdentityFile {folder}/key
  IdentitiesOnly yes
  UserKnownHostsFile {folder}/known_hosts
  StrictHostKeyChecking no
  LogLevel ERROR
"""


@pytest.fixture
def hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """`trainer.hosts` of two hosts with a rank each; `ssh` on the PATH knows port and key."""
    folder, port = tmp_path / "ssh", free_port()
    folder.mkdir()
    if os.geteuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # root's sshd does not start without it
    for name in ("key", "host_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name], check=True)
    (folder / "config").write_text(CLIENT.format(port=port, folder=folder))
    (folder / "ssh").write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    servers = []
    try:
        for host in HOSTS:
            config = folder / f"{host}.conf"
            config.write_text(SERVER.format(host=host, port=port, folder=folder))
            servers.append(subprocess.Popen([str(SSHD), "-D", "-e", "-f", config], stderr=(folder / "log").open("ab")))
            wait_for(host, port, servers[-1], folder / "log")
        yield ",".join(f"{host}:1" for host in HOSTS)
    finally:
        for server in servers:
            server.terminate()
            server.wait()


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("", 0))
        return int(bound.getsockname()[1])


def wait_for(host: str, port: int, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + 20
    while time.monotonic() < until and server.poll() is None:
        try:
            socket.create_connection((host, port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"the ssh server of {host} did not come up: {log.read_text()}")


def test_ranks_on_two_hosts_make_the_bundle_of_two_ranks_on_one(tmp_path: Path, hosts: str) -> None:
    made = {}
    for name, where in (("one", None), ("two", hosts)):
        root = tmp_path / name
        run_dir = write_run(root, "r1", small_lake(root), {"trainer": {**TWO, "threads_per_worker": 1, "hosts": where}})
        code, errors = ended(stage(run_dir))
        assert code == 0, errors
        made[name] = read_json(run_dir / "train" / "result.json")
    assert made["two"]["training"]["world_size"] == 2
    log = (tmp_path / "ssh" / "log").read_text()
    assert log.count("Accepted publickey") >= 2, "the ranks came by ssh"
    assert made["one"]["model_files"] == made["two"]["model_files"]
