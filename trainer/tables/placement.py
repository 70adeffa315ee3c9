"""The table of item ids as a configuration and its size want it held."""

from torch import nn

from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.tables.row_table import NewTable, RowTable, Table
from nightrank.ranker.tables.rows import Rows
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.tables.trained import placement_of


def table_maker(config: TrainerConfig, model: RankerConfig, items: int, rank: int, ranks: int) -> NewTable:
    """Makes the table of a ranker of so many items, on this rank of `ranks`."""
    placed = placement_of(config, items, model.width, model.item.use_id)
    if placed == "replicate":
        return nn.Embedding
    shared = placed == "shard"

    def make(rows: int, width: int) -> Table:
        return RowTable(Rows(rows, rank, ranks) if shared else Rows(rows), width)

    return make
