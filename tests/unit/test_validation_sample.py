"""Validation on a sample: the same rows, and so the same figures, for any number of ranks."""

import pytest
import torch

from nightrank.ranker.ctr.compose import compose_ctr
from nightrank.trainer.config.training import ValidationConfig
from nightrank.trainer.ctr.session import prepare
from nightrank.trainer.data.epoch import iter_part
from nightrank.trainer.data.plan import ReadPlan
from nightrank.trainer.loop.validation import Validator
from nightrank.trainer.ranks.communicator import SingleProcess
from nightrank.trainer.ranks.watchdog import Progress
from tests.impression_lake import ctr_job, ctr_section, impression_lake
from tests.thread_world import on_ranks
from tests.training_jobs import CPU, job_of, small_lake, training_of


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    root = tmp_path_factory.mktemp("lake")
    return root, small_lake(root)


@pytest.mark.parametrize(("most", "batch_rows"), [(77, 32), (77, 500), (1, 8), (None, 64)])
def test_figures_of_a_sample_are_the_same_for_one_two_and_three_ranks(lake, most, batch_rows):
    root, snapshot = lake
    ranker = training_of(job_of(root, snapshot)).ranker.eval()  # the threads share it
    config = ValidationConfig(max_rows=most, batch_rows=batch_rows)

    def figures(world):
        return Validator(snapshot, root, "valid", config, world, CPU, Progress())(ranker)

    one, two, three = (on_ranks(size, figures) for size in (1, 2, 3))
    assert one[0]["n"] == (most or snapshot.rows("valid"))
    for found in [*two, *three]:
        assert found == pytest.approx(one[0], rel=1e-12)


def test_a_sample_of_a_part_is_its_first_rows_whatever_the_ranks(lake):
    root, snapshot = lake

    def users(size, most):
        parts = [iter_part(snapshot, root, "valid", batch_rows=7, rank=r, world_size=size, most_rows=most) for r in range(size)]
        return [user for part in parts for batch in part for user in batch.users_B.tolist()]

    whole = users(1, None)
    assert len(whole) == snapshot.rows("valid") > 150
    for size in (1, 2, 5):
        assert users(size, 110) == whole[:110]
        assert users(size, 10_000) == whole


@pytest.mark.parametrize("most", [1, 40, 90, 1000])
def test_a_plan_of_a_sample_gives_the_same_rows_to_any_number_of_ranks(most):
    def rows(size):
        plan = ReadPlan((30, 0, 41, 50), 7, 2, size, 8, most_rows=most)
        parts = [segment for rank in range(size) for segment in plan.segments(rank)]
        assert plan.rows == min(most, 121)
        return [(segment.group, int(row)) for segment in parts for row in plan.row_order(segment)]

    assert len(rows(1)) == min(most, 121)
    assert rows(1) == rows(2) == rows(3)
    assert len(set(rows(4))) == min(most, 121)


def test_a_click_rankers_figures_of_a_sample_are_the_same_for_one_two_and_three_ranks(tmp_path):
    torch.set_num_threads(1)
    snapshot = impression_lake(tmp_path)
    job = ctr_job(tmp_path, snapshot, ctr_section("dnn", validation_rows=50), "sample")
    ranker = compose_ctr(job.ctr.model, prepare(job, SingleProcess(), Progress(), CPU).ranker.shapes, 3).eval()

    def figures(world):
        return prepare(job, world, Progress(), CPU).validator("impressions_valid")(ranker)

    one, two, three = (on_ranks(size, figures) for size in (1, 2, 3))
    assert one[0]["n"] == 50
    for found in [*two, *three]:
        assert found == pytest.approx(one[0], rel=1e-6)
