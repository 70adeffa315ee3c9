"""Stage `gate`: does the challenger go live? Measured on hold-out rows that are in no model's loss."""

from pathlib import Path

from nightrank.feature_store.contracts.config import validate
from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.model_ref import LIST_MODEL, ModelRef, load_model_ref
from nightrank.feature_store.contracts.stage import StageContext, StageResult, stage_main
from nightrank.trainer.config.evaluation import GateConfig
from nightrank.trainer.evaluation.decision import Decision, decided, first, paired
from nightrank.trainer.evaluation.models import of_ref, run_snapshot
from nightrank.trainer.evaluation.pooling import pooled
from nightrank.trainer.incremental.list_model import write_list_model
from nightrank.trainer.stages import register as registry

NAME = "gate"
KNOWN.update({"gate.decided", "gate.promoted"})


def run(context: StageContext) -> StageResult:
    """Decides, writes the decision down, and only then moves the alias; a rerun follows the decision that was written.

    Never fails because of what was decided: the stage `verdict` ends the run with 7 where the challenger was rejected.
    """
    ref = challenger_ref(context)
    path = context.run_dir / "gate.json"
    body = read_json(path) if path.exists() else {}
    if body.get("challenger") != ref.manifest_sha256:
        body = {"challenger": ref.manifest_sha256, **decide(context, ref).to_json()}
        with context.commit():
            write_json(path, body)
    failpoint("gate.decided")
    log.info(f"gate: {body['decision']} ({'; '.join(body['reasons'])})")
    if body["decision"] in ("first", "promoted"):
        registry.promote(context, ref)
        failpoint("gate.promoted")
        with context.commit():
            (context.run_dir / LIST_MODEL).unlink(missing_ok=True)
        return StageResult(name=NAME, rows_in=body["n"], extra={"gate": body})
    champion = registry.current_champion(context.lake)
    new_items = write_list_model(context, champion, run_snapshot(context)) if champion else ""
    return StageResult(name=NAME, rows_in=body["n"], extra={"gate": {**body, "new_items": new_items}})


def challenger_ref(context: StageContext) -> ModelRef:
    """What stage register left. DataContractError where the model was trained but is not registered."""
    path: Path = context.run_dir / "model_ref.json"
    if not path.exists():
        raise DataContractError(f"run {context.run_id} has no registered model", "run stage register first")
    return load_model_ref(path)


def decide(context: StageContext, challenger: ModelRef) -> Decision:
    config = validate(GateConfig, context.config.get("gate", {}))
    champion = registry.current_champion(context.lake)
    if champion is None:
        return first()
    rows = paired(run_snapshot(context), context.root, of_ref(context.root, challenger), of_ref(context.root, champion))
    name, date, full = champion.manifest_sha256, context.day.isoformat(), context.kind == "full"
    if not full:
        rows.save(context.run_dir, date=date, champion=name, challenger=challenger.manifest_sha256)
        wanted, nights = config.decidable_rows, config.pool_nights
        rows = pooled(rows, context.lake, date=date, champion=name, nights=nights, wanted=wanted)
    return decided(rows, config, context.seed, name, full)


if __name__ == "__main__":
    raise SystemExit(stage_main(NAME, run))
