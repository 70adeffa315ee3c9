"""The study with an objective that takes no time: the same seed gives the same trials, however often the search is killed."""

import math

import pytest
from optuna.trial import TrialState
from PIL import Image

from nightrank.trainer.config.tune import PrunerConfig, TuneConfig
from nightrank.trainer.tune import pictures
from nightrank.trainer.tune import study as studies
from nightrank.trainer.tune.search import Outcome, Search
from nightrank.trainer.tune.space import Choices, Range

SPACE = {
    "trainer.fit.learning_rate": Range(low=1e-4, high=1e-1, log=True),
    "trainer.model.encoder.dropout": Range(low=0.0, high=0.6, step=0.1),
    "trainer.model.width": Choices(choices=(8, 16, 32)),
}
LR, DROPOUT, WIDTH = sorted(SPACE)
CONFIG = TuneConfig(startup_trials=3)


class Killed(Exception):
    """Stands for the process' end."""


def value_of(params) -> float:
    return 1 - (math.log10(params[LR]) + 2) ** 2 / 10 - abs(params[DROPOUT] - 0.3) - 1 / params[WIDTH]


def whole(number, params) -> Outcome:
    return Outcome("complete", value_of(params))


def search_in(folder, trials=12, space=SPACE, seed=17, config=CONFIG, **more) -> Search:
    studies.mend(folder)
    return Search(studies.open_study(folder, config.pruner), space, config, seed, trials, **more)


def rows(search):
    return [(trial.number, trial.params, trial.value, trial.state) for trial in studies.finished(search.study)]


def searched(folder, **settings):
    search = search_in(folder, **settings)
    search.run(whole)
    return rows(search)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return searched(tmp_path_factory.mktemp("whole") / "s")


def test_the_same_seed_gives_the_same_trials_and_another_others(tmp_path, undisturbed):
    assert searched(tmp_path / "again") == undisturbed
    others = searched(tmp_path / "other", seed=18)
    assert not {row[1][LR] for row in others} & {row[1][LR] for row in undisturbed}


def test_the_estimator_learns(undisturbed):
    values = [row[2] for row in undisturbed]
    assert len(values) == 12
    assert max(values[3:]) > max(values[:3])


@pytest.mark.parametrize("killed_at", [0, 2, 7])
def test_a_killed_search_goes_on_with_the_trial_that_was_cut_off_and_ends_the_same(tmp_path, undisturbed, killed_at):
    begun = []

    def objective(number, params) -> Outcome:
        begun.append((number, params))
        if number == killed_at and len(begun) == killed_at + 1:
            raise Killed
        return whole(number, params)

    with pytest.raises(Killed):
        search_in(tmp_path / "s").run(objective)
    search = search_in(tmp_path / "s")
    search.run(objective)
    assert rows(search) == undisturbed
    assert [number for number, _ in begun] == [*range(killed_at + 1), *range(killed_at, 12)]
    assert begun[killed_at] == begun[killed_at + 1]


def test_more_trials_go_on_where_fewer_ended(tmp_path, undisturbed):
    assert searched(tmp_path / "s", trials=5) == undisturbed[:5]
    assert searched(tmp_path / "s", trials=12) == undisturbed
    assert searched(tmp_path / "s", trials=4) == undisturbed, "there are enough already"


@pytest.mark.parametrize("cut", [1, 30])
def test_a_line_that_was_cut_off_is_dropped_and_that_trial_begun_again(tmp_path, undisturbed, cut):
    searched(tmp_path / "s", trials=5)
    journal = tmp_path / "s" / studies.JOURNAL
    journal.write_bytes(journal.read_bytes()[:-cut])
    (tmp_path / "s" / f"{studies.JOURNAL}.lock").symlink_to(journal)
    assert searched(tmp_path / "s") == undisturbed


def test_the_first_trial_is_the_configuration_itself(tmp_path):
    first = {LR: 0.001, DROPOUT: 0.2, WIDTH: 16}
    found = searched(tmp_path / "s", trials=2, first=first)
    assert (found[0][1], found[1][1] == first) == (first, False)


def test_a_small_space_is_tried_once_and_then_exhausted(tmp_path, capsys):
    space = {WIDTH: Choices(choices=(8, 16)), DROPOUT: Range(low=0.0, high=0.2, step=0.1)}
    search = search_in(tmp_path / "s", trials=50, space=space)
    assert search.run(lambda number, params: Outcome("complete", params[DROPOUT]))
    tried = [tuple(sorted(row[1].items())) for row in rows(search)]
    assert len(tried) == len(set(tried)) == 6
    assert [row[1][DROPOUT] for row in rows(search) if row[1][DROPOUT] not in (0.0, 0.1, 0.2)] == []
    assert "everything in the space was tried after 6 trials" in capsys.readouterr().err


def test_no_trial_begins_when_the_time_is_over(tmp_path):
    search = search_in(tmp_path / "s", until=0.0)
    assert not search.run(whole)
    assert rows(search) == []


def test_a_failed_trial_has_its_reason_and_is_not_the_end(tmp_path):
    def objective(number, params) -> Outcome:
        return Outcome("failed", reason="step 3: loss sum nan") if number == 1 else whole(number, params)

    search = search_in(tmp_path / "s", trials=4)
    search.run(objective)
    states = [row[3] for row in rows(search)]
    assert states == [TrialState.COMPLETE, TrialState.FAIL, TrialState.COMPLETE, TrialState.COMPLETE]
    assert studies.finished(search.study)[1].user_attrs == {studies.REASON: "step 3: loss sum nan"}
    assert studies.best_of(studies.finished(search.study)).number != 1


def curve(search, folder, number, values, state="complete"):
    """A trial with these validations; the epoch at which the pruner ends it, if it does."""
    at = None
    for epoch in range(1, len(values) + 1):
        seen = dict(enumerate(values[:epoch], 1))
        # As the ranks do it: opened anew each time.
        if studies.report(studies.open_study(folder, search.config.pruner), number, seen) and epoch < len(values):
            at = epoch
            break
    return Outcome("pruned" if at else "complete", max(values[: at or len(values)])), at


@pytest.mark.parametrize(
    ("pruner", "wanted"),
    [
        (PrunerConfig(startup_trials=2, warmup_epochs=1), [None, None, 2, None]),
        (PrunerConfig(startup_trials=2, warmup_epochs=2), [None, None, 3, None]),
        (PrunerConfig(name="halving", first_rung=1, reduction=2), [None, None, 1, None]),
        (PrunerConfig(name="none"), [None] * 4),
    ],
    ids=["median", "later", "halving", "none"],
)
def test_a_trial_below_the_others_is_pruned(tmp_path, pruner, wanted):
    curves = [[0.2, 0.3, 0.4, 0.5], [0.3, 0.4, 0.5, 0.6], [0.1, 0.1, 0.1, 0.9], [0.4, 0.5, 0.6, 0.7]]
    found = []
    search = search_in(tmp_path / "s", trials=4, config=TuneConfig(pruner=pruner))

    def objective(number, params) -> Outcome:
        outcome, at = curve(search, tmp_path / "s", number, curves[number])
        found.append(at)
        return outcome

    search.run(objective)
    assert found == wanted
    assert studies.best_of(studies.finished(search.study)).number == (3 if any(wanted) else 2)


def test_a_validation_that_was_reported_before_is_kept(tmp_path):
    search = search_in(tmp_path / "s")
    number = studies.begin(search.study, SPACE, CONFIG, 1, None).number
    studies.report(search.study, number, {1: 0.5})
    studies.report(search.study, number, {1: 0.5, 2: 0.6})
    assert studies.unfinished(search.study).intermediate_values == {1: 0.5, 2: 0.6}


@pytest.mark.parametrize("importance", ["fanova", "mean_decrease"])
def test_the_pictures_are_drawn_and_know_what_matters(tmp_path, importance):
    config = TuneConfig(startup_trials=8, importance=importance)
    search = search_in(tmp_path / "s", trials=30, config=config)
    search.run(lambda number, params: Outcome("complete", -((math.log10(params[LR]) + 2) ** 2) - params[DROPOUT] / 10))
    shares = pictures.importances(search.study, SPACE, config, 1)
    assert next(iter(shares)) == LR and shares[LR] > 0.5 and sum(shares.values()) == pytest.approx(1)
    drawn = pictures.draw(search.study, SPACE, config, 1, tmp_path)
    assert sorted(drawn) == ["history", "importance"]
    for path in drawn.values():
        with Image.open(path) as picture:
            assert picture.width > 800 and len(picture.convert("RGB").getcolors(100_000)) > 20


def test_too_few_trials_have_no_importance(tmp_path):
    search = search_in(tmp_path / "s", trials=2)
    search.run(whole)
    assert list(pictures.draw(search.study, SPACE, CONFIG, 1, tmp_path)) == ["history"]
    none = search_in(tmp_path / "empty")
    assert list(pictures.draw(none.study, SPACE, CONFIG, 1, tmp_path)) == ["history"]
