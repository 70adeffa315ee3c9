"""Click rankers: each by the plain formula of its paper, and what all of them keep to."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError
from torch.nn import functional

from nightrank.feature_store.contracts.errors import ConfigError, DataContractError
from nightrank.ranker.ctr.batch import check_impressions
from nightrank.ranker.ctr.compose import compose_ctr
from nightrank.ranker.ctr.config import CtrShapes
from nightrank.ranker.ctr.dcnv2 import Cross, LowRankCross
from nightrank.ranker.ctr.finalmlp import Bilinear
from nightrank.ranker.ctr.loss import ctr_loss
from tests.ctr_batches import SHAPES, SMALL, ctr_config, impressions

NAMES = sorted(SMALL)
THREE = SHAPES.model_copy(update={"labels": ("click", "cart", "purchase")})


def awake(name, shapes=SHAPES, **changes):
    """A ranker whose every weight matters: fresh embeddings are next to nothing."""
    ranker = compose_ctr(ctr_config(name, **changes), shapes, seed=3)
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draw) * 0.5)
    return ranker


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shapes", [SHAPES, THREE], ids=["one action", "three actions"])
def test_every_ranker_gives_a_probability_an_action_and_a_gradient_to_every_weight(name, shapes):
    ranker, batch = awake(name, shapes), impressions(64, shapes)
    total, weight = ctr_loss(ranker(batch), batch.labels_BA, batch.weight_B)
    total.backward()
    assert weight == 64 * len(shapes.labels)
    assert [n for n, p in ranker.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    scores = ranker.scores(batch)
    assert scores.shape == (64, len(shapes.labels)) and scores.min() >= 0 and scores.max() <= 1
    assert ranker.training


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [0, 1])
def test_a_batch_of_no_row_or_one_is_taken(name, rows):
    ranker, batch = awake(name), impressions(rows)
    total, weight = ctr_loss(ranker(batch), batch.labels_BA, batch.weight_B)
    total.backward()
    assert weight == rows and torch.isfinite(total)
    assert ranker.scores(batch).shape == (rows, 1)


@pytest.mark.parametrize("name", NAMES)
def test_a_score_does_not_depend_on_the_rows_beside_it(name):
    ranker, batch = awake(name), impressions(40)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1))[:11]
    torch.testing.assert_close(ranker.scores(batch)[order], ranker.scores(batch.take(order)))
    torch.testing.assert_close(ranker.scores(batch)[7:19], ranker.scores(batch.between(7, 19)))


def test_every_field_has_rows_of_its_own_in_the_one_table():
    ranker, batch = awake("lr"), impressions(30)
    table = ranker.tables()[0].detach()
    by_hand = ranker.members[0].bias + table[batch.codes_BF[:, 0]] + table[9 + batch.codes_BF[:, 1]]
    by_hand = by_hand + table[22 + batch.codes_BF[:, 2]] + (batch.numeric_BD - 2) / 4 * ranker.members[0].slope.weight
    torch.testing.assert_close(ranker.scores(batch), torch.sigmoid(by_hand).detach())


def test_an_unknown_value_adds_nothing_and_an_unknown_number_is_the_mean():
    ranker = compose_ctr(ctr_config("lr"), SHAPES, seed=3)
    with torch.no_grad():
        ranker.members[0].slope.weight.fill_(1.0)
    unknown = impressions(2)
    unknown = replace(unknown, codes_BF=torch.zeros(2, 3, dtype=torch.int64), numeric_BD=torch.tensor([[2.0], [torch.nan]]))
    assert ranker.scores(unknown).tolist() == [[0.5], [0.5]]


def test_a_cross_layer_by_the_papers_equation():
    cross = Cross(3)
    start, x = torch.randn(5, 3), torch.randn(5, 3)
    by_hand = torch.stack([s * (cross.weight.weight @ v + cross.weight.bias) + v for s, v in zip(start, x, strict=True)])
    torch.testing.assert_close(cross(start, x), by_hand)


@pytest.mark.parametrize("experts", [1, 3])
def test_a_low_rank_cross_layer_by_the_papers_equation(experts):
    cross = LowRankCross(4, 2, experts)
    with torch.no_grad():
        for parameter in cross.parameters():
            parameter.normal_()
    start, x = torch.randn(5, 4), torch.randn(5, 4)
    by_hand = x.clone()
    gate = torch.ones(5, 1) if cross.gate is None else torch.softmax(cross.gate(x), dim=1)
    for e in range(experts):
        small = torch.tanh(torch.tanh(x @ cross.down[e]) @ cross.turn[e])
        by_hand = by_hand + gate[:, e : e + 1] * start * (small @ cross.up[e] + cross.bias)
    torch.testing.assert_close(cross(start, x), by_hand)


def test_the_bilinear_fusion_by_the_papers_equation():
    fusion = Bilinear(6, 4, heads=2, actions=3)
    with torch.no_grad():
        fusion.form.normal_()
    x, y = torch.randn(5, 6), torch.randn(5, 4)
    form = fusion.form.view(2, 3, 3, 2)
    by_hand = fusion.first(x) + fusion.second(y)
    by_hand = by_hand + torch.einsum("bhp,hpaq,bhq->ba", x.view(5, 2, 3), form, y.view(5, 2, 2))
    torch.testing.assert_close(fusion(x, y), by_hand)


@pytest.mark.parametrize("softmax", [False, True])
def test_din_weighs_a_history_by_the_item_in_question(softmax):
    ranker, batch = awake("din", softmax=softmax), impressions(20)
    model = ranker.members[0].eval()
    items = model.inputs.fields.table.weight[9:22]
    by_hand = torch.zeros(20, 4)
    for row in range(20):
        past = items[batch.history_T[batch.offsets_B1[row] : batch.offsets_B1[row + 1]]]
        target = items[batch.codes_BF[row, 1]].expand_as(past)
        logit = model.relevance(model.attention(torch.cat([target, past, target - past, target * past], dim=1)))
        by_hand[row] = (past * (torch.softmax(logit, dim=0) if softmax else logit)).sum(dim=0)
    torch.testing.assert_close(model.interest(batch), by_hand)


def test_din_says_what_it_misses():
    batch = replace(impressions(4), history_T=None, offsets_B1=None)
    with pytest.raises(DataContractError, match="din needs impressions with histories"):
        awake("din").scores(batch)
    with pytest.raises(ConfigError, match="din reads histories, and the impressions have none"):
        compose_ctr(ctr_config("din"), SHAPES.model_copy(update={"history": None}))


def test_a_gate_names_the_field_it_misses():
    with pytest.raises(ConfigError, match="gate_fields names the field who"):
        compose_ctr(ctr_config("finalmlp", first={"hidden": [8], "gate_fields": ["who"]}), SHAPES)


def test_members_are_trained_apart_and_served_as_the_mean_probability():
    ranker, batch = compose_ctr(ctr_config("dnn", members=3, dropout=0.0), SHAPES, seed=1), impressions(16)
    logits = ranker(batch)
    assert logits.shape == (3, 16, 1) and not torch.allclose(logits[0], logits[1])
    parts = [ctr_loss(one.unsqueeze(0), batch.labels_BA, batch.weight_B)[0] for one in logits]
    torch.testing.assert_close(ctr_loss(logits, batch.labels_BA, batch.weight_B)[0], sum(parts) / 3)
    ranker.eval()
    torch.testing.assert_close(ranker.scores(batch), torch.sigmoid(ranker(batch)).mean(0).detach())


def test_the_loss_counts_what_was_asked_by_its_weight():
    logits = torch.tensor([[[0.3, -1.0], [2.0, 0.5]]])
    labels, weight = torch.tensor([[1.0, torch.nan], [0.0, 1.0]]), torch.tensor([2.0, 3.0])
    total, counted = ctr_loss(logits, labels, weight)
    cost = functional.softplus
    assert counted == 8
    torch.testing.assert_close(total, 2 * cost(torch.tensor(-0.3)) + 3 * cost(torch.tensor(2.0)) + 3 * cost(torch.tensor(-0.5)))
    smooth, _ = ctr_loss(logits, labels, weight, smoothing=0.2)
    halves = [(2, 0.3), (3, 2.0), (3, 0.5)]
    other = sum(w * 0.5 * (cost(torch.tensor(x)) + cost(torch.tensor(-x))) for w, x in halves)
    torch.testing.assert_close(smooth, 0.8 * total + 0.2 * other)


@pytest.mark.parametrize(
    ("column", "code", "message"),
    [(0, 9, r"field user holds codes \d..9 where the ranker knows 0..8"), (2, -1, r"field hour holds codes -1..3")],
)
def test_a_code_of_another_field_is_refused(column, code, message):
    batch = impressions(30)
    batch.codes_BF[4, column] = code
    with pytest.raises(DataContractError, match=message):
        check_impressions(batch, SHAPES)


def test_an_item_of_a_history_that_nobody_knows_is_refused():
    batch = impressions(30)
    assert batch.history_T is not None
    batch.history_T[2] = 13
    with pytest.raises(DataContractError, match=r"the history of field item holds codes \d..13 where the ranker knows 0..12"):
        check_impressions(batch, SHAPES)


def test_a_history_is_of_one_of_the_fields():
    with pytest.raises(ValidationError, match="history names the field film, which is not among the fields"):
        CtrShapes.model_validate({**SHAPES.model_dump(), "history": "film"})


def test_columns_are_counted():
    with pytest.raises(DataContractError, match="have 3 fields, 1 numbers and 1 labels, the ranker 3, 1 and 3"):
        check_impressions(impressions(3), THREE)


def test_the_same_seed_gives_the_same_weights_whatever_was_drawn_before():
    one = compose_ctr(ctr_config("finalmlp"), SHAPES, seed=1).state_dict()
    torch.rand(10)
    two = compose_ctr(ctr_config("finalmlp"), SHAPES, seed=1).state_dict()
    other = compose_ctr(ctr_config("finalmlp"), SHAPES, seed=2).state_dict()
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    assert any(not torch.equal(value, other[name]) for name, value in one.items())
