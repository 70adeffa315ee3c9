"""`import nightrank`: fit, recommend and evaluate from Python, by the same runner as the command line.

Each takes a lake's root, a `Fitted`, or events as a pandas DataFrame or an Arrow table. Events land in the lake at `root`
first: the same events again change nothing, and a run that is done is not run again.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from nightrank.feature_store import delta_read
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import UsageError, error_of
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.storage import Location, lake_root
from nightrank.feature_store.contracts.tables import RECOMMENDATIONS
from nightrank.pipeline.config import configured
from nightrank.pipeline.progress import LineProgress, Progress
from nightrank.pipeline.recommend import recommendations_of, titles_of
from nightrank.pipeline.run.request import RunRequest, last_landing_day, read_result
from nightrank.pipeline.runner import Runner

EVENT_COLUMNS: Final = ("user_id", "item_id", "event_time", "action", "value", "event_id", "session_id", "availability_time")
ITEM_COLUMNS: Final = ("item_id", "title", "text", "categories", "price", "created", "availability_time")
LIST_COLUMNS: Final = (c.USER_ID, c.RANK, c.ITEM_ID, c.SCORE, c.FALLBACK)
FIGURES: Final = ("recommender", "split", "slice", "name", "k", "value", "n")


@dataclass(frozen=True)
class Fitted:
    """A lake whose lists are current, and what the run that made them did (`result.json`)."""

    root: Location
    result: dict[str, Any]


Data = Any
"""A lake's root (str or Path), a Fitted, a pandas DataFrame, or an Arrow table of events."""


def fit(
    data: Data,
    root: str | Path | None = None,
    *,
    items: Any = None,
    columns: Mapping[str, str] | None = None,
    item_columns: Mapping[str, str | Sequence[str]] | None = None,
    config: Sequence[str] = (),
    overrides: Sequence[str] = (),
    progress: Progress | None = None,
) -> Fitted:
    """Trains on everything that landed and makes a list for every user.

    `columns` and `item_columns` map a field (`user_id`, `item_id`, `event_time`; `title`, `price`, ...) to your column;
    without them, columns that have a field's name are taken. `numbers` of items is a list of columns. `config` and `overrides`
    are `--config` and `--set`.
    A failed run raises the NightrankError of its stage.
    """
    if isinstance(data, Fitted):
        return data
    if isinstance(data, str | Path | Location):
        folder = lake_root(data)
    else:
        folder = _land(data, root, items, columns, item_columns)
    day = last_landing_day(Lake(folder))
    request = RunRequest(folder, "full", day, configured(list(config), list(overrides)))
    result = Runner(progress=progress or LineProgress()).run(request)
    if result["status"] == "failed" and result["error"]:
        raise error_of(result["error"])
    return Fitted(folder, result)


def recommend(data: Data, users: Sequence[str] | None = None, **options: Any) -> Any:
    """The current lists as a pandas DataFrame (user_id, rank, item_id, score, fallback, title), best first; `users` chooses.

    For events, `options` are those of `fit`. A user without a list gets the most popular items; `fallback` says `popular`.
    """
    lake = _lake(data, options)
    if users is not None:
        answers = recommendations_of(lake, [str(user) for user in users], [], [])
        rows = [{c.USER_ID: answer["user"], **item} for answer in answers for item in answer["items"]]
        return pa.Table.from_pylist(rows).select([*LIST_COLUMNS, c.TITLE]).to_pandas()
    release = delta_read.latest_release(lake)
    if release is None:
        raise UsageError(f"nothing is released on {lake.root} yet", "call nightrank.fit first")
    lists = delta_read.stored(lake, RECOMMENDATIONS, release.recommendations_version)
    table = lists.to_table(columns=list(LIST_COLUMNS)).sort_by([(c.USER_ID, "ascending"), (c.RANK, "ascending")])
    ids = table[c.ITEM_ID].to_pylist()
    titles = titles_of(lake, sorted(set(ids)))
    return table.append_column(c.TITLE, pa.array([titles.get(item) for item in ids], pa.string())).to_pandas()


def evaluate(data: Data, **options: Any) -> Any:
    """How good the current lists are beside the baselines, as a pandas DataFrame: one row a recommender, split, slice and
    metric, with its value, the ends of its interval (`low`, `high`) and the number of users (`n`)."""
    lake = _lake(data, options)
    release = delta_read.latest_release(lake)
    result = read_result(lake.run_dir(release.run_id)) if release else None
    if result is None:
        raise UsageError(f"the run that made the lists of {lake.root} is not there or not finished", "call nightrank.fit first")
    rows = []
    for metric in result["metrics"] or []:
        low, high = metric["ci"] or (None, None)
        rows.append({name: metric[name] for name in FIGURES} | {"low": low, "high": high})
    return pa.Table.from_pylist(rows).to_pandas()


def _lake(data: Data, options: dict[str, Any]) -> Lake:
    if isinstance(data, str | Path | Location) and not options:
        return Lake(lake_root(data))
    return Lake(fit(data, **options).root)


def _land(events: Any, root: str | Path | None, items: Any, columns: Any, item_columns: Any) -> Location:
    """Lands the tables by `nightrank import events`. The lake's folder."""
    from nightrank.pipeline.output import err
    from nightrank.spark_jobs.sources.imports import import_data

    if root is None:
        raise UsageError("events need a lake to be stored in", "name its folder: nightrank.fit(events, root='lake')")
    folder = lake_root(root)
    with tempfile.TemporaryDirectory(prefix="nightrank-") as scratch:
        mapping: dict[str, Any] = {"events": _written(Path(scratch), "events", events, columns, EVENT_COLUMNS)}
        if items is not None:
            mapping["items"] = _written(Path(scratch), "items", items, item_columns, ITEM_COLUMNS)
        path = Path(scratch) / "mapping.yaml"
        path.write_text(yaml.safe_dump(mapping))
        import_data("events", Path(scratch), folder, mapping=path, progress=err)
    return folder


def _written(
    folder: Path, kind: str, data: Any, columns: Mapping[str, str | Sequence[str]] | None, known: Sequence[str]
) -> dict[str, Any]:
    """The table as a Parquet file, and the mapping that reads it."""
    table = data if isinstance(data, pa.Table) else _of_pandas(data, kind)
    pq.write_table(table, folder / f"{kind}.parquet")
    given = {name: column if isinstance(column, str) else list(column) for name, column in (columns or {}).items()}
    named = given or {name: name for name in known if name in table.column_names}
    return {"path": f"{kind}.parquet", "columns": named}


def _of_pandas(data: Any, kind: str) -> pa.Table:
    if not hasattr(data, "columns") or not hasattr(data, "to_dict"):
        raise UsageError(
            f"{kind} is a {type(data).__name__}", "give a pandas DataFrame, an Arrow table, or the folder of a lake as text"
        )
    return pa.Table.from_pandas(data, preserve_index=False)
