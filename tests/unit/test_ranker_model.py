"""The ranker's laws: causal, rows apart, padding without effect, the same weights from the same seed, wherever it is built."""

import itertools
import math
import subprocess
import sys

import pytest
import torch

from nightrank.feature_store.contracts.config import validate
from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose, compose_empty
from nightrank.ranker.config.ranker import DotConfig, ItemConfig, LossConfig, RankerConfig, TransformerConfig
from nightrank.ranker.encoders.transformer import gap_buckets, time_to_next_event_buckets
from nightrank.ranker.inputs import ItemInputs, padded_categories
from nightrank.ranker.losses.training import training_loss
from nightrank.ranker.model import last_states

SECOND = 1_000_000


def inputs(items=30, seed=0):
    generator = torch.Generator().manual_seed(seed)
    codes = [[], *[[1 + i % 5, 1 + (i * 7) % 5][: i % 3] for i in range(items)]]
    return ItemInputs(
        items=items,
        text=torch.randn(items + 1, 6, generator=generator),
        category_codes=padded_categories(codes),
        categories=5,
        numeric=torch.randn(items + 1, 2, generator=generator),
        popularity=torch.arange(items + 1),
    )


def config(**encoder):
    return RankerConfig(width=16, encoder=TransformerConfig(heads=2, max_length=8, **encoder))


def rows(*lists):
    return Batch.from_lists(
        lists,
        actions=[[1 + i % 7 for i in range(len(row))] for row in lists],
        times=[[(1 + i * i) * 100 * SECOND for i in range(len(row))] for row in lists],
    )


SHAPES = [
    {"block": block, "positions": positions, "actions": extras, "time_gaps": extras}
    for block, positions, extras in itertools.product(
        ("pre_norm", "gated"), ("from_end", "from_start", "relative", "none"), (False, True)
    )
]


@pytest.mark.parametrize("encoder", SHAPES, ids=str)
def test_rows_do_not_see_each_other_or_padding(encoder):
    ranker = compose(config(**encoder), inputs(), seed=1).eval()
    lists = [[1, 2, 3, 4, 5], [6], [], [7, 8, 9], list(range(1, 13))]
    together = ranker.user_vectors(rows(*lists))
    for row, history in enumerate(lists):
        alone = ranker.user_vectors(rows(history))[0]
        torch.testing.assert_close(together[row], alone, atol=1e-5, rtol=1e-5)
    assert (together[2] == 0).all()


@pytest.mark.parametrize("encoder", [s for s in SHAPES if s["positions"] != "from_end"], ids=str)
def test_a_state_does_not_see_newer_tokens(encoder):
    ranker = compose(config(**encoder), inputs(), seed=1).eval()
    whole, cut = ranker.user_states(rows([1, 2, 3, 4, 5])), ranker.user_states(rows([1, 2, 3]))
    torch.testing.assert_close(whole[:3], cut, atol=1e-5, rtol=1e-5)


def test_positions_from_the_end_move_with_the_length_but_items_stay_causal():
    ranker = compose(config(positions="from_end"), inputs(), seed=1).eval()
    one, other = ranker.user_states(rows([1, 2, 3, 4])), ranker.user_states(rows([1, 2, 3, 9]))
    torch.testing.assert_close(one[:3], other[:3])
    assert not torch.allclose(one[3], other[3])


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    one, same, other = (compose(config(), inputs(), seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["items.ids.weight"], other["items.ids.weight"])
    assert (one["items.ids.weight"][0] == 0).all()


def test_an_empty_ranker_lists_the_same_weights_and_starts_without_the_compiler():
    empty = compose_empty(config(), inputs().shapes)
    assert {k: v.shape for k, v in empty.state_dict().items()} == {
        k: v.shape for k, v in compose(config(), inputs()).state_dict().items()
    }
    code = "import sys, nightrank.ranker.compose as c; from nightrank.ranker.config.ranker import RankerConfig; "
    code += "from nightrank.ranker.inputs import ItemShapes; "
    code += "c.compose_empty(RankerConfig(), ItemShapes(5, 0, 0, 0, 0)); sys.exit('torch._dynamo' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_inputs_are_no_weights():
    assert not any("matrix" in name or "popularity" in name for name in compose(config(), inputs()).state_dict())


def test_item_vectors_agree_whichever_way_they_are_asked_for():
    ranker = compose(config(), inputs(), seed=1).eval()
    ids = torch.tensor([3, 0, 30, 3])
    whole = ranker.all_item_vectors(chunk=7)
    torch.testing.assert_close(ranker.item_vectors(ids), whole[ids])
    torch.testing.assert_close(ranker.item_inputs(ids), ranker.item_table()[ids])
    assert (whole[0] == 0).all()


def test_an_item_vector_is_the_sum_of_its_parts():
    ranker = compose(config(), inputs(), seed=1).eval()
    known, items = inputs(), ranker.items
    codes = known.category_codes[5]
    by_hand = (
        items.ids.weight[5]
        + items.text.weight @ known.text[5]
        + items.categories.weight[codes[codes > 0]].mean(0)
        + items.numeric.weight @ known.numeric[5]
    )
    torch.testing.assert_close(ranker.item_vectors(torch.tensor([5]))[0], by_hand)


@pytest.mark.parametrize("parts", [{"use_id": False}, {"use_text": False}, {"use_categories": False, "use_numeric": False}])
def test_parts_can_be_switched_off(parts):
    ranker = compose(config().model_copy(update={"item": ItemConfig(**parts)}), inputs()).eval()
    assert torch.isfinite(ranker.user_vectors(rows([1, 2]))).all()


def test_a_vocabulary_without_any_side_data():
    ranker = compose(config(), ItemInputs(items=4)).eval()
    assert ranker.all_item_vectors().shape == (5, 16)


def test_normalised_scores_are_cosines_over_the_temperature():
    ranker = compose(config().model_copy(update={"head": DotConfig(normalise=True, temperature=0.1)}), inputs()).eval()
    scores = ranker.user_vectors(rows([1, 2, 3])) @ ranker.all_item_vectors().T
    assert scores.abs().max() <= 10.0001
    torch.testing.assert_close(ranker.all_item_vectors()[1:].norm(dim=1), torch.ones(30))


def test_an_item_bias_starts_at_log_popularity_and_is_served_in_part():
    known = inputs()
    object.__setattr__(known, "popularity", torch.arange(31).float())
    head = DotConfig(item_bias=True, item_bias_served=0.5)
    ranker = compose(config().model_copy(update={"head": head}), known).eval()
    bias = ranker.items.bias
    assert (bias[20] - bias[5]).item() == pytest.approx(math.log(4))
    assert bias[1:].mean().item() == pytest.approx(0, abs=1e-6)
    assert bias[0] == 0
    batch, ids = rows([1, 2, 3], [4]), torch.tensor([7, 20])
    served = ranker.user_vectors(batch) @ ranker.item_vectors(ids).T
    states = last_states(ranker.user_states(batch), batch)
    torch.testing.assert_close(served, states @ ranker.items(ids).T + 0.5 * bias[ids])


def test_id_dropout_leaves_the_content_and_ends_with_training():
    ranker = compose(config().model_copy(update={"item": ItemConfig(id_dropout=0.99)}), inputs(), seed=1)
    torch.manual_seed(0)
    ids = torch.arange(1, 31)
    trained = ranker.item_vectors(ids)
    content = ranker.items.content(ids)
    assert (trained == content).all(dim=1).sum() >= 25
    assert not (ranker.eval().item_vectors(ids) == content).all(dim=1).any()


def test_a_shrunk_id_counts_by_its_items_events():
    known = inputs()
    object.__setattr__(known, "popularity", torch.arange(31).float())
    ranker = compose(config().model_copy(update={"item": ItemConfig(id_shrinkage=5.0)}), known, seed=1).eval()
    ids = torch.tensor([5, 30])
    table = ranker.items.ids.weight[ids]
    expected = ranker.items.content(ids) + table * torch.tensor([[0.5], [30 / 35]])
    torch.testing.assert_close(ranker.item_vectors(ids), expected)
    ranker.items.popularity[5] = 0
    assert torch.equal(ranker.item_vectors(ids[:1]), ranker.items.content(ids[:1])), "nobody's item stands on its content"
    torch.testing.assert_close(ranker.train().item_vectors(ids), ranker.items.content(ids) + table)


def test_gap_buckets_by_hand():
    batch = Batch.from_lists([[1, 2, 3, 4], [5, 6]], times=[[10 * SECOND, 10 * SECOND, 11 * SECOND, 18 * SECOND], [0, SECOND]])
    assert gap_buckets(batch).tolist() == [0, 1, 2, 4, 0, 0]


def test_wait_buckets_are_of_the_next_event_in_training_and_of_another_day_in_a_list():
    times = [[10 * SECOND, 10 * SECOND, 11 * SECOND, 18 * SECOND], [0, SECOND, 5 * SECOND], [SECOND]]
    batch = Batch.from_lists([[1, 2, 3, 4], [5, 6, 7], [8]], times=times)
    assert time_to_next_event_buckets(batch, 86_400.0).tolist() == [1, 2, 4, 17, 17, 3, 17, 17]
    assert time_to_next_event_buckets(batch.without_last(), 86_400.0).tolist() == [1, 2, 4, 17, 3]


def test_a_list_is_made_for_another_day_whatever_happened_within_the_session():
    ranker = compose(config(time_to_next_event=True), inputs(), seed=1).eval()
    bare, dated = Batch.from_lists([[1, 2]]), Batch.from_lists([[1, 2]], times=[[SECOND, 90_000 * SECOND]])
    torch.testing.assert_close(ranker.user_vectors(bare), ranker.user_vectors(dated))
    minutes = [[60 * SECOND * i for i in range(1, 4)]]
    batch = Batch.from_lists([[1, 2, 3]], times=minutes)
    soon = Batch.from_lists([[1, 2, 3, 4]], times=[[*minutes[0], 200 * SECOND]]).without_last()
    next_day = Batch.from_lists([[1, 2, 3, 4]], times=[[*minutes[0], 90_000 * SECOND]]).without_last()
    torch.testing.assert_close(ranker.user_vectors(batch), ranker.user_vectors(next_day))
    assert not torch.allclose(ranker.user_vectors(batch), ranker.user_vectors(soon))


def test_a_history_longer_than_the_position_table_is_still_read():
    ranker = compose(config(), inputs()).eval()
    assert torch.isfinite(ranker.user_states(rows(list(range(1, 21))))).all()


def test_bf16_autocast_stays_near_fp32():
    ranker = compose(config(), inputs(), seed=1).eval()
    batch = rows([1, 2, 3], [4, 5, 6, 7])
    with torch.autocast("cpu", torch.bfloat16):
        low = ranker.user_vectors(batch).float()
    torch.testing.assert_close(low, ranker.user_vectors(batch), atol=0.1, rtol=0.1)


def test_heads_that_do_not_divide_the_width_are_refused():
    with pytest.raises(ConfigError, match=r"width 16 is not a multiple of encoder\.heads 3"):
        validate(RankerConfig, {"width": 16, "encoder": {"heads": 3}})


def test_inputs_of_the_wrong_length_are_refused_by_name():
    with pytest.raises(DataContractError, match="`text` has 3 rows where 5 items need 6"):
        ItemInputs(items=5, text=torch.zeros(3, 2))
    with pytest.raises(DataContractError, match="category code 9 is above the 5 categories"):
        ItemInputs(items=1, category_codes=torch.tensor([[0], [9]]), categories=5)


def test_configuration_and_package_load_without_torch():
    code = "import nightrank.ranker.config.ranker, sys; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_a_first_item_is_learnt_from_nothing_and_lists_stay_as_they_are():
    ranker, loss = compose(config(first_items=True), inputs(), seed=1), LossConfig(name="full_softmax")
    batch, generator = rows([1, 2, 3], [4]), torch.Generator()
    states = ranker.user_states(ranker.encoder.targets(batch).inputs)
    assert len(states) == 2 + 1, "one for each token but the last of each row, one for the state before any"
    total, weight = training_loss(ranker, batch, loss, generator)
    assert weight == 4, "two next items, two first ones"
    total.backward()
    assert ranker.encoder.start.grad.abs().sum() > 0
    alone, of_one = training_loss(ranker, rows([4]), loss, generator)
    assert of_one == 1 and torch.isfinite(alone), "a history of one item has a target now"
    assert ranker.eval().user_states(batch).shape == (4, 16)
