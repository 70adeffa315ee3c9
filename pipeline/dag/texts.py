"""What Airflow shows of the DAG and of its parameters."""

from typing import Any, Final

from airflow.sdk import Param

DOC: Final = """
### nightrank: one date, from landing files to released lists

A DAG run is one date. It is taken from the parameter `date`, else the partition key, else the asset event, else the logical
date, else the day before `run_after`; every task says which. `open` takes the lake, `close` frees it, whatever came between.

| exit code | the task |
|---|---|
| 3 (nothing landed, or no such stage in this run) | is skipped; the DAG run stays green |
| 2, 4, 9 (wrong use, broken data, refused) | fails at once |
| 5, 6, 8 (lake in use, rank lost, service away) and unexpected ones | is tried again, with growing pauses |
| 7 (challenger rejected) | `verdict` alone fails; the lists were released before, made by the champion |
| 7 (the day is broken and held back) | `check_day` alone fails, nothing runs behind it, lists stay; the next night skips it |

Retry, clear and back-fill as you like: a stage whose output stands is not run again, and an attempt that was replaced can
commit nothing any more. `redo` runs a finished date again as a run of its own. A day that was held back: land corrected files
and clear `check_day`; if the day is as it should be, start a run of it with `accept`.

Other DAGs: schedule them on the asset `nightrank.lists` (or `nightrank.table.<name>`), not on the success of this DAG.

Variables: `nightrank_root` (the lake) and `nightrank_python` (the Python that nightrank is installed for).
Guide: docs/how-to/airflow.md.
"""

STAGES: Final = {
    "landed": "Waits until landing files of the date, or of a later one, are there.",
    "open": "`nightrank run open`: takes the lake and writes run.json. Retried while another run holds the lake.",
    "complete": "Runs nothing. It fails with any stage but the verdict, also with one that failed when the lists were live.",
    "close": "`nightrank run close`: writes result.json and frees the lake, however the stages ended.",
}


def params() -> dict[str, Any]:
    """The parameters of a DAG run, each with its JSON Schema."""
    return {
        "date": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Date",
            description="The day that landed. Empty: the partition key, asset event or logical date of the run.",
        ),
        "full": Param(False, type="boolean", title="Full run", description="Train on the whole history up to the date."),
        "dry_run": Param(False, type="boolean", title="Dry run", description="Write the plan into the log of `open`, no more."),
        "accept": Param(
            False, type="boolean", title="Accept", description="Take the date in although `check_day` has held it back."
        ),
        "redo": Param(False, type="boolean", title="Redo", description="Run a date that is done again, as a run of its own."),
        "config": Param(
            [],
            type="array",
            items={"type": "string", "minLength": 1},
            title="Configurations",
            description="YAML files, or names in nightrank's conf/; the last one wins.",
        ),
        "set": Param(
            [],
            type="array",
            items={"type": "string", "pattern": "^[a-z_.]+=.+$"},
            title="Settings",
            description="Single settings, such as trainer.workers=1; they win over files.",
        ),
    }
