"""Where everything stands under the lake's root. Paths only: no IO beside `landing_meta`."""

import json
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from nightrank.feature_store.contracts.errors import UsageError

LandingKind = Literal["events", "items", "users"]


@dataclass(frozen=True)
class Lake:
    """One lake. Its root is a folder that every process of a run can reach (a local or mounted path)."""

    root: Path

    def table(self, name: str) -> Path:
        return self.root / "tables" / name

    def landing(self, kind: LandingKind) -> Path:
        """Parquet files under `day=YYYY-MM-DD/`, the day they arrived."""
        return self.root / "landing" / kind

    def landing_day(self, kind: LandingKind, day: date) -> Path:
        return self.landing(kind) / f"day={day.isoformat()}"

    @property
    def landing_meta_path(self) -> Path:
        return self.root / "landing" / "meta.json"

    def landing_meta(self) -> dict[str, str]:
        """`clock` (real | position), `id_type` (string | int64), `source`."""
        if not self.landing_meta_path.exists():
            raise UsageError(f"no landing data under {self.root}", "run `nightrank import` or `nightrank simulate` first")
        meta: dict[str, str] = json.loads(self.landing_meta_path.read_text())
        return meta

    def landing_days(self, kind: LandingKind) -> list[date]:
        folder = self.landing(kind)
        return sorted(date.fromisoformat(p.name[4:]) for p in folder.glob("day=*")) if folder.exists() else []

    def run_dir(self, run_id: str) -> Path:
        return self.root / "runs" / run_id

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    def snapshot(self, snapshot_id: str) -> Path:
        return self.snapshots / f"{snapshot_id}.json"

    @property
    def truth(self) -> Path:
        return self.root / "truth"

    @property
    def bundles(self) -> Path:
        """Bundles by manifest sha256, kept here before (and whether or not) MLflow takes them."""
        return self.root / "models"

    @property
    def mlflow(self) -> Path:
        return self.root / "mlflow"

    @property
    def lease(self) -> Path:
        return self.root / "lease.json"
