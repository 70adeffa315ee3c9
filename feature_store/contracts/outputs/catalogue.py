"""The output of each stage. Stages that are not listed (embed_items, score_baselines) write only tables."""

from typing import Any, Final

from pydantic import ValidationError

from nightrank.feature_store.contracts.errors import DataContractError
from nightrank.feature_store.contracts.outputs.built import Built
from nightrank.feature_store.contracts.outputs.checked import Checked
from nightrank.feature_store.contracts.outputs.closing import Judged, Maintained, Reported
from nightrank.feature_store.contracts.outputs.ctr import RegisteredCtr, ScoredCtr, TrainedCtr
from nightrank.feature_store.contracts.outputs.evaluated import Evaluated
from nightrank.feature_store.contracts.outputs.feedback import FeedbackRead
from nightrank.feature_store.contracts.outputs.gated import Gated
from nightrank.feature_store.contracts.outputs.ingested import Ingested
from nightrank.feature_store.contracts.outputs.output import OtherOutput, StageOutput
from nightrank.feature_store.contracts.outputs.registered import Registered
from nightrank.feature_store.contracts.outputs.released import Released
from nightrank.feature_store.contracts.outputs.scored import Scored
from nightrank.feature_store.contracts.outputs.trained import Trained
from nightrank.feature_store.contracts.outputs.training_set import TrainingSet

KINDS: Final[tuple[type[StageOutput], ...]] = (
    Checked,
    Ingested,
    Built,
    TrainingSet,
    Trained,
    Registered,
    Evaluated,
    Gated,
    Scored,
    Released,
    FeedbackRead,
    TrainedCtr,
    RegisteredCtr,
    ScoredCtr,
    Maintained,
    Reported,
    Judged,
)
OUTPUTS: Final = {kind.STAGE: kind for kind in KINDS}


def output_kind(stage: str) -> type[StageOutput]:
    return OUTPUTS.get(stage, OtherOutput)


def read_output(stage: str, body: dict[str, Any]) -> StageOutput:
    """The output in a stage's record. DataContractError where it is not what the stage outputs now.

    A record without one, as of a stage that writes only tables or of an older release, has no output.
    """
    if not body:
        return OtherOutput()
    try:
        return output_kind(stage).model_validate(body)
    except ValidationError as error:
        where = ".".join(map(str, error.errors()[0]["loc"]))
        raise DataContractError(
            f"the output of stage {stage} has another format than this version writes: {where}",
            f"run stage {stage} of that run again",
        ) from None
