"""The learning rate of a step: a pure function, so a resumed run has it without remembering anything."""

import math

from nightrank.trainer.config.training import PhaseConfig


def learning_rate(phase: PhaseConfig, step: int, steps: int) -> float:
    """Linear warm-up over `warmup_steps`, then a cosine (Loshchilov & Hutter 2017) to `floor * learning_rate` at the last step.

    `step` counts from 0 within the phase, `steps` is the phase's planned length. A warm-up longer than half of the phase is
    cut to that half, so that a short night still reaches its learning rate.
    """
    warmup = min(phase.warmup_steps, steps // 2)
    if step < warmup:
        return phase.learning_rate * (step + 1) / (warmup + 1)
    progress = min(1.0, (step - warmup) / max(1, steps - 1 - warmup))
    share = phase.floor + (1 - phase.floor) * 0.5 * (1 + math.cos(math.pi * progress))
    return phase.learning_rate * share
