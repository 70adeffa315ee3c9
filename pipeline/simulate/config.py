"""What a market is made of, and three ready ones."""

from datetime import date
from typing import Any, Final, Literal

from pydantic import Field

from nightrank.feature_store.contracts.config import Day, FrozenConfig, validate
from nightrank.feature_store.contracts.errors import ConfigError


class MarketConfig(FrozenConfig):
    """All sizes are per market or per day; shares are fractions of the day's events."""

    users: int = Field(2_500, ge=10)
    """Users known on the first day."""
    items: int = Field(1_500, ge=50)
    days: int = Field(14, ge=1)
    start: Day = date(2025, 3, 3)
    seed: int = Field(17, ge=0)
    daily_active: int = Field(1_200, ge=1)
    """Expected number of users with a session on a day."""
    new_users_per_day: int = Field(25, ge=0)
    new_items_per_day: int = Field(10, ge=0)
    id_type: Literal["string", "int64"] = "string"
    visits_per_session: float = Field(3.0, ge=1)
    second_session: float = Field(0.25, ge=0, lt=1)
    """Probability of another session the same day."""
    stay: float = Field(0.8, ge=0, le=1)
    """Probability that the next visit of a session stays in its category."""
    impression_share: float = Field(0.1, ge=0, le=1)
    """Share of sessions whose first visit came from a logged list."""
    list_length: int = Field(6, ge=2)
    taste_drift: float = Field(0.08, ge=0)
    """Standard deviation of a day's step, of the style direction and of the log of the category weights."""
    late_share: float = Field(0.01, ge=0, lt=1)
    duplicate_share: float = Field(0.005, ge=0, lt=1)
    broken_share: float = Field(0.002, ge=0, lt=1)


PRESETS: Final[dict[str, dict[str, Any]]] = {
    "tiny": {"users": 300, "items": 240, "days": 8, "daily_active": 150, "new_users_per_day": 5, "new_items_per_day": 3},
    "demo": {},
    "large": {
        "users": 12_000,
        "items": 3_000,
        "days": 17,
        "daily_active": 5_600,
        "new_users_per_day": 100,
        "new_items_per_day": 20,
    },
}


def market(preset: str, overrides: dict[str, Any]) -> MarketConfig:
    """The preset with every override that is not None; ConfigError names a wrong key or value."""
    if preset not in PRESETS:
        raise ConfigError(f"preset {preset!r} is not known", f"use one of {', '.join(PRESETS)}")
    given = {key: value for key, value in overrides.items() if value is not None}
    return validate(MarketConfig, {**PRESETS[preset], **given})
