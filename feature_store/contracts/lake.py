"""Where everything is under the lake's root, and which model is its champion."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from nightrank.feature_store.contracts.errors import DataContractError, UsageError
from nightrank.feature_store.contracts.storage import Location, locate

if TYPE_CHECKING:
    from nightrank.feature_store.contracts.model_ref import ModelRef

LandingKind = Literal["events", "items", "users"]
LANDING_KINDS: Final[tuple[LandingKind, ...]] = ("events", "items", "users")


@dataclass(frozen=True, init=False)
class Lake:
    """One lake. Its root is a folder or a bucket that every process of a run can reach."""

    root: Location

    def __init__(self, root: Location | Path | str) -> None:
        object.__setattr__(self, "root", locate(root))

    def table(self, name: str) -> Location:
        return self.root / "tables" / name

    def landing(self, kind: LandingKind) -> Location:
        """Parquet files under `day=YYYY-MM-DD/`, the day they arrived."""
        return self.root / "landing" / kind

    def landing_day(self, kind: LandingKind, day: date) -> Location:
        return self.landing(kind) / f"day={day.isoformat()}"

    @property
    def landing_meta_path(self) -> Location:
        return self.root / "landing" / "meta.json"

    def landing_meta(self) -> dict[str, str]:
        """`clock` (real | position), `id_type` (string | int64), `source`, `timezone` (of the days; older lakes lack it)."""
        path = self.landing_meta_path
        if not path.exists():
            raise UsageError(f"no landing data under {self.root}", "run `nightrank import` or `nightrank simulate` first")
        try:
            meta = json.loads(path.read_text())
        except (ValueError, OSError):
            raise _broken_meta(path) from None
        if not isinstance(meta, dict) or not all(isinstance(value, str) for value in meta.values()):
            raise _broken_meta(path)
        return meta

    def landing_days(self, kind: LandingKind) -> list[date]:
        """The days there are, in order. DataContractError names a `day=` folder that is none."""
        folder = self.landing(kind)
        return sorted(_day_of(path) for path in folder.glob("day=*"))

    def run_dir(self, run_id: str) -> Location:
        return self.root / "runs" / run_id

    @property
    def snapshots(self) -> Location:
        return self.root / "snapshots"

    def snapshot(self, snapshot_id: str) -> Location:
        return self.snapshots / f"{snapshot_id}.json"

    @property
    def champion_path(self) -> Location:
        return self.root / "champion.json"

    def champion(self) -> "ModelRef | None":
        """The champion; None before the first promotion. `contracts.champion` is the only one that changes it."""
        return _model_ref(self.champion_path)

    def champion_replaced_by(self, champion: "ModelRef") -> "ModelRef | None":
        """The champion before this one; None where it was the first, or was promoted before earlier ones were kept."""
        return _model_ref(self.earlier_champion(champion.replaced)) if champion.replaced else None

    def earlier_champion(self, manifest: str) -> Location:
        """The reference of a model that was champion once."""
        return self.root / "champions" / f"{manifest}.json"

    def expect_champion(self) -> "ModelRef":
        """The champion; UsageError before the first promotion."""
        champion = self.champion()
        if champion is None:
            raise UsageError(f"{self.root} has no champion yet", "run `nightrank full` first")
        return champion

    @property
    def truth(self) -> Location:
        return self.root / "truth"

    @property
    def bundles(self) -> Location:
        """Bundles by manifest sha256, kept here before (and whether or not) MLflow takes them."""
        return self.root / "models"

    @property
    def mlflow(self) -> Location:
        return self.root / "mlflow"

    @property
    def lease(self) -> Location:
        return self.root / "lease.json"


def _model_ref(path: Location) -> "ModelRef | None":
    if not path.exists():
        return None
    from nightrank.feature_store.contracts.model_ref import load_model_ref  # pydantic: `nightrank --help` does without

    return load_model_ref(path)


def _day_of(folder: Location) -> date:
    day: date | None
    try:
        day = date.fromisoformat(folder.name[4:])
    except ValueError:
        day = None
    if day is None or folder.name != f"day={day.isoformat()}" or not folder.is_dir():
        raise DataContractError(
            f"{folder} is not a landing day", "a day is a folder like day=2024-05-01; rename it, or move it out of the lake"
        )
    return day


def _broken_meta(path: Location) -> DataContractError:
    return DataContractError(
        f"{path} is not the JSON object that an import writes",
        "delete the file and run the same import again: it writes this file and changes no landing file",
    )
