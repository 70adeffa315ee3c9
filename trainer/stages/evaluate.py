"""Stage `evaluate`: the challenger beside the baselines, the champion and the truth, all on the same rows."""

from collections.abc import Mapping
from typing import Any, Literal

from nightrank.feature_store.contracts import tables
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.outputs.evaluated import Evaluated, RetentionFacts, SplitFacts
from nightrank.feature_store.contracts.settings import CalendarSettings
from nightrank.feature_store.contracts.snapshot import DatasetSnapshot, PartName
from nightrank.feature_store.contracts.stage import StageContext, StageResult, stage_main
from nightrank.feature_store.contracts.vocabulary_lineage import is_older
from nightrank.feature_store.days import day_number
from nightrank.trainer.config.evaluation import EvaluationConfig
from nightrank.trainer.config.retention import RetentionConfig
from nightrank.trainer.evaluation.baselines import load_baselines
from nightrank.trainer.evaluation.day_rows import SPLIT, day_rows
from nightrank.trainer.evaluation.figures import CHALLENGER, figures
from nightrank.trainer.evaluation.limits.judge import finite_of
from nightrank.trainer.evaluation.measure import SplitMeasures, measure, measure_rows
from nightrank.trainer.evaluation.models import of_ref, run_bundle, run_snapshot
from nightrank.trainer.evaluation.recommenders import BundleRecommender, Recommender
from nightrank.trainer.evaluation.retention.facts import facts_of
from nightrank.trainer.evaluation.retention.measured import measure_set
from nightrank.trainer.evaluation.retention.row_sets import chosen_cohort, row_sets
from nightrank.trainer.evaluation.training_events import training_events
from nightrank.trainer.evaluation.truth import load_truth

NAME = "evaluate"


def run(context: StageContext) -> StageResult:
    """Metric rows and comparisons of every split the run can be measured on.

    `test` (full runs): the `measured` bundle, which saw neither validation nor test rows. `holdout`: the `live` bundle, the
    champion and the last full run's model; no loss of theirs held these rows. Baselines and the truth are beside both.
    `day` (nights): the champion and the last full run's model on all that happened on the date, the prequential figure.
    """
    config = context.section("evaluation", EvaluationConfig)
    snapshot = run_snapshot(context)
    metrics: list[dict[str, Any]] = []
    comparisons: list[dict[str, Any]] = []
    summary: dict[str, SplitFacts] = {}
    for split in splits_of(snapshot):
        recommenders = recommenders_of(context, snapshot, split, config)
        log.info(f"evaluate: {split}, {snapshot.rows(split)} rows, {', '.join(recommenders)}")
        measured = measure(snapshot, context.root, split, recommenders, training_events(snapshot, context.root, split), config)
        rows, deltas = figures(measured, config, context.seed)
        metrics += rows
        comparisons += deltas
        summary[split] = SplitFacts(rows=measured.rows, dropped=measured.dropped, recommender=list(recommenders))
    if snapshot.kind == "nightly" and snapshot.clock == "real" and (before := models_before(context)):
        measured = of_the_day(context, snapshot, before, config)
        metrics += figures(measured, config, context.seed)[0]
        summary[SPLIT] = SplitFacts(rows=measured.rows, dropped=measured.dropped, recommender=list(measured.values))
    retention = retention_of(context, snapshot)
    return StageResult(
        name=NAME,
        rows_in=sum(part.rows + part.dropped for part in summary.values()),
        bytes_read=sum(file.bytes for split in splits_of(snapshot) for file in snapshot.parts[split].files),
        output=Evaluated(metrics=metrics, comparisons=comparisons, evaluation=summary, retention=retention),
    )


def retention_of(context: StageContext, snapshot: DatasetSnapshot) -> RetentionFacts | None:
    """What is still known of long ago; None where it is not measured. The first full run only chooses the cohort."""
    config = context.section("retention", RetentionConfig)
    if not config.enabled:
        return None
    cohort, last_full = chosen_cohort(context, snapshot, config.cohort_rows), context.last_full_found()
    before = models_before(context)
    models = {**challenger_of(context, "live"), **before}
    ready = {name: model.on(snapshot, context.root) for name, model in models.items() if isinstance(model, BundleRecommender)}
    known = last_full.vocabulary_items if last_full is not None and "last_full" in before else snapshot.items
    sets = {
        name: measure_set(rows, snapshot, ready, config, known, f"retention, {name}")
        for name, rows in row_sets(context, snapshot, cohort, config.cohort_rows).items()
    }
    found = facts_of(sets, cohort, config, context.seed)
    log.info(f"evaluate: retention, {', '.join(sets) or 'no rows'}: {found.note}")
    return found


def splits_of(snapshot: DatasetSnapshot) -> list[PartName]:
    wanted: tuple[PartName, ...] = ("test", "holdout")
    return [split for split in wanted if snapshot.rows(split)]


def recommenders_of(
    context: StageContext, snapshot: DatasetSnapshot, split: PartName, config: EvaluationConfig
) -> Mapping[str, Recommender]:
    """The recommenders measured on the split, in the order of the report. Those that do not exist are left out."""
    found = challenger_of(context, "measured" if split == "test" else "live")
    if split == "holdout":
        found |= models_before(context)
    found |= load_baselines(context.root, split, max(config.ks), _baselines_version(context))
    truth = load_truth(snapshot, context.root)
    return found if truth is None else {**found, "truth": truth}


def challenger_of(context: StageContext, phase: Literal["measured", "live"]) -> dict[str, Recommender]:
    """The model of that phase under its name; none where the run made none, or one that cannot be measured."""
    challenger = run_bundle(context, phase)
    if challenger is None:
        return {}
    if finite_of(challenger.bundle).failed:
        log.info(f"evaluate: the challenger ({phase}) holds numbers that are NaN or infinite and is not measured")
        return {}
    return {CHALLENGER: challenger}


def models_before(context: StageContext) -> dict[str, Recommender]:
    """What was there before the run, as far as it was and knows the items by their present ids."""
    refs = {"champion": context.champion_found(), "last_full": context.last_full_found()}
    there = {recommender: ref for recommender, ref in refs.items() if ref and not is_older(context.lake, ref.snapshot_id)}
    return {recommender: of_ref(context.root, ref) for recommender, ref in there.items()}


def of_the_day(
    context: StageContext, snapshot: DatasetSnapshot, before: dict[str, Recommender], config: EvaluationConfig
) -> SplitMeasures:
    """`before`, and the truth where the lake holds one, on all rows of the night's date."""
    truth = load_truth(snapshot, context.root)
    recommenders = before if truth is None else {**before, "truth": truth}
    zone = context.section("calendar", CalendarSettings).timezone
    rows = day_rows(snapshot, context.root, day=day_number(context.day), timezone=zone, batch_rows=config.batch_rows)
    log.info(f"evaluate: {SPLIT}, {', '.join(recommenders)}")
    events = training_events(snapshot, context.root, "holdout")
    return measure_rows(snapshot, context.root, SPLIT, rows, recommenders, events, config)


def _baselines_version(context: StageContext) -> int | None:
    """The version stage score_baselines of this run left; None where it did not run."""
    if not context.stage_file("score_baselines").exists():
        return None
    written = context.result_of("score_baselines").tables
    versions = [table["to"] for table in written if table["name"] == tables.BASELINE_LISTS.name]
    return versions[-1] if versions else None


if __name__ == "__main__":
    raise SystemExit(stage_main(NAME, run))
