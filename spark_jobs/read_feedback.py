"""What users did with the lists of the experiment: its arms compared, and what other policies would have earned."""

from datetime import timedelta
from typing import Final

from pyspark.sql import Column, DataFrame, Row
from pyspark.sql import functions as F

from nightrank.experiments.intervals import Estimate, Moments, effective_rounds, ratio
from nightrank.experiments.read_out import Arm, Difference, differences, sample_ratio
from nightrank.feature_store import delta_io
from nightrank.feature_store.contracts import columns as c
from nightrank.feature_store.contracts.experiment_settings import ExperimentSettings
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.outputs.feedback import ArmRead, ExperimentRead, FeedbackRead, PolicyRead
from nightrank.feature_store.contracts.stage import StageContext, StageResult
from nightrank.feature_store.contracts.tables import EVENTS, EXPERIMENT_LISTS, FEEDBACK
from nightrank.feature_store.entries import record
from nightrank.feature_store.session import get_session
from nightrank.feature_store.spark_schema import to_spark
from nightrank.feature_store.transforms.feedback import feedback
from nightrank.spark_jobs.driver import submit
from nightrank.spark_jobs.executor import rounds

NAME: Final = "read_feedback"
LOGGED: Final = "logged"
ONE: Final = "one"
FEW: Final = 2
ESTIMATORS: Final = {
    LOGGED: (c.PLACE_REWARD, ONE),
    "ips": (rounds.WEIGHTED, ONE),
    "snips": (rounds.WEIGHTED, rounds.WEIGHT),
    "doubly_robust": (rounds.ROBUST, ONE),
}
"""estimator -> the sums over and under the line. `logged` is what was earned in fact."""


def run(context: StageContext) -> StageResult:
    """`feedback` holds one row for each list of the experiment that was shown in the last `experiments.days` days."""
    sections = submit.settings(context)
    settings = sections.experiments
    spark = get_session(sections.spark)
    result = StageResult(NAME)
    since = context.day - timedelta(days=settings.days)
    lists = delta_io.read_or_empty(spark, context.lake, EXPERIMENT_LISTS)
    lists = lists.where((F.col(c.EXPERIMENT) == settings.name) & (F.col(c.DATE) >= F.lit(since))).where(
        F.col(c.DATE) < F.lit(context.day)  # tonight's are not shown yet
    )
    events = delta_io.read(spark, context.lake, EVENTS)
    recent = events.where((F.col(c.EVENT_DATE) >= F.lit(since)) & (F.col(c.EVENT_DATE) <= F.lit(context.day)))
    rows = feedback(lists, recent, settings.rewards)
    commit = delta_io.replace(rows, context.lake, FEEDBACK, context=context, key=f"{NAME}:feedback@{settings.name}")
    record(result, spark, context.lake, commit)
    shown = delta_io.read(spark, context.lake, FEEDBACK, commit.to_version)
    result.rows_in, result.rows_out = lists.count(), shown.count()
    read = _read(shown, settings, str(since), result.rows_in, result.rows_out) if result.rows_out else None
    log.info(f"{NAME}: {result.rows_out} of {result.rows_in} lists of experiment {settings.name} were shown")
    result.output = FeedbackRead(experiment=read)
    return result


def _read(shown: DataFrame, settings: ExperimentSettings, since: str, made: int, rows: int) -> ExperimentRead:
    arms, lists = _arms(shown)
    counts = {name: arm.users for name, arm in arms.items() if name in settings.shares}
    checked = sample_ratio(counts, settings.shares)
    enough = {name: arm for name, arm in arms.items() if arm.users >= FEW and name in settings.shares}
    found = {one.arm: one for one in differences(enough, settings.control)} if settings.control in enough else {}
    return ExperimentRead(
        name=settings.name,
        since=since,
        lists=rows,
        shown_of=made,
        ratio_p_value=checked.p_value,
        ratio_mismatch=checked.is_mismatch,
        arms=tuple(
            _arm_read(name, arms.get(name), lists.get(name, 0), checked.expected.get(name, 0.0), found.get(name))
            for name in settings.shares
        ),
        policies=tuple(_policies(shown, settings)),
    )


def _arms(shown: DataFrame) -> tuple[dict[str, Arm], dict[str, int]]:
    """(arm -> its users' rewards a list, arm -> lists)."""
    by_user = shown.groupBy(c.VARIANT, c.USER_ID).agg(F.avg(c.REWARD).alias("value"), F.count("*").alias("lists"))
    totals = by_user.groupBy(c.VARIANT).agg(
        F.count("*").alias("users"),
        F.avg("value").alias("mean"),
        F.coalesce(F.var_samp("value"), F.lit(0.0)).alias("variance"),
        F.sum("lists").alias("lists"),
    )
    rows = totals.collect()  # one row an arm
    arms = {row[c.VARIANT]: Arm(row["users"], row["mean"], row["variance"]) for row in rows}
    return arms, {row[c.VARIANT]: row["lists"] for row in rows}


def _arm_read(name: str, arm: Arm | None, lists: int, expected: float, found: Difference | None) -> ArmRead:
    return ArmRead(
        name=name,
        users=arm.users if arm else 0,
        lists=lists,
        expected_users=expected,
        mean=arm.mean if arm else None,
        difference=(found.value, found.low, found.high) if found else None,
        always=(found.always_low, found.always_high) if found else None,
        may_stop=found.may_stop if found else False,
    )


def _policies(shown: DataFrame, settings: ExperimentSettings) -> list[PolicyRead]:
    """Of rounds whose drawn place was seen."""
    drawn = shown.where(F.col(c.CHOSEN).isNotNull() & F.col(c.PLACE_SHOWN))
    if settings.explore is None or drawn.select(c.USER_ID).distinct().limit(FEW).count() < FEW:
        return []
    policies = {name: (policy.temperature, policy.uniform) for name, policy in settings.policies.items()}
    contribute = rounds.contributor(policies, rounds.models_of(_cells(drawn)))
    found: list[PolicyRead] = []
    for row in _sums(drawn.mapInArrow(contribute, to_spark(rounds.CONTRIBUTIONS))):
        kish = effective_rounds(row["weights"] or 0.0, row["squares"] or 0.0)
        for estimator in ESTIMATORS:
            moments = Moments(row["users"], row["rounds"], *row[estimator])
            is_logged = estimator == LOGGED
            if moments.b and not (is_logged and found):
                name = LOGGED if is_logged else row[rounds.POLICY]
                found.append(_policy_read(name, estimator, ratio(moments), moments.rounds if is_logged else kish))
    return found


def _policy_read(name: str, estimator: str, found: Estimate, kish: float) -> PolicyRead:
    return PolicyRead(
        name=name, estimator=estimator, value=found.value, low=found.low, high=found.high, effective_rounds=round(kish, 1)
    )


def _cells(drawn: DataFrame) -> dict[tuple[int, int], float]:
    fitted = drawn.mapInArrow(rounds.fold_moments, to_spark(rounds.FIT))
    summed = fitted.groupBy("fold", "cell").agg(F.sum("value").alias("value"))
    return {(row["fold"], row["cell"]): row["value"] for row in summed.collect()}  # a few numbers a fold


def _sums(contributions: DataFrame) -> list[Row]:
    """One row a policy, in order of names: its users, rounds and weights, and for each estimator what `Moments` needs."""
    summed = (rounds.WEIGHT, rounds.WEIGHTED, rounds.ROBUST, c.PLACE_REWARD)
    by_user = contributions.groupBy(rounds.POLICY, c.USER_ID).agg(
        *[F.sum(name).alias(name) for name in summed],
        F.sum(F.pow(rounds.WEIGHT, F.lit(2))).alias("squares"),
        F.count("*").cast("double").alias(ONE),
    )
    totals = by_user.groupBy(rounds.POLICY).agg(
        F.count("*").alias("users"),
        F.sum(ONE).cast("long").alias("rounds"),
        F.sum(rounds.WEIGHT).alias("weights"),
        F.sum("squares").alias("squares"),
        *[_moments(F.col(above), F.col(below)).alias(name) for name, (above, below) in ESTIMATORS.items()],
    )
    return totals.orderBy(rounds.POLICY).collect()


def _moments(a: Column, b: Column) -> Column:
    return F.array(F.sum(a), F.sum(b), F.sum(a * a), F.sum(a * b), F.sum(b * b))


if __name__ == "__main__":
    raise SystemExit(submit.main(NAME, run))
