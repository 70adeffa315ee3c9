"""A real HDFS on loopback: a name node and a data node as processes, from Hadoop's own jars of the version inside Spark."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyspark
import pytest

from tests.ports import free_port

VERSION: Final = "3.4.1"
JARS: Final = Path(pyspark.__file__).parent / "jars"
MADE: Final = Path(__file__).parents[1] / ".build" / "hdfs"
"""The servers' jar (40 MB) stays here between runs of the tests; Maven fetches it."""
PROPERTIES: Final = {
    "dfs.namenode.http-address": "127.0.0.1:0",
    "dfs.datanode.address": "127.0.0.1:0",
    "dfs.datanode.http.address": "127.0.0.1:0",
    "dfs.datanode.ipc.address": "127.0.0.1:0",
    "dfs.replication": "1",
    "dfs.namenode.safemode.extension": "0",
    "dfs.heartbeat.interval": "1",
}


class Hdfs:
    """`address` is `hdfs://host:port`. The name node can be ended and started again; its data stays."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.address = f"hdfs://127.0.0.1:{self.port}"
        self._node: subprocess.Popen[bytes] | None = None
        self._data: subprocess.Popen[bytes] | None = None
        own = {f"dfs.{kind}.dir": f"file://{folder / kind}" for kind in ("namenode.name", "datanode.data")}
        _write(folder / "core-site.xml", {"fs.defaultFS": self.address})
        _write(folder / "hdfs-site.xml", PROPERTIES | own)

    def start(self) -> None:
        subprocess.run(
            self._words("namenode.NameNode", "-format", "-force", "-nonInteractive"), check=True, capture_output=True
        )
        self.start_name_node()
        self._data = _started(self._words("datanode.DataNode"))
        self._wait_for_data()

    def start_name_node(self) -> None:
        self._node = _started(self._words("namenode.NameNode"))

    def end_name_node(self) -> None:
        assert self._node is not None
        self._node.kill()
        self._node.wait()

    def stop(self) -> None:
        for process in (self._data, self._node):
            if process is not None:
                process.kill()
                process.wait()

    def _words(self, program: str, *arguments: str) -> list[str]:
        names = ("hadoop-client-*", "slf4j-api*", "log4j-*", "jcl-over-slf4j*", "commons-logging*")
        jars = [server_jar(), *(jar for name in names for jar in JARS.glob(f"{name}.jar"))]
        path = os.pathsep.join(map(str, (self.folder, *jars)))
        return ["java", "-Xmx256m", "-cp", path, f"org.apache.hadoop.hdfs.server.{program}", *arguments]

    def _wait_for_data(self) -> None:
        from hdfs_native import Client

        client, until = Client(self.address), time.monotonic() + 90
        while True:
            try:
                with client.create("/.ready") as handle:
                    handle.write(b"1")
                client.delete("/.ready")
                return
            except (OSError, RuntimeError):
                assert time.monotonic() < until, "the data node did not come up"
                time.sleep(0.5)
                client.delete("/.ready")


@contextmanager
def hdfs_server(folder: Path) -> Iterator[Hdfs]:
    made = Hdfs(folder)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def use(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process has no clients from earlier, and waits ten seconds for a name node."""
    from nightrank.feature_store.contracts.storage import stores

    monkeypatch.setenv("NIGHTRANK_STORAGE_SECONDS", "10")
    stores._hdfs.cache_clear()


def server_jar() -> Path:
    """Hadoop's servers in one jar, fetched once by Maven. The test is skipped by name where there is no Maven."""
    jar = MADE / f"hadoop-client-minicluster-{VERSION}.jar"
    if not jar.exists():
        maven = shutil.which("mvn") or pytest.skip("Hadoop's servers are fetched by mvn, which this machine lacks")
        MADE.mkdir(parents=True, exist_ok=True)
        artifact = f"org.apache.hadoop:hadoop-client-minicluster:{VERSION}"
        get = [maven, "-q", "-B", "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy", f"-Dartifact={artifact}"]
        subprocess.run([*get, f"-DoutputDirectory={MADE}"], check=True, capture_output=True, timeout=600)
    return jar


def _write(path: Path, properties: dict[str, str]) -> None:
    rows = "".join(f"<property><name>{name}</name><value>{value}</value></property>" for name, value in properties.items())
    path.write_text(f"<configuration>{rows}</configuration>")


def _started(words: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
