"""How many tokens a text encoder takes. Imports no torch."""

from typing import Any


def most_tokens(model: Any) -> int | None:
    """Tokens of the longest text the model has positions for; None where it does not say. A model of RoBERTa's kind counts
    positions from behind its padding token's id, so that this many fewer are left."""
    positions = getattr(model.config, "max_position_embeddings", None)
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    padding = getattr(table, "padding_idx", None)
    return None if positions is None else int(positions) - (0 if padding is None else padding + 1)
