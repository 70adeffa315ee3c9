"""Growing tables: old rows keep their bits and their scores, new rows are sensible guesses."""

from dataclasses import replace

import pytest
import torch
from torch.nn import functional

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.ranker import growth
from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import DotConfig, ItemConfig, RankerConfig, TransformerConfig
from nightrank.ranker.growth import grow, grow_optimizer_state, grown_rows
from nightrank.ranker.inputs import ItemInputs

OLD, NEW, WIDTH = 300, 320, 8
CONFIG = RankerConfig(width=WIDTH, encoder=TransformerConfig(max_length=8))


def inputs(items, categories=4, text=True, codes=True):
    """The same facts for an item whatever the size of the vocabulary."""
    facts = torch.randn(NEW + 1, 6, generator=torch.Generator().manual_seed(0))
    category = (torch.arange(NEW + 1) % 4 + 1).unsqueeze(1)
    category[310:] = 0
    return ItemInputs(
        items,
        text=facts[: items + 1].clone() if text else None,
        category_codes=category[: items + 1].clone() if codes else None,
        categories=categories if codes else 0,
        popularity=torch.ones(items + 1),
    )


def trained(known, config=CONFIG):
    """A ranker whose id embeddings follow its texts and categories."""
    ranker = compose(config, known, seed=1)
    with torch.no_grad():
        table = ranker.items.ids.weight
        if known.text is not None:
            table.copy_(known.text @ torch.randn(6, WIDTH, generator=torch.Generator().manual_seed(9)))
        else:
            table.copy_(known.category_codes.float() * torch.ones(WIDTH) if known.category_codes is not None else table)
    return ranker


@pytest.mark.parametrize("item_bias", [False, True])
def test_old_rows_and_old_scores_are_bit_equal(item_bias):
    ranker = trained(inputs(OLD), CONFIG.model_copy(update={"head": DotConfig(item_bias=item_bias)})).eval()
    grown = grow(ranker, inputs(NEW, categories=6))
    old, new = ranker.state_dict(), grown.state_dict()
    for name, value in old.items():
        assert torch.equal(new[name][: len(value)], value), name
    assert torch.equal(grown.all_item_vectors()[: OLD + 1], ranker.all_item_vectors())
    batch = Batch.from_lists([[1, 2, 3], [300]])
    assert torch.equal(grown.user_vectors(batch), ranker.user_vectors(batch))
    assert not grown.training


def test_a_new_item_with_text_lands_near_what_its_text_says():
    ranker = trained(inputs(OLD))
    grown = grow(ranker, inputs(NEW))
    truth = trained(inputs(NEW)).items.ids.weight[OLD + 1 :]
    guess = grown.items.ids.weight[OLD + 1 :]
    assert functional.cosine_similarity(guess, truth).min() > 0.95
    shuffled = functional.cosine_similarity(guess, truth.roll(1, 0)).mean()
    assert shuffled < 0.5


def test_a_new_item_without_text_takes_its_category_s_mean_and_without_category_the_mean_of_all():
    ranker = trained(inputs(OLD, text=False))
    grown = grow(ranker, inputs(NEW, text=False))
    guess = grown.items.ids.weight.detach()
    assert guess[301].tolist() == pytest.approx([301 % 4 + 1.0] * WIDTH)
    assert guess[315].tolist() == pytest.approx(ranker.items.ids.weight[1 : OLD + 1].mean(0).tolist(), rel=1e-5)


def test_an_empty_text_among_texts_falls_back_to_the_category():
    known, more = inputs(OLD), inputs(NEW)
    more.text[301] = 0
    ranker = trained(known)
    guess = grow(ranker, more).items.ids.weight[301]
    same = (torch.arange(OLD + 1) % 4 == 301 % 4) & (torch.arange(OLD + 1) > 0)
    torch.testing.assert_close(guess, ranker.items.ids.weight[same].mean(0))


def test_items_never_trained_do_not_pull_the_guess():
    known = inputs(OLD, text=False, codes=False)
    known.popularity[100:] = 0
    ranker = compose(CONFIG, known, seed=1)
    guess = grow(ranker, inputs(NEW, text=False, codes=False)).items.ids.weight[-1]
    torch.testing.assert_close(guess, ranker.items.ids.weight[1:100].mean(0))


def test_the_guess_does_not_depend_on_how_many_items_are_gone_through_at_once(monkeypatch):
    ranker = trained(inputs(OLD))
    whole = grow(ranker, inputs(NEW)).items.ids.weight
    monkeypatch.setattr(growth, "ROWS", 13)
    parts = grow(ranker, inputs(NEW)).items.ids.weight
    torch.testing.assert_close(parts, whole, rtol=1e-5, atol=1e-6)
    assert torch.equal(parts[: OLD + 1], whole[: OLD + 1])


@pytest.mark.parametrize("name", ["items.bias", "items.categories.weight"])
def test_a_new_row_is_the_mean_of_real_rows_and_never_of_the_padding_row(name):
    ranker = trained(inputs(OLD), CONFIG.model_copy(update={"head": DotConfig(item_bias=True)}))
    table = ranker.get_parameter(name)
    with torch.no_grad():
        table[0] = 1e6
        table[1:] += torch.arange(len(table) - 1).view(-1, *[1] * (table.dim() - 1))
    grown = grow(ranker, inputs(NEW, categories=6)).get_parameter(name)
    assert len(grown) > len(table)
    torch.testing.assert_close(grown[len(table) :], table[1:].mean(0).expand_as(grown[len(table) :]))


@pytest.mark.parametrize("counted", [True, False])
def test_the_padding_rows_id_embedding_is_in_no_guess(counted):
    known, more = (inputs(items, text=False, codes=False) for items in (OLD, NEW))
    if not counted:
        known.popularity[:] = 0
    ranker = compose(CONFIG, known, seed=1)
    with torch.no_grad():
        ranker.items.ids.weight[0] = 1e6
    guess = grow(ranker, more).items.ids.weight[-1]
    torch.testing.assert_close(guess, ranker.items.ids.weight[1 : OLD + 1].mean(0))


def test_an_empty_category_slot_is_no_category():
    known, more = (inputs(items, text=False) for items in (OLD, NEW))
    known, more = (replace(each, category_codes=functional.pad(each.category_codes, (0, 1))) for each in (known, more))
    ranker = compose(CONFIG, known, seed=1)
    with torch.no_grad():
        ranker.items.ids.weight[1:] = torch.arange(OLD).view(-1, 1) * 1.0
    guess = grow(ranker, more).items.ids.weight[301]
    same = (torch.arange(OLD + 1) % 4 == 301 % 4) & (torch.arange(OLD + 1) > 0)
    torch.testing.assert_close(guess, ranker.items.ids.weight[same].mean(0))


def test_growing_by_nothing_changes_nothing():
    ranker = trained(inputs(OLD))
    again = grow(ranker, inputs(OLD))
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in ranker.state_dict().items())


def test_a_ranker_without_id_embeddings_grows_by_text_alone():
    config = CONFIG.model_copy(update={"item": ItemConfig(use_id=False)})
    grown = grow(compose(config, inputs(OLD), seed=1), inputs(NEW))
    assert grown.all_item_vectors()[NEW].abs().sum() > 0


def test_optimizer_state_keeps_old_rows_and_is_zero_for_new_ones():
    ranker = trained(inputs(OLD))
    optimizer = torch.optim.AdamW(ranker.parameters())
    ranker.all_item_vectors()
    ranker.item_vectors(torch.arange(1, OLD + 1)).square().sum().backward()
    optimizer.step()
    rows = grown_rows(ranker.shapes, inputs(NEW, categories=6).shapes)
    assert rows == {
        "items.ids.weight": (OLD + 1, NEW + 1),
        "items.bias": (OLD + 1, NEW + 1),
        "items.categories.weight": (5, 7),
    }
    state = optimizer.state[ranker.items.ids.weight]
    longer = grow_optimizer_state(state, *rows["items.ids.weight"])
    for name in ("exp_avg", "exp_avg_sq"):
        assert torch.equal(longer[name][: OLD + 1], state[name])
        assert state[name].any()
        assert longer[name].shape == (NEW + 1, WIDTH)
        assert not longer[name][OLD + 1 :].any()
    assert longer["step"] == state["step"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (inputs(OLD - 1), "from 300 items, 4 categories and 0 users to 299, 4 and 0"),
        (inputs(NEW, text=False), "text_width went from 6 to 0"),
        (inputs(NEW, codes=False), "from 300 items, 4 categories and 0 users to 320, 0 and 0"),
    ],
)
def test_what_cannot_grow_is_refused(more, message):
    with pytest.raises(DataContractError, match=message):
        grow(trained(inputs(OLD)), more)
