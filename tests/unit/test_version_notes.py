"""What a registered version says of itself: ranker, settings, figures with intervals, the gate's decision."""

from nightrank.trainer.tracking.version_notes import ctr_notes_of, notes_of

MODEL = {"name": "nightrank", "version": 3, "ranker": "transformer", "settings": {"width": 64, "head": "dot"}}
ROW = {
    "recommender": "challenger",
    "split": "holdout",
    "slice": "all",
    "name": "ndcg",
    "k": 10,
    "value": 0.12345,
    "ci": [0.1, 0.15],
}
GATE = {"decision": "promoted", "reasons": ["+0.010 NDCG@10 over the champion", "400 rows"]}


def test_before_there_is_a_result_ranker_and_settings_are_named():
    notes = notes_of("full-2026-01-01", "2026-01-01", MODEL)
    assert notes.description == (
        "**transformer**, trained by run `full-2026-01-01` on data up to 2026-01-01.\nSettings: width 64, head dot."
    )
    assert notes.tags == {"nightrank.ranker": "transformer"}


def test_figures_come_with_their_intervals_and_only_the_challengers():
    others = [
        {**ROW, "recommender": "champion"},
        {**ROW, "slice": "cold"},
        {**ROW, "k": 20},
        {**ROW, "name": "map"},
        {**ROW, "split": "test", "value": None},
    ]
    rows = [{**row, "n": 400} for row in [ROW, *others, {**ROW, "split": "test", "name": "recall", "value": 1, "ci": None}]]
    notes = notes_of("r", "2026-01-01", MODEL, {"metrics": rows, "gate": GATE})
    table = [line for line in notes.description.splitlines() if line.startswith("|")]
    assert table[2:] == ["| holdout | ndcg@10 | 0.1235 | [0.1000, 0.1500] | 400 |", "| test | recall@10 | 1.0000 |  | 400 |"]
    assert notes.tags["nightrank.holdout.ndcg_at_10"] == "0.1235 [0.1000, 0.1500] n=400"
    assert notes.tags["nightrank.gate"] == "promoted"
    assert "Gate: **promoted**, it became the champion (+0.010 NDCG@10 over the champion; 400 rows)." in notes.description


def test_a_click_ranker_says_its_test_figures_where_it_has_some():
    notes = ctr_notes_of("r", "2026-01-01", "din", {"auc": 0.7, "log_loss": 0.4, "n": 90})
    assert notes.description.endswith("On 90 test rows: auc 0.7000, log_loss 0.4000.")
    assert notes.tags == {"nightrank.ranker": "din", "nightrank.test.auc": "0.7000", "nightrank.test.log_loss": "0.4000"}
    assert ctr_notes_of("r", "2026-01-01", "din", None).tags == {"nightrank.ranker": "din"}
