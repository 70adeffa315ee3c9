import pytest
import torch

from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import LossConfig, RankerConfig
from nightrank.ranker.inputs import ItemInputs
from nightrank.trainer.config.optimizer import OptimizerConfig
from nightrank.trainer.loop.objective import SequenceObjective
from nightrank.trainer.loop.optim import AdamW
from nightrank.trainer.loop.step import TrainStep, micro_batches
from nightrank.trainer.ranks.communicator import Communicator, SingleProcess
from nightrank.trainer.ranks.faults import DivergedError
from tests.thread_world import on_ranks
from tests.training_jobs import CPU

ROWS = [[1, 2], [3, 4, 5], [6, 7, 8, 9, 10, 11], [12, 13], [14, 15, 16]]


@pytest.mark.parametrize(
    ("tokens", "lengths"),
    [(100, [[2, 3, 6, 2, 3]]), (5, [[2, 3], [6], [2, 3]]), (1, [[2], [3], [6], [2], [3]]), (8, [[2, 3], [6, 2], [3]])],
)
def test_pieces_keep_every_row_in_order_and_only_a_single_row_may_be_too_long(tokens, lengths):
    batch = Batch.from_lists(ROWS, weights=[1, 2, 3, 4, 5], users=[5, 6, 7, 8, 9])
    cut = list(micro_batches(batch, tokens))
    assert [micro_batch.lengths.tolist() for micro_batch in cut] == lengths
    assert torch.cat([micro_batch.items_T for micro_batch in cut]).tolist() == batch.items_T.tolist()
    assert torch.cat([micro_batch.weight_B for micro_batch in cut]).tolist() == [1, 2, 3, 4, 5]
    assert torch.cat([micro_batch.users_B for micro_batch in cut]).tolist() == [5, 6, 7, 8, 9]
    assert all(int(micro_batch.offsets_B1[0]) == 0 for micro_batch in cut)


def test_a_batch_without_rows_has_no_pieces():
    assert list(micro_batches(Batch.from_lists([]), 10)) == []


def step_with(micro_batch_tokens: int, loss: str, communicator: Communicator | None = None):
    torch.set_num_threads(1)
    config = RankerConfig.model_validate({"width": 16, "encoder": {"dropout": 0.0, "blocks": 1}})
    ranker = compose(config, ItemInputs(items=20))
    # A key bias has no gradient but rounding, which a tiny epsilon would blow up to whole steps.
    optimizer = OptimizerConfig(epsilon=1e-4)
    step = TrainStep(
        ranker,
        AdamW(ranker, optimizer),
        communicator or SingleProcess(),
        CPU,
        SequenceObjective(ranker, LossConfig(name=loss, negatives=8), micro_batch_tokens),
        optimizer,
        3,
    )
    return step, ranker


@pytest.mark.parametrize("loss", ["sampled_softmax", "full_softmax"])
def test_a_step_in_pieces_is_the_step_at_once(loss):
    ends = []
    for micro_batch_tokens in (1000, 5):
        step, ranker = step_with(micro_batch_tokens, loss)
        batches = iter([Batch.from_lists(ROWS), Batch.from_lists(ROWS[::-1])])
        losses = [step(batches, number, 0.01).loss for number in range(2)]
        ends.append((losses, ranker.state_dict()))
    assert ends[0][0] == pytest.approx(ends[1][0], rel=1e-6)
    for name, value in ends[0][1].items():
        torch.testing.assert_close(value, ends[1][1][name], rtol=1e-4, atol=1e-6, msg=name)


def test_a_step_without_rows_moves_nothing():
    step, ranker = step_with(100, "full_softmax")
    before = {name: value.clone() for name, value in ranker.state_dict().items()}
    report = step(iter([Batch.from_lists([])]), 0, 0.1)
    assert (report.loss, report.rows, report.tokens) == (0.0, [0], 0)
    assert all(torch.equal(before[name], value) for name, value in ranker.state_dict().items())


@pytest.mark.parametrize("bad", [0, 1])
def test_a_loss_that_is_no_number_names_the_rows_of_the_rank_that_had_it(bad):
    def work(communicator):
        step, ranker = step_with(5, "sampled_softmax", communicator)
        before = [value.clone() for value in ranker.parameters()]
        weights = [1.0, 1.0, float("nan") if communicator.rank == bad else 1.0, 1.0, 1.0]
        users = [communicator.rank * 10 + row for row in range(len(ROWS))]
        with pytest.raises(DivergedError) as raised:
            step(iter([Batch.from_lists(ROWS, weights=weights, users=users)]), 7, 0.01)
        assert all(torch.equal(was, now) for was, now in zip(before, ranker.parameters(), strict=True))
        return raised.value.message

    found = on_ranks(2, work)
    assert found[0] == found[1] and "step 7: loss sum nan" in found[0]
    assert found[0].endswith(f"rank {bad} had 1 rows of users {bad * 10 + 2}")
