"""Tiny Hugging Face models in folders: random weights, a few words."""

from pathlib import Path

import numpy as np
import torch

from nightrank.ranker.inputs import ItemInputs, Tokens

WORDS = 40
WIDTH = 16
MARKS = ("[PAD]", "[CLS]", "[SEP]", "[UNK]")


def tiny_bert(folder: Path, seed: int = 0) -> Path:
    from transformers import BertConfig, BertModel

    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=WORDS,
        hidden_size=WIDTH,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    return folder


def tiny_gpt2(folder: Path, width: int = WIDTH) -> Path:
    from transformers import GPT2Config, GPT2Model

    torch.manual_seed(0)
    GPT2Model(GPT2Config(vocab_size=WORDS, n_positions=64, n_embd=width, n_layer=2, n_head=2)).save_pretrained(folder)
    return folder


def tiny_roberta(folder: Path) -> Path:
    """32 tokens fit: its positions count from 1."""
    from transformers import RobertaConfig, RobertaModel

    torch.manual_seed(0)
    few = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 33}
    RobertaModel(RobertaConfig(vocab_size=WORDS, hidden_size=WIDTH, pad_token_id=0, **few)).save_pretrained(folder)
    return folder


def with_tokenizer(folder: Path, pad: bool = True) -> Path:
    """The folder with a tokenizer of the words `w4` to `w39`, one token each, between an opening and a closing mark."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    words = [*MARKS, *(f"w{word}" for word in range(len(MARKS), WORDS))]
    plain = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    plain.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    named = {"unk_token": "[UNK]", **({"pad_token": "[PAD]"} if pad else {})}
    PreTrainedTokenizerFast(tokenizer_object=plain, **named).save_pretrained(folder)
    return folder


def texts(items: int, seed: int = 0) -> list[list[int]]:
    """Tokens an item; every fifth item has no text."""
    random = np.random.default_rng(seed)
    return [
        [] if i % 5 == 0 else [1, *random.integers(4, WORDS, random.integers(1, 8)).tolist(), 2] for i in range(1, items + 1)
    ]


def vectors(folder: Path, tokens: list[list[int]]) -> np.ndarray:
    """[items, WIDTH] as `embed_items` would give them: mean of the states, unit length; one text at a time."""
    from transformers import AutoModel

    model = AutoModel.from_pretrained(folder).eval()
    rows = np.zeros((len(tokens), WIDTH), np.float32)
    with torch.no_grad():
        for place, ids in enumerate(tokens):
            if ids:
                mean = model(input_ids=torch.tensor([ids])).last_hidden_state[0].mean(0)
                rows[place] = (mean / mean.norm()).numpy()
    return rows


def text_inputs(folder: Path, items: int, users: int) -> ItemInputs:
    tokens = texts(items)
    text = np.concatenate([np.zeros((1, WIDTH), np.float32), vectors(folder, tokens)])
    flat = [token for row in tokens for token in row]
    offsets = np.cumsum([0, 0, *map(len, tokens)])
    return ItemInputs(
        items,
        text=torch.from_numpy(text),
        popularity=torch.ones(items + 1),
        tokens=Tokens(torch.tensor(flat, dtype=torch.int32), torch.tensor(offsets)),
        users=users,
    )
