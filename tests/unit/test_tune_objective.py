"""What becomes of a trial: its own faults fail it, faults of the machine or the data end the search."""

from pathlib import Path

import pytest

from nightrank.feature_store.contracts.errors import ConfigError, DataContractError, NightrankError, StalledError
from nightrank.feature_store.contracts.files import write_json
from nightrank.pipeline.config import configured
from nightrank.trainer.ranks.faults import DivergedError
from nightrank.trainer.tune import objective
from nightrank.trainer.tune.space import Choices
from nightrank.trainer.tune.spec import StudySpec

WIDTH = "trainer.model.width"


@pytest.fixture
def spec(tmp_path: Path) -> StudySpec:
    space = {WIDTH: Choices(choices=(8, 16))}
    facts = {"run_id": "full-2024-01-01", "date": "2024-01-01", "snapshot": "c" * 64}
    return StudySpec(root=str(tmp_path), config=configured(["tiny"], []), differing={}, space=space, trials=3, **facts)


def launched(monkeypatch, result=None, fault=None) -> list:
    """Stands for the ranks: they leave a checkpoint, and a result or a fault."""
    jobs = []

    def launch(job) -> None:
        jobs.append(job)
        write_json(job.checkpoints / "run-1-fit.json", {})
        if fault is not None:
            raise fault
        write_json(job.result_path, result)

    monkeypatch.setattr(objective, "launch", launch)
    return jobs


@pytest.mark.parametrize(
    ("result", "wanted"),
    [
        ({"value": 0.5, "pruned": False}, ("complete", 0.5, None)),
        ({"value": 0.4, "pruned": True}, ("pruned", 0.4, None)),
        ({"value": None, "pruned": False}, ("failed", None, "nothing was validated")),
    ],
)
def test_the_ranks_result_is_the_outcome_and_is_trained_once(monkeypatch, spec, result, wanted) -> None:
    jobs = launched(monkeypatch, result)
    for _ in range(2):
        outcome = objective.run_trial(spec, 2, {WIDTH: 16})
        assert (outcome.state, outcome.value, outcome.reason) == wanted
    (job,) = jobs
    assert (job.config.model.width, job.trial.number, job.trial.study) == (16, 2, f"tune/{spec.study}")
    assert job.result_path == spec.folder / "trial-0002" / "result.json" and not job.checkpoints.exists()


@pytest.mark.parametrize("fault", [DivergedError("step 3: loss sum nan"), NightrankError("rank 0 of 1 ended with MemoryError")])
def test_a_fault_of_its_own_fails_the_trial(monkeypatch, spec, fault) -> None:
    launched(monkeypatch, fault=fault)
    outcome = objective.run_trial(spec, 0, {WIDTH: 8})
    assert (outcome.state, outcome.reason) == ("failed", fault.message)
    assert not (spec.folder / "trial-0000" / "checkpoints").exists()


@pytest.mark.parametrize("fault", [StalledError("rank 1"), DataContractError("torn"), ConfigError("this machine's own name")])
def test_any_other_fault_ends_the_search_and_keeps_the_checkpoints(monkeypatch, spec, fault) -> None:
    launched(monkeypatch, fault=fault)
    with pytest.raises(type(fault)):
        objective.run_trial(spec, 0, {WIDTH: 8})
    assert (spec.folder / "trial-0000" / "checkpoints").exists()


def test_a_trial_that_keeps_losing_ranks_fails_in_the_end(monkeypatch, spec) -> None:
    launched(monkeypatch, fault=StalledError("rank 1 was lost"))
    for _ in range(2):
        with pytest.raises(StalledError):
            objective.run_trial(spec, 0, {WIDTH: 8})
    launched(monkeypatch, fault=KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        objective.run_trial(spec, 0, {WIDTH: 8})
    launched(monkeypatch, fault=StalledError("rank 1 was lost"))
    assert objective.run_trial(spec, 0, {WIDTH: 8}).reason == "rank 1 was lost"


def test_a_rank_lost_after_the_result_was_written_loses_nothing(monkeypatch, spec) -> None:
    def launch(job) -> None:
        write_json(job.result_path, {"value": 0.5, "pruned": False})
        raise StalledError("rank 0 was lost")

    monkeypatch.setattr(objective, "launch", launch)
    assert objective.run_trial(spec, 0, {WIDTH: 8}).value == 0.5


def test_parameters_that_do_not_go_together_fail_the_trial_before_it_is_launched(monkeypatch, spec) -> None:
    jobs = launched(monkeypatch, {"value": 0.5, "pruned": False})
    outcome = objective.run_trial(spec, 0, {WIDTH: 17})
    assert (outcome.state, jobs) == ("failed", []) and "width 17 is not a multiple" in outcome.reason
