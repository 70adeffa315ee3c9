"""Who encodes: ours, SentenceTransformer.encode, and the linear products of the model alone; and what is encoded."""

import csv
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from nightrank.ranker.private_torch import linear
from nightrank.spark_jobs.embed_items import TEXTS_AT_ONCE
from nightrank.spark_jobs.executor.encode import EncodeOptions, encode, open_encoder

SEED: Final = 1
Run = Callable[[list[str]], np.ndarray]


def generated(count: int, vocabulary: dict[str, int]) -> list[str]:
    """Whole words of the model's vocabulary, so that tokens are words and the two that frame a text: 3 to 250 of them, as
    many texts in each octave of lengths."""
    random = np.random.default_rng(SEED)
    words = sorted(word for word in vocabulary if word.isalpha() and len(word) > 2)
    lengths = np.exp(random.uniform(np.log(3), np.log(251), count)).astype(int) - 2
    return [" ".join(words[i] for i in random.integers(0, len(words), length)) for length in lengths]


def titles(file: Path, count: int) -> list[str]:
    """`count` titles of a RecBole `.item` file, drawn without putting back."""
    with open(file, newline="") as opened:
        rows = list(csv.reader(opened, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    texts = [row[1] for row in rows if row[1].strip()]
    return [texts[i] for i in np.random.default_rng(SEED).permutation(len(texts))[:count]]


def ours(options: EncodeOptions) -> Run:
    """As a worker of embed_items meets texts: sorted by their characters, so many at a time."""

    def run(texts: list[str]) -> np.ndarray:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
        slices = [order[start : start + TEXTS_AT_ONCE] for start in range(0, len(order), TEXTS_AT_ONCE)]
        found = np.concatenate([encode([texts[i] for i in some], options)[0] for some in slices])
        placed = np.empty_like(found)
        placed[order] = found
        return placed

    return run


def peer(folder: str, max_tokens: int, dtype: torch.dtype, batch: int) -> Run:
    model = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": dtype}, local_files_only=True)
    model.max_seq_length = max_tokens
    options = {"batch_size": batch, "show_progress_bar": False, "convert_to_tensor": True, "normalize_embeddings": True}
    return lambda texts: model.encode(texts, **options).float().numpy()


def products(options: EncodeOptions, tokens: int) -> float:
    """CPU seconds of the linear layers of so many tokens, by oneDNN, in the precision of `options`: the limit."""
    opened = open_encoder(options.folder, options.threads, options.bf16)
    dtype, rows = torch.bfloat16 if opened.autocast else torch.float32, options.batch_tokens
    weights = [weight.detach().to(dtype) for weight in opened.model.encoder.parameters() if weight.ndim == 2]
    layers = [(torch.randn(rows, w.shape[1], dtype=dtype), w, torch.zeros(w.shape[0], dtype=dtype)) for w in weights]
    spent = []
    with torch.inference_mode():
        for _ in range(5):
            started = time.process_time()
            for x, weight, bias in layers:
                linear(x, weight, bias)
            spent.append(time.process_time() - started)
    return min(spent) * tokens / rows
