"""`nightrank simulate`: a seeded market written as landing files, with the truth it was drawn from."""

import io
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.files import read_json, write_atomic, write_json
from nightrank.feature_store.contracts.lake import Lake, LandingKind
from nightrank.feature_store.contracts.storage import Location
from nightrank.feature_store.object_storage import arrow
from nightrank.pipeline.simulate import catalogue, population
from nightrank.pipeline.simulate.catalogue import Catalogue
from nightrank.pipeline.simulate.config import MarketConfig, market
from nightrank.pipeline.simulate.faults import Arrivals, deliver
from nightrank.pipeline.simulate.journal import events
from nightrank.pipeline.simulate.population import Population
from nightrank.pipeline.simulate.sessions import visits


def simulate(root: Location | Path, *, preset: str = "demo", dry_run: bool = False, **overrides: Any) -> dict[str, Any]:
    """Landing files of every day of the market, and its truth under `truth/`; the same configuration gives the same bytes.

    Days that are there already stay as they are, so a larger `days` extends a market. `overrides` are fields of
    `MarketConfig`; None means the preset's. Returns the counts. ConfigError for a wrong value, and for a lake that
    holds another market or imported data.
    """
    config = market(preset, overrides)
    writer = MarketWriter(Lake(root), dry_run)
    config = writer.claim(config)
    goods = catalogue.build(config)
    waiting: Arrivals = {}
    for today in population.days(config):
        _one_day(config, goods, today, waiting, writer)
    return {**writer.finish(config, goods), "preset": preset}


def _one_day(config: MarketConfig, goods: Catalogue, today: Population, waiting: Arrivals, writer: "MarketWriter") -> None:
    day = config.start + timedelta(days=today.day)
    users = today.truth(config)
    seen = visits(config, today, users, goods.truth)
    happened = events(config, today.day, seen, users, goods.truth, goods.landing.column(c.PRICE).to_numpy())
    delivered, faults = deliver(config, today.day, happened)
    for landing, tables in delivered.items():
        waiting.setdefault(landing, []).extend(tables)
    first, last = goods.first_of_day[today.day], goods.first_of_day[today.day + 1]
    writer.landing("events", day, pa.concat_tables(waiting.pop(day)))
    writer.landing("items", day, goods.landing.slice(first, last - first))
    writer.landing("users", day, population.landing_users(config, today))
    writer.truth(f"users/day={day.isoformat()}.parquet", population.truth_table(users))
    writer.count(faults, active=len(pc.unique(happened.column(c.USER_ID))))


@dataclass
class MarketWriter:
    lake: Lake
    dry_run: bool
    counts: dict[str, int] = field(default_factory=dict)
    active: list[int] = field(default_factory=list)
    written: int = 0

    def claim(self, config: MarketConfig) -> MarketConfig:
        """The market to make: at least the days the lake has. ConfigError where the lake holds something else."""
        path = self.lake.truth / "market.json"
        if not path.exists():
            if self.lake.landing_meta_path.exists():
                raise ConfigError(f"lake {self.lake.root} holds imported data", "simulate into another lake (--root)")
            old = config
        else:
            old = MarketConfig.model_validate(read_json(path))
        different = sorted(k for k, v in old.model_dump().items() if k != "days" and v != getattr(config, k))
        if different:
            raise ConfigError(
                f"lake {self.lake.root} holds another market: {', '.join(f'{k}={getattr(old, k)}' for k in different)}",
                "extend it with the same values and more days, or simulate into another lake (--root)",
            )
        config = config.model_copy(update={"days": max(config.days, old.days)})
        if not self.dry_run:
            write_json(path, config.model_dump(mode="json"))
        return config

    def landing(self, kind: LandingKind, day: date, table: pa.Table) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + len(table)
        if len(table):
            self._write(self.lake.landing_day(kind, day) / "market.parquet", table)

    def truth(self, name: str, table: pa.Table) -> None:
        self._write(self.lake.truth / name, table)

    def count(self, faults: dict[str, int], active: int) -> None:
        self.active.append(active)
        for name, number in faults.items():
            self.counts[name] = self.counts.get(name, 0) + number

    def finish(self, config: MarketConfig, goods: Catalogue) -> dict[str, Any]:
        items = self.lake.truth / "items.parquet"
        if not self.dry_run:
            if not items.exists() or arrow.footer(items).num_rows != len(goods.truth.item_id):
                write_atomic(items, _parquet(catalogue.truth_table(goods.truth)))
            meta = {"clock": "real", "id_type": config.id_type, "source": "simulate", "timezone": "UTC"}
            write_json(self.lake.landing_meta_path, meta)
        return {
            **self.counts,
            "daily_active": {"least": min(self.active), "most": max(self.active)},
            "days": config.days,
            "first_day": config.start.isoformat(),
            "last_day": (config.start + timedelta(days=config.days - 1)).isoformat(),
            "clock": "real",
            "id_type": config.id_type,
            "seed": config.seed,
            "written": self.written,
            "dry_run": self.dry_run,
        }

    def _write(self, path: Location, table: pa.Table) -> None:
        if self.dry_run or path.exists():
            return
        write_atomic(path, _parquet(table))
        self.written += 1


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table.combine_chunks(), buffer, compression="zstd")
    return buffer.getvalue()
