"""How the table of item ids is held and moved. Imports no engine."""

from typing import Final, Literal

from pydantic import Field

from nightrank.feature_store.contracts.config import FrozenConfig

Placement = Literal["replicate", "replicate_rows", "shard"]
MIB: Final = 1 << 20


class TablesConfig(FrozenConfig):
    placement: Literal["auto", "replicate", "replicate_rows", "shard"] = "auto"
    """How ranks hold the table of item ids. `replicate`: each holds it whole, and its whole gradient travels.
    `replicate_rows`: each holds it whole, and the gradients of the rows that a step looked up travel. `shard`: each holds every
    N-th row with its optimizer state, and rows travel to the steps that look them up. `auto`: `shard` above `shard_above_mib`,
    else `replicate`; the size alone decides, so a model is trained in the same way by any number of ranks."""
    shard_above_mib: float = Field(256.0, ge=0)
    """MiB of a table's fp32 weights above which `auto` shards it."""
    optimizer: Literal["auto", "adamw", "sparse_adam", "rowwise_adagrad"] = "auto"
    """What moves the table. `adamw` moves every row in every step. `sparse_adam` moves the rows that a step looked up, by Adam.
    `rowwise_adagrad` does so by Adagrad with one number a row, and wants a larger learning rate. `auto`: `sparse_adam` for a
    table that is sharded or whose rows travel, except with a full softmax, which looks up every row; else `adamw`."""
    rate: float = Field(1.0, gt=0)
    """Learning rate of `sparse_adam` and `rowwise_adagrad`, as a multiple of the phase's."""

    def placed(self, rows: int, width: int, may_shard: bool) -> Placement:
        """Of a table of that many rows. Where a table may not be sharded, `auto` replicates it."""
        if self.placement != "auto":
            return self.placement
        return "shard" if may_shard and rows * width * 4 > self.shard_above_mib * MIB else "replicate"
