"""DatasetSnapshot: the pinned files of one table version per part. The hand-off from Spark to the trainer."""

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.features import Features
from nightrank.feature_store.contracts.files import read_json, sha256_of, write_json
from nightrank.feature_store.contracts.storage import Location

PartName = Literal[
    "train",
    "refit",
    "valid",
    "test",
    "holdout",
    "items",
    "item_embeddings",
    "vocabulary",
    "impressions_train",
    "impressions_valid",
    "impressions_test",
    "impression_codes",
    "user_features",
    "item_features",
    "user_attributes",
]


class PinnedFile(FrozenConfig):
    path: str
    """Relative to the table's folder."""
    rows: int
    row_groups: tuple[int, ...]
    """Rows of each row group."""
    bytes: int


class Part(FrozenConfig):
    table: str
    version: int
    files: tuple[PinnedFile, ...]
    schema_fingerprint: str

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)


class SplitRule(FrozenConfig):
    kind: Literal["leave_one_out", "global_time"]
    holdout_modulus: int
    valid_from: int | None = None
    """Microseconds since the epoch; None for leave_one_out."""
    test_from: int | None = None


class Normalisation(FrozenConfig):
    """Fitted on training rows. `numeric` columns are in this order in `item_inputs.numeric`."""

    numeric: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    """Category of code i is categories[i - 1]; 0 is none."""


class Parent(FrozenConfig):
    """The champion that a night grows from."""

    version: int
    bundle: str
    """Folder relative to the lake."""
    checkpoint: str | None
    lineage: str
    snapshot_id: str
    """What it was trained on."""
    manifest_sha256: str | None = None
    """None in what was written before parents were pinned."""


class Impressions(FrozenConfig):
    """What the rows of the parts `impressions_*` hold, in the order of their lists. Sizes and numbers are of training rows."""

    fields: tuple[str, ...]
    sizes: tuple[int, ...]
    """Codes of each field, 0 (unknown) among them."""
    numeric: tuple[str, ...] = ()
    mean: tuple[float, ...] = ()
    scale: tuple[float, ...] = ()
    labels: tuple[str, ...]
    history: str | None = None
    """The field whose codes a row's history holds."""
    history_length: int = 0
    history_actions: tuple[str, ...] = ()
    valid_from: int
    test_from: int
    """Microseconds: where the validation and the test rows begin."""
    timezone: str | None = None
    """Of the days that aggregates among the numbers are as of; None where there are none."""

    @model_serializer(mode="wrap")
    def _as_before(self, body: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Rows without aggregates are written as before there were any: their snapshot keeps its id."""
        return {name: value for name, value in body(self).items() if name != "timezone" or value is not None}


class ErasureNote(FrozenConfig):
    """Users were erased since the snapshot was made: its pins were written again, and its id is still the first one."""

    id: str
    rows: dict[PartName, int]
    """Rows that the parts have lost."""


class DatasetSnapshot(FrozenConfig):
    """What one run trains and is measured on. Its id is the sha256 of everything else, as it was published."""

    schema_version: int = 1
    kind: Literal["full", "nightly"]
    date: str
    clock: Literal["real", "position"]
    parts: dict[PartName, Part]
    base: str | None = None
    """Snapshot the champion was trained on, for a night."""
    parent: Parent | None = None
    """The champion itself, for a night: whatever happens to the champion meanwhile, this night grows from this one."""
    normalisation: Normalisation
    split: SplitRule
    event_time_cutoff: int
    availability_cutoff: int
    """Microseconds; nothing later than these is in any part."""
    seed: int
    items: int = Field(ge=0)
    """Highest item id in the vocabulary: embedding tables have items + 1 rows."""
    users: int = Field(ge=0)
    text_revision: str | None = None
    text_width: int = 0
    filter_seen_actions: tuple[int, ...] = ()
    """Action codes; a history position with one of them hides its item from the list."""
    filter_seen_days: int | None = None
    tables: dict[str, int] = {}
    """Version of every table this was built from, for the trace."""
    impressions: Impressions | None = None
    """None where the run wrote no rows for click rankers."""
    features: Features | None = None
    """None where rankers of lists read nothing beside histories."""
    erasure: ErasureNote | None = None
    """None where nobody was erased from it."""

    @property
    def id(self) -> str:
        return self.erasure.id if self.erasure else sha256_of(self.body)

    @property
    def body(self) -> dict[str, Any]:
        """What is written and hashed. What a snapshot is without is left out: one made before there was such a thing keeps its
        id."""
        body: dict[str, Any] = self.model_dump(mode="json")
        return {
            name: value
            for name, value in body.items()
            if value is not None or name not in ("impressions", "features", "parent", "erasure")
        }

    def rows(self, part: PartName) -> int:
        return self.parts[part].rows if part in self.parts else 0

    def save(self, path: Location) -> None:
        written = {"sha256": sha256_of(self.body)} if self.erasure else {}
        write_json(path, {"id": self.id, **written, **self.body})


def load_snapshot(path: Location) -> DatasetSnapshot:
    """The snapshot in the file; DataContractError where there is none, or its body no longer has the id it claims."""
    if not path.exists():
        raise DataContractError(f"snapshot {path} does not exist", "run stage build_training_set first")
    body: dict[str, Any] = read_json(path)
    claimed, written = body.pop("id", None), body.pop("sha256", None)
    snapshot = DatasetSnapshot.model_validate(body)
    if claimed != snapshot.id or (snapshot.erasure and written != sha256_of(snapshot.body)):
        raise DataContractError(f"snapshot {path} was changed after it was written", "build the training set again")
    return snapshot
