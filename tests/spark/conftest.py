"""One real Spark session for the whole run, and lakes that each test owns."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession

from nightrank.feature_store.contracts import schemas
from nightrank.feature_store.contracts.configuration import Configuration
from nightrank.feature_store.contracts.lake import Lake, LandingKind
from nightrank.feature_store.contracts.settings import SparkSettings
from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.session import get_session

DAY = date(2024, 3, 10)
SCHEMAS = {"events": schemas.LANDING_EVENTS, "items": schemas.LANDING_ITEMS, "users": schemas.LANDING_USERS}


INTERPRETED = {"spark.sql.codegen.wholeStage": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"}
"""A third of a test's time went into compiling Java for five rows. Same results, and subprocesses run as jobs do."""


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    session = get_session(SparkSettings(driver_memory="1g", shuffle_partitions=2, extra=INTERPRETED), "nightrank-tests")
    yield session
    session.stop()


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


OWN_LISTS_ALONE = {"similar_items": 0, "popular_items": 0}
"""Lists that are nobody's own have tests of their own; in every scoring they would take as long as the users' lists."""


def make_context(lake: Lake, day: date = DAY, kind: str = "nightly", run_id: str | None = None, **config) -> StageContext:
    config["scoring"] = {**OWN_LISTS_ALONE, **config.get("scoring", {})}
    return StageContext(
        lake.root, run_id or f"{kind}-{day}", kind, day, seed=17, fence=0, config=Configuration.from_run(config)
    )


def as_stage(context: StageContext, name: str) -> StageContext:
    """What that stage is given: of the configuration the sections that it declares."""
    return replace(context, config=context.config.of_stage(name))


def at(text: str) -> datetime:
    """`2024-03-10 12:00` as UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def land(lake: Lake, kind: LandingKind, day: date, rows: list[dict], name: str = "part-0.parquet", **meta: str) -> Path:
    """Rows in landing layout; fields that a row leaves out are null. `meta` goes to landing/meta.json."""
    schema = SCHEMAS[kind]
    columns = {f.name: pa.array([row.get(f.name) for row in rows], f.type) for f in schema}
    path = lake.landing_day(kind, day).path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns, schema=schema), path)
    body = {"clock": "real", "id_type": "string", "source": "test", **meta}
    if meta or not lake.landing_meta_path.exists():
        lake.landing_meta_path.write_text(json.dumps(body))
    return path
