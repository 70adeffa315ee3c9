"""The champion: one door, and a promotion that is a compare-and-set."""

from pathlib import Path

import pytest

from nightrank.feature_store.contracts.champion import replace_champion
from nightrank.feature_store.contracts.context import StageContext
from nightrank.feature_store.contracts.errors import ConflictError, UsageError
from nightrank.feature_store.contracts.lake import Lake
from tests import evaluation_lake as lake


def ref(name: str, run_id: str, version: int = 1):
    return lake.ref_of(f"models/{name}", run_id, version)


def context(root: Path, run_id: str) -> StageContext:
    return lake.context_of(root, run_id)


def test_before_the_first_there_is_none_in_one_wording(tmp_path):
    assert Lake(tmp_path).champion() is None
    with pytest.raises(UsageError, match="has no champion yet"):
        Lake(tmp_path).expect_champion()


def test_the_first_and_the_next_name_what_they_replaced(tmp_path):
    replace_champion(context(tmp_path, "one"), ref("a", "one"), over=None)
    replace_champion(context(tmp_path, "two"), ref("b", "two"), over="a")
    found = Lake(tmp_path).expect_champion()
    assert (found.manifest_sha256, found.alias, found.replaced) == ("b", "champion", "a")


@pytest.mark.parametrize("over", [None, "x"])
def test_over_another_champion_than_the_compared_one_nothing_is_written(tmp_path, over):
    replace_champion(context(tmp_path, "one"), ref("a", "one"), over=None)
    before = Lake(tmp_path).champion_path.read_bytes()
    with pytest.raises(ConflictError, match="the champion is the model a now"):
        replace_champion(context(tmp_path, "two"), ref("b", "two"), over=over)
    assert Lake(tmp_path).champion_path.read_bytes() == before


def test_a_promotion_that_was_cut_off_after_its_write_is_repeated_without_harm(tmp_path):
    for _ in range(2):
        replace_champion(context(tmp_path, "one"), ref("a", "one"), over=None)
    assert Lake(tmp_path).expect_champion().replaced is None


def test_a_run_that_promoted_its_own_still_knows_the_champion_it_found(tmp_path):
    replace_champion(context(tmp_path, "one"), ref("a", "one"), over=None)
    night = context(tmp_path, "two")
    assert night.champion_found().manifest_sha256 == "a"
    replace_champion(night, ref("b", "two"), over="a")
    replace_champion(night, ref("c", "two", 2), over="b")
    assert night.champion_found().manifest_sha256 == "a"
    assert context(tmp_path, "three").champion_found().manifest_sha256 == "c"
