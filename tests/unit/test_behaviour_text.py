"""Histories as text, a pre-trained causal model as user encoder, and the transformer head."""

import pytest
import torch

from nightrank.feature_store.contracts.config import validate
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import RankerConfig
from nightrank.ranker.inputs import ItemInputs, Tokens
from nightrank.ranker.text.architecture import architecture_of
from nightrank.ranker.text.pretrained import pretrained_model
from nightrank.ranker.text.words import Words, opening_and_closing, words_of
from nightrank.trainer.config.pretrained import TextSettings, user_folder, with_architectures
from nightrank.trainer.config.training import TrainerConfig
from tests.text_models import text_inputs, tiny_bert, tiny_gpt2, tiny_roberta

ITEMS, CLS, SEP = 20, 1, 2


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return tiny_bert(tmp_path_factory.mktemp("bert"))


def tokens(*lists):
    offsets = torch.tensor([0, *map(len, lists)]).cumsum(0)
    return Tokens(torch.tensor([t for row in lists for t in row], dtype=torch.int32), offsets)


def test_words_lose_their_marks_are_cut_and_are_read_newest_first():
    known = tokens([], [CLS, 10, 11, SEP], [CLS, 20, SEP], [], [CLS, 40, 41, 42, SEP])
    marks = opening_and_closing(known)
    assert marks == (CLS, SEP)
    words = words_of(known, 2, marks)
    assert words.tolist() == [[-1, -1], [10, 11], [20, -1], [-1, -1], [40, 41]]
    batch = Batch.from_lists([[1, 2], [], [3], [4, 3, 1]])
    text = Words.of(batch, words, torch.tensor(marks), most=6)
    rows = [row[mask].tolist() for row, mask in zip(text.ids_BL, text.mask_BL, strict=True)]
    assert rows == [[CLS, 20, SEP, 10, 11, SEP], [CLS], [CLS], [CLS, 10, 11, SEP, 40, 41]]


def test_texts_without_common_marks_are_read_whole():
    known = tokens([], [5, 6], [7, 8])
    assert opening_and_closing(known) == (None, None)
    assert words_of(known, 3, (None, None)).tolist() == [[-1, -1, -1], [5, 6, -1], [7, 8, -1]]


def behaviour(bert, **encoder):
    tree = {"model": {"width": 16, "encoder": {"name": "bert_behaviour", "max_tokens": 24, "words": 4, **encoder}}}
    return with_architectures(validate(TrainerConfig, tree), TextSettings(encoder=str(bert))).model


def test_a_state_depends_on_the_words_of_the_history_alone(bert):
    config, inputs = behaviour(bert), text_inputs(bert, ITEMS, 0)
    ranker = compose(config, inputs, seed=3, user_encoder=bert).eval()
    same_words = ItemInputs(
        ITEMS,
        text=inputs.text,
        tokens=Tokens(inputs.tokens.flat.clone(), inputs.tokens.offsets),
        popularity=torch.ones(ITEMS + 1),
    )
    batch = Batch.from_lists([[1, 2, 3], [], [7]])
    states = ranker.user_vectors(batch)
    assert states.shape == (3, 16) and not states[1].any() and states[0].any()
    torch.testing.assert_close(compose(config, same_words, seed=3, user_encoder=bert).eval().user_vectors(batch), states)
    alone = ranker.user_vectors(Batch.from_lists([[7]]))
    torch.testing.assert_close(alone[0], states[2], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(ranker.user_vectors(Batch.from_lists([[2, 1, 3]]))[0], states[0])


def test_a_history_of_more_words_than_the_encoder_has_positions_loses_its_oldest(tmp_path):
    """A model of RoBERTa's kind has one position fewer for every id up to its padding token's."""
    roberta = tiny_roberta(tmp_path)
    config, inputs = behaviour(roberta, max_tokens=128), text_inputs(roberta, ITEMS, 0)
    ranker = compose(config, inputs, user_encoder=roberta).eval()
    assert ranker.encoder.max_tokens == 32
    long, longer = (ranker.user_vectors(Batch.from_lists([[*range(first, 20)]])) for first in (2, 1))
    assert long.any()
    torch.testing.assert_close(longer, long)


def test_one_place_of_each_history_is_asked_for_and_all_come_up(bert):
    ranker = compose(behaviour(bert), text_inputs(bert, ITEMS, 0), user_encoder=bert)
    batch = Batch.from_lists([[1, 2, 3, 4], [5], [6, 7, 8]], loss_from=[1, 1, 2], weights=[1.0, 1.0, 0.5])
    seen = set()
    for seed in range(40):
        torch.manual_seed(seed)
        targets = ranker.encoder.targets(batch)
        assert targets.weight_S.tolist() == [1.0, 0.5]
        first, second = targets.item_S.tolist()
        assert second == 8 and first in (2, 3, 4)
        last = targets.inputs.items_T[targets.state_S].tolist()
        assert last == [first - 1, 7]
        seen.add(first)
    assert seen == {2, 3, 4}


def test_the_folders_weights_are_taken_and_adapters_start_at_nothing(bert):
    config, plain = behaviour(bert, tuning={"name": "lora"}), pretrained_model(bert).state_dict()
    ranker = compose(config, text_inputs(bert, ITEMS, 0), user_encoder=bert)
    taken = {name.replace(".base_layer.", "."): value for name, value in ranker.encoder.model.state_dict().items()}
    for name, value in plain.items():
        torch.testing.assert_close(taken[name], value, atol=0, rtol=0)
    assert all(not value.any() for name, value in taken.items() if "lora_B" in name)
    trained = {name for name, p in ranker.named_parameters() if p.requires_grad and name.startswith("encoder.model.")}
    assert trained and all("lora_" in name for name in trained)


def test_without_a_text_encoder_the_behaviour_cannot_be_read():
    with pytest.raises(ConfigError, match="reads the items' texts, and there is no text encoder"):
        compose(RankerConfig(encoder={"name": "bert_behaviour"}), ItemInputs(ITEMS))


@pytest.mark.parametrize("width", [16, 24])
def test_a_causal_model_of_any_width_is_taken_from_its_folder(tmp_path, width):
    folder = tiny_gpt2(tmp_path / "gpt2", width=width)
    tree = {"model": {"width": 16, "encoder": {"name": "causal_lm", "model": str(folder)}}}
    config = with_architectures(validate(TrainerConfig, tree), TextSettings(encoder="none"))
    assert config.model.encoder.architecture == architecture_of(folder)
    ranker = compose(
        config.model, ItemInputs(ITEMS), user_encoder=user_folder(config.model, TextSettings(encoder="none"))
    ).eval()
    plain = pretrained_model(folder).state_dict()
    for name, value in ranker.encoder.model.state_dict().items():
        torch.testing.assert_close(value, plain[name], atol=0, rtol=0)
    assert (ranker.encoder.into is None) is (width == 16)
    whole, start = Batch.from_lists([[1, 2, 3]]), Batch.from_lists([[1, 2]])
    torch.testing.assert_close(ranker.user_states(whole)[:2], ranker.user_states(start), atol=1e-5, rtol=1e-5)
    assert ranker.pretrained == ("items.text_tower.", "encoder.model.")


def test_a_causal_model_that_is_not_there_is_named():
    tree = {"model": {"encoder": {"name": "causal_lm", "model": "nowhere at all"}}}
    with pytest.raises(ConfigError, match=r"trainer\.model\.encoder\.model nowhere at all: there is no such folder"):
        with_architectures(validate(TrainerConfig, tree), TextSettings(encoder="none"))


def test_the_transformer_head_scores_a_pair_the_same_alone_and_among_all():
    config = RankerConfig(width=16, head={"name": "transformer", "hidden": 8})
    ranker = compose(config, ItemInputs(ITEMS), seed=4).eval()
    head = ranker.head
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.5, generator=torch.Generator().manual_seed(parameter.numel()))
    states = torch.randn(5, 16, generator=torch.Generator().manual_seed(1))
    items = head.item(torch.randn(7, 16, generator=torch.Generator().manual_seed(2)))
    users = head.user(states)
    every = head.every(users, items)
    torch.testing.assert_close(head.scores(users, items), every)
    torch.testing.assert_close(head.own(users, items[:5]), every.diagonal())
    assert every.std(dim=0).min() > 1e-3 and every.std(dim=1).min() > 1e-3
    torch.testing.assert_close(every[2, 3], _whole_block(head, users[2], items[3]))


def _whole_block(head, user, item):
    """The same score by attention over the sequence of two, written out."""
    sequence = torch.stack([user, item])
    normed = head.norm(sequence)
    logits = head.query_of(normed) @ head.key_of(normed).T / head.width**0.5
    x = sequence + head.mixed(logits.softmax(1) @ head.value_of(normed))
    x = x + head.down(torch.nn.functional.gelu(head.up(head.inner_norm(x))))
    return head.out(head.out_norm(x[1])).squeeze()
