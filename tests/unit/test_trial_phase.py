"""A trial's phase: rank 0 is asked after each validation, all ranks end together, no bundle is made."""

import pytest

from nightrank.trainer.config.job import Trial
from nightrank.trainer.config.tune import PrunerConfig
from nightrank.trainer.worker.phases import fit_trial
from tests.thread_world import on_ranks
from tests.training_jobs import job_of, small_lake, training_of


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    return root, small_lake(root)


def trial_job(lake, number, **changes):
    job = job_of(*lake, {"fit": {"epochs": 3, "patience": None}, **changes})
    return job.model_copy(update={"trial": Trial(study="tune/s", number=number, pruner=PrunerConfig())})


def never(state) -> bool:
    return False


def test_all_ranks_end_where_rank_0_is_told_to(lake):
    def work(rank):
        epochs = []

        def prunes(state) -> bool:
            epochs.append(state.epoch)
            return state.epoch == 2

        state = fit_trial(training_of(trial_job(lake, 0), rank), prunes)
        return epochs, state.epoch, state.pruned, state.phase_done

    assert on_ranks(2, work) == [([1, 2], 2, True, True), ([], 2, True, True)]


def test_the_last_epoch_is_shown_but_not_pruned(lake):
    shown = []

    def prunes(state) -> bool:
        shown.append([row["epoch"] for row in state.curve.valid])
        return state.epoch == 3

    state = fit_trial(training_of(trial_job(lake, 1)), prunes)
    assert (shown, state.pruned, state.epoch) == ([[1], [1, 2], [1, 2, 3]], False, 3)


def test_a_pruned_trial_that_is_begun_again_stays_pruned(lake):
    job = trial_job(lake, 2)
    first = fit_trial(training_of(job), lambda state: True)
    again = fit_trial(training_of(job), never)
    assert (again.epoch, again.pruned, again.curves) == (1, True, first.curves)


def test_a_trial_leaves_its_files_in_its_study_and_no_bundle(lake):
    job = trial_job(lake, 3)
    state = fit_trial(training_of(job), never)
    folder = lake[0] / "tune" / "s" / "trial-0003"
    assert (job.path.path, job.checkpoints.path) == (folder / "job.json", folder / "checkpoints")
    assert any(job.checkpoints.children())
    assert (state.bundles, (lake[0] / "models").exists(), (lake[0] / "checkpoints").exists()) == ({}, False, False)


def test_asking_changes_nothing_in_the_curve(lake):
    from nightrank.trainer.worker.phases import train

    whole = train(training_of(job_of(*lake, {"fit": {"epochs": 3, "patience": None}}, run_id="whole")))
    assert fit_trial(training_of(trial_job(lake, 4)), never).curves["fit"] == whole.curves["fit"]
