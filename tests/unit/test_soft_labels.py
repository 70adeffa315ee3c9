"""Divergence against the plain formula; which rows have soft labels; what a night's distillation does and does not change."""

import pytest
import torch
from torch.nn import functional

from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import LossConfig, RankerConfig
from nightrank.ranker.inputs import ItemInputs
from nightrank.ranker.losses.divergence import Side, full_divergence, sampled_divergence
from nightrank.ranker.losses.sampled import Scores
from nightrank.ranker.losses.soft_labels import SoftLabels
from nightrank.ranker.losses.training import training_loss
from nightrank.trainer.config.optimizer import OptimizerConfig
from nightrank.trainer.incremental.distillation import frozen
from nightrank.trainer.loop.objective import SequenceObjective
from nightrank.trainer.loop.optim import AdamW
from nightrank.trainer.loop.step import TrainStep
from nightrank.trainer.ranks.communicator import SingleProcess
from tests.thread_world import on_ranks
from tests.training_jobs import CPU

ITEMS, KNOWN = 20, 15
ROWS = [[1, 2, 3], [4, 5, 6, 7], [8, 9], [10, 3, 16], [2, 14, 5]]
USERS = [1, 2, 3, 4, 5]
TAUGHT = torch.tensor([2, 4, 5])
LOSSES = [
    {"name": "full_softmax"},
    {"name": "sampled_softmax", "negatives": 8},
    {"name": "sampled_softmax", "sampling": "in_batch"},
    {"name": "bpr", "negatives": 8},
    {"name": "gbce", "sampling": "hard", "negatives": 4},
]


def ranker_of(seed=0, **model):
    config = RankerConfig.model_validate({"width": 16, "encoder": {"dropout": 0.0, "blocks": 1}, **model})
    return compose(config, ItemInputs(items=ITEMS), seed)


def soft_of(teacher, weight=1.0, users=TAUGHT, temperature=1.0):
    return SoftLabels(frozen(teacher, {}), KNOWN, users, weight, temperature)


def loss_of(ranker, loss, soft=None, rows=ROWS, users=USERS):
    generator = torch.Generator().manual_seed(5)
    batch = Batch.from_lists(rows, users=users)
    return training_loss(ranker, batch, LossConfig.model_validate(loss), generator, None, soft)


def plain_divergence(own, taught, weights, temperature):
    apart = functional.kl_div(
        (own / temperature).log_softmax(1), (taught / temperature).log_softmax(1), reduction="none", log_target=True
    )
    return temperature**2 * (apart.sum(1) * weights).sum()


@pytest.mark.parametrize("temperature", [1.0, 2.5, 0.1])
@pytest.mark.parametrize("chunk_elements", [1, 10**6])
def test_full_divergence_equals_the_plain_formula_in_value_and_gradient(temperature, chunk_elements):
    draw = torch.Generator().manual_seed(0)
    states, table = torch.randn(150, 8, generator=draw), torch.randn(ITEMS + 1, 8, generator=draw)
    bias, weights = torch.randn(ITEMS + 1, generator=draw), torch.rand(150, generator=draw)
    inputs = [value.requires_grad_() for value in (states, table, bias)]
    taught = Side(torch.randn(150, 4, generator=draw), torch.randn(KNOWN + 1, 4, generator=draw))
    total = full_divergence(Side(*inputs), taught, weights, KNOWN, temperature, chunk_elements)
    own = (states @ table.T + bias)[:, 1 : KNOWN + 1]
    expected = plain_divergence(own, (taught.states_Rd @ taught.table_Id.T)[:, 1:], weights, temperature)
    torch.testing.assert_close(total, expected, rtol=1e-4, atol=1e-3)
    for one, other in zip(torch.autograd.grad(3 * total, inputs), torch.autograd.grad(3 * expected, inputs), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-3)
        assert one.shape[0] == 150 or float(one[KNOWN + 1 :].abs().sum()) == 0


def test_sampled_divergence_by_hand():
    # One target, two negatives; the teacher does not know the second. q = 1/2 each, so a known one is corrected by -log(2/2).
    own = Scores(torch.tensor([2.0]), torch.tensor([[0.0, 9.0]]), torch.tensor([0.5, 0.5]).log())
    taught = Scores(torch.tensor([0.0]), torch.tensor([[2.0, 9.0]]), torch.tensor([0.5, 0.5]).log())
    found = sampled_divergence(own, taught, torch.tensor([True, False]), 2.0)
    p, q = torch.tensor([0.0, 1.0]).softmax(0), torch.tensor([1.0, 0.0]).softmax(0)
    torch.testing.assert_close(found, (4 * (p * (p / q).log()).sum()).reshape(1))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_ranker_that_answers_like_its_teacher_has_nothing_to_learn_from_it(loss):
    ranker = ranker_of()
    plain, with_soft = loss_of(ranker, loss), loss_of(ranker, loss, soft_of(ranker))
    torch.testing.assert_close(with_soft, plain)
    weights = [p for p in ranker.parameters() if p.requires_grad]
    difference = with_soft[0] - plain[0]
    for gradient in torch.autograd.grad(difference, weights, allow_unused=True, materialize_grads=True):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-5, rtol=0)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("model", [{}, {"head": {"name": "dot", "item_bias": True}}, {"ensemble_size": 2}])
def test_another_teacher_adds_to_the_loss_and_not_to_the_weight(loss, model):
    ranker, soft = ranker_of(**model), soft_of(ranker_of(seed=1, **model))
    (plain, weight), (more, same) = loss_of(ranker, loss), loss_of(ranker, loss, soft)
    assert more.item() > plain.item()
    assert torch.equal(weight, same)
    more.backward()
    assert all(p.grad is None for p in soft.teacher.parameters())


@pytest.mark.parametrize("loss", LOSSES)
def test_rows_of_other_users_have_the_same_bits_with_and_without_a_teacher(loss):
    ranker, soft = ranker_of(), soft_of(ranker_of(seed=1), users=torch.tensor([77]))
    assert torch.equal(loss_of(ranker, loss)[0], loss_of(ranker, loss, soft)[0])


def test_the_teacher_is_asked_of_its_users_rows_alone_and_of_items_it_knows():
    ranker = ranker_of()
    batch = Batch.from_lists(ROWS, users=USERS, weights=[1, 2, 3, 4, 5])
    targets = ranker.encoder.targets(batch)
    index, covered = soft_of(ranker).covered(targets)
    # Item 16, the last of user 4, is not known.
    assert covered.item_S.tolist() == [5, 6, 7, 3, 14, 5]
    assert covered.weight_S.tolist() == [2, 2, 2, 4, 5, 5]
    assert covered.inputs.users_B.tolist() == [2, 4, 5]
    assert targets.item_S[index].tolist() == covered.item_S.tolist()
    whole = ranker.user_states(targets.inputs)[targets.state_S[index]]
    torch.testing.assert_close(ranker.user_states(covered.inputs)[covered.state_S], whole)


def test_first_items_that_nothing_comes_before_have_no_soft_labels():
    model = {"encoder": {"name": "transformer", "dropout": 0.0, "blocks": 1, "first_items": True}}
    ranker = ranker_of(**model).train()
    batch = Batch.from_lists([[1], [2, 3]], users=[2, 4])
    assert soft_of(ranker).covered(ranker.encoder.targets(batch))[1].item_S.tolist() == [3]
    alone = Batch.from_lists([[1]], users=[2])
    assert len(soft_of(ranker).covered(ranker.encoder.targets(alone))[0]) == 0


def taken(loss, communicator=None, micro_batch_tokens=1000):
    torch.set_num_threads(1)
    communicator = communicator or SingleProcess()
    ranker, optimizer = ranker_of(), OptimizerConfig(epsilon=1e-4)
    objective = SequenceObjective(
        ranker, LossConfig.model_validate(loss), micro_batch_tokens, 0.0, soft_of(ranker_of(seed=1), weight=0.7)
    )
    step = TrainStep(ranker, AdamW(ranker, optimizer), communicator, CPU, objective, optimizer, 3)
    mine = slice(communicator.rank, None, communicator.size)
    batches = iter([Batch.from_lists(ROWS[mine], users=USERS[mine]) for _ in range(3)])
    return [step(batches, number, 0.01).loss for number in range(3)], ranker.state_dict()


@pytest.mark.parametrize("loss", LOSSES[:2])
def test_pieces_and_ranks_take_the_step_of_the_whole(loss):
    losses, weights = taken(loss)
    for others, other_weights in (taken(loss, micro_batch_tokens=4), *on_ranks(2, lambda world: taken(loss, world))):
        assert others == pytest.approx(losses, rel=1e-5)
        for name, value in weights.items():
            torch.testing.assert_close(other_weights[name], value, rtol=1e-3, atol=1e-5, msg=name)
