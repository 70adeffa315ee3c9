"""From the list of stages to the tasks of a DAG: what is one process, what waits for what. Stdlib only."""

from dataclasses import dataclass

from nightrank.pipeline.stages import STAGES, Stage


@dataclass(frozen=True)
class TaskPlan:
    """One task: its stages run in one process, and in one Spark application where they are Spark stages."""

    task_id: str
    stages: tuple[Stage, ...]
    after: tuple[str, ...] = ()
    """Tasks that must have succeeded."""
    behind: tuple[str, ...] = ()
    """Tasks that must have ended, in whatever way."""

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(stage.name for stage in self.stages)

    @property
    def is_spark(self) -> bool:
        return all(stage.engine == "spark" for stage in self.stages)


def task_plans(stages: tuple[Stage, ...] = STAGES) -> tuple[TaskPlan, ...]:
    """The tasks in the list's order. Stages side by side wherever the list allows it, but what may fail while the lists are
    live comes after the lists, in order, and the verdict comes after them too."""
    groups = _groups(stages)
    task_of = {stage.name: _task_id(group) for group in groups for stage in group}
    live = next((stage.name for stage in reversed(stages) if stage.on_failure == "stop" and not stage.ends_run), None)
    plans: list[TaskPlan] = []
    later: str | None = None
    for group in groups:
        needs = {need for stage in group for need in stage.needs if need in task_of}
        when_live = any(stage.on_failure == "continue" or stage.ends_run for stage in group)
        after = {task_of[need] for need in needs | ({live} if live and when_live else set())} - {_task_id(group)}
        in_chain = any(stage.on_failure == "continue" for stage in group)
        behind = (later,) if in_chain and later and later not in after else ()
        plans.append(TaskPlan(_task_id(group), group, tuple(sorted(after)), behind))
        later = _task_id(group) if in_chain else later
    return tuple(plans)


def _groups(stages: tuple[Stage, ...]) -> list[tuple[Stage, ...]]:
    """Neighbouring Spark stages together: what a JVM costs to start is paid once."""
    groups: list[tuple[Stage, ...]] = []
    for stage in stages:
        if groups and _joins(groups[-1], stage, stages):
            groups[-1] = (*groups[-1], stage)
        else:
            groups.append((stage,))
    return groups


def _joins(group: tuple[Stage, ...], stage: Stage, stages: tuple[Stage, ...]) -> bool:
    """A group ends where another engine waits for it and not for the stage: `train` starts beside `score_baselines`."""
    last = group[-1]
    if (last.engine, stage.engine) != ("spark", "spark") or (last.on_failure, last.switch) != (stage.on_failure, stage.switch):
        return False
    waiting = [one for one in stages if one.engine != "spark" and last.name in one.needs and stage.name not in one.needs]
    return last.name in stage.needs and not waiting


def _task_id(group: tuple[Stage, ...]) -> str:
    return group[0].name if len(group) == 1 else f"{group[0].name}_to_{group[-1].name}"
