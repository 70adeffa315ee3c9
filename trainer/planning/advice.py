"""Which setting makes a training fit that does not: each is tried on fake tensors before it is named."""

from collections.abc import Callable, Iterator
from typing import Any, Final

from nightrank.feature_store.contracts.config import overlay
from nightrank.feature_store.contracts.errors import ConfigError
from nightrank.trainer.config.training import TrainerConfig
from nightrank.trainer.tables.placement import whole_because

LEAST_TOKENS: Final = 256
"""Of a micro-batch that is worth its overhead."""
MORE_RANKS: Final = (2, 4, 8)
"""Multiples of the number of ranks over which a table is tried to be shared out."""
IMPOSSIBLE: Final = 1 << 62
Change = dict[str, Any]


def remedy(config: TrainerConfig, peak: Callable[[TrainerConfig], int], limit: int) -> tuple[str, ...]:
    """Settings, as `--set` takes them, with which `peak` is at most `limit`: one if one is enough, else the first few in the
    order of what they cost, over the ranks there are. Empty where all together are not enough."""
    changes = list(changes_of(config))
    for change in changes:
        if _peak_with(change, config, peak) <= limit:
            return settings_of(change)
    whole: Change = {}
    for change in changes:
        if "tables" in change:
            continue
        more = overlay(whole, change)
        found = _peak_with(more, config, peak)
        if found <= limit:
            return settings_of(more)
        whole = whole if found == IMPOSSIBLE else more
    return ()


def _peak_with(change: Change, config: TrainerConfig, peak: Callable[[TrainerConfig], int]) -> int:
    """IMPOSSIBLE where the settings do not go together."""
    try:
        return peak(changed(config, change))
    except ConfigError:
        return IMPOSSIBLE


def changes_of(config: TrainerConfig) -> Iterator[Change]:
    """What saves memory, from what changes the result least to what changes it most."""
    if config.micro_batch_tokens > LEAST_TOKENS:
        yield {"micro_batch_tokens": max(LEAST_TOKENS, config.micro_batch_tokens // 4)}
    if config.tables.placement in ("auto", "replicate") and whole_because(config) is None:
        shard: Change = {"tables": {"placement": "shard"}}
        yield shard
        more = {"launcher": "horovodrun"} if config.launcher == "one_process" else {}
        for times in MORE_RANKS:
            yield {**shard, **more, "workers": times * config.workers}
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
