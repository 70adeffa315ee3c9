"""Losses against the plain formula, sums over ranks, and the cases where nothing is asked."""

import itertools
import math

import pytest
import torch
from torch.nn import functional

from nightrank.feature_store.contracts.config import validate
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.ranker.batch import Batch
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import LossConfig, RankerConfig, TransformerConfig
from nightrank.ranker.inputs import ItemInputs
from nightrank.ranker.losses import full_softmax as softmax_module
from nightrank.ranker.losses.full_softmax import full_softmax
from nightrank.ranker.losses.sampled import Scores, bpr, gbce, hardest, sampled_softmax
from nightrank.ranker.losses.sampling import NegativeSampler
from nightrank.ranker.losses.training import training_loss

ITEMS = 40


def case(targets=150, width=8, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(targets, width, generator=generator, dtype=dtype).requires_grad_()
    table = torch.randn(ITEMS + 1, width, generator=generator, dtype=dtype).requires_grad_()
    wanted = torch.randint(1, ITEMS + 1, (targets,), generator=generator)
    return states, table, wanted, torch.rand(targets, generator=generator)


def plain(states, table, wanted, weights, bias=0.0):
    logits = (states @ table.T + bias)[:, 1:]
    return (functional.cross_entropy(logits, wanted - 1, reduction="none") * weights).sum()


def scores_of(states, table, wanted, negatives, log_q=None, bias=None):
    bias = torch.zeros(ITEMS + 1) if bias is None else bias
    negative = states @ table[negatives].T + bias[negatives]
    hit = wanted[:, None] == negatives
    return Scores((states * table[wanted]).sum(1) + bias[wanted], negative.masked_fill(hit, -torch.inf), log_q)


@pytest.mark.parametrize(
    ("chunk_elements", "targets"),
    [(1, 150), (64 * (ITEMS + 1), 150), (10**6, 150), (10**6, 12_000)],
    ids=["least chunks", "chunks", "one chunk", "blocks of a chunk"],
)
def test_full_softmax_equals_cross_entropy_in_value_and_gradient(chunk_elements, targets):
    states, table, wanted, weights = case(targets, dtype=torch.float32)
    total, weight = full_softmax(states, wanted, table, weights, chunk_elements)
    expected = plain(states, table, wanted, weights)
    torch.testing.assert_close(total, expected)
    torch.testing.assert_close(weight, weights.sum())
    got, want = torch.autograd.grad(3 * total, [states, table]), torch.autograd.grad(3 * expected, [states, table])
    for one, other in zip(got, want, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6 * targets, rtol=1e-4)
    assert (got[1][0] == 0).all()


@pytest.mark.parametrize(("chunk_elements", "targets"), [(1, 64), (100 * (ITEMS + 1), 100), (10**6, 150)])
def test_full_softmax_never_holds_more_logits_than_a_chunk(monkeypatch, chunk_elements, targets):
    made, stock = [], softmax_module.times_transposed

    def counted(left, right):
        out = stock(left, right)
        made.append(tuple(out.shape))
        return out

    monkeypatch.setattr(softmax_module, "times_transposed", counted)
    states, table, wanted, weights = case(150, dtype=torch.float32)
    full_softmax(states, wanted, table, weights, chunk_elements)
    logits = [rows for rows, columns in made if columns == ITEMS + 1 and rows != states.shape[1]]
    assert max(logits) == targets and sum(logits) == 150


def test_full_softmax_in_bf16_is_near():
    states, table, wanted, weights = case(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        total, _ = full_softmax(states, wanted, table, weights)
    expected = plain(states, table, wanted, weights)
    torch.testing.assert_close(total, expected, rtol=0.01, atol=0)
    got, want = torch.autograd.grad(total, [table])[0], torch.autograd.grad(expected, [table])[0]
    assert functional.cosine_similarity(got.flatten(), want.flatten(), dim=0) > 0.999


def test_without_gradient_nothing_is_kept():
    states, table, wanted, weights = case(dtype=torch.float32)
    with torch.no_grad():
        total, _ = full_softmax(states, wanted, table, weights)
    torch.testing.assert_close(total, plain(states, table, wanted, weights).detach())


def test_sampled_softmax_with_every_item_once_is_the_full_softmax():
    """M q = 1 for each of M = items negatives: the correction is 0, the hit is masked, Z is exact."""
    states, table, wanted, weights = case()
    everything = torch.arange(1, ITEMS + 1)
    log_q = torch.full((ITEMS,), 1 / ITEMS).log()
    total = (sampled_softmax(scores_of(states, table, wanted, everything, log_q)) * weights).sum()
    torch.testing.assert_close(total, plain(states, table, wanted, weights), rtol=1e-5, atol=1e-5)


def test_a_bias_is_added_to_every_logit_of_both_softmaxes_and_is_trained():
    states, table, wanted, weights = case(dtype=torch.float32)
    bias = torch.randn(ITEMS + 1, generator=torch.Generator().manual_seed(3)).requires_grad_()
    expected = plain(states, table, wanted, weights, bias)
    want = torch.autograd.grad(expected, [states, table, bias])
    full, _ = full_softmax(states, wanted, table, weights, 64 * (ITEMS + 1), bias)
    everything = torch.arange(1, ITEMS + 1)
    log_q = torch.full((ITEMS,), 1 / ITEMS).log()
    sampled = (sampled_softmax(scores_of(states, table, wanted, everything, log_q, bias)) * weights).sum()
    for total in (full, sampled):
        torch.testing.assert_close(total, expected)
        for one, other in zip(torch.autograd.grad(total, [states, table, bias]), want, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("sampling", ["uniform", "popularity", "mixed"])
def test_logq_makes_the_normaliser_unbiased(sampling):
    """The mean of Z over many draws is the sum over the catalogue, however skewed the draw; without logQ it is far off."""
    states, table, wanted, _ = case(targets=20)
    popularity = torch.arange(ITEMS + 1).float() ** 2
    sampler = NegativeSampler.of(LossConfig(sampling=sampling), popularity)
    generator = torch.Generator().manual_seed(1)
    draws = []
    for _ in range(3000):
        ids, log_q = sampler.draw(64, generator)
        logits = (states @ table[ids].T - (log_q + torch.tensor(64.0).log())).masked_fill(wanted[:, None] == ids, -torch.inf)
        draws.append(logits.exp().sum(1) + (states * table[wanted]).sum(1).exp())
    exact = (states @ table.T)[:, 1:].exp().sum(1)
    torch.testing.assert_close(torch.stack(draws).mean(0), exact, rtol=0.15, atol=0)


@pytest.mark.parametrize("sampling", ["uniform", "popularity", "mixed"])
def test_negatives_are_drawn_as_often_as_q_says(sampling):
    popularity = torch.tensor([0.0, 0.0, 1.0, 8.0, 64.0])
    sampler = NegativeSampler.of(LossConfig(sampling=sampling), popularity)
    ids, log_q = sampler.draw(200_000, torch.Generator().manual_seed(0))
    share = torch.bincount(ids, minlength=5) / len(ids)
    assert share[0] == 0
    torch.testing.assert_close(share.double(), sampler.probability_I, atol=0.005, rtol=0)
    torch.testing.assert_close(log_q.exp(), sampler.probability_I[ids].float())
    assert sampler.probability_I.sum() == pytest.approx(1.0)


def ranker(**kind):
    known = ItemInputs(ITEMS, text=torch.randn(ITEMS + 1, 4, generator=torch.Generator().manual_seed(0)))
    return compose(RankerConfig(width=16, encoder=TransformerConfig(dropout=0.0, max_length=8), **kind), known, seed=2)


BATCH = Batch.from_lists([[1, 2, 3, 4], [5], [6, 7, 8], [9, 10]], loss_from=[2, 1, 1, 1], weights=[1.0, 5.0, 0.5, 2.0])
LOSSES = [
    LossConfig(name="full_softmax"),
    LossConfig(name="sampled_softmax", negatives=16),
    LossConfig(name="gbce", negatives=16, sampling="uniform"),
    LossConfig(name="bce", negatives=16),
    LossConfig(name="bpr", negatives=16),
    LossConfig(name="bpr", negatives=4, sampling="hard"),
]


def test_the_training_loss_by_the_plain_formula():
    model = ranker()
    total, weight = training_loss(model, BATCH, LOSSES[0], torch.Generator())
    wanted, expected = [([1, 2], 3, 1.0), ([1, 2, 3], 4, 1.0), ([6], 7, 0.5), ([6, 7], 8, 0.5), ([9], 10, 2.0)], 0.0
    states = {}
    for row in ([1, 2, 3], [6, 7], [9]):
        for place, state in enumerate(model.user_states(Batch.from_lists([row]))):
            states[tuple(row[: place + 1])] = state
    for history, item, of in wanted:
        logits = states[tuple(history)] @ model.all_item_vectors().T
        expected += of * float((torch.logsumexp(logits[1:], 0) - logits[item]).detach())
    assert float(total.detach()) == pytest.approx(expected, rel=1e-5)
    assert float(weight) == 5.0


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.name}-{loss.sampling}")
def test_halves_add_up_to_the_whole(loss):
    """Sums and counts: two ranks with half of the rows each, and the same negatives, are one rank with all."""
    halves = [BATCH.keep(BATCH.row_T < 2), BATCH.keep(BATCH.row_T >= 2)]
    model = ranker()
    whole = training_loss(model, BATCH, loss, torch.Generator().manual_seed(7))
    parts = [training_loss(model, half, loss, torch.Generator().manual_seed(7)) for half in halves]
    torch.testing.assert_close(parts[0][0] + parts[1][0], whole[0])
    torch.testing.assert_close(parts[0][1] + parts[1][1], whole[1])


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.name}-{loss.sampling}")
@pytest.mark.parametrize("rows", [[], [[]], [[3], [4]]], ids=["no rows", "an empty row", "rows of one token"])
def test_nothing_to_predict_is_zero_with_a_zero_gradient_for_every_weight(loss, rows):
    model = ranker()
    total, weight = training_loss(model, Batch.from_lists(rows), loss, torch.Generator())
    total.backward()
    assert (float(total.detach()), float(weight)) == (0.0, 0.0)
    assert all(parameter.grad is not None and not parameter.grad.any() for parameter in model.parameters())


@pytest.mark.parametrize("loss", LOSSES, ids=lambda loss: f"{loss.name}-{loss.sampling}")
@pytest.mark.parametrize("positions", ["from_end", "relative"])
def test_every_weight_gets_a_gradient_and_a_few_steps_learn_a_cycle(loss, positions):
    known = ItemInputs(12)
    model = compose(RankerConfig(width=16, encoder=TransformerConfig(dropout=0.0, positions=positions)), known, seed=0)
    cycles = Batch.from_lists([[1 + (start + step) % 12 for step in range(8)] for start in range(12)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    generator = torch.Generator().manual_seed(0)
    for _ in range(120):
        total, weight = training_loss(model, cycles, loss, generator)
        (total / weight).backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    scores = model.user_vectors(Batch.from_lists([[1, 2, 3], [11, 12]])) @ model.all_item_vectors().T
    assert scores[:, 1:].argmax(1).add(1).tolist() == [4, 1]


def test_gbce_is_bce_at_t_0_and_weighs_its_positive_less_beyond():
    scores = Scores(torch.tensor([0.3, -1.0]), torch.tensor([[0.5, -torch.inf, 2.0], [1.0, 0.0, -0.5]]))
    for t, power in ((0.0, 1.0), (0.75, 1 - 0.75 * (1 - 3 / 30)), (1.0, 3 / 30)):
        expected = []
        for positive, negatives in zip([0.3, -1.0], [[0.5, 2.0], [1.0, 0.0, -0.5]], strict=True):
            prior = power / 3  # odds of a drawn pair
            chance = 1 / (1 + math.exp(-positive) / prior)
            others = sum(-math.log(1 - 1 / (1 + math.exp(-score) / prior)) for score in negatives)
            expected.append((-math.log(chance**power) + others) / 4)
        assert gbce(scores, items=31, t=t).tolist() == pytest.approx(expected, rel=1e-5)


def test_binary_losses_score_by_what_is_likely_not_by_what_is_seldom_drawn():
    """One state, every item a target as often as `chance` says, negatives by another law: scores end at log(items P)."""
    chance = torch.tensor([0.5, 0.3, 0.15, 0.05])
    for q in (torch.full((4,), 0.25), torch.tensor([0.1, 0.2, 0.3, 0.4])):
        scores_I = torch.zeros(4, requires_grad=True)
        optimizer = torch.optim.LBFGS([scores_I], max_iter=60, line_search_fn="strong_wolfe")

        def expected(scores_I=scores_I, optimizer=optimizer, q=q):
            """Over targets and over one negative each, which may be the target itself."""
            optimizer.zero_grad()
            loss = torch.zeros(())
            for y, m in itertools.product(range(4), range(4)):
                pair = Scores(scores_I[y, None], scores_I[m, None, None], q.log()[m, None], q.log()[y, None])
                loss = loss + chance[y] * q[m] * gbce(pair, items=4, t=0.0).sum()
            loss.backward()
            return loss

        optimizer.step(expected)
        torch.testing.assert_close(scores_I.detach(), (4 * chance).log(), atol=0.01, rtol=0)


def test_bpr_by_the_plain_formula():
    losses = bpr(Scores(torch.tensor([1.0]), torch.tensor([[0.0, 3.0]])))
    assert float(losses) == pytest.approx((math.log(1 + math.exp(-1)) + math.log(1 + math.exp(2))) / 2)


def test_hard_negatives_are_the_ones_that_score_highest_for_each_target():
    kept = hardest(Scores(torch.zeros(2), torch.tensor([[1.0, 5.0, 3.0], [2.0, -torch.inf, 0.0]]), torch.zeros(3)), 2)
    assert (kept.negative_SM.tolist(), kept.log_q_M) == ([[5.0, 3.0], [2.0, 0.0]], None)


def test_in_batch_negatives_are_the_targets_of_the_step_corrected_by_their_popularity():
    model = ranker()
    model.items.popularity.copy_(torch.arange(ITEMS + 1))
    total, weight = training_loss(model, BATCH, LossConfig(sampling="in_batch"), torch.Generator())
    targets, weights = torch.tensor([3, 4, 7, 8, 10]), torch.tensor([1.0, 1.0, 0.5, 0.5, 2.0])
    states = model.user_states(Batch.from_lists([[1, 2, 3], [6, 7], [9]]))[1:]
    logits = states @ model.all_item_vectors()[targets].T
    correction = (targets / torch.arange(ITEMS + 1).sum() * len(targets)).log()
    corrected = (logits - correction).fill_diagonal_(-torch.inf)
    own = logits.diagonal()
    expected = ((torch.logaddexp(own, torch.logsumexp(corrected, 1)) - own) * weights).sum()
    torch.testing.assert_close((total, weight), (expected, weights.sum()), rtol=1e-5, atol=1e-5)


def test_the_full_softmax_takes_no_sample():
    with pytest.raises(ConfigError, match="sampling hard has no effect"):
        validate(LossConfig, {"name": "full_softmax", "sampling": "hard"})
