"""Stage gate: nights that are pooled, and a decision that survives being killed before the alias moves."""

import os
from dataclasses import replace
from datetime import date
from types import SimpleNamespace

import pytest
import torch

from nightrank.feature_store.contracts.champion import replace_champion
from nightrank.feature_store.contracts.errors import ConfigError, ConflictError, DataContractError, DependencyUnreachable
from nightrank.feature_store.contracts.files import read_json
from nightrank.feature_store.contracts.fingerprint import fingerprint_of, is_done, is_kept
from nightrank.feature_store.contracts.found import Found
from nightrank.feature_store.contracts.lake import Lake
from nightrank.feature_store.contracts.stage import run_stage
from nightrank.ranker.bundle.store import store_bundle
from nightrank.ranker.compose import compose
from nightrank.ranker.config.ranker import RankerConfig, TransformerConfig
from nightrank.ranker.inputs import ItemInputs
from nightrank.trainer.stages import gate
from tests import evaluation_lake as lake


@pytest.fixture
def promoted(monkeypatch):
    """Stands for the registry: what was promoted, and a fault to raise instead."""
    calls = []
    registry = SimpleNamespace(fault=None)

    def promote(context, ref, over):
        if registry.fault:
            raise registry.fault
        replace_champion(context, ref, over)
        calls.append(ref.manifest_sha256)

    monkeypatch.setattr("nightrank.trainer.stages.register.promote", promote)
    return SimpleNamespace(calls=calls, module=registry)


def run_with(root, rows, seed=2, run_id="run-1", kind="nightly", day=1, **config):
    snapshot = lake.published(root, rows, rows)
    context = replace(lake.context_of(root, run_id, kind, **config), day=date(2024, 3, day))
    lake.trained(context, snapshot, None, lake.bundle(root, seed))
    return context


def test_without_a_champion_the_first_is_promoted(tmp_path, promoted):
    context = run_with(tmp_path, lake.sequences(20))
    body = gate.run(context).output.sections["gate"]
    assert (body["decision"], body["delta"], body["n"]) == ("first", None, 0)
    assert promoted.calls == [body["challenger"]]


def test_too_few_rows_leave_the_champion(tmp_path, promoted):
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    body = gate.run(run_with(tmp_path, lake.sequences(150))).output.sections["gate"]
    assert (body["decision"], body["n"], promoted.calls) == ("undecidable", 150, [])
    assert "150 hold-out rows, 200 are needed" in body["reasons"][0]


def test_small_nights_are_pooled_until_they_can_decide(tmp_path, promoted):
    """150 rows a night: the second night has 300 together and decides, and what comes after begins anew."""
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    bodies = [
        gate.run(run_with(tmp_path, lake.sequences(150, seed), 7, f"night-{day}", day=day)).output.sections["gate"]
        for day, seed in ((1, 3), (2, 4))
    ]
    assert [(b["decision"], b["n"], b["nights"]) for b in bodies] == [("undecidable", 150, 1), ("promoted", 300, 2)]
    assert "pooled with those of the next nights" in bodies[0]["reasons"][0]
    after = gate.run(run_with(tmp_path, lake.sequences(150), 7, "night-3", day=3)).output.sections["gate"]
    assert (after["decision"], after["n"], after["nights"]) == ("undecidable", 150, 1)


def test_rows_against_another_champion_are_not_pooled(tmp_path, promoted):
    for day, champion in ((1, 7), (2, 8)):
        lake.ref_of(lake.bundle(tmp_path, champion), "run-0").save(tmp_path / "champion.json")
        body = gate.run(run_with(tmp_path, lake.sequences(150), 2, f"night-{day}", day=day)).output.sections["gate"]
    assert (body["decision"], body["n"], body["nights"]) == ("undecidable", 150, 1)


def test_a_repeated_night_is_pooled_once_and_never_with_a_later_one(tmp_path, promoted):
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    wanted = {"gate": {"decidable_rows": 1000}}
    for run_id, day in (("night-2", 2), ("night-2-r2", 2), ("night-5", 5)):
        gate.run(run_with(tmp_path, lake.sequences(40), 2, run_id, day=day, **wanted))
    body = gate.run(run_with(tmp_path, lake.sequences(40), 2, "night-3", day=3, **wanted)).output.sections["gate"]
    assert (body["n"], body["nights"]) == (80, 2)


def test_a_shop_too_small_for_ever_is_decided_after_its_nights(tmp_path, promoted):
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    for day in (1, 2, 3):
        run = run_with(tmp_path, lake.sequences(10), 7, f"night-{day}", day=day, gate={"pool_nights": 3})
        body = gate.run(run).output.sections["gate"]
    assert (body["decision"], body["n"], body["nights"]) == ("promoted", 30, 3)
    assert "30 hold-out rows of 3 nights, 200 are needed, but 3 nights have passed" in body["reasons"][1]


def test_both_are_measured_on_the_hold_out(tmp_path, promoted):
    """Champion and challenger are the same bundle: no difference on any row, so there is no evidence against it."""
    lake.ref_of(lake.bundle(tmp_path, 2), "run-0").save(tmp_path / "champion.json")
    body = gate.run(run_with(tmp_path, lake.sequences(250), seed=2)).output.sections["gate"]
    assert (body["decision"], body["delta"], body["ci"], body["n"]) == ("promoted", 0.0, [0.0, 0.0], 250)
    assert body["challenger_ndcg"] == body["champion_ndcg"] > 0


def test_a_decision_outlives_a_fault_between_it_and_the_alias(tmp_path, promoted):
    context = run_with(tmp_path, lake.sequences(20))
    promoted.module.fault = DependencyUnreachable("MLflow does not answer", "retry")
    with pytest.raises(DependencyUnreachable):
        gate.run(context)
    written = read_json(context.run_dir / "gate.json")
    promoted.module.fault = None
    os.utime(context.run_dir / "gate.json", (1, 1))
    assert gate.run(context).output.sections["gate"] == written
    assert promoted.calls == [written["challenger"]]
    assert (context.run_dir / "gate.json").entry().modified == 1, "it was not decided again"


def test_a_resumed_gate_does_not_put_its_challenger_over_a_champion_it_was_not_compared_with(tmp_path, promoted):
    """Decided, cut off before the alias; another run's model went live since: the two are compared anew."""
    context = run_with(tmp_path, lake.sequences(20))
    promoted.module.fault = DependencyUnreachable("MLflow does not answer", "retry")
    with pytest.raises(DependencyUnreachable):
        gate.run(context)
    assert read_json(context.run_dir / "gate.json")["decision"] == "first"
    promoted.module.fault = None
    newer = lake.ref_of(lake.bundle(tmp_path, 7), "run-0")
    newer.save(tmp_path / "champion.json")
    body = gate.run(context).output.sections["gate"]
    assert (body["decision"], body["champion"], promoted.calls) == ("undecidable", newer.manifest_sha256, [])
    assert context.lake.champion() == newer


def test_a_repeated_gate_compares_with_the_champion_of_now(tmp_path, promoted):
    """Promoted, then replaced by another run of the same date: asked again, its old decision is no answer."""
    context = run_with(tmp_path, lake.sequences(20))
    assert gate.run(context).output.sections["gate"]["decision"] == "first"
    newer = lake.ref_of(lake.bundle(tmp_path, 7), "run-0")
    newer.save(tmp_path / "champion.json")
    assert gate.run(replace(context, repetitions={"gate": 1})).output.sections["gate"]["decision"] == "undecidable"
    assert context.lake.champion() == newer


def test_a_gate_of_an_older_date_than_the_champions_is_refused(tmp_path, promoted):
    context = run_with(tmp_path, lake.sequences(20), day=3)
    newer = lake.ref_of(lake.bundle(tmp_path, 7), "night-4", day="2024-03-04")
    newer.save(tmp_path / "champion.json")
    with pytest.raises(ConflictError, match=r"run-1 is for 2024-03-03, and the current model or lists are newer \(2024-03-04"):
        gate.run(context)
    assert context.lake.champion() == newer


def test_a_decision_under_another_rule_is_taken_anew_unless_it_was_carried_out(tmp_path, promoted):
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    rows = lake.sequences(150)
    assert gate.run(run_with(tmp_path, rows)).output.sections["gate"]["decision"] == "undecidable"
    lower = {"gate": {"decidable_rows": 100}}
    body = gate.run(run_with(tmp_path, rows, **lower)).output.sections["gate"]
    assert body["decision"] in ("promoted", "rejected")


def test_a_decision_about_another_model_is_taken_anew(tmp_path, promoted):
    context = run_with(tmp_path, lake.sequences(20))
    gate.run(context)
    lake.ref_of(lake.bundle(tmp_path, 11)).save(context.run_dir / "model_ref.json")
    assert gate.run(context).output.sections["gate"]["decision"] == "undecidable"


def test_a_model_that_was_not_registered_is_refused(tmp_path):
    context = lake.context_of(tmp_path)
    with pytest.raises(DataContractError, match="run-1 has no registered model"):
        gate.run(context)


def test_a_wrong_key_is_refused(tmp_path, promoted):
    with pytest.raises(ConfigError, match=r"margn"):
        gate.run(run_with(tmp_path, lake.sequences(20), gate={"margn": 0.1}))


def test_the_rows_of_earlier_nights_are_part_of_what_a_gate_answers(tmp_path, promoted):
    """A repeated earlier night opens the decision of an unfinished run again; a later night, and one that a gate does not
    pool, does not, and what lies outside a finished run undoes nothing."""
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    wanted = {"gate": {"decidable_rows": 1000}}
    gate.run(run_with(tmp_path, lake.sequences(40), 2, "night-2", day=2, **wanted))
    context = run_with(tmp_path, lake.sequences(40), 2, "night-3", day=3, **wanted)
    first = run_stage("gate", gate.run, context).output.sections["gate"]
    assert (first["n"], first["nights"]) == (80, 2)
    gate.run(run_with(tmp_path, lake.sequences(40), 3, "night-4", day=4, **wanted))
    run_with(tmp_path, lake.sequences(40), 2, "night-1", day=1)  # no gate of it has decided
    assert is_done(context, "gate")
    gate.run(run_with(tmp_path, lake.sequences(40), 5, "night-2-r2", day=2, **wanted))
    assert not is_done(context, "gate") and is_kept(context, "gate")
    body = run_stage("gate", gate.run, context).output.sections["gate"]
    assert (body["n"], body["nights"]) == (80, 2)
    assert body["delta"] != first["delta"], "the other model of that night was pooled"
    assert is_done(context, "gate")


def test_rows_that_are_not_pooled_are_in_no_fingerprint(tmp_path, promoted):
    lake.ref_of(lake.bundle(tmp_path, 8), "run-0").save(tmp_path / "champion.json")
    gate.run(run_with(tmp_path, lake.sequences(40), 2, "night-1", day=1))
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    context = run_with(tmp_path, lake.sequences(40), 2, "night-3", day=3)
    full = replace(context, kind="full")
    before = [fingerprint_of(one, "gate") for one in (context, full)]
    (tmp_path / "runs" / "night-1" / "gate_rows.json").unlink()
    assert [fingerprint_of(one, "gate") for one in (context, full)] == before, "they were measured against another champion"
    gate.run(run_with(tmp_path, lake.sequences(40), 2, "night-2", day=2))
    after = [fingerprint_of(one, "gate") for one in (context, full)]
    assert after[0] != before[0]
    assert after[1] == before[1], "a full run pools none"


def test_a_decision_that_was_carried_out_stands_whatever_earlier_nights_do(tmp_path, promoted):
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    gate.run(run_with(tmp_path, lake.sequences(150, 3), 7, "night-1", day=1))
    context = run_with(tmp_path, lake.sequences(150, 4), 7, "night-2", day=2)
    opened = replace(context, found=Found(champion=context.lake.champion()))
    first = run_stage("gate", gate.run, opened).output.sections["gate"]
    assert (first["decision"], first["nights"]) == ("promoted", 2)
    (tmp_path / "runs" / "night-1" / "gate_rows.json").unlink()
    assert not is_done(opened, "gate")
    assert run_stage("gate", gate.run, opened).output.sections["gate"] == first


def broken(root, seed, change):
    """The bundle of that seed with other weights, stored under its own name; its folder relative to the lake."""
    inputs = ItemInputs(lake.ITEMS, popularity=torch.arange(lake.ITEMS + 1).float())
    model = compose(RankerConfig(width=8, encoder=TransformerConfig(max_length=10)), inputs, seed=seed).eval()
    with torch.no_grad():
        change(model)
    raw = [f"i{i}" for i in range(1, lake.ITEMS + 1)]
    return "models/" + store_bundle(Lake(root).bundles, model, raw, snapshot_id="s", lineage="l")


def night_with(root, folder, rows, day=1, **config):
    snapshot = lake.published(root, rows, rows)
    context = replace(lake.context_of(root, f"night-{day}", "nightly", gate=config), day=date(2024, 3, day))
    lake.trained(context, snapshot, None, folder)
    return context


def test_a_challenger_that_lists_the_same_ten_items_to_everybody_fails_coverage_whatever_its_average(tmp_path, promoted):
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")

    def best_sellers(model):
        for values in model.parameters():
            values.zero_()

    folder = broken(tmp_path, 7, best_sellers)
    body = gate.run(night_with(tmp_path, folder, lake.sequences(250), margin=0.99)).output.sections["gate"]
    failed = [found["limit"] for found in body["limits"] if found["verdict"] == "failed"]
    assert body["decision"] == "rejected" and "coverage" in failed and promoted.calls == []
    assert [reason.split(":")[0] for reason in body["reasons"][: len(failed)]] == [
        f"limit {name.split(':')[0]}" for name in failed
    ]
    off = dict.fromkeys(
        ["slice_floor", "coverage", "popularity_lift", "list_churn", "calibration", "score_drift", "latency_growth"]
    )
    again = gate.run(night_with(tmp_path, folder, lake.sequences(250), day=2, margin=0.99, limits=off)).output.sections["gate"]
    assert again["decision"] == "promoted"
    assert [found["limit"] for found in again["limits"]] == ["finite", "bundle_growth"]


def test_a_model_with_a_nan_never_goes_live_also_as_the_first(tmp_path, promoted):
    def poisoned(model):
        next(iter(model.parameters())).view(-1)[-1] = float("nan")

    folder = broken(tmp_path, 7, poisoned)
    with pytest.raises(DataContractError, match="NaN or infinite"):
        gate.run(night_with(tmp_path, folder, lake.sequences(20)))
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    body = gate.run(night_with(tmp_path, folder, lake.sequences(250), day=2, margin=0.99)).output.sections["gate"]
    assert body["decision"] == "rejected" and "limit finite" in body["reasons"][0] and promoted.calls == []


def test_a_small_night_says_what_was_too_little_to_judge_and_slices_are_pooled(tmp_path, promoted):
    lake.ref_of(lake.bundle(tmp_path, 7), "run-0").save(tmp_path / "champion.json")
    nights = [
        gate.run(night_with(tmp_path, lake.bundle(tmp_path, 7), lake.sequences(60, seed), day=day)).output.sections["gate"]
        for day, seed in ((1, 3), (2, 4))
    ]
    tonight, together = ({found["limit"]: found for found in body["limits"]} for body in nights)
    assert tonight["slice_floor:head_items"]["verdict"] == "not_judged" and tonight["coverage"]["verdict"] == "not_judged"
    assert tonight["finite"]["verdict"] == tonight["bundle_growth"]["verdict"] == "passed"
    assert together["slice_floor:new_users"]["n"] > tonight["slice_floor:new_users"]["n"] > 0
    assert "60 rows, 100 are needed" in together["coverage"]["sentence"], "lists are tonight's"
