"""What a study looks like: how its best value came about, and which keys mattered. PNG files, drawn with matplotlib."""

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal

import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from optuna.importance import FanovaImportanceEvaluator, MeanDecreaseImpurityImportanceEvaluator
from optuna.trial import FrozenTrial, TrialState

from nightrank.trainer.config.tune import TuneConfig
from nightrank.trainer.tune import study as studies
from nightrank.trainer.tune.space import Space

HISTORY, IMPORTANCE = "history.png", "importance.png"
INK, FAINT, WARN = "#1f5fa8", "#9db4cc", "#b3402e"
LEAST: Final = 4
"""Whole trials without which an importance would be a guess."""


def draw(study: optuna.Study, space: Space, config: TuneConfig, seed: int, folder: Path) -> dict[str, Path]:
    """The pictures that can be drawn, by name. Too few trials, or all of the same value, leave the importance out."""
    trials = studies.finished(study)
    drawn = {"history": _history(trials, folder / HISTORY)}
    shares = importances(study, space, config, seed)
    if shares:
        drawn["importance"] = _importance(shares, config, folder / IMPORTANCE)
    return drawn


def importances(study: optuna.Study, space: Space, config: TuneConfig, seed: int) -> dict[str, float]:
    """Share of each key in the difference between finished trials, largest first; {} where it cannot be computed."""
    whole = [trial for trial in studies.finished(study) if trial.state == TrialState.COMPLETE]
    if len(whole) < LEAST or len({trial.value for trial in whole}) < 2:
        return {}
    kind = FanovaImportanceEvaluator if config.importance == "fanova" else MeanDecreaseImpurityImportanceEvaluator
    params = [key for key in sorted(space) if len({repr(trial.params[key]) for trial in whole}) > 1]
    if not params:
        return {}
    found = optuna.importance.get_param_importances(study, evaluator=kind(seed=seed), params=params)
    return {key: float(value) for key, value in sorted(found.items(), key=lambda pair: -pair[1])}


def _history(trials: Sequence[FrozenTrial], path: Path) -> Path:
    figure, axes = _axes(7.2, 3.6, "y")
    for state, colour, label in ((TrialState.COMPLETE, INK, "whole"), (TrialState.PRUNED, FAINT, "pruned")):
        dots = {trial.number: value for trial in trials if trial.state == state and (value := _value(trial)) is not None}
        if dots:
            axes.scatter(list(dots), list(dots.values()), color=colour, label=label, s=24, zorder=3)
    failed = [trial.number for trial in trials if trial.state == TrialState.FAIL]
    if failed:
        bottom = axes.get_ylim()[0]
        axes.scatter(failed, [bottom] * len(failed), marker="x", color=WARN, label="failed", s=28, zorder=3)
    steps = _best_so_far(trials)
    if steps:
        numbers, values = zip(*steps, strict=True)
        axes.step(numbers, values, where="post", color=INK, linewidth=1.4, label="best so far")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("trial")
    axes.set_ylabel("validation NDCG@10")
    if trials:
        axes.legend(frameon=False, fontsize=8, loc="lower right")
    return _saved(figure, path)


def _importance(shares: dict[str, float], config: TuneConfig, path: Path) -> Path:
    figure, axes = _axes(7.2, 1.0 + 0.42 * len(shares), "x")
    names = [key.removeprefix("trainer.") for key in reversed(shares)]
    values = list(reversed(shares.values()))
    bars = axes.barh(names, values, color=INK, height=0.6)
    axes.bar_label(bars, [f"{value:.2f}" for value in values], padding=3, fontsize=8)
    axes.set_xlim(0, max(values) * 1.15)
    method = "fANOVA" if config.importance == "fanova" else "mean decrease of impurity"
    axes.set_xlabel(f"importance for validation NDCG@10 ({method})")
    return _saved(figure, path)


def _best_so_far(trials: Sequence[FrozenTrial]) -> list[tuple[int, float]]:
    steps: list[tuple[int, float]] = []
    for trial in trials:
        if trial.state == TrialState.COMPLETE and trial.value is not None:
            steps.append((trial.number, max([trial.value, *(value for _, value in steps[-1:])])))
    return [*steps, (trials[-1].number, steps[-1][1])] if steps else []


def _value(trial: FrozenTrial) -> float | None:
    """Of a pruned trial the best it had reached."""
    return trial.value if trial.state == TrialState.COMPLETE else max(trial.intermediate_values.values(), default=None)


def _axes(width: float, height: float, lines: Literal["x", "y"]) -> tuple[Figure, Axes]:
    # A figure of its own and no pyplot: nothing global, no display.
    figure = Figure(figsize=(width, height), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
    axes.grid(True, axis=lines, linewidth=0.4, alpha=0.5)
    axes.set_axisbelow(True)
    return figure, axes


def _saved(figure: Figure, path: Path) -> Path:
    figure.savefig(path)
    return path
