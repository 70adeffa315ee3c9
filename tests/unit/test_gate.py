"""Stage gate: nights that are pooled, and a decision that survives being killed before the alias moves."""

from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import pytest

from nightrank.feature_store.contracts.errors import ConfigError, DataContractError, DependencyUnreachable
from nightrank.feature_store.contracts.files import read_json
from nightrank.trainer.stages import gate
from tests import evaluation_lake as lake


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


def run_with(root, rows, seed=2, run_id="run-1", kind="nightly", day=1, **config):
    snapshot = lake.published(root, rows, rows)
    context = replace(lake.context_of(root, run_id, kind, **config), day=date(2024, 3, day))
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


def test_small_nights_are_pooled_until_they_can_decide(tmp_path, promoted):
    """150 rows a night: the second night has 300 together and decides, and what comes after begins anew."""
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    bodies = [
        gate.run(run_with(tmp_path, lake.sequences(150, seed), 7, f"night-{day}", day=day)).extra["gate"]
        for day, seed in ((1, 3), (2, 4))
    ]
    assert [(b["decision"], b["n"], b["nights"]) for b in bodies] == [("undecidable", 150, 1), ("promoted", 300, 2)]
    assert "pooled with those of the next nights" in bodies[0]["reasons"][0]
    after = gate.run(run_with(tmp_path, lake.sequences(150), 7, "night-3", day=3)).extra["gate"]
    assert (after["decision"], after["n"], after["nights"]) == ("undecidable", 150, 1)


def test_rows_against_another_champion_are_not_pooled(tmp_path, promoted):
    for day, champion in ((1, 7), (2, 8)):
        lake.ref_of(lake.bundle(tmp_path, champion), "run-0").save(tmp_path / "champion.json")
        body = gate.run(run_with(tmp_path, lake.sequences(150), 2, f"night-{day}", day=day)).extra["gate"]
    assert (body["decision"], body["n"], body["nights"]) == ("undecidable", 150, 1)


def test_a_repeated_night_is_pooled_once_and_never_with_a_later_one(tmp_path, promoted):
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    wanted = {"gate": {"decidable_rows": 1000}}
    for run_id, day in (("night-2", 2), ("night-2-r2", 2), ("night-5", 5)):
        gate.run(run_with(tmp_path, lake.sequences(40), 2, run_id, day=day, **wanted))
    body = gate.run(run_with(tmp_path, lake.sequences(40), 2, "night-3", day=3, **wanted)).extra["gate"]
    assert (body["n"], body["nights"]) == (80, 2)


def test_a_shop_too_small_for_ever_is_decided_after_its_nights(tmp_path, promoted):
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    for day in (1, 2, 3):
        run = run_with(tmp_path, lake.sequences(10), 7, f"night-{day}", day=day, gate={"pool_nights": 3})
        body = gate.run(run).extra["gate"]
    assert (body["decision"], body["n"], body["nights"]) == ("promoted", 30, 3)
    assert "30 hold-out rows of 3 nights, 200 are needed, but 3 nights have passed" in body["reasons"][1]


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
