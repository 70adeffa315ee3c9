"""A drawn place: what stands before it stays, nothing is lost or doubled, and the log says what was done."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nightrank.feature_store.contracts.experiment_settings import ExploreSettings
from nightrank.spark_jobs.executor.experiment import ExperimentRules, arms, explored
from nightrank.spark_jobs.executor.list_rows import Listed

K = 4


def rules(explore: ExploreSettings | None, night: str = "2025-03-01") -> ExperimentRules:
    return ExperimentRules("first", {"a": 0.5, "b": 0.5}, {"a": None, "b": None}, explore, night)


def listed(count: int, fillers: tuple[int, ...] = ()) -> Listed:
    ids = np.arange(1, count + 1) * 10
    return Listed(ids, -np.arange(count, dtype=np.float32), fillers=dict.fromkeys(fillers, "filled"))


@given(st.integers(0, 12), st.integers(1, K), st.integers(2, 8), st.text(max_size=5))
def test_places_before_it_stay_and_no_item_is_lost_or_doubled(count, place, candidates, user):
    whole = listed(count)
    found = explored(whole, user, rules(ExploreSettings(place=place, candidates=candidates, uniform=0.5)), K)
    assert len(found.ids) == min(count, K) and len(set(found.ids.tolist())) == len(found.ids)
    assert (found.ids[: place - 1] == whole.ids[: place - 1][:K]).all()
    assert found.scores.tolist() == [-float(item / 10 - 1) for item in found.ids]
    if found.drawn is None:
        assert count - place + 1 < 2 and (found.ids == whole.ids[:K]).all()
        return
    drawn = found.drawn
    assert drawn.candidates.tolist() == whole.ids[place - 1 :][:candidates].tolist()
    assert found.ids[place - 1] == drawn.candidates[drawn.chosen]
    assert np.isclose(drawn.chances.sum(), 1) and len(drawn.scores) == len(drawn.candidates)
    rest = [item for item in whole.ids.tolist() if item != found.ids[place - 1]]
    assert found.ids.tolist() == [*rest[: place - 1], found.ids[place - 1], *rest[place - 1 :]][:K]


def test_draws_are_repeated_within_a_night_and_differ_between_nights():
    explore = ExploreSettings(place=2, candidates=6, uniform=1.0)
    users = [f"u{number}" for number in range(200)]

    def chosen(night: str) -> list[int]:
        return [int(explored(listed(8), user, rules(explore, night), K).ids[1]) for user in users]

    assert chosen("2025-03-01") == chosen("2025-03-01") != chosen("2025-03-02")
    assert set(chosen("2025-03-01")) == {20, 30, 40, 50, 60, 70}


def test_items_that_fill_a_list_are_no_candidates():
    found = explored(listed(6, fillers=(40, 50, 60)), "u", rules(ExploreSettings(place=2, candidates=6)), K)
    assert found.drawn is not None and found.drawn.candidates.tolist() == [20, 30]
    assert explored(listed(6, fillers=(30, 40, 50, 60)), "u", rules(ExploreSettings(place=2)), K).drawn is None


def test_without_a_place_to_draw_the_list_is_cut_alone():
    found = explored(listed(6), "u", rules(None), K)
    assert found.drawn is None and found.ids.tolist() == [10, 20, 30, 40] and rules(None).depth(K) == K
    assert rules(ExploreSettings(place=3, candidates=20)).depth(K) == 22


def test_every_row_is_in_one_arm():
    users = [f"u{number}" for number in range(50)]
    rows = list(range(0, 50, 2))
    found = dict(arms(rules(None), users, rows))
    assert sorted(row for own in found.values() for row in own) == rows and set(found) == {"a", "b"}
    assert list(arms(None, users, rows)) == [(None, rows)] and list(arms(rules(None), users, [])) == []
