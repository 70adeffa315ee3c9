"""The reader's compiled parts (`native/`), which `make setup` builds beside their sources."""

import pyarrow.parquet  # noqa: F401 - brings the libraries that _parquet is linked against

from nightrank.feature_store.contracts.errors import ConfigError

try:
    from nightrank.trainer.data._native import assigned, heads_of, permutation, scatter_rows, sorted_by_length
    from nightrank.trainer.data._parquet import footer, read_rows, shape
except ImportError as error:
    raise ConfigError(f"the reader's compiled part cannot be loaded: {error}", "run `make setup`") from None

__all__ = ["assigned", "footer", "heads_of", "permutation", "read_rows", "scatter_rows", "shape", "sorted_by_length"]
