"""The gate's rule on rows written by hand: what is decided, from which figures, and what the reasons say."""

import numpy as np
import pytest

from nightrank.trainer.config.evaluation import GateConfig
from nightrank.trainer.evaluation import decision as rule
from nightrank.trainer.evaluation.decision import decided
from nightrank.trainer.evaluation.pooling import PairedRows


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
        (values(0.20, 250), values(0.25, 250, seed=1), "reject_if_worse", "promoted"),
    ],
    ids=[
        "better",
        "worse",
        "the same",
        "noise",
        "noise is not proof",
        "the same is proof",
        "199 rows",
        "no row",
        "a loss inside its interval",
    ],
)
def test_the_rule(ours, theirs, rule, wanted):
    decision = decided(PairedRows(ours, theirs), GateConfig(rule=rule), seed=1)
    assert decision.decision == wanted
    assert decision.n == len(ours)
    assert (decision.delta is None) == (not len(ours))


def test_the_interval_decides_and_not_the_difference_alone():
    """The same mean loss, far above the margin: certain where every row has it, noise where rows differ by far more."""
    steady = np.full(400, 0.5)
    noise = np.tile([1.0, -1.0], 200) + -0.03
    assert decided(PairedRows(steady - 0.03, steady), GateConfig(), 1).decision == "rejected"
    wild = decided(PairedRows(steady + noise, steady), GateConfig(), 1)
    assert wild.delta == pytest.approx(-0.03) and wild.ci[0] < wild.delta < 0 < wild.ci[1]
    assert wild.decision == "promoted"
    assert decided(PairedRows(steady + noise, steady), GateConfig(rule="require_not_worse"), 1).decision == "rejected"


@pytest.mark.parametrize("rows", [1, 20, 199])
def test_few_rows_keep_their_figures_with_a_wide_interval(rows):
    decision = decided(PairedRows(np.full(rows, 0.3), np.full(rows, 0.3)), GateConfig(), 1)
    assert (decision.decision, decision.delta, decision.challenger_ndcg) == ("undecidable", 0.0, pytest.approx(0.3))
    assert decision.ci[0] < 0 < decision.ci[1]


def test_a_full_run_in_a_small_shop_goes_live_unless_it_is_shown_to_be_worse():
    good, bad, none = (PairedRows(np.full(n, ours), np.full(n, 0.4)) for n, ours in ((30, 0.4), (30, 0.1), (0, 0.0)))
    assert [decided(rows, GateConfig(), 1, full=True).decision for rows in (good, bad, none)] == [
        "promoted",
        "rejected",
        "promoted",
    ]
    kept = GateConfig(too_few="keep_champion")
    assert decided(good, kept, 1, full=True).decision == "undecidable"
    strict = GateConfig(rule="require_not_worse")
    assert decided(none, strict, 1, full=True).decision == "undecidable"


def test_a_loss_that_is_certain_but_too_small_to_matter_is_promoted():
    theirs = np.full(1000, 0.5)
    ours = theirs - 0.001
    assert decided(PairedRows(ours, theirs), GateConfig(margin=0.02), 1).decision == "promoted"
    assert decided(PairedRows(ours, theirs), GateConfig(margin=0.0001), 1).decision == "rejected"


def rows_of(ours, theirs, count, nights=1):
    return PairedRows(np.full(count, ours), np.full(count, theirs), nights)


def figures(delta, low, high, margin):
    return f"delta {delta:+.5f}, interval {low:+.5f} to {high:+.5f}, margin {margin:.5f}"


REASONS = [
    # name, rows, config, full, verdict, reasons (figures aside)
    ("waits", (0.5, 0.5, 199), {}, False, "undecidable",
     ["199 hold-out rows, 200 are needed; they are pooled with those of the next nights"]),
    ("the champion stays after its nights", (0.5, 0.5, 7, 4), {"pool_nights": 4, "too_few": "keep_champion"}, False,
     "undecidable", ["7 hold-out rows of 4 nights, 200 are needed"]),
    ("the champion stays in a full run", (0.5, 0.5, 7), {"too_few": "keep_champion"}, True, "undecidable",
     ["7 hold-out rows, 200 are needed"]),
    ("there is no evidence against it", (0, 0, 0), {}, True, "promoted",
     ["0 hold-out rows, 200 are needed; there is no evidence against the challenger"]),
    ("there is no evidence against it after its nights", (0, 0, 0, 14), {}, False, "promoted",
     ["0 hold-out rows of 14 nights, 200 are needed; there is no evidence against the challenger"]),
    ("nothing proves it", (0, 0, 0), {"rule": "require_not_worse"}, True, "undecidable", ["0 hold-out rows, 200 are needed"]),
    ("the last night to wait for", (0.5, 0.5, 7, 13), {}, False, "undecidable",
     ["7 hold-out rows of 13 nights, 200 are needed; they are pooled with those of the next nights"]),
    ("few, but its nights have passed", (0.5, 0.5, 7, 14), {}, False, "promoted",
     ["not clearly worse: ", "7 hold-out rows of 14 nights, 200 are needed, but 14 nights have passed"]),
    ("few, but a full run", (0.5, 0.5, 7), {}, True, "promoted",
     ["not clearly worse: ", "7 hold-out rows, 200 are needed, but a full run is judged on these rows"]),
    ("few and strict", (0.5, 0.5, 7), {"rule": "require_not_worse"}, True, "rejected",
     ["not shown to be within the margin: ",
      "7 hold-out rows, 200 are needed, but a full run is judged on these rows"]),
    ("enough rows keep the champion by proof alone", (0.5, 0.5, 200), {"too_few": "keep_champion"}, False, "promoted",
     ["not clearly worse: "]),
    ("better", (0.6, 0.5, 200), {}, False, "promoted", ["better: "]),
    ("worse", (0.4, 0.5, 200), {}, False, "rejected", ["worse by more than the margin, and the interval lies below 0: "]),
    ("not worse", (0.5, 0.5, 200), {"rule": "require_not_worse"}, False, "promoted", ["not worse by more than the margin: "]),
    ("not shown", (0.4, 0.5, 200), {"rule": "require_not_worse"}, False, "rejected", ["not shown to be within the margin: "]),
    ("a margin of 20 %", (0.41, 0.5, 200), {"margin": 0.2}, False, "promoted", ["not clearly worse: "]),
    ("above 20 %", (0.39, 0.5, 200), {"margin": 0.2}, False, "rejected", ["worse by more than the margin"]),
    ("20 % and proof", (0.41, 0.5, 200), {"margin": 0.2, "rule": "require_not_worse"}, False, "promoted", ["not worse by"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rows", "config", "full", "verdict", "reasons"), [r[1:] for r in REASONS], ids=[r[0] for r in REASONS]
)
def test_the_reasons(rows, config, full, verdict, reasons):
    found = decided(rows_of(*rows), GateConfig(**config), 1, full=full)
    assert found.decision == verdict
    assert len(found.reasons) == len(reasons)
    for reason, wanted in zip(found.reasons, reasons, strict=True):
        assert reason.startswith(wanted) if wanted[-2:] == ": " or "hold-out" not in wanted else reason == wanted


@pytest.mark.parametrize(
    ("delta", "low", "high", "rule_name", "verdict", "reason"),
    [
        (-0.3, -0.4, -0.2, "reject_if_worse", "rejected", "worse"),
        (-0.3, -0.4, 0.0, "reject_if_worse", "promoted", "not clearly worse"),
        (-0.1, -0.2, -0.01, "reject_if_worse", "promoted", "not clearly worse"),
        (0.2, 0.0, 0.4, "reject_if_worse", "promoted", "not clearly worse"),
        (0.2, 0.01, 0.4, "reject_if_worse", "promoted", "better"),
        (0.0, -0.1, 0.1, "require_not_worse", "promoted", "not worse"),
        (0.0, -0.11, 0.1, "require_not_worse", "rejected", "not shown"),
    ],
    ids=[
        "certain and large",
        "an interval that ends at 0 proves no loss",
        "a loss of just the margin does not matter",
        "an interval that begins at 0 proves no gain",
        "above 0",
        "the lower end at minus the margin",
        "the lower end under minus the margin",
    ],
)
def test_the_rule_at_its_borders(delta, low, high, rule_name, verdict, reason):
    found, why = rule._verdict(delta, low, high, 0.1, GateConfig(rule=rule_name))
    assert found == verdict
    assert why.startswith(reason) and why.endswith(f": {figures(delta, low, high, 0.1)}")
