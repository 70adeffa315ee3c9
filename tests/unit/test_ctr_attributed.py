"""What each input adds to a click ranker's probability adds up, is captum's, and is nothing for what is not known."""

import json
from pathlib import Path

import pytest
import torch
from test_ctr_models import awake

from nightrank.ranker.ctr.attributed import integrated
from nightrank.ranker.ctr.batch import ImpressionBatch
from tests.ctr_batches import SMALL, impressions

GOLDEN = Path(__file__).parents[1] / "golden" / "ctr_attributions_captum.json"


def rows_of(count: int) -> list[ImpressionBatch]:
    batch = impressions(count)
    return [batch.between(row, row + 1) for row in range(count)]


@pytest.mark.parametrize("name", sorted(SMALL))
def test_base_and_inputs_add_up_to_the_probability_the_ranker_gives(name: str) -> None:
    ranker = awake(name, members=2)
    for batch in rows_of(6):
        found = integrated(ranker, batch, 0, points=400)
        assert found.probability == pytest.approx(float(ranker.scores(batch)[0, 0]), abs=1e-5)
        assert found.base + sum(found.inputs.values()) == pytest.approx(found.probability, abs=2e-3)
        assert set(found.inputs) == {"user", "item", "hour", "price", "history"}
    assert ranker.training, "nothing of the ranker is changed"


def test_what_is_not_known_adds_nothing() -> None:
    ranker = awake("din")
    with torch.no_grad():
        for module in ranker.modules():
            if hasattr(module, "forget_unknown"):
                module.forget_unknown()
    batch = ImpressionBatch(
        torch.zeros(1, 3, dtype=torch.int64),
        torch.full((1, 1), torch.nan),
        torch.full((1, 1), torch.nan),
        torch.ones(1),
        torch.zeros(0, dtype=torch.int64),
        torch.zeros(2, dtype=torch.int64),
    )
    found = integrated(ranker, batch, 0)
    assert found.inputs == dict.fromkeys(found.inputs, 0.0) and found.base == found.probability


def test_a_linear_ranker_shares_out_its_logit() -> None:
    """One sigmoid over a sum: every input's share of the way is its share of the logit."""
    ranker = awake("lr")
    (member,) = ranker.members
    for batch in rows_of(4):
        found = integrated(ranker, batch, 0)
        table, row = member.fields.table.weight, batch.codes_BF[0] + member.fields.starts_F
        logits = {name: table[place, 0].item() for name, place in zip(("user", "item", "hour"), row.tolist(), strict=True)}
        whole = found.probability - found.base
        price = found.inputs["price"]
        for name, logit in logits.items():
            assert found.inputs[name] == pytest.approx(logit * (whole - price) / sum(logits.values()), rel=1e-4)


def test_removing_what_adds_most_lowers_the_probability_more_than_removing_another() -> None:
    ranker, better, tried = awake("dcnv2"), 0, 0
    with torch.no_grad():
        for module in ranker.modules():
            if hasattr(module, "forget_unknown"):
                module.forget_unknown()
    for batch in rows_of(40):
        found = integrated(ranker, batch, 0).inputs
        order = sorted(("user", "item", "hour"), key=lambda name: -found[name])
        without = {name: float(ranker.scores(unknown(batch, name))[0, 0]) for name in (order[0], order[-1])}
        tried += 1
        better += without[order[0]] <= without[order[-1]]
    assert better >= 0.8 * tried


def unknown(batch: ImpressionBatch, name: str) -> ImpressionBatch:
    codes = batch.codes_BF.clone()
    codes[0, ("user", "item", "hour").index(name)] = 0
    return ImpressionBatch(codes, batch.numeric_BD, batch.labels_BA, batch.weight_B, batch.history_T, batch.offsets_B1)


def test_attributions_are_those_of_captum() -> None:
    """The golden file was made by captum 0.9.0 (IntegratedGradients over the embeddings and numbers, 128 points)."""
    for name, rows in json.loads(GOLDEN.read_text()).items():
        ranker = awake(name)
        for batch, expected in zip(rows_of(len(rows)), rows, strict=True):
            found = integrated(ranker, batch, 0).inputs
            assert {key: found[key] for key in expected} == pytest.approx(expected, abs=1e-6)
