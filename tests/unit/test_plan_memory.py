"""`nightrank plan`: figures that can be worked out by hand, what it says where it does not fit, and advice that fits."""

import json

import pytest
import torch

from nightrank.feature_store.contracts.config import merged, validate
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.pipeline.cli import main
from nightrank.ranker.compose import compose
from nightrank.ranker.inputs import ItemInputs, ItemShapes
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.loop.optim import trainable
from nightrank.trainer.planning.advice import changed, remedy, settings_of
from nightrank.trainer.planning.footprint import footprint, wire
from nightrank.trainer.planning.main import plan
from nightrank.trainer.planning.request import PlanRequest

ITEMS = 5000
SMALL = {"precision": "fp32", "batch_rows": 8, "loss": {"name": "sampled_softmax", "negatives": 16}}


def config_of(**changes):
    return validate(TrainerConfig, {**SMALL, "model": {"width": 32}, **changes})


@pytest.fixture(scope="module")
def plain():
    return footprint(config_of(), ItemShapes(ITEMS), 2)


def test_state_is_what_the_trainer_holds(plain):
    weights = sum(value.numel() for value in trainable(compose(config_of().model, ItemInputs(ITEMS))).values())
    assert plain.weights == 4 * weights
    assert plain.gradient == 4 * (weights + 6)
    assert plain.optimizer == pytest.approx(8 * weights, rel=0.001)
    assert plain.inputs == 4 * (ITEMS + 1) + 16 * (ITEMS + 1)
    assert plain.catalogue >= 4 * ITEMS * 32
    assert plain.copies == plain.weights + plain.optimizer
    assert footprint(config_of(checkpoint={"in_background": False}), ItemShapes(ITEMS), 2).copies == 0
    assert plain.peak == plain.weights + plain.gradient + plain.optimizer + plain.inputs + plain.copies + max(
        plain.activations, plain.catalogue
    )


def test_two_ranks_send_the_gradient_once_and_one_rank_sends_nothing(plain):
    assert plain.wire_per_step == plain.weights
    gradient = torch.zeros(1000)
    assert wire(config_of(), gradient, 9000, 1) == 0
    assert wire(config_of(), gradient, 9000, 4) == 2 * 3 / 4 * 4000
    assert wire(config_of(compression="fp16"), gradient, 9000, 2) == 2000
    assert wire(config_of(slowmo={"every": 9}), gradient, 9000, 2) == 1000
    half = {"precision": "bf16", "optimizer": {"name": "anyprecision_adamw"}}
    assert wire(config_of(**half), gradient.bfloat16(), 9000, 2) == 4000
    assert wire(config_of(**half, launcher="torchrun"), gradient.bfloat16(), 9000, 2) == 2000


def test_bf16_weights_take_ten_bytes_and_larger_pieces_more_activations(plain):
    half = footprint(config_of(precision="bf16", optimizer={"name": "anyprecision_adamw"}), ItemShapes(ITEMS), 2)
    assert half.weights + half.gradient + half.optimizer == pytest.approx(
        10 / 16 * (plain.weights + plain.gradient + plain.optimizer), rel=0.001
    )
    more = footprint(config_of(batch_rows=64), ItemShapes(ITEMS), 2)
    assert more.activations > 3 * plain.activations


def test_slowmo_holds_two_more_values_a_weight(plain):
    slow = footprint(config_of(slowmo={"every": 4}), ItemShapes(ITEMS), 2)
    assert slow.optimizer == pytest.approx(plain.optimizer + 2 * plain.weights, rel=0.001)


def test_a_ranker_with_a_pre_trained_part_is_refused():
    with pytest.raises(ConfigError, match="pre-trained"):
        footprint(config_of(model={"encoder": {"name": "causal_lm", "model": "x"}}), ItemShapes(ITEMS), 1)


def test_advice_is_the_least_change_that_fits_else_several_else_none():
    config = config_of(loss={"name": "full_softmax"})
    peaks = {}

    def peak(tried):
        size = 100
        size -= 10 * (tried.micro_batch_tokens < config.micro_batch_tokens)
        size -= 30 * (tried.loss.name != "full_softmax")
        size -= 20 * (tried.optimizer.name != "adamw")
        peaks[tried.model_dump_json()] = size
        return size

    assert remedy(config, peak, 90) == ("trainer.micro_batch_tokens=1024",)
    assert remedy(config, peak, 75) == ("trainer.loss.name=sampled_softmax",)
    assert remedy(config, peak, 60) == ("trainer.micro_batch_tokens=1024", "trainer.loss.name=sampled_softmax")
    assert remedy(config, peak, 10) == ()
    assert settings_of({"slowmo": None, "model": {"width": 8}}) == ("trainer.slowmo=null", "trainer.model.width=8")
    assert changed(config, {"model": {"width": 8}}).model.width == 8


def test_what_does_not_fit_has_a_remedy_that_does():
    config = config_of(model={"width": 64}, loss={"name": "full_softmax"})
    request = PlanRequest(trainer=config, world_size=1, items=20_000, memory_bytes=2**40)
    peak = plan(request)["bytes"]["peak"]
    large = plan(request.model_copy(update={"memory_bytes": round(peak * 0.9)}))
    assert not large["fits"] and large["remedy"]
    fits = validate(TrainerConfig, merged([], [*_settings(config), *large["remedy"]])["trainer"])
    smaller = {"trainer": fits, "world_size": fits.workers, "memory_bytes": round(peak * 0.9)}
    assert plan(request.model_copy(update=smaller))["fits"]


def _settings(config):
    return settings_of(config.model_dump(mode="json", include={"precision", "batch_rows", "loss", "model"}))


def test_the_command_ends_with_2_where_it_does_not_fit(capsys):
    words = ["plan", "--items", "20000", "--json", "--memory", "0.001", "--set", "trainer.model.width=6"]
    with pytest.raises(SystemExit) as ended:
        main(words)
    answer = json.loads(capsys.readouterr().out)
    assert (ended.value.code, answer["status"], answer["world_size"], answer["remedy"]) == (2, "too_large", 2, [])


def test_two_ranks_hold_half_of_a_shared_table_each_and_it_is_advised_where_the_whole_does_not_fit():
    shapes, d = ItemShapes(ITEMS), 32
    whole, half = (footprint(config_of(tables={"placement": "shard"}), shapes, ranks) for ranks in (1, 2))
    table = 4 * d * (ITEMS + 1)
    assert whole.weights - half.weights == pytest.approx(table / 2, abs=4 * d)
    assert whole.optimizer - half.optimizer == pytest.approx(table, rel=0.01)
    assert half.gradient == half.weights - 4 * d * len(range(0, ITEMS + 1, 2)) + 4 * 8
    looked_up = 8 * config_of().model.encoder.max_length + 16
    assert half.rows == 4 * 4 * d * looked_up
    assert half.wire_per_step == pytest.approx(half.gradient - 32 + (8 + 8 * d) * looked_up / 2)

    def peak(tried):
        return footprint(tried, ItemShapes(2_000_000), tried.workers).peak

    shared = changed(config_of(workers=1), {"tables": {"placement": "shard"}, "workers": 2})
    limit = peak(shared)
    advised = remedy(config_of(workers=1, launcher="horovodrun"), peak, limit)
    assert advised == ("trainer.tables.placement=shard", "trainer.workers=2")
    half_bits = config_of(optimizer={"name": "anyprecision_adamw"}, precision="bf16")
    assert not any(
        "tables" in setting for setting in remedy(half_bits, lambda tried: 100 if tried.model.width == 32 else 1, 50)
    )


def test_a_plan_says_how_the_table_is_held():
    def told(**changes):
        request = PlanRequest(trainer=config_of(**changes), world_size=2, items=ITEMS, memory_bytes=10**12)
        return plan(request)

    assert told()["table"] == "replicate"
    assert told(tables={"shard_above_mib": 0.5})["table"] == "shard"
