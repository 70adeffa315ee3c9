"""A result on disk is taken for the training that it answers alone. With ranks: tests/distributed/test_train_again.py."""

from pathlib import Path

import pytest

from nightrank.feature_store.contracts.files import write_json
from nightrank.trainer.config.ctr import CtrTrainerConfig
from nightrank.trainer.config.job import Job
from nightrank.trainer.stages.train import result_of
from tests.training_jobs import job_of, small_lake


@pytest.fixture(params=[None, CtrTrainerConfig()], ids=["train", "train_ctr"])
def job(request: pytest.FixtureRequest, tmp_path: Path) -> Job:
    """As the stage makes it, with the result of its own workers on disk."""
    made = job_of(tmp_path, small_lake(tmp_path, users=20))
    made = made.model_copy(update={"ctr": request.param, "fingerprint": "f", "repetition": 1})
    write_json(made.result_path, {"training": {"steps": 3}, "answer": made.answer})
    return made


def test_its_own_result_is_handed_on(job: Job) -> None:
    assert result_of(job) == {"training": {"steps": 3}}
    assert result_of(job.model_copy(update={"attempt": job.attempt + 1, "fence": 9})) == {"training": {"steps": 3}}


@pytest.mark.parametrize("changes", [{"fingerprint": "of another configuration"}, {"repetition": 2}, {"repetition": 0}])
def test_of_another_configuration_or_repetition_it_is_none(job: Job, changes: dict[str, object]) -> None:
    assert result_of(job.model_copy(update=changes)) is None


def test_without_an_answer_or_a_file_it_is_none(job: Job) -> None:
    write_json(job.result_path, {"training": {"steps": 3}})
    assert result_of(job) is None
    job.result_path.unlink()
    assert result_of(job) is None


def test_a_repetition_starts_from_the_beginning(job: Job) -> None:
    assert job.checkpoints != job.model_copy(update={"repetition": 2}).checkpoints
