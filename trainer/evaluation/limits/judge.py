"""Every limit that is on, in the order of the settings."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from nightrank.ranker.bundle.bundle import Bundle
from nightrank.trainer.config.evaluation import GateConfig
from nightrank.trainer.config.limits import GateLimits
from nightrank.trainer.evaluation.limits import lists, scores, serving
from nightrank.trainer.evaluation.limits.finding import Finding, not_judged
from nightrank.trainer.evaluation.limits.slices import floors
from nightrank.trainer.evaluation.pooling import PairedRows
from nightrank.trainer.evaluation.recommenders import Ids
from nightrank.trainer.evaluation.sides import Sides

OF_NIGHTS: Final = ("list_churn", "score_drift", "bundle_growth")
"""A full run starts from nothing: its lists, scores and size may be others."""


def judged(
    rows: PairedRows, sides: Sides, bundles: tuple[Bundle, Bundle], events_I1: Ids, config: GateConfig, seed: int, *, full: bool
) -> list[Finding]:
    """The findings on the challenger. `rows` may be pooled over nights; lists, scores and bundles are tonight's."""
    found = [*floors(rows.ours, rows.theirs, rows.slices, config, seed)]
    for finding in (*_of_lists(sides, events_I1, config.limits), *_of_models(sides, bundles, config.limits)):
        if full and finding.limit in OF_NIGHTS:
            finding = not_judged(
                finding.limit, finding.n, f"of a full run it is not limited: {finding.sentence}", finding.bound
            )
        found.append(finding)
    return found


def _of_lists(sides: Sides, events_I1: Ids, limits: GateLimits) -> Iterator[Finding]:
    """What is measured on rows, where there are enough of them."""
    ours, theirs, n = sides.ours, sides.theirs, len(sides)
    names = ("coverage", "popularity_lift", "list_churn", "calibration", "score_drift", "latency_growth")
    if n < limits.rows:
        yield from (_few(name, n, limits) for name in names if getattr(limits, name) is not None)
        return
    if limits.coverage is not None:
        yield lists.coverage(ours.ids_NK, theirs.ids_NK, limits.coverage)
    if limits.popularity_lift is not None:
        yield lists.popularity_lift(ours.ids_NK, theirs.ids_NK, events_I1, limits.popularity_lift)
    if limits.list_churn is not None:
        yield lists.list_churn(ours.ids_NK, theirs.ids_NK, limits.list_churn)
    if limits.calibration is not None:
        yield scores.calibration(ours, theirs, sides.target_N, limits.calibration, limits.rows)
    if limits.score_drift is not None:
        yield scores.score_drift(ours.scores_NK[:, 0], theirs.scores_NK[:, 0], limits.score_drift)
    if limits.latency_growth is not None:
        yield serving.latency_growth(ours.seconds, theirs.seconds, limits.latency_growth, n)


def _of_models(sides: Sides, bundles: tuple[Bundle, Bundle], limits: GateLimits) -> Iterator[Finding]:
    if limits.finite:  # the weights were looked at before they scored anything
        yield scores.finite(0, sides.ours.scores_NK)
    if limits.bundle_growth is not None:
        yield serving.bundle_growth(bytes_of(bundles[0]), bytes_of(bundles[1]), limits.bundle_growth)


def finite_of(bundle: Bundle) -> Finding:
    """Of weights and item vectors."""
    return scores.finite(scores.broken_values((bundle.item_matrix, *bundle.weights.values())), np.zeros((0, 0)))


def bytes_of(bundle: Bundle) -> int:
    return sum(file.stat().st_size for file in bundle.folder.iterdir())


def _few(name: str, n: int, limits: GateLimits) -> Finding:
    return not_judged(name, n, f"{n} rows, {limits.rows} are needed", getattr(limits, name))
