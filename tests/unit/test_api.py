"""`import nightrank`: instant, and wrong calls are named before anything starts. Whole runs: tests/e2e/test_notebook.py."""

import ast
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import nightrank
from nightrank.feature_store.contracts.errors import ConfigError, UsageError
from nightrank.feature_store.contracts.lake import Lake

EVENTS = pa.table({"customer": ["u1", "u2"], "sku": ["i1", "i2"], "at": [datetime(2025, 3, day, tzinfo=UTC) for day in (1, 2)]})
COLUMNS = {"user_id": "customer", "item_id": "sku", "event_time": "at"}


def test_the_import_loads_the_standard_library_alone() -> None:
    program = "import sys; before = set(sys.modules); import nightrank; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert {name.split(".")[0] for name in ast.literal_eval(done.stdout)} - set(sys.stdlib_module_names) == {"nightrank"}
    assert all(callable(getattr(nightrank, name)) for name in ("fit", "recommend", "evaluate"))
    with pytest.raises(AttributeError, match="no attribute 'fitt'"):
        nightrank.fitt  # noqa: B018


def test_events_land_under_their_own_columns_before_the_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trainer\.speed"):
        nightrank.fit(EVENTS, root=tmp_path / "lake", columns=COLUMNS, overrides=["trainer.speed=9"])
    assert [str(day) for day in Lake(tmp_path / "lake").landing_days("events")] == ["2025-03-01", "2025-03-02"]


def test_numbers_of_items_are_a_list_of_columns(tmp_path: Path) -> None:
    items = pa.table({"sku": ["i1", "i2"], "name": ["A", "B"], "kg": [1.5, None]})
    named = {"item_id": "sku", "title": "name", "numbers": ("kg",)}
    with pytest.raises(ConfigError, match=r"trainer\.speed"):
        nightrank.fit(EVENTS, tmp_path, items=items, columns=COLUMNS, item_columns=named, overrides=["trainer.speed=9"])
    landed = pq.ParquetFile(str(Lake(tmp_path).landing("items").glob("day=*/*.parquet")[0])).read()
    assert [dict(numbers) for numbers in landed["numbers"].to_pylist()] == [{"kg": 1.5}, {"kg": None}]


def test_a_wrong_call_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="need a lake"):
        nightrank.fit(EVENTS)
    with pytest.raises(UsageError, match="events is a list"):
        nightrank.fit([1, 2], root=tmp_path / "lake")
    with pytest.raises(UsageError, match="nothing is released"):
        nightrank.recommend(tmp_path / "lake")
    with pytest.raises(UsageError, match="is not there or not finished"):
        nightrank.evaluate(tmp_path / "lake")
