"""Every user encoder, head and loss in one ranker: the same laws for all of them, and a cycle that each can learn."""

import dataclasses

import pytest
import torch

from nightrank.feature_store.contracts.config import merged, validate
from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.ranker.batch import Batch
from nightrank.ranker.bundle.bundle import load_bundle
from nightrank.ranker.bundle.store import save_bundle
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import LossConfig, RankerConfig
from nightrank.ranker.encoders.factors import fold_in
from nightrank.ranker.encoders.items import look_up
from nightrank.ranker.inputs import ItemInputs
from nightrank.ranker.losses.training import training_loss
from nightrank.ranker.retrieval.listing import best_items

ITEMS, USERS = 24, 9
SECOND = 1_000_000
ENCODERS = {
    "transformer": {},
    "gru": {},
    "lstm": {"layers": 2, "hidden": 24},
    "hstu": {},
    "bert4rec": {},
    "towers": {"hidden": [32]},
    "mf": {},
    "causal_lm": {"heads": 2},
}
PAIRS = [*((name, "dot") for name in ENCODERS), ("gru", "mlp"), ("gru", "transformer"), ("causal_lm", "mlp")]
INIT = {"dot": "normal", "mlp": "normal", "transformer": "xavier"}


def inputs(items=ITEMS, users=USERS):
    text = torch.randn(60, 5, generator=torch.Generator().manual_seed(0))[: items + 1]
    return ItemInputs(items, text=text.clone(), popularity=torch.arange(items + 1), users=users)


def ranker(name, head="dot", width=16, known=None, **item):
    encoder = {"name": name, "max_length": 10, "dropout": 0.0, **ENCODERS[name]}
    tree = {"width": width, "encoder": encoder, "head": {"name": head}, "item": item, "init": INIT[head]}
    config = validate(RankerConfig, tree)
    return compose(config, known or inputs(), seed=1)


def rows(*lists, users=None):
    batch = Batch.from_lists(
        lists,
        actions=[[1 + i % 3 for i in range(len(row))] for row in lists],
        times=[[(1 + i * i) * 100 * SECOND for i in range(len(row))] for row in lists],
    )
    return batch if users is None else dataclasses.replace(batch, users_B=torch.tensor(users))


@pytest.mark.parametrize(("name", "head"), PAIRS)
def test_a_bundle_lists_what_the_ranker_lists_and_rows_do_not_see_each_other(tmp_path, name, head):
    model = ranker(name, head).eval()
    save_bundle(tmp_path / "b", model, [f"i{n}" for n in range(1, ITEMS + 1)], snapshot_id="s", lineage="l")
    bundle = load_bundle(tmp_path / "b")
    lists, users = [[1, 2, 3, 4], [], [9], list(range(1, 15)), [5, 6]], [1, 2, 3, 0, USERS + 4]
    together = rows(*lists, users=users)
    ids, scores = bundle.best(together, 5)
    for row, (history, user) in enumerate(zip(lists, users, strict=True)):
        alone = rows(history, users=[user]).newest(10)
        with torch.no_grad():
            expected = best_items(model.head, model.user_vectors(alone).float(), model.all_item_vectors(), 5)
        assert ids[row].tolist() == expected[0][0].tolist()
        torch.testing.assert_close(scores[row], expected[1][0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", sorted(set(ENCODERS) - {"bert4rec", "mf"}))
def test_a_state_does_not_see_newer_tokens(name):
    """Positions that count from the end move with the length: what is changed is a newer token, not their number."""
    model = ranker(name).eval()
    one, other = rows([1, 2, 3, 4, 5]), rows([1, 2, 3, 20, 21])
    torch.testing.assert_close(model.user_states(one)[:3], model.user_states(other)[:3], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(model.user_states(one)[3:], model.user_states(other)[3:])


@pytest.mark.parametrize(("name", "head"), [pair for pair in PAIRS if pair[0] != "mf"])
def test_it_learns_a_cycle(name, head):
    model = ranker(name, head, known=ItemInputs(12))
    batch = rows(*([1 + (start + step) % 12 for step in range(8)] for start in range(12)))
    trained(model, batch, LossConfig(name="full_softmax" if head == "dot" else "sampled_softmax", negatives=48), 300)
    histories = rows([1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 1, 2])
    assert first_items(model, histories) == [8, 3]


def test_mf_learns_what_a_user_keeps_to_and_folds_strangers_in():
    model = ranker("mf", known=ItemInputs(12, users=6))
    liked = [[1, 2, 3, 4], [1, 2, 3], [5, 6, 7, 8], [5, 6, 7], [9, 10, 11, 12], [9, 10, 11]]
    trained(model, rows(*liked, users=[1, 2, 3, 4, 5, 6]), LossConfig(name="bpr", negatives=24, sampling="uniform"), 150)
    assert first_items(model, rows([1, 2, 3], [5, 6, 7], [9, 10, 12], users=[2, 4, 0])) == [4, 8, 11]


def trained(model, batch, loss, steps):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01, weight_decay=0.0)
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        total, weight = training_loss(model, batch, loss, generator)
        (total / weight).backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()


def first_items(model, batch):
    """The best item of each row outside its history."""
    users = model.user_vectors(batch).detach().float()
    return best_items(model.head, users, model.all_item_vectors(), 1, (batch.items_T, batch.offsets_B1))[0].flatten().tolist()


@pytest.mark.parametrize(("name", "head"), PAIRS)
def test_grown_for_new_items_and_users_old_ones_score_the_same_bits(tmp_path, name, head):
    model = ranker(name, head).eval()
    save_bundle(tmp_path / "b", model, [f"i{n}" for n in range(1, ITEMS + 1)], snapshot_id="s", lineage="l")
    grown = load_bundle(tmp_path / "b").ranker(inputs(ITEMS + 6, USERS + 3)).eval()
    batch = rows([1, 2, 3], [4, 5], users=[1, USERS])
    assert torch.equal(grown.user_vectors(batch), model.user_vectors(batch))
    assert torch.equal(grown.all_item_vectors()[: ITEMS + 1], model.all_item_vectors())
    assert torch.isfinite(grown.user_vectors(rows([ITEMS + 6], users=[USERS + 3]))).all()


def test_a_user_of_no_known_vector_is_folded_in():
    """The ridge solution by numpy's way, in the primal form."""
    batch = rows([1, 2, 3], [], [7])
    vectors = torch.randn(batch.tokens, 6, generator=torch.Generator().manual_seed(4))
    folded = fold_in(vectors, batch, 0.5)
    for row, (start, end) in enumerate([(0, 3), (3, 3), (3, 4)]):
        part = vectors[start:end].double()
        expected = torch.linalg.solve(part.T @ part + 0.5 * torch.eye(6), part.T @ torch.ones(end - start).double())
        torch.testing.assert_close(folded[row].double(), expected, atol=1e-5, rtol=1e-5)


def test_the_cloze_hides_only_what_may_be_asked_and_at_least_one_a_row():
    model = ranker("bert4rec")
    batch = dataclasses.replace(rows([1, 2, 3, 4], [5, 6], [7]), loss_from_B=torch.tensor([2, 1, 0]))
    for seed in range(20):
        torch.manual_seed(seed)
        targets = model.encoder.targets(batch)
        hidden = (targets.inputs.items_T == 0).nonzero().flatten().tolist()
        assert hidden == targets.state_S.tolist() and set(hidden) <= {2, 3, 5, 6}
        assert {place in hidden for place in (2, 3)} >= {True} and 5 in hidden and 6 in hidden
        assert targets.item_S.tolist() == batch.items_T[hidden].tolist()


def test_dropout_on_item_vectors_is_one_mask_for_histories_and_candidates():
    model = ranker("transformer", known=ItemInputs(ITEMS), dropout=0.5).train()
    torch.manual_seed(0)
    vectors = model.item_inputs(torch.tensor([3, 4, 3]))
    assert torch.equal(vectors[0], vectors[2]) and bool((vectors[0] == 0).any()) and bool((vectors[0] != 0).any())
    model.eval()
    assert not bool((model.item_inputs(torch.tensor([3])) == 0).any())


def test_an_id_beyond_the_table_is_named(tmp_path):
    save_bundle(tmp_path / "b", ranker("gru"), [f"i{n}" for n in range(1, ITEMS + 1)], snapshot_id="s", lineage="l")
    with pytest.raises(DataContractError, match=r"item ids 3\.\.25, the bundle's table has 1\.\.24"):
        load_bundle(tmp_path / "b").user_vectors(rows([3, 25]))


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"encoder": {"name": "gpt9"}}, "encoder: Input tag 'gpt9' found using 'name' does not match any of the expected tags"),
        ({"encoder": {"name": "gru", "heads": 2}}, r"encoder\.gru\.heads: Extra inputs are not permitted"),
        ({"head": {"name": "concat"}}, "head: Input tag 'concat'"),
        ({"width": 30, "encoder": {"name": "hstu", "heads": 4}}, "width 30 is not a multiple of encoder.heads 4"),
    ],
)
def test_an_unknown_part_is_named(tree, words):
    with pytest.raises(ConfigError, match=words):
        validate(RankerConfig, tree)


def test_a_section_of_another_name_starts_anew(tmp_path):
    for name, text in (("a", "{encoder: {name: transformer, blocks: 3}, width: 64}"), ("b", "{encoder: {name: gru}}")):
        (tmp_path / f"{name}.yaml").write_text(text)
    tree = merged([tmp_path / "a.yaml", tmp_path / "b.yaml"], ["encoder.dropout=0.3"])
    assert tree == {"encoder": {"name": "gru", "dropout": 0.3}, "width": 64}


@pytest.mark.parametrize("count", [3, 900], ids=["few rows", "most rows"])
def test_rows_looked_up_are_added_to_the_gradient_that_stands(count):
    """In the trainer a parameter's gradient is a view into one buffer: it must stay that view, and hold the whole sum."""
    generator = torch.Generator().manual_seed(0)
    table = torch.nn.Parameter(torch.randn(1000, 8, generator=generator))
    before, ids = torch.randn(1000, 8, generator=generator), torch.randint(0, 1000, (count,), generator=generator)
    weights = torch.randn(count, 8, generator=generator)
    buffer = before.flatten().clone()
    table.grad = buffer.view(1000, 8)
    (look_up(table, ids) * weights).sum().backward()
    assert not table.grad.is_sparse and table.grad.data_ptr() == buffer.data_ptr()
    torch.testing.assert_close(table.grad, before.index_add(0, ids, weights))
