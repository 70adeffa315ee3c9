"""A table held by row beside the same table held whole: the same losses and weights, whatever the number of ranks."""

from typing import Any

import pytest
import torch
from torch import nn

from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.ranker import init
from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose
from nightrank.ranker.inputs import ItemInputs
from nightrank.ranker.tables.row_table import RowTable
from nightrank.ranker.tables.rows import Rows
from nightrank.trainer.config.optimizer import OptimizerConfig
from nightrank.trainer.ranks.communicator import SingleProcess
from nightrank.trainer.tables.exchange import RowGradient
from nightrank.trainer.tables.optimizers import EveryRow, RowwiseAdagrad, SparseAdam
from nightrank.trainer.tables.placement import placement_of
from tests.row_training import IDS, ITEMS, STEPS, config_of, stepping, train_rows, whole
from tests.thread_world import on_ranks

FULL: dict[str, Any] = {"loss": {"name": "full_softmax", "chunk_elements": 1024}}
BIASED: dict[str, Any] = {"model": {"head": {"item_bias": True}}}
LOSSES: dict[str, tuple[dict[str, Any], ...]] = {
    "sampled": (),
    "in_batch": ({"loss": {"sampling": "in_batch"}},),
    "hard": ({"loss": {"sampling": "hard"}},),
    "full": (FULL,),
    "full_biased_ensemble": (FULL, BIASED, {"model": {"ensemble_size": 2}}),
    "cloze": ({"model": {"encoder": {"name": "bert4rec", "dropout": 0.0}}},),
    "cosine": (FULL, {"model": {"head": {"normalise": True, "temperature": 0.2}}}),
}


# In-batch negatives are the rank's own targets, and a rank hides items by itself.
@pytest.mark.parametrize(
    ("loss", "ranks"), [(loss, n) for loss in LOSSES for n in (1, 2, 3) if n == 1 or loss not in ("in_batch", "cloze")]
)
def test_a_sharded_table_is_trained_as_the_whole_one(loss, ranks):
    adamw = {"tables": {"optimizer": "adamw"}}
    changes = LOSSES[loss]
    reference = train_rows(config_of("replicate", *changes), SingleProcess())
    parts = on_ranks(ranks, lambda world: train_rows(config_of("shard", *changes, adamw), world))
    for part in parts:
        assert part["loss"] == pytest.approx(reference["loss"], abs=1e-6, rel=1e-6)
        assert part["norm"] == pytest.approx(reference["norm"], rel=1e-4)
        assert part["rows"] == [13] * STEPS
        for name, value in reference["weights"].items():
            if name != IDS:
                torch.testing.assert_close(part["weights"][name], value, atol=1e-6, rtol=1e-5, msg=name)
    assert sum(len(part["weights"][IDS]) for part in parts) == ITEMS + 1
    torch.testing.assert_close(whole(parts, "weights", IDS, ITEMS + 1), reference["weights"][IDS], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("loss", ["sampled", "full"])
@pytest.mark.parametrize("ranks", [2, 3])
def test_ranks_that_exchange_rows_of_a_whole_table_train_it_as_one_and_stay_equal(loss, ranks):
    adamw = {"tables": {"optimizer": "adamw"}}
    reference = train_rows(config_of("replicate", *LOSSES[loss]), SingleProcess())
    parts = on_ranks(ranks, lambda world: train_rows(config_of("replicate_rows", *LOSSES[loss], adamw), world))
    for part in parts:
        assert part["loss"] == pytest.approx(reference["loss"], abs=1e-6, rel=1e-6)
        assert torch.equal(part["weights"][IDS], parts[0]["weights"][IDS])
        torch.testing.assert_close(part["weights"][IDS], reference["weights"][IDS], atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["sparse_adam", "rowwise_adagrad"])
@pytest.mark.parametrize("placement", ["replicate_rows", "shard"])
@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_an_optimizer_of_touched_rows_gives_the_same_for_any_number_of_ranks(optimizer, placement, ranks):
    moves = {"tables": {"optimizer": optimizer}}
    reference = train_rows(config_of("replicate_rows", moves), SingleProcess())
    parts = on_ranks(ranks, lambda world: train_rows(config_of(placement, moves), world))
    for part in parts:
        assert part["loss"] == pytest.approx(reference["loss"], abs=1e-6, rel=1e-6)
    rows = parts if placement == "shard" else parts[:1]
    torch.testing.assert_close(whole(rows, "weights", IDS, ITEMS + 1), reference["weights"][IDS], atol=1e-6, rtol=1e-5)
    for name, value in reference["moments"].items():
        got = whole(rows, "moments", name, ITEMS + 1) if value.dim() else parts[-1]["moments"][name]
        torch.testing.assert_close(got, value, atol=1e-6, rtol=1e-5)


def test_a_fault_of_one_rank_ends_the_step_on_all_and_moves_nothing():
    def work(world):
        step, ranker, _ = stepping(config_of("shard"), world)
        before = [value.clone() for value in ranker.state_dict().values()]

        def batches():
            if world.rank == 1:
                raise DataContractError("part-7 is torn", "")
            yield Batch.from_lists([[1, 2, 3]])

        with pytest.raises(DataContractError) as raised:
            step(batches(), 0, 0.1)
        assert all(torch.equal(was, now) for was, now in zip(before, ranker.state_dict().values(), strict=True))
        return raised.value.message

    assert on_ranks(3, work) == ["rank 1 of 3: part-7 is torn"] * 3


@pytest.mark.parametrize("scheme", ["normal", "xavier"])
@pytest.mark.parametrize(("ranks", "width"), [(1, 3), (2, 16), (3, 5)])
def test_ranks_draw_the_rows_of_one_draw_piece_by_piece(monkeypatch, scheme, ranks, width):
    monkeypatch.setattr(init, "PIECE", 32)
    for rows in (31, 33, 64, 97):
        drawn = nn.Embedding(rows, width)
        init.init_weights(drawn, torch.Generator().manual_seed(4), scheme)
        for rank in range(ranks):
            table = RowTable(Rows(rows, rank, ranks), width)
            init.init_weights(table, torch.Generator().manual_seed(4), scheme)
            assert torch.equal(table.weight, drawn.weight[rank::ranks])


def touched(optimizer, steps=5):
    """Steps of random gradients on the rows 1, 4 and 6 of 8, and the same as dense gradients."""
    table = RowTable(Rows(8), 4)
    nn.init.normal_(table.weight, generator=torch.Generator().manual_seed(2))
    start = table.weight.detach().clone()
    moving = optimizer(table, OptimizerConfig(epsilon=1e-12))
    gradients = torch.randn(steps, 3, 4, generator=torch.Generator().manual_seed(3))
    places = torch.tensor([1, 4, 6])
    for gradient in gradients:
        moving.step(RowGradient(places, 2 * gradient), 0.05, 2.0)
    return start, table.weight.detach(), gradients, places, moving


def test_sparse_adam_is_that_of_torch_and_leaves_other_rows_alone():
    start, end, gradients, places, moving = touched(SparseAdam)
    reference = nn.Parameter(start.clone())
    theirs = torch.optim.SparseAdam([reference], lr=0.05, betas=(0.9, 0.98), eps=1e-12)
    for gradient in gradients:
        reference.grad = torch.sparse_coo_tensor(places.unsqueeze(0), gradient, start.shape)
        theirs.step()
    torch.testing.assert_close(end, reference.detach(), atol=1e-6, rtol=1e-6)
    others = [0, 2, 3, 5, 7]
    assert torch.equal(end[others], start[others]) and not moving.moments["exp_avg"][others].any()


def test_adamw_moves_a_row_by_its_moments_when_it_is_not_touched():
    _, after, *_, moving = touched(EveryRow)
    before = after.clone()
    moving.step(RowGradient(torch.tensor([0]), torch.ones(1, 4)), 0.05, 1.0)
    assert not torch.equal(moving.table.weight[4], before[4]) and torch.equal(moving.table.weight[5], before[5])


def test_rowwise_adagrad_follows_its_formula():
    start, end, gradients, places, moving = touched(RowwiseAdagrad)
    sums, rows = torch.zeros(3, dtype=torch.float64), start[places].double()
    for gradient in gradients.double():
        sums += gradient.square().mean(1)
        rows -= 0.05 * gradient / sums.sqrt().unsqueeze(1)
    torch.testing.assert_close(end[places].double(), rows, atol=1e-6, rtol=1e-6)
    assert moving.moments["sum"].shape == (8,)


def test_the_size_alone_decides_and_what_needs_the_table_whole_is_named():
    auto = config_of("auto", {"tables": {"shard_above_mib": 1}})
    assert placement_of(auto, items=16_000, width=16) == "replicate"
    assert placement_of(auto, items=17_000, width=16) == "shard"
    assert placement_of(auto, items=17_000, width=16, use_id=False) == "replicate"
    slow = {"slowmo": {"every": 4}}
    assert placement_of(config_of("auto", slow, {"tables": {"shard_above_mib": 1}}), 17_000, 16) == "replicate"
    with pytest.raises(ConfigError, match=r"placement=shard does not go with trainer\.slowmo"):
        placement_of(config_of("shard", slow), 17_000, 16)


def test_a_small_model_is_made_and_trained_as_before():
    ranker = compose(config_of("auto").model, ItemInputs(ITEMS), 5)
    assert isinstance(ranker.items.ids, nn.Embedding) and ranker.row_table is None
    assert train_rows(config_of("auto"), SingleProcess())["moments"] == {}
