"""The table of item ids as a configuration and its size want it held."""

from torch import nn

from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.tables.row_table import NewTable, RowTable, Table
from nightrank.ranker.tables.rows import Rows
from nightrank.trainer.config.tables import Placement
from nightrank.trainer.config.training import TrainerConfig


def table_maker(config: TrainerConfig, model: RankerConfig, items: int, rank: int, ranks: int) -> NewTable:
    """Makes the table of a ranker of so many items, on this rank of `ranks`."""
    placed = placement_of(config, items, model.width, model.item.use_id)
    if placed == "replicate":
        return nn.Embedding
    shared = placed == "shard"

    def make(rows: int, width: int) -> Table:
        return RowTable(Rows(rows, rank, ranks) if shared else Rows(rows), width)

    return make


def placement_of(config: TrainerConfig, items: int, width: int, use_id: bool = True) -> Placement:
    """How the table of item ids is held, the same for every number of ranks. ConfigError where it is to be held by row and
    something else of the configuration needs it whole."""
    needs_whole = whole_because(config)
    placed = config.tables.placed(items + 1, width, use_id and needs_whole is None)
    if placed != "replicate" and needs_whole is not None:
        raise ConfigError(
            f"trainer.tables.placement={placed} does not go with {needs_whole}", "use placement auto or replicate"
        )
    return placed if use_id else "replicate"


def whole_because(config: TrainerConfig) -> str | None:
    """The setting that needs every rank to hold the table as an ordinary parameter; None where there is none."""
    needs = {
        "trainer.optimizer.name=anyprecision_adamw": config.optimizer.name == "anyprecision_adamw",
        "trainer.slowmo": config.slowmo is not None,
        "an anchor": any(phase.anchor for phase in (config.fit, config.refit, config.night)),
        "trainer.night.distillation": config.night.distillation.weight > 0,
    }
    return next((name for name, is_so in needs.items() if is_so), None)
