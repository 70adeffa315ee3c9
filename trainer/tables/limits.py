"""Whether a rank's share of the table of items fits into what its process may take, before it is allocated."""

import resource
from pathlib import Path
from typing import Final

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.tables.placement import placement_of

MIB: Final = 1 << 20
MOST_RANKS: Final = 1024
COPIES: Final = {"shard": 4, "replicate_rows": 4, "replicate": 5}
"""fp32 numbers a weight: the weight, Adam's two moments, the vectors of a validation, and a dense gradient."""


def check_fits(config: TrainerConfig, model: RankerConfig, items: int, rank: int, ranks: int) -> None:
    """ConfigError where the process' limit of address space (`ulimit -v`) leaves less than the table takes on this rank. It
    names the number of ranks that hold it."""
    left = left_of_limit()
    placed = placement_of(config, items, model.width, model.item.use_id)
    if left is None or not model.item.use_id:
        return
    whole = COPIES[placed] * 4 * (items + 1) * model.width
    here = whole // ranks if placed == "shard" else whole
    if here <= left:
        return
    shared = COPIES["shard"] * 4 * (items + 1) * model.width
    enough = next((n for n in range(ranks + 1, MOST_RANKS) if shared // n <= left), None)
    raise ConfigError(
        f"the table of {items:,} items takes {here // MIB:,} MiB on each of {ranks} ranks with its optimizer's state, and"
        f" rank {rank} may take {left // MIB:,} MiB more (ulimit -v)",
        "raise the limit"
        if enough is None
        else f"set trainer.tables.placement=shard and trainer.workers={enough}; `nightrank plan --items {items} --world-size"
        f" {enough}` shows what each rank takes",
    )


def left_of_limit() -> int | None:
    """Bytes that this process may still allocate; None where it has no limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    if limit == resource.RLIM_INFINITY:
        return None
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return max(0, limit - pages * resource.getpagesize())
