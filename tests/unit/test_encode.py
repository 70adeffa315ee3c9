"""The text encoder beside plain transformers: the same vectors, in the order asked, whatever the batches."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from nightrank.feature_store.contracts.schemas import TEXT_CACHE
from nightrank.feature_store.contracts.settings import TextSettings
from nightrank.feature_store.text_model import text_model
from nightrank.spark_jobs.executor.encode import EncodeOptions, encode, encode_batches, encode_tokens, open_encoder
from nightrank.spark_jobs.executor.linear import OneDnnLinear, multiply_with_one_dnn
from tests.text_models import tiny_bert, tiny_gpt2, tiny_roberta, with_tokenizer

WORDS = ["fire", "emblem", "the", "sacred", "stones", "usb", "cable", "with", "quite", "a", "few", "more", "words", "in", "it"]
TEXTS = [" ".join(WORDS[:n]) for n in (15, 1, 7, 2, 15, 3)] + ["word " * 40]
LIMIT = 24


@pytest.fixture(scope="module")
def options():
    model = text_model(TextSettings(max_tokens=LIMIT))
    return EncodeOptions(str(model.folder), model.revision, LIMIT, batch_tokens=32, threads=1, bf16=False)


@pytest.fixture(scope="module")
def wanted(options):
    """One text at a time: nothing is padded, so nothing needs a mask."""
    from transformers import AutoModel, AutoTokenizer

    plain, tokenizer = AutoModel.from_pretrained(options.folder).eval(), AutoTokenizer.from_pretrained(options.folder)
    vectors = []
    for text in TEXTS:
        tokens = tokenizer(text, return_tensors="pt", truncation=True, max_length=LIMIT)
        vectors.append(plain(**tokens).last_hidden_state[0].mean(0).detach().numpy())
    return np.array(vectors) / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("batch_tokens", [32, 1024])
def test_fp32_vectors_are_those_of_plain_transformers(options, wanted, batch_tokens):
    found, cut = encode(TEXTS, replace(options, batch_tokens=batch_tokens))
    assert cut == [0] * 6 + [42 - LIMIT]
    np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_bf16_vectors_point_the_same_way(options, wanted):
    found, _ = encode(TEXTS, replace(options, bf16=True))
    assert (found * wanted).sum(1).min() >= 0.9998
    assert not np.array_equal(found, wanted)


def test_a_batch_without_rows_and_one_with_rows_have_the_cache_s_schema(options):
    full = pa.RecordBatch.from_pydict({"content_sha256": ["a", "b"], "text": ["usb cable", "fire"]})
    empty, filled = encode_batches(iter([full.slice(0, 0), full]), options)
    assert empty.num_rows == 0 and filled.schema == TEXT_CACHE
    assert np.array(filled.column("vector").to_pylist()).shape == (2, 384)


def tiny(folder, **more):
    return EncodeOptions(str(folder), "r", **{"max_tokens": 128, "batch_tokens": 1024, "threads": 1, "bf16": False, **more})


def test_an_encoder_without_a_pad_token_gives_each_text_the_vector_it_has_alone(tmp_path):
    options = tiny(with_tokenizer(tiny_gpt2(tmp_path), pad=False))
    assert open_encoder(options.folder, 1, False).tokenizer.pad_token_id is None
    texts = ["w4 w5 w6 w7 w8", "w9", "w10 w11"]
    together, _ = encode(texts, options)
    alone = np.concatenate([encode([text], options)[0] for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-6)
    assert (alone @ alone.T)[~np.eye(3, dtype=bool)].max() < 0.999


@pytest.mark.parametrize(("make", "positions"), [(tiny_bert, 32), (tiny_gpt2, 64), (tiny_roberta, 32)])
def test_a_text_of_more_tokens_than_the_model_has_positions_is_cut_to_them_and_counted(tmp_path, make, positions):
    """A model of RoBERTa's kind counts its positions from behind the padding token's."""
    options = tiny(with_tokenizer(make(tmp_path)))
    word = "w7 "
    vectors, cut, tokens = encode_tokens([word * (positions - 2), word * (positions + 1), "w5"], options)
    assert cut == [0, 3, 0]
    assert tokens[1] == [1, *[7] * (positions - 2), 2] == tokens[0]
    np.testing.assert_array_equal(vectors[0], vectors[1])
    assert encode([word * 30], replace(options, max_tokens=12))[1] == [20]


def test_a_one_dnn_layer_multiplies_as_the_layer_it_replaces():
    generator = torch.Generator().manual_seed(3)
    plain = torch.nn.Sequential(torch.nn.Linear(17, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3, bias=False))
    x = torch.randn(4, 6, 17, generator=generator)
    wanted = plain(x)
    with torch.inference_mode():
        found = multiply_with_one_dnn(plain)(x)
    assert sum(isinstance(layer, OneDnnLinear) for layer in plain) == 2
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
