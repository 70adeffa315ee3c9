"""Titles of a sequence set's items (tab separated: id, title; a header line) as the ranker's text inputs."""

import csv
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.accuracy.sequences import Sequences
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.feature_store.text_model import text_model
from nightrank.ranker.inputs import Tokens
from nightrank.spark_jobs.executor.encode import EncodeOptions, encode_tokens


@dataclass(frozen=True)
class Texts:
    """By dense id, row 0 for padding: unit vectors of the encoder as it came, the tokens it read, and its folder."""

    vectors: Tensor
    tokens: Tokens
    folder: Path


def read_texts(path: Path, data: Sequences, encoder: str, threads: int) -> Texts:
    """The titles through the encoder, as `embed_items` would; an item the file does not name has no text."""
    settings = TextSettings(encoder=encoder)
    model = text_model(settings)
    if model is None:
        raise ConfigError("--text-encoder none reads no titles", "leave --titles away")
    with open(path, newline="") as file:
        rows = list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))[1:]
    titles = {int(row[0]) + data.shift: row[1].strip() for row in rows if row[1].strip()}
    titles = {item: title for item, title in titles.items() if 1 <= item <= data.items}
    ids = sorted(titles, key=lambda item: len(titles[item]))
    options = EncodeOptions(str(model.folder), model.revision, settings.max_tokens, settings.batch_tokens, threads)
    found, _, tokens = encode_tokens([titles[item] for item in ids], options)
    vectors = torch.zeros(data.items + 1, found.shape[1])
    vectors[ids] = torch.from_numpy(found)
    by_item = dict(zip(ids, tokens, strict=True))
    lists = [by_item.get(item, []) for item in range(data.items + 1)]
    offsets = torch.tensor([0, *map(len, lists)]).cumsum(0)
    flat = torch.tensor([token for row in lists for token in row], dtype=torch.int32)
    return Texts(vectors, Tokens(flat, offsets), model.folder)
