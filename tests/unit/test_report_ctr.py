"""The click ranker on the report's page: figures by answer, a word for what is no better than chance, its curves."""

from nightrank.feature_store.contracts.files import write_json
from nightrank.feature_store.contracts.storage import locate
from nightrank.pipeline.report.ctr import ctr
from nightrank.pipeline.report.files import write_report
from nightrank.pipeline.report.page import render
from tests.unit.report_sample import sample_curves, sample_result, sample_users
from tests.unit.test_report_page import parsed

TEST = {
    "n": 1234.0,
    "click/auc": 0.71294,
    "click/log_loss": 0.31,
    "<b>cart</b>/auc": 0.4871,
    "<b>cart</b>/log_loss": 0.2,
    "auc": 0.6,
    "log_loss": 0.25,
}
SECTION = {"name": "nightrank-ctr", "version": 3, "manifest_sha256": "m", "model": "dcnv2", "test": TEST}
CURVES = {"step": [1, 2, 3], "loss": [0.7, 0.5, 0.4], "valid": [{"step": 3, "epoch": 1, "auc": 0.6, "log_loss": 0.3, "n": 9}]}


def page(test=TEST, curves=CURVES):
    return render({**sample_result(), "ctr": {**SECTION, "test": test}}, sample_curves(), sample_users(), curves)


def test_each_answer_has_its_figures():
    text = " ".join(" ".join(parsed(page()).words).split())
    assert "Click ranker dcnv2, registered as nightrank-ctr 3" in text and "the 1,234 newest impressions" in text
    assert "click 0.7129 0.3100" in text and "<b>cart</b> 0.4871 0.2000" in text
    assert "No better than chance: <b>cart</b>." in text
    assert "AUC on validation, mean over answers" in text
    assert "<b>cart" not in page(), "what comes from outside is escaped"


def test_a_ranker_without_test_rows_says_so_and_a_run_without_one_says_nothing():
    bare = " ".join(parsed(page(test=None, curves={})).words)
    assert "There were no test impressions" in bare and "No better than chance" not in bare
    assert "Click ranker" not in render(sample_result(), sample_curves(), sample_users())


def test_the_curves_are_those_that_the_stage_left(tmp_path):
    tmp_path = tmp_path / "runs" / "nightly"
    left = {"name": "train_ctr", "output": {"ctr_training": {"curves": {"ctr": CURVES}}}}
    write_json(tmp_path / "stages" / "train_ctr.json", left)
    written = write_report(locate(tmp_path), {**sample_result(), "ctr": SECTION}).read_text()
    assert written.count("AUC on validation, mean over answers") == page().count("AUC on validation, mean over answers") > 0


def test_features_and_rows_left_over_are_named_where_the_run_counted_them():
    names = {"user": ["count_7d"], "item": ["recency_days"], "attributes": []}
    told = ctr({**SECTION, "dropped": 0, "features": {"names": names, "read_by": "dcnv2"}}, {})
    assert dict(told.facts) == {"Rows left over": "0", "Features": "user count_7d; item recency_days. Read by dcnv2"}
    assert ctr({**SECTION, "dropped": None, "features": None}, {}).facts == () == ctr(SECTION, {}).facts
