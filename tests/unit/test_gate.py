"""Stage gate: the rule on rows written by hand, and a decision that survives being killed before the alias moves."""

from types import SimpleNamespace

import numpy as np
import pytest

from nightrank.feature_store.contracts.errors import ConfigError, DataContractError, DependencyUnreachable
from nightrank.feature_store.contracts.files import read_json
from nightrank.trainer.config.evaluation import GateConfig
from nightrank.trainer.evaluation.decision import decided
from nightrank.trainer.stages import gate
from tests import evaluation_lake as lake


def values(mean, rows=1000, seed=0):
    return np.random.default_rng(seed).binomial(1, mean, rows).astype(float)


@pytest.mark.parametrize(
    ("ours", "theirs", "rule", "wanted"),
    [
        (values(0.30), values(0.10, seed=1), "reject_if_worse", "promoted"),
        (values(0.10), values(0.30, seed=1), "reject_if_worse", "rejected"),
        (values(0.30), values(0.30), "reject_if_worse", "promoted"),
        (values(0.29, 250), values(0.30, 250, seed=1), "reject_if_worse", "promoted"),
        (values(0.29, 250), values(0.30, 250, seed=1), "require_not_worse", "rejected"),
        (values(0.30), values(0.30), "require_not_worse", "promoted"),
        (values(0.30, 199), values(0.10, 199), "reject_if_worse", "undecidable"),
        (values(0.30, 0), values(0.10, 0), "reject_if_worse", "undecidable"),
    ],
    ids=["better", "worse", "the same", "noise", "noise is not proof", "the same is proof", "199 rows", "no row"],
)
def test_the_rule(ours, theirs, rule, wanted):
    decision = decided(ours, theirs, GateConfig(rule=rule), seed=1)
    assert decision.decision == wanted
    assert decision.n == len(ours)
    assert (decision.delta is None) == (wanted == "undecidable")


def test_a_loss_that_is_certain_but_too_small_to_matter_is_promoted():
    theirs = np.full(1000, 0.5)
    ours = theirs - 0.001
    assert decided(ours, theirs, GateConfig(margin=0.02), 1).decision == "promoted"
    assert decided(ours, theirs, GateConfig(margin=0.0001), 1).decision == "rejected"


@pytest.fixture
def promoted(monkeypatch):
    """Stands for the registry: what was promoted, and a fault to raise instead."""
    calls = []
    registry = SimpleNamespace(fault=None)

    def promote(context, ref):
        if registry.fault:
            raise registry.fault
        calls.append(ref.manifest_sha256)
        ref.save(context.root / "champion.json")

    monkeypatch.setattr("nightrank.trainer.stages.register.promote", promote)
    return SimpleNamespace(calls=calls, module=registry)


def run_with(root, rows, seed=2, run_id="run-1", **config):
    snapshot = lake.published(root, rows, rows)
    context = lake.context_of(root, run_id, **config)
    lake.trained(context, snapshot, None, lake.bundle(root, seed))
    return context


def test_without_a_champion_the_first_is_promoted(tmp_path, promoted):
    context = run_with(tmp_path, lake.sequences(20))
    body = gate.run(context).extra["gate"]
    assert (body["decision"], body["delta"], body["n"]) == ("first", None, 0)
    assert promoted.calls == [body["challenger"]]


def test_too_few_rows_leave_the_champion(tmp_path, promoted):
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    body = gate.run(run_with(tmp_path, lake.sequences(150))).extra["gate"]
    assert (body["decision"], body["n"], promoted.calls) == ("undecidable", 150, [])
    assert "150 hold-out rows, 200 are needed" in body["reasons"][0]


def test_both_are_measured_on_the_hold_out(tmp_path, promoted):
    """Champion and challenger are the same bundle: no difference on any row, so nothing speaks against it."""
    lake.ref_of(lake.bundle(tmp_path, 2), "run-0").save(tmp_path / "champion.json")
    body = gate.run(run_with(tmp_path, lake.sequences(250), seed=2)).extra["gate"]
    assert (body["decision"], body["delta"], body["ci"], body["n"]) == ("promoted", 0.0, [0.0, 0.0], 250)
    assert body["challenger_ndcg"] == body["champion_ndcg"] > 0


def test_a_decision_outlives_a_fault_between_it_and_the_alias(tmp_path, promoted):
    context = run_with(tmp_path, lake.sequences(20))
    promoted.module.fault = DependencyUnreachable("MLflow does not answer", "retry")
    with pytest.raises(DependencyUnreachable):
        gate.run(context)
    written = read_json(context.run_dir / "gate.json")
    promoted.module.fault = None
    # Meanwhile there is a champion: deciding anew would say `undecidable`.
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    assert gate.run(context).extra["gate"] == written
    assert promoted.calls == [written["challenger"]]


def test_a_decision_about_another_model_is_taken_anew(tmp_path, promoted):
    context = run_with(tmp_path, lake.sequences(20))
    gate.run(context)
    lake.ref_of(lake.bundle(tmp_path, 11)).save(context.run_dir / "model_ref.json")
    assert gate.run(context).extra["gate"]["decision"] == "undecidable"


def test_a_model_that_was_not_registered_is_refused(tmp_path):
    context = lake.context_of(tmp_path)
    with pytest.raises(DataContractError, match="run-1 has no registered model"):
        gate.run(context)


def test_a_wrong_key_is_refused(tmp_path, promoted):
    with pytest.raises(ConfigError, match=r"margn"):
        gate.run(run_with(tmp_path, lake.sequences(20), gate={"margn": 0.1}))
