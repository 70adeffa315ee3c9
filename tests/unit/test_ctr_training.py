"""Training a click ranker by the project's own step: what one rank and two do, plateau, best weights, L2 on tables."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from nightrank.feature_store.contracts.config import validate
from nightrank.feature_store.contracts.errors import ConfigError, DataContractError, NightrankError
from nightrank.ranker.ctr.compose import compose_ctr
from nightrank.ranker.ctr.config import CtrShapes
from nightrank.trainer.config.ctr import CtrTrainerConfig, PlateauConfig, load_ctr_config
from nightrank.trainer.ctr.fit import evaluate, fit_ctr
from nightrank.trainer.ctr.objective import CtrObjective, TablePenalty
from nightrank.trainer.ctr.source import MemorySource
from nightrank.trainer.loop.optim import AdamW
from nightrank.trainer.loop.plateau import Plateau
from nightrank.trainer.loop.step import TrainStep
from nightrank.trainer.ranks.communicator import SingleProcess
from tests.ctr_batches import SHAPES, SMALL, ctr_config, impressions
from tests.thread_world import on_ranks
from tests.training_jobs import CPU

MODELS = Path(__file__).parents[2] / "conf" / "models" / "ctr"
FILES = {"ctr_lr": "lr", "ctr_dnn": "dnn", "dcnv2": "dcnv2", "din": "din", "finalmlp": "finalmlp", "mmoe": "mmoe"}


def config(name="dnn", model=None, **changes):
    torch.set_num_threads(1)
    body = {"model": {"name": name, **SMALL[name], "dropout": 0.0, **(model or {})}, "batch_rows": 50, "learning_rate": 0.01}
    return validate(CtrTrainerConfig, {**body, **changes})


def fitted(settings, communicator=None, rows=400, seed=3):
    ranker = compose_ctr(settings.model, SHAPES, seed=1)
    curve = fit_ctr(ranker, impressions(rows), impressions(200, seed=9), settings, seed, communicator or SingleProcess(), CPU)
    return ranker, curve


@pytest.mark.parametrize("name", ["dnn", "dcnv2", "din", "finalmlp", "mmoe"])
def test_it_learns_what_needs_a_cross_of_fields(name):
    ranker, curve = fitted(config(name, epochs=25, plateau={"patience": 25, "factor": 0.9}), rows=1500)
    assert evaluate(ranker, impressions(300, seed=11))["auc"] > 0.97
    assert curve.epochs[-1].loss < 0.5 * curve.epochs[0].loss


def test_two_ranks_without_batch_norm_take_the_steps_of_one():
    settings = config(model={"batch_norm": False}, epochs=3, table_l2=0.01)
    alone, curve = fitted(settings)
    ranks = on_ranks(2, lambda communicator: fitted(settings, communicator))
    assert not [rank for rank in ranks if isinstance(rank, Exception)], ranks
    for ranker, theirs in ranks:
        assert [epoch.loss for epoch in theirs.epochs] == pytest.approx([epoch.loss for epoch in curve.epochs], rel=1e-4)
        assert theirs.best == curve.best
        for name, value in ranker.state_dict().items():
            torch.testing.assert_close(value, alone.state_dict()[name], rtol=1e-3, atol=1e-5, msg=name)


def test_two_ranks_with_batch_norm_end_with_the_same_bytes():
    (one, _), (two, _) = on_ranks(2, lambda communicator: fitted(config(epochs=2), communicator))
    running = [name for name in one.state_dict() if "running" in name]
    assert running
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name]), name


def test_the_same_seed_gives_the_same_curve_and_another_does_not():
    curves = [fitted(config(model={"dropout": 0.3}, epochs=2), seed=seed)[1] for seed in (3, 3, 4)]
    losses = [[epoch.loss for epoch in curve.epochs] for curve in curves]
    assert losses[0] == losses[1] != losses[2]


def test_the_best_validation_is_what_is_kept():
    train, valid = impressions(150), impressions(200, seed=9)
    luck = (torch.rand(150, 1, generator=torch.Generator().manual_seed(2)) < 0.4).float()
    noisy = replace(train, labels_BA=(train.labels_BA - luck).abs())
    settings = config(epochs=12, learning_rate=0.05, plateau={"patience": 12, "factor": 0.99})
    ranker = compose_ctr(settings.model, SHAPES, seed=1)
    curve = fit_ctr(ranker, noisy, valid, settings, 3, SingleProcess(), CPU)
    values = [epoch.valid["auc"] for epoch in curve.epochs]
    assert values[-1] < max(values), "the case says nothing where the last epoch is the best"
    assert curve.best == values.index(max(values)) + 1
    assert evaluate(ranker, valid)["auc"] == max(values)


def test_a_fault_in_the_rows_is_raised_before_any_step():
    bad = impressions(20)
    bad.codes_BF[3, 0] = 99
    with pytest.raises(DataContractError, match=r"field user holds codes 0..99"):
        fit_ctr(compose_ctr(ctr_config("dnn"), SHAPES), bad, impressions(50), config(), 1, SingleProcess(), CPU)


def test_what_cannot_be_trained_or_validated_is_named():
    ranker, valid = compose_ctr(ctr_config("dnn"), SHAPES), impressions(50)
    with pytest.raises(DataContractError, match="there are no impressions to train on"):
        fit_ctr(ranker, impressions(0), valid, config(), 1, SingleProcess(), CPU)
    one_sided = replace(valid, labels_BA=torch.where(valid.labels_BA == 1, torch.nan, valid.labels_BA))
    with pytest.raises(DataContractError, match="validation rows do not hold both labels of click"):
        fit_ctr(ranker, valid, one_sided, config(), 1, SingleProcess(), CPU)


@pytest.mark.parametrize(("rows", "world"), [(1001, 1), (1001, 2), (7, 3), (50, 1)])
def test_an_epoch_is_every_row_once_over_all_ranks(rows, world):
    numbered = replace(impressions(rows), weight_B=torch.arange(rows, dtype=torch.float32))
    sources = [MemorySource(numbered, 50, 3, rank, world) for rank in range(world)]
    epochs = []
    for epoch in (0, 1):
        batches = [list(source.batches(epoch)) for source in sources]
        assert {len(b) for b in batches} == {sources[0].steps(epoch)}
        seen = [value for ours in batches for batch in ours for value in batch.weight_B.tolist()]
        assert sorted(seen) == list(range(rows))
        assert all(abs(b.rows - rows / (world * len(ours))) < 1 for ours in batches for b in ours)
        epochs.append(seen)
    assert epochs[0] != epochs[1]
    after = [batch.weight_B.tolist() for batch in sources[0].batches(0, 1)]
    assert after == [batch.weight_B.tolist() for batch in list(sources[0].batches(0))[1:]]


def test_l2_pulls_on_tables_and_on_nothing_else():
    ends = []
    for strength in (0.0, 0.5):
        ranker = compose_ctr(ctr_config("dnn", dropout=0.0, batch_norm=False), SHAPES, seed=1)
        with torch.no_grad():
            ranker.tables()[0].fill_(0.1)
        settings = config()
        penalty = TablePenalty(ranker, strength) if strength else None
        optimizer = AdamW(ranker, settings.optimizer)
        step = TrainStep(ranker, optimizer, SingleProcess(), CPU, CtrObjective(ranker), settings.optimizer, 3, penalty)
        step(iter([impressions(8)]), 0, 0.0)
        ends.append({name: parameter.grad.clone() for name, parameter in ranker.named_parameters()})
    for name, plain in ends[0].items():
        pulled = 0.05 if "table" in name else 0.0
        torch.testing.assert_close(ends[1][name], plain + pulled, msg=name)


def test_the_rate_falls_at_each_stall_and_two_in_a_row_end_it():
    plateau = Plateau(PlateauConfig(factor=0.1, patience=2, least_gain=0.01), rate=1.0)
    rates, overs = [], []
    for value in (0.5, 0.6, 0.605, 0.7, 0.65, 0.7):
        plateau = plateau.after(value)
        rates.append(plateau.rate)
        overs.append(plateau.over)
    assert rates == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.001])
    assert overs == [False, False, False, False, False, True]
    assert plateau.best == 0.7


def test_a_validation_that_is_no_number_is_a_stall():
    assert Plateau(PlateauConfig(), 1.0).after(float("nan")).stalls == 1


@pytest.mark.parametrize("file", sorted(FILES))
def test_every_named_model_loads_and_differs_from_the_defaults_where_it_says_so(file):
    settings = load_ctr_config([MODELS / f"{file}.yaml"], [])
    assert settings.model.name == FILES[file]
    fields = [{"name": name, "size": 3} for name in ("user", "item")]
    ranker = compose_ctr(
        settings.model, CtrShapes.model_validate({"fields": fields, "labels": ["click", "cart"], "history": "item"})
    )
    assert sum(parameter.numel() for parameter in ranker.parameters()) > 0


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.name=dnnn", "model: .*dnnn"),
        ("model.hiden=[3]", r"model.dnn.hiden: Extra inputs are not permitted \(got a list\)"),
        ("table_l3=1", r"table_l3: Extra inputs are not permitted"),
        ("model={name: finalmlp, heads: 3}", "the last hidden layer 400 is not a multiple of heads 3"),
        ("model={name: dcnv2, experts: 2}", "experts 2 needs a rank"),
        ("model.hidden=[0]", "model.dnn.hidden.0: .*greater than or equal to 1"),
        ("plateau.factor=1.5", "plateau.factor: .*less than 1"),
    ],
)
def test_an_unknown_part_or_key_is_named(override, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load_ctr_config([MODELS / "ctr_dnn.yaml"], [override])
    assert isinstance(caught.value, NightrankError) and caught.value.exit_code == 2
