"""Text to vectors inside an executor: a Hugging Face encoder, opened once a worker, fed with batches packed by length.

Shapes: B texts, T tokens of the longest, D width of the model.
"""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow as pa

from feature_store.contracts import columns as c
from feature_store.contracts.schemas import TEXT_CACHE

TEXT: Final = "text"


@dataclass(frozen=True)
class EncodeOptions:
    """What travels to the executors. `threads` is one worker's share of the machine's cores."""

    folder: str
    revision: str
    max_tokens: int
    batch_tokens: int
    threads: int


@dataclass(frozen=True)
class Encoder:
    """A tokenizer and a model in evaluation mode; `autocast` where the CPU multiplies bf16 in hardware."""

    tokenizer: Any
    model: Any
    autocast: bool


def encode_batches(batches: Iterator[pa.RecordBatch], options: EncodeOptions) -> Iterator[pa.RecordBatch]:
    """mapInArrow: rows (content_sha256, text) become rows of `text_cache`. Rows should come sorted by length."""
    for batch in batches:
        vectors, cut, tokens = encode_tokens(batch.column(TEXT).to_pylist(), options)
        rows = len(cut)
        yield pa.RecordBatch.from_arrays(
            [
                batch.column(c.CONTENT_SHA256),
                pa.array([options.revision] * rows, pa.string()),
                pa.array(vectors, pa.list_(pa.float32())),
                pa.array(cut, pa.int32()),
                pa.array(tokens, pa.list_(pa.int32())),
            ],
            schema=TEXT_CACHE,
        )


def encode(texts: list[str], options: EncodeOptions) -> tuple[list[Any], list[int]]:
    """The unit vector of each text [D] and how many of its tokens did not fit."""
    vectors, cut, _ = encode_tokens(texts, options)
    return vectors, cut


def encode_tokens(texts: list[str], options: EncodeOptions) -> tuple[list[Any], list[int], list[list[int]]]:
    """`encode`, and the tokens of each text that were read."""
    encoder = open_encoder(options.folder, options.threads)
    # No length limit here: what is cut off must be counted, and the closing token kept.
    whole = encoder.tokenizer(texts, add_special_tokens=True, truncation=False, verbose=False)["input_ids"]
    limit = _longest(encoder, options.max_tokens)
    cut = [max(0, len(ids) - limit) for ids in whole]
    rows = [_fitting(encoder, text, limit) if over else ids for text, ids, over in zip(texts, whole, cut, strict=True)]
    vectors: list[Any] = []
    for group in packed([len(ids) for ids in rows], options.batch_tokens):
        vectors.extend(_forward(encoder, [rows[i] for i in group]))
    return vectors, cut, rows


def packed(lengths: Iterable[int], batch_tokens: int) -> Iterator[range]:
    """Consecutive runs of rows whose padded size, rows x longest, stays within `batch_tokens` (one row at least)."""
    start = end = longest = 0
    for end, length in enumerate(lengths):
        if end > start and max(longest, length) * (end - start + 1) > batch_tokens:
            yield range(start, end)
            start, longest = end, 0
        longest = max(longest, length)
    if longest:
        yield range(start, end + 1)


@lru_cache(maxsize=1)
def open_encoder(folder: str, threads: int) -> Encoder:
    """The folder's tokenizer and model; once a worker process, however many partitions it works through."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.set_num_threads(max(1, threads))
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModel.from_pretrained(folder, local_files_only=True, dtype=torch.float32).eval()
    return Encoder(tokenizer, model, _multiplies_bf16())


def _fitting(encoder: Encoder, text: str, limit: int) -> list[int]:
    ids: list[int] = encoder.tokenizer(text, add_special_tokens=True, truncation=True, max_length=limit)["input_ids"]
    return ids


def _forward(encoder: Encoder, rows: list[list[int]]) -> Any:
    """Mean over each row's tokens, then unit length: [B, D] float32, as sentence-transformers pools MiniLM."""
    import torch

    longest = max(map(len, rows))
    # Padded by hand: a tokenizer without a pad token works too, and what pads is masked anyway.
    pad = encoder.tokenizer.pad_token_id or 0
    ids_BT = torch.tensor([row + [pad] * (longest - len(row)) for row in rows])
    mask_BT = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=encoder.autocast):
        states_BTD = encoder.model(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
    weight_BT1 = mask_BT.unsqueeze(-1).float()
    mean_BD = (states_BTD.float() * weight_BT1).sum(1) / weight_BT1.sum(1)
    return torch.nn.functional.normalize(mean_BD, dim=1).numpy()


def _longest(encoder: Encoder, max_tokens: int) -> int:
    """The configured length, unless the model has fewer positions."""
    positions = getattr(encoder.model.config, "max_position_embeddings", None)
    return min(max_tokens, positions) if positions else max_tokens


def _multiplies_bf16() -> bool:
    """True on a Linux CPU with bf16 products in hardware: 2.5 times the texts a second with AVX-512, more with AMX.

    Vectors then differ from fp32 ones by rounding only: cosine at least 0.9999 over 2,108 titles.
    """
    info = Path("/proc/cpuinfo")
    flags = info.read_text() if info.exists() else ""
    return "amx_bf16" in flags or "avx512_bf16" in flags
