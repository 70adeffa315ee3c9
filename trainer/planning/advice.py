"""Which setting makes a training fit that does not: each is tried on fake tensors before it is named."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from nightrank.feature_store.contracts.config import overlay
from nightrank.trainer.config.training import TrainerConfig

LEAST_TOKENS: Final = 256
"""Of a micro-batch that is worth its overhead."""
Change = dict[str, Any]


def remedy(config: TrainerConfig, peak: Callable[[TrainerConfig], int], limit: int) -> tuple[str, ...]:
    """Settings, as `--set` takes them, with which `peak` is at most `limit`: one if one is enough, else the first few in the
    order of what they cost. Empty where all together are not enough."""
    changes = list(changes_of(config))
    for change in changes:
        if peak(changed(config, change)) <= limit:
            return settings_of(change)
    whole: Change = {}
    for change in changes:
        whole = overlay(whole, change)
        if peak(changed(config, whole)) <= limit:
            return settings_of(whole)
    return ()


def changes_of(config: TrainerConfig) -> Iterator[Change]:
    """What saves memory, from what changes the result least to what changes it most."""
    if config.micro_batch_tokens > LEAST_TOKENS:
        yield {"micro_batch_tokens": max(LEAST_TOKENS, config.micro_batch_tokens // 4)}
    if config.loss.name == "full_softmax":
        yield {"loss": {"name": "sampled_softmax"}}
    if config.optimizer.name == "adamw":
        half: Change = {"precision": "bf16", "slowmo": None, "optimizer": {"name": "anyprecision_adamw"}}
        yield half if config.slowmo is not None else {"precision": "bf16", "optimizer": {"name": "anyprecision_adamw"}}
    heads = getattr(config.model.encoder, "heads", 1)
    if config.model.width % (2 * heads) == 0:
        yield {"model": {"width": config.model.width // 2}}


def changed(config: TrainerConfig, change: Change) -> TrainerConfig:
    return TrainerConfig.model_validate(overlay(config.model_dump(mode="json"), change))


def settings_of(change: Change, prefix: str = "trainer") -> tuple[str, ...]:
    """{"a": {"b": 1}} -> ("trainer.a.b=1",)."""
    found: list[str] = []
    for key, value in change.items():
        name = f"{prefix}.{key}"
        found += settings_of(value, name) if isinstance(value, dict) else [f"{name}={'null' if value is None else value}"]
    return tuple(found)
