"""The reader's compiled part (`native/`), which `make setup` builds beside its source."""

from feature_store.contracts.errors import ConfigError

try:
    from trainer.data._native import dealt, heads_of, permutation, scatter_rows, sorted_by_length
except ImportError as error:
    raise ConfigError(f"the reader's compiled part cannot be loaded: {error}", "run `make setup`") from None

__all__ = ["dealt", "heads_of", "permutation", "scatter_rows", "sorted_by_length"]
