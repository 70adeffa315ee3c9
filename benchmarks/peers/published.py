"""How each peer is trained for accuracy on Amazon Beauty, from where, and the figure published for it."""

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True)
class Recipe:
    """`settings` are the arguments of the peer's own class; `public` is what its source reports on the test split."""

    settings: dict[str, Any]
    source: str
    epochs: int
    public: dict[str, Any] | None


RECIPES: Final = {
    "rectools": Recipe(
        settings={
            "n_factors": 256,
            "n_blocks": 1,
            "n_heads": 1,
            "dropout_rate": 0.2,
            "session_max_len": 50,
            "loss": "sampled_softmax",
            "n_negatives": 256,
            "batch_size": 128,
            "lr": 1e-3,
        },
        source="eSASRec's authors (RecSys 2025), configs/paper/loo/s3_vanilla.yaml, run by them with RecTools 0.13.0; "
        "RecTools 0.16.0 took the dropout off the item table. Adam, betas (.9, .98)",
        epochs=200,
        public={"recall@10": 0.0921, "ndcg@10": 0.0531, "row": "SASRec + sampled softmax"},
    ),
    "replay": Recipe(
        settings={
            "embedding_dim": 192,
            "num_heads": 4,
            "num_blocks": 2,
            "max_sequence_length": 50,
            "dropout": 0.3,
            "batch_size": 128,
            "lr": 1e-3,
            "bucket_size": 32,
            "loss_on_targets": True,
        },
        source="the documented defaults of SasRec.from_params (full softmax) and of OptimizerFactory (Adam, betas (.9, .98)) "
        "in RePlay 0.22.0, whose examples are for MovieLens-1M only; the batch is RecTools'",
        epochs=100,
        public=None,
    ),
}
