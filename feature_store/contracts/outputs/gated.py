"""The output of stage gate: its decision, and the model that makes the run's lists."""

from typing import Any, ClassVar, Literal

from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.outputs.output import StageOutput


class LimitFacts(FrozenConfig):
    """What one of `gate.limits` came to."""

    limit: str
    value: float | None
    bound: float | None
    n: int
    verdict: Literal["passed", "failed", "not_judged"]
    sentence: str


class GateFacts(FrozenConfig):
    """Also the body of `gate.json`, which is written before the alias moves."""

    challenger: str | None
    """Manifest of the run's own model; None where the run brought no event and trained none."""
    champion: str | None
    """Manifest of the champion that it was compared with."""
    question: list[Any]
    """[fingerprint, repetition] that the decision answers."""
    decision: Literal["first", "undecidable", "promoted", "rejected", "no_challenger"]
    reasons: list[str]
    delta: float | None
    ci: list[float] | None
    n: int
    challenger_ndcg: float | None
    champion_ndcg: float | None
    nights: int
    limits: list[LimitFacts] = []
    new_items: str = ""

    @property
    def goes_live(self) -> bool:
        return self.decision in ("first", "promoted")


class ListModel(FrozenConfig):
    """The challenger, the champion, or a copy of the champion that knows new items."""

    manifest_sha256: str
    version: int


class Gated(StageOutput):
    STAGE: ClassVar[str] = "gate"
    gate: GateFacts
    lists_by: ListModel
