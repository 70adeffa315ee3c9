"""The fingerprint of a stage: the hash of everything its output is made of. Done means: an output with this one exists.

Skip, reuse, resume, `--redo` and `nightrank stage NAME` follow from that rule alone (docs/adr/0018).
"""

from collections.abc import Mapping
from typing import Any, Final

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.context import StageContext, StageResult
from nightrank.feature_store.contracts.files import sha256_of
from nightrank.feature_store.contracts.gate_rows import earlier_rows
from nightrank.feature_store.contracts.inputs import HOW, StageInputs, inputs_of
from nightrank.feature_store.contracts.landing_days import landing_identity, undecided_identity
from nightrank.feature_store.contracts.model_ref import ModelRef
from nightrank.feature_store.contracts.outputs.catalogue import output_kind
from nightrank.feature_store.contracts.vocabulary_lineage import lineage_of

OUTSIDE: Final = ("landing", "undecided", "champion", "last_full", "earlier_rows")
"""Inputs from outside the run. They may move on after a run has ended, which undoes nothing that it left."""


class Identities(FrozenConfig):
    """What one stage of one run is made of. Each value is the hash of an input, None where there is none."""

    stage: str
    revision: int
    kind: str
    date: str
    seed: int
    sections: dict[str, str]
    stages: dict[str, str | None]
    landing: str | None = None
    undecided: str | None = None
    champion: str | None = None
    last_full: str | None = None
    vocabulary: int | None = None
    """Number of the lineage; None in a lake's first, as before there were any."""
    earlier_rows: str | None = None
    list_rules: int | None = None

    @property
    def fingerprint(self) -> str:
        body = self.model_dump(mode="json")
        return sha256_of({name: value for name, value in body.items() if name != "vocabulary" or value is not None})


def identities_of(context: StageContext, stage: str) -> Identities:
    """What the stage would be made of now."""
    inputs = inputs_of(stage)
    champion = _champion(context, inputs)
    last_full = context.last_full_found() if inputs.last_full else None
    return Identities(
        stage=stage,
        revision=output_kind(stage).REVISION,
        kind=f"{context.kind} without events" if context.without_events else context.kind,
        date=context.day.isoformat(),
        seed=context.seed,
        sections={name: sha256_of(value) for name, value in sections_of(context.config.shown, inputs).items()},
        stages={name: output_of(context, name) for name in inputs.stages},
        landing=sha256_of([_meta(context), landing_identity(context)]) if inputs.landing else None,
        undecided=sha256_of([_meta(context), undecided_identity(context)]) if inputs.undecided else None,
        champion=_manifest(champion),
        last_full=_manifest(last_full),
        vocabulary=_lineage(context) if inputs.vocabulary else None,
        earlier_rows=_earlier_rows(context, champion) if inputs.earlier_rows else None,
        list_rules=context.found.list_rules if inputs.list_rules and context.found else None,
    )


def fingerprint_of(context: StageContext, stage: str) -> str:
    return identities_of(context, stage).fingerprint


def is_done(context: StageContext, stage: str) -> bool:
    """An output of the stage with the current fingerprint exists, made since it was last requested again."""
    record = _kept(context, stage)
    return record is not None and record.fingerprint == fingerprint_of(context, stage)


def is_kept(context: StageContext, stage: str) -> bool:
    """As `is_done`, but what lies outside the run may have moved on: a finished run does not come undone by the next one."""
    record = _kept(context, stage)
    if record is None or not record.inputs:
        return False
    made_of = Identities.model_validate(record.inputs)
    now = identities_of(context, stage).model_copy(update={name: getattr(made_of, name) for name in OUTSIDE})
    return now == made_of


def record_of(context: StageContext, stage: str) -> StageResult | None:
    return context.result_of(stage) if context.stage_file(stage).exists() else None


def sections_of(config: Mapping[str, Any], inputs: StageInputs) -> dict[str, Any]:
    """The part of the configuration that the stage reads."""
    if inputs.sections is None:
        return {name: value for name, value in config.items() if name not in HOW}
    return {name: _at(config, name) for name in inputs.sections}


def output_of(context: StageContext, stage: str) -> str | None:
    """The identity of what the stage left: the versions of its tables and its output. None where it left nothing.

    Two runs of a stage that come to the same output have the same identity, so what reads it is not run again.
    """
    record = record_of(context, stage)
    if record is None:
        return None
    tables = sorted([table["name"], table["to"], table["content_sha256"]] for table in record.tables)
    return sha256_of([tables, record.output.identity()])


def _kept(context: StageContext, stage: str) -> StageResult | None:
    record = record_of(context, stage)
    whole = record is not None and record.status == "done" and record.repetition == context.repetition(stage)
    return record if whole else None


def _at(config: Mapping[str, Any], dotted: str) -> Any:
    value: Any = config
    for part in dotted.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _meta(context: StageContext) -> list[str | None]:
    """What landing/meta.json says of the files themselves."""
    meta = context.lake.landing_meta() if context.lake.landing_meta_path.exists() else {}
    return [meta.get(name) for name in ("clock", "id_type", "timezone")]


def _champion(context: StageContext, inputs: StageInputs) -> ModelRef | None:
    if inputs.champion == "none" or (inputs.champion == "parent" and context.kind == "full"):
        return None
    if inputs.champion == "lists":
        return None if context.stage_file("gate").exists() else context.lake.champion()
    return context.champion_found()


def _earlier_rows(context: StageContext, champion: ModelRef | None) -> str | None:
    """The rows of earlier nights that the gate may pool: by run, and by what they are. A full run pools none."""
    if champion is None or context.kind == "full":
        return None
    found = earlier_rows(context.lake, context.day.isoformat(), champion.manifest_sha256)
    return sha256_of([rows.identity for rows in found])


def _lineage(context: StageContext) -> int | None:
    lineage = lineage_of(context.lake)
    return None if lineage is None else lineage.number


def _manifest(ref: ModelRef | None) -> str | None:
    return None if ref is None else ref.manifest_sha256
