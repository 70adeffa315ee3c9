"""A program of `test_secure`: one job with a shuffle under `env/secure`. Prints what was readable on the executors' disks."""

import json
import sys
from pathlib import Path

from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.session import get_session
from nightrank.pipeline.config import configured

MARK = "a-plain-word-of-a-row"


def main(disks: str, overrides: list[str]) -> None:
    settings = configured(["env/secure"], overrides).section("spark", SparkSettings)
    session = get_session(settings, "nightrank secured application")
    rows = session.range(400).selectExpr("id", f"concat('{MARK}-', id) AS word").repartition(3, "word")
    counted = rows.select("word").distinct().count()
    files = [path for path in Path(disks).rglob("shuffle_*.data") if path.is_file()]
    readable = sum(MARK.encode() in path.read_bytes() for path in files)
    properties = dict(session.sparkContext.getConf().getAll())
    session.stop()
    print(json.dumps({"counted": counted, "shuffled": len(files), "readable": readable, "properties": properties}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
