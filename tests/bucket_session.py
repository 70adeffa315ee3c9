"""A Spark session on a bucket of moto's server: `python -m tests.bucket_session` prints what came of each case, as JSON.

The JVM asks by way of the proxy that makes faults; what this process asks (obstore, delta-rs) goes straight to the server.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from nightrank.feature_store import delta_io, delta_read, publish
from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.errors import NightrankError
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.contracts.storage import locate
from nightrank.feature_store.contracts.storage.patience import VARIABLE
from nightrank.feature_store.entries import table_entries
from nightrank.feature_store.object_storage.spark_faults import explained
from nightrank.feature_store.session import get_session
from nightrank.feature_store.spark_schema import to_spark
from tests.s3_server import Faults, environment, proxy, s3_server
from tests.spark.conftest import INTERPRETED, make_context

TABLE = tables.ITEM_FEATURES
LAKE = Lake(locate("s3://lake/some/root"))


COUNT = TABLE.schema.names[2]
BEFORE_THE_END = (
    *("tables", "checkpoint", "race", "lost", "lost_often", "conflicted", "busy", "slow", "parquet", "absent", "forbidden"),
    "busy_for_good",
)


class Cases:
    def __init__(self, spark: SparkSession, faults: Faults) -> None:
        self.spark, self.faults = spark, faults
        self.outcomes: dict[str, Any] = {}
        self.seconds: dict[str, float] = {}

    def tables(self) -> dict[str, Any]:
        """A table is made, added to, merged into and replaced; every reader sees the same."""
        made = self.write(delta_io.append, {1: 10, 2: 20}, "made")
        merged = self.write(delta_io.upsert, {2: 21, 3: 30}, "merged")
        again = self.write(delta_io.append, {4: 40}, "added"), self.write(delta_io.append, {4: 40}, "added")
        entry = table_entries(self.spark, LAKE, [(TABLE, None)])[0]
        part = publish.pin(LAKE, TABLE.name, again[1].to_version)
        by_arrow = delta_read.dataset(LAKE, TABLE.name, [file.path for file in part.files], TABLE.schema).to_table()
        return {
            "versions": [made.to_version, merged.to_version, *(commit.to_version for commit in again)],
            "merged_rows": merged.rows,
            "spark": self.rows(),
            "arrow": dict(zip(by_arrow["item"].to_pylist(), by_arrow[COUNT].to_pylist(), strict=True)),
            "rows_of": delta_read.rows_of(LAKE, TABLE.name, again[1].to_version),
            "entry": [entry["to"], len(entry["content_sha256"])],
            "first": self.rows(0),
        }

    def checkpoint(self) -> dict[str, Any]:
        """Every commit makes a checkpoint, whose pointer is written over each time."""
        table = f"delta.`{LAKE.table(TABLE.name).hadoop}`"
        self.spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ('delta.checkpointInterval' = '1')")
        commits = [self.write(delta_io.append, {n: n}, f"more {n}").to_version for n in (5, 6)]
        self.spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ('delta.checkpointInterval' = '100')")
        pointer = json.loads((locate(LAKE.table(TABLE.name)) / "_delta_log/_last_checkpoint").read_bytes())
        return {"commits": commits, "pointer": pointer["version"], "rows": self.rows()}

    def race(self) -> dict[str, Any]:
        """Both writers' commits of one version arrive at the server before either is answered."""
        version = self.version()
        self.fault(key=f"{version + 1:020d}.json", together=threading.Barrier(2))
        outcomes = [""] * 2

        def run(number: int) -> None:
            outcomes[number] = self.outcome(lambda: self.write(delta_io.replace, {9: number}, f"racer {number}"))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        winners = [number for number, outcome in enumerate(outcomes) if outcome == "done"]
        return {"outcomes": sorted(outcomes), "versions": self.version() - version, "kept": self.rows() == {9: winners[0]}}

    def lost(self) -> dict[str, Any]:
        """The commit happens and its answer does not come: the second sending is refused, and the write was ours."""
        return self.one_more("lost", {20: 1}, key=f"{self.version() + 1:020d}.json", lose=1)

    def lost_often(self) -> dict[str, Any]:
        """As many answers are lost as the SDK itself asks for: it gives up, and what is there says that the write happened."""
        return self.one_more("lost often", {21: 1}, key=f"{self.version() + 1:020d}.json", lose=6)

    def conflicted(self) -> dict[str, Any]:
        """409 is S3's answer to a conditional write beside another that has not ended."""
        key = f"{self.version() + 1:020d}.json"
        return self.one_more("409", {22: 1}, key=key, refuse=2, status=409, code="ConditionalRequestConflict")

    def busy(self) -> dict[str, Any]:
        return self.one_more("503", {23: 1}, key="item_features/", refuse=3)

    def slow(self) -> dict[str, Any]:
        return self.one_more("slow", {24: 1}, key="item_features/", delay=0.3)

    def parquet(self) -> dict[str, Any]:
        """Plain Parquet is uploaded to where it stays."""
        folder = locate(LAKE.root) / "runs/r/lists"
        self.fault(key="runs/r")
        self.spark.range(100).repartition(2).write.parquet(folder.hadoop)
        success = folder / "_SUCCESS"
        return {
            "rows": self.spark.read.parquet(folder.hadoop).count(),
            "committer": json.loads(success.read_bytes())["committer"],
            "files": sorted({place.suffix for place, _ in folder.walk() if place.name.startswith("part-")}),
            "left": [str(place) for place, _ in folder.walk() if place.name != "_SUCCESS" and place.parent != folder],
            "copied": any(line.startswith("PUT") and "_temporary" in line for line in self.faults.seen),
        }

    def absent(self) -> list[Any]:
        other = Lake(locate("s3://absent/root"))
        rows = features(self.spark, {1: 1})
        return [
            self.error(lambda: self.spark.read.format("delta").load("s3a://absent/t").count(), other),
            self.error(lambda: delta_read.table_version(other, TABLE.name), other),
            self.error(lambda: delta_io.append(rows, other, TABLE, context=make_context(other), key="k"), other),
        ]

    def forbidden(self) -> list[Any]:
        """A task may not write; then the driver may not commit."""
        found = []
        for key in ("part-", "_delta_log/0"):
            self.fault(key=key, refuse=1000, status=403, code="AccessDenied")
            found.append(self.error(lambda: self.write(delta_io.append, {1: 1}, "forbidden")))
        return found

    def busy_for_good(self) -> list[Any]:
        self.fault(key="part-", refuse=10_000)
        return self.error(lambda: self.write(delta_io.append, {1: 1}, "busy for good"))

    def away(self) -> dict[str, Any]:
        """The server answers 503 to everything for 30 seconds; what Spark does meanwhile takes as long, and happens once."""
        made, before = self.write(delta_io.append, {1: 10}, "made"), self.rows()
        self.fault(method="", refuse=1_000_000)
        back = threading.Timer(30, lambda: setattr(self.faults, "refuse", 0))
        back.start()
        outcome = self.outcome(lambda: self.write(delta_io.append, {2: 20}, "while it is away"))
        still = back.is_alive()
        back.join()
        return {
            "outcome": outcome,
            "versions": self.version() - made.to_version,
            "rows": self.rows() == {**before, 2: 20},
            "early": still,
        }

    def gone(self) -> list[Any]:
        """Called when the server has ended."""
        return self.error(lambda: self.spark.read.format("delta").load(LAKE.table(TABLE.name).hadoop).count())

    def run(self, name: str) -> None:
        started = time.monotonic()
        try:
            self.outcomes[name] = getattr(self, name)()
        except Exception as error:
            self.outcomes[name] = f"{type(error).__name__}: {str(error)[:3000]}"
        self.fault()
        self.seconds[name] = round(time.monotonic() - started, 1)

    def one_more(self, name: str, rows: dict[int, int], **fault: Any) -> dict[str, Any]:
        version, before = self.version(), self.rows()
        self.fault(**fault)
        outcome = self.outcome(lambda: self.write(delta_io.append, rows, name))
        puts = sum(line.startswith("PUT") and f"{version + 1:020d}.json" in line for line in self.faults.seen)
        self.fault()
        same = self.rows() == {**before, **rows}
        return {"outcome": outcome, "versions": self.version() - version, "rows": same, "puts": puts}

    def fault(self, **given: Any) -> None:
        self.faults.seen.clear()
        fresh = Faults(**given)
        for name in ("method", "key", "lose", "refuse", "status", "code", "delay", "together"):
            setattr(self.faults, name, getattr(fresh, name))

    def write(self, how: Callable[..., delta_io.Commit], rows: dict[int, int], key: str) -> delta_io.Commit:
        return how(features(self.spark, rows), LAKE, TABLE, context=make_context(LAKE), key=key)

    def rows(self, version: int | None = None) -> dict[int, int]:
        found = delta_io.read(self.spark, LAKE, TABLE, version).select("item", COUNT).collect()
        assert len({row["item"] for row in found}) == len(found), "a row is doubled"
        return {row["item"]: row[COUNT] for row in found}

    def version(self) -> int:
        found = delta_io.version(LAKE, TABLE)
        assert found is not None
        return found

    def outcome(self, action: Callable[[], object]) -> str:
        try:
            action()
        except NightrankError as error:
            return error.code
        return "done"

    def error(self, action: Callable[[], object], lake: Lake = LAKE) -> list[Any]:
        try:
            with explained(lake.root):
                action()
        except NightrankError as error:
            return [error.exit_code, error.message]
        return [0, ""]


def features(spark: SparkSession, rows: dict[int, int]) -> DataFrame:
    schema = to_spark(TABLE.schema)
    made = spark.createDataFrame([(i, 0, n, *[None] * (len(schema) - 3)) for i, n in rows.items()], schema)
    return made.coalesce(1)


def main(names: list[str]) -> None:
    os.environ.setdefault(VARIABLE, "2")
    with s3_server("lake") as port, proxy(port) as (before, faults):
        os.environ.update(environment(before))
        settings = SparkSettings(driver_memory="1g", shuffle_partitions=2, extra=INTERPRETED)
        cases = Cases(get_session(settings, "bucket", LAKE.root), faults)
        os.environ.update(environment(port))
        for name in names or BEFORE_THE_END:
            cases.run(name)
    if not names:
        cases.run("gone")
    cases.spark.stop()
    print(json.dumps({**cases.outcomes, "seconds": cases.seconds}, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
