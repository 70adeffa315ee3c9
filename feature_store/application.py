"""How Spark shows what runs, in its UI and history: the application by its run and stages, a stage's jobs as one group."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from pyspark.sql import SparkSession

from nightrank.feature_store.contracts.stage import StageContext
from nightrank.feature_store.contracts.storage import Location

KINDS: Final = {"nightly": "night"}
"""What a kind of run is called where people read it."""
GROUP: Final = "spark.jobGroup.id"
DESCRIPTION: Final = "spark.job.description"


@dataclass(frozen=True)
class StageJobs:
    """The group of a stage's jobs, and the sentence that describes them."""

    group: str
    description: str


_application: ContextVar[str] = ContextVar("application", default="nightrank")
_root: ContextVar[Location | None] = ContextVar("root", default=None)
_jobs: ContextVar[StageJobs | None] = ContextVar("jobs", default=None)


def application_name(context: StageContext, stages: Sequence[str]) -> str:
    """`nightrank night 2024-03-05 ingest_events, build_features`."""
    return f"nightrank {KINDS.get(context.kind, context.kind)} {context.day.isoformat()} {', '.join(stages)}"


@contextmanager
def application(context: StageContext, stages: Sequence[str]) -> Iterator[None]:
    """A session that is started inside has the names of the run and its stages, and can use the storage the lake is in."""
    token, root = _application.set(application_name(context, stages)), _root.set(context.root)
    try:
        yield
    finally:
        _application.reset(token)
        _root.reset(root)


@contextmanager
def stage_jobs(context: StageContext, stage: str, sentence: str) -> Iterator[None]:
    """Jobs of sessions that are opened inside are one group, described by `sentence`; jobs after it are none."""
    token = _jobs.set(StageJobs(application_name(context, [stage]), f"{stage}: {sentence}"))
    try:
        yield
    finally:
        _jobs.reset(token)
        session = SparkSession.getActiveSession()
        if session is not None:
            _label(session, None)


def current_application() -> str:
    """The name for a session that is started now; `nightrank` outside any stage."""
    return _application.get()


def current_root() -> Location | None:
    """The lake of the stages that run now; None outside any stage."""
    return _root.get()


def labelled(session: SparkSession) -> SparkSession:
    """The same session; its next jobs are those of the stage that runs now, where one does."""
    if (jobs := _jobs.get()) is not None:
        _label(session, jobs)
    return session


def _label(session: SparkSession, jobs: StageJobs | None) -> None:
    context = session.sparkContext
    for key, value in ((GROUP, jobs and jobs.group), (DESCRIPTION, jobs and jobs.description)):
        context._jsc.setLocalProperty(key, value)
