"""Stage `gate`: does the challenger go live? Measured on hold-out rows that are in no model's loss."""

from typing import Any, Final

from nightrank.feature_store.contracts.errors import DataContractError, DependencyUnreachable
from nightrank.feature_store.contracts.failpoints import KNOWN, failpoint
from nightrank.feature_store.contracts.files import read_json, write_json
from nightrank.feature_store.contracts.fingerprint import fingerprint_of
from nightrank.feature_store.contracts.logs import log
from nightrank.feature_store.contracts.model_ref import LIST_MODEL, ModelRef, load_model_ref
from nightrank.feature_store.contracts.outputs.gated import Gated, GateFacts, ListModel
from nightrank.feature_store.contracts.stage import StageContext, StageResult, stage_main
from nightrank.feature_store.contracts.vocabulary_lineage import is_older
from nightrank.feature_store.current import refuse_older
from nightrank.trainer.config.evaluation import GateConfig
from nightrank.trainer.evaluation.decision import Decision, broken, decided, first, limited
from nightrank.trainer.evaluation.limits.judge import finite_of, judged
from nightrank.trainer.evaluation.limits.slices import slices_of
from nightrank.trainer.evaluation.models import of_ref, run_snapshot
from nightrank.trainer.evaluation.pooling import PairedRows, pooled
from nightrank.trainer.evaluation.sides import both
from nightrank.trainer.evaluation.training_events import training_events
from nightrank.trainer.incremental.list_model import write_list_model
from nightrank.trainer.stages import register as registry
from nightrank.trainer.tracking.aliases import reconcile

NAME = "gate"
DECISION: Final = "gate.json"
KNOWN.update({"gate.decided", "gate.promoted"})


def run(context: StageContext) -> StageResult:
    """Decides, writes the decision down, and only then moves the alias; a rerun follows the decision that was written.

    Never fails because of what was decided: the stage `verdict` ends the run with 7 where the challenger was rejected.
    """
    refuse_older(context)
    if context.without_events:
        live = context.lake.expect_champion()
        log.info("gate: no event landed, so there is no challenger")
        _reconcile(context)
        return _kept(context, without_challenger(context, live), live)
    ref = challenger_ref(context)
    champion = context.lake.champion()
    facts = standing(context, ref, champion)
    if facts is None:
        decision = decide(context, ref, champion).to_json()
        facts = GateFacts(challenger=ref.manifest_sha256, question=question(context), **decision)
        with context.commit():
            write_json(context.run_dir / DECISION, facts.model_dump(mode="json"))
    failpoint("gate.decided")
    log.info(f"gate: {facts.decision} ({'; '.join(facts.reasons)})")
    if facts.goes_live:
        registry.promote(context, ref, over=facts.champion)
        failpoint("gate.promoted")
        with context.commit():
            (context.run_dir / LIST_MODEL).unlink()
        return _result(facts, ref)
    assert champion is not None  # without one the decision is `first`
    return _kept(context, facts, champion)


def _reconcile(context: StageContext) -> None:
    """The aliases are put right where the tracker answers: this night needs nothing else of it."""
    try:
        reconcile(context)
    except DependencyUnreachable as error:
        log.info(f"gate: the registry's aliases were not looked at: {error.message}")


def without_challenger(context: StageContext, champion: ModelRef) -> GateFacts:
    """What there is to say of a night without events: nothing was trained, so nothing is compared."""
    return GateFacts(
        challenger=None,
        champion=champion.manifest_sha256,
        question=question(context),
        decision="no_challenger",
        reasons=[f"no event landed for {context.day}, so no model was trained"],
        delta=None,
        ci=None,
        n=0,
        challenger_ndcg=None,
        champion_ndcg=None,
        nights=0,
    )


def _kept(context: StageContext, facts: GateFacts, champion: ModelRef) -> StageResult:
    """The champion stays and makes the lists, or its copy that knows the items that came since."""
    new_items = write_list_model(context, champion, run_snapshot(context))
    grown = context.run_dir / LIST_MODEL
    live = load_model_ref(grown) if grown.exists() else champion
    return _result(facts.model_copy(update={"new_items": new_items}), live)


def _result(facts: GateFacts, live: ModelRef) -> StageResult:
    """The decision, and which model makes the run's lists."""
    lists_by = ListModel(manifest_sha256=live.manifest_sha256, version=live.version)
    return StageResult(name=NAME, rows_in=facts.n, output=Gated(gate=facts, lists_by=lists_by))


def challenger_ref(context: StageContext) -> ModelRef:
    """What stage register left. DataContractError where the model was trained but is not registered."""
    path = context.run_dir / "model_ref.json"
    if not path.exists():
        raise DataContractError(f"run {context.run_id} has no registered model", "run stage register first")
    return load_model_ref(path)


def question(context: StageContext) -> list[Any]:
    """What a decision answers: under this fingerprint, and so many times requested again."""
    return [fingerprint_of(context, NAME), context.repetition(NAME)]


def standing(context: StageContext, challenger: ModelRef, champion: ModelRef | None) -> GateFacts | None:
    """The decision that was written, if it still answers the question; None where the two must be compared again.

    Once its challenger is the champion a decision has been carried out, and stands.
    """
    path = context.run_dir / DECISION
    body: dict[str, Any] = read_json(path) if path.exists() else {}
    if body.get("challenger") != challenger.manifest_sha256:
        return None
    compared = None if champion is None else champion.manifest_sha256
    same = body["champion"] == compared and body.get("question") == question(context)
    return GateFacts.model_validate(body) if challenger.same_as(champion) or same else None


def decide(context: StageContext, challenger: ModelRef, champion: ModelRef | None) -> Decision:
    config = context.section("gate", GateConfig)
    if champion is None:
        return _first(context, challenger, first())
    if is_older(context.lake, champion.snapshot_id):
        older = first("the champion is of an earlier vocabulary, so the two cannot be compared", champion.manifest_sha256)
        return _first(context, challenger, older)
    snapshot, ours, theirs = run_snapshot(context), of_ref(context.root, challenger), of_ref(context.root, champion)
    name, date, full = champion.manifest_sha256, context.day.isoformat(), context.kind == "full"
    if config.limits.finite and (numbers := finite_of(ours.bundle)).failed:
        return broken(numbers, name)
    sides, events = both(snapshot, context.root, ours, theirs), training_events(snapshot, context.root, "holdout")
    slices = slices_of(sides.history_N, sides.target_N, events, config.limits)
    rows = PairedRows(sides.ours.ndcg_N, sides.theirs.ndcg_N, slices=slices)
    if not full:
        rows.save(context.run_dir, date=date, champion=name, challenger=challenger.manifest_sha256)
        wanted, nights = config.decidable_rows, config.pool_nights
        rows = pooled(rows, context.lake, date=date, champion=name, nights=nights, wanted=wanted)
    findings = judged(rows, sides, (ours.bundle, theirs.bundle), events, config, context.seed, full=full)
    return limited(decided(rows, config, context.seed, name, full), findings)


def _first(context: StageContext, challenger: ModelRef, decision: Decision) -> Decision:
    """Without a champion that it could be compared with, the model goes live if its numbers are numbers."""
    finding = finite_of(of_ref(context.root, challenger).bundle)
    if context.section("gate", GateConfig).limits.finite and finding.failed:
        raise DataContractError(
            f"model {challenger.manifest_sha256[:12]} of {challenger.run_id} holds {finding.sentence}",
            "train it again with a lower trainer.optimizer.learning_rate; nothing went live",
        )
    return limited(decision, [finding])


if __name__ == "__main__":
    raise SystemExit(stage_main(NAME, run))
