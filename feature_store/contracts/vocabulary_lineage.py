"""Which vocabulary the lake's dense ids are of. Ids never move within a lineage; `nightrank reset-vocabulary` starts another.

`LAKE/lineage.json` says since which version of the table `vocabulary` the present one counts. A snapshot names the version it
was built from, so a model is of the present lineage if its snapshot is. A lake without the file is in its first lineage.
"""

from typing import Final, Literal

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.errors import SafetyRefusal
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.feature_store.contracts.storage import Location

VOCABULARY: Final = "vocabulary"
REMEDY: Final = "nothing was done; `nightrank full` trains a model of the new lineage"


class Lineage(FrozenConfig):
    number: int
    """1 for the lineage that a lake begins with."""
    vocabulary_from: int
    """The first version of the table that is of it."""
    status: Literal["begun", "done"]
    """`begun`: the reset was cut off; the same command ends it, and until then no run starts."""
    begun: str


def lineage_of(lake: Lake) -> Lineage | None:
    """None in the first lineage."""
    path = _place(lake)
    return Lineage.model_validate(read_json(path)) if path.exists() else None


def save_lineage(lake: Lake, lineage: Lineage) -> None:
    """To be called inside a commit of the lake's lease."""
    write_json(_place(lake), lineage.model_dump(mode="json"))


def is_older(lake: Lake, snapshot_id: str) -> bool:
    """Whether dense ids of the snapshot are of an earlier lineage. One that is no longer kept counts as older after a reset."""
    lineage = lineage_of(lake)
    if lineage is None:
        return False
    path = lake.snapshot(snapshot_id)
    tables = read_json(path).get("tables", {}) if path.exists() else {}
    return int(tables.get(VOCABULARY, -1)) < lineage.vocabulary_from


def refuse_older_lineage(lake: Lake, ref: ModelRef) -> None:
    """SafetyRefusal where the model's ids are of an earlier lineage: its vectors would be taken for those of other items."""
    if is_older(lake, ref.snapshot_id):
        raise SafetyRefusal(
            f"{ref.name} version {ref.version} of {ref.date} is of an earlier vocabulary, and `nightrank reset-vocabulary` has "
            "started another since",
            REMEDY,
        )


def check_no_reset_begun(lake: Lake) -> None:
    """SafetyRefusal while a reset that was cut off has not been ended."""
    lineage = lineage_of(lake)
    if lineage is not None and lineage.status == "begun":
        raise SafetyRefusal(
            f"a reset of the vocabulary of {lake.root} began at {lineage.begun} and has not ended",
            "give `nightrank reset-vocabulary --yes` again: it ends what it began",
        )


def _place(lake: Lake) -> Location:
    return lake.root / "lineage.json"
