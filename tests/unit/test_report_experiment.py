"""The experiment on the page: its verdict in words, its charts, and the schema of its section."""

import json
from pathlib import Path

import jsonschema
import pytest

from nightrank.feature_store.contracts.outputs.feedback import ArmRead, ExperimentRead, FeedbackRead, PolicyRead
from nightrank.pipeline.report.experiment import experiment
from nightrank.pipeline.report.page import render
from tests.unit.report_sample import sample_curves, sample_result, sample_users

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "reference" / "result.schema.json").read_text())


def section(**changes):
    control = ArmRead(
        name="control", users=400, lists=700, expected_users=395, mean=0.31, difference=None, always=None, may_stop=False
    )
    new = ArmRead(
        name="<new>",
        users=390,
        lists=690,
        expected_users=395,
        mean=0.4,
        difference=(0.09, 0.05, 0.13),
        always=(0.02, 0.16),
        may_stop=True,
    )
    policies = (
        PolicyRead(name="logged", estimator="logged", value=0.2, low=0.18, high=0.22, effective_rounds=1_390),
        PolicyRead(name="best", estimator="ips", value=0.25, low=0.19, high=0.31, effective_rounds=420.5),
        PolicyRead(name="best", estimator="doubly_robust", value=0.24, low=0.2, high=0.28, effective_rounds=420.5),
    )
    read = ExperimentRead(
        name="lists",
        since="2025-03-01",
        lists=1_390,
        shown_of=2_000,
        ratio_p_value=0.7,
        ratio_mismatch=False,
        arms=(control, new),
        policies=policies,
    )
    return FeedbackRead(experiment=read).sections["experiment"] | changes


def test_the_section_is_as_the_schema_says():
    part = {"$schema": SCHEMA["$schema"], **SCHEMA["properties"]["experiment"]}
    jsonschema.validate(json.loads(json.dumps(section())), part)
    jsonschema.validate(FeedbackRead(experiment=None).sections["experiment"], part)


def test_the_page_says_whether_to_stop_and_escapes_names():
    page = render({**sample_result(), "experiment": section()}, sample_curves(), sample_users())
    assert "The experiment may stop: &lt;new&gt; is better than control." in page and "<new>" not in page
    assert "1,390 of 2,000 lists since 2025-03-01 were shown" in page
    assert "doubly robust" in page and "0.2500 [0.1900, 0.3100]" in page


@pytest.mark.parametrize(
    ("changes", "tone", "words"),
    [
        ({"ratio_mismatch": True, "ratio_p_value": 1e-7}, "bad", "do not have the users that they should (p = 1e-07)"),
        ({"arms": section()["arms"][:1]}, "calm", "nothing to compare"),
        ({"arms": [{**arm, "may_stop": False} for arm in section()["arms"]]}, "calm", "No arm differs from control yet"),
    ],
)
def test_the_verdict_in_other_cases(changes, tone, words):
    view = experiment(section(**changes))
    assert view is not None and view.tone == tone and words in view.verdict


def test_there_is_no_section_without_an_experiment():
    assert experiment(None) is None
    assert "The experiment" not in render(sample_result(), sample_curves(), sample_users())
