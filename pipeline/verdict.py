"""Stage `verdict`: ends the run with 7 if the gate rejected the challenger. Lists are live by then, made by the champion."""

from nightrank.feature_store.contracts.errors import GateRejected
from nightrank.feature_store.contracts.outputs.closing import Judged
from nightrank.feature_store.contracts.outputs.gated import Gated
from nightrank.feature_store.contracts.stage import StageContext, StageResult, stage_main

NAME = "verdict"


def run(context: StageContext) -> StageResult:
    """The gate's decision, once more; GateRejected where it was `rejected`."""
    gate = context.output(Gated).gate
    if gate.decision == "rejected":
        reasons = "; ".join(gate.reasons) or "no reason was recorded"
        raise GateRejected(
            f"the challenger of {context.run_id} was rejected: {reasons}",
            "the champion stays live and made tonight's lists; look at the report before the next night",
        )
    return StageResult(NAME, output=Judged(verdict=gate.decision))


if __name__ == "__main__":
    raise SystemExit(stage_main(NAME, run))
