"""The output of stage ingest_events beside its tables: the accounts of what landed."""

from typing import Any, ClassVar

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.outputs.output import StageOutput


class LandedFault(FrozenConfig):
    """Rows that were put aside for one reason, with a few samples."""

    table: str
    column: str
    reason: str
    rows: int
    samples: list[str]


class IngestAccounts(FrozenConfig):
    """landed = events + duplicates + quarantined + erased."""

    landed: int
    events: int
    duplicates: int
    quarantined: int
    erased: int = 0
    """Events of erased users. They are in no table, and not in quarantine."""
    unreadable: dict[str, int]
    """Events by column whose cell could not be read; the events were kept."""
    faults: list[LandedFault]


class Ingested(StageOutput):
    STAGE: ClassVar[str] = "ingest_events"
    ingest: IngestAccounts

    def identity(self) -> Any:
        """Later stages read the tables; the accounts also count what had been there before."""
        return None
