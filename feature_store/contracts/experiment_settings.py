"""Experiments with lists: arms with rules of their own, and one place that is drawn so that other policies can be judged."""

from typing import Final

from pydantic import Field, model_validator

from nightrank.feature_store.contracts.actions import ACTION_CODES, AGAINST
from nightrank.feature_store.contracts.config import FrozenConfig
from nightrank.feature_store.contracts.rerank_settings import RerankSettings

TOLERANCE: Final = 1e-6


class ArmSettings(FrozenConfig):
    share: float = Field(gt=0, le=1)
    """Share of the users. Arms divide users in their order: one that grows at the cost of the next keeps all it has."""
    rerank: RerankSettings | None = None
    """Rules of this arm; null: those of `scoring.rerank`."""


class PolicySettings(FrozenConfig):
    """A distribution over the candidates of a place: (1 - uniform) softmax(-log(order) / temperature) + uniform / candidates,
    where order counts from 1 in the list's own order."""

    temperature: float = Field(0.0, ge=0)
    """0: the softmax is all on the first candidate; 1: the second has half the first's chance."""
    uniform: float = Field(0.0, ge=0, le=1)
    """Part of the probability that all candidates share evenly."""


class ExploreSettings(PolicySettings):
    place: int = Field(3, ge=1)
    """The place of the list that is drawn; `scoring.k` at most."""
    candidates: int = Field(20, ge=2)
    """The item is drawn from so many of the list's order, from that place on."""
    temperature: float = Field(1.0, ge=0)
    uniform: float = Field(0.1, gt=0, le=1)
    """Above 0: what is never drawn can never be judged."""


class ExperimentSettings(FrozenConfig):
    enabled: bool = False
    """Lists carry arms, and stage read_feedback reads what users did with them."""
    name: str = Field("lists", min_length=1)
    """Another name draws new arms: give each experiment its own."""
    arms: dict[str, ArmSettings] = {"all": ArmSettings(share=1.0)}
    """By name; the first is the control. Shares add up to 1."""
    explore: ExploreSettings | None = None
    """null: no place is drawn."""
    policies: dict[str, PolicySettings] = {"best": PolicySettings()}
    """What is estimated from the drawn place: the reward that each of these would have had there."""
    rewards: tuple[str, ...] = ("click", "cart", "purchase")
    """An item of a list that has one of these actions, with the list's id, is a reward of 1."""
    days: int = Field(14, ge=1)
    """Lists of this many days are read; the table of lists in experiments keeps them as long."""

    @model_validator(mode="after")
    def _check(self) -> "ExperimentSettings":
        total = sum(arm.share for arm in self.arms.values())
        if not self.arms or abs(total - 1) > TOLERANCE:
            raise ValueError(f"shares of arms {', '.join(self.arms) or '(none)'} add up to {total:g} and must add up to 1")
        if unknown := sorted({*self.rewards} - {*ACTION_CODES} | {*self.rewards} & {*AGAINST, "impression"}):
            raise ValueError(f"rewards {', '.join(unknown)} are no actions of interest")
        return self

    @property
    def shares(self) -> dict[str, float]:
        return {name: arm.share for name, arm in self.arms.items()}

    @property
    def control(self) -> str:
        return next(iter(self.arms))
