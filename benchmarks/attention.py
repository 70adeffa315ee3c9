"""Attention forward and backward on one thread of a CPU: `python -m benchmarks.attention [--out FILE]`.

Torch's fused kernel beside plain products (what Hugging Face calls eager), by length of the texts, in bf16 and fp32. Rounds are
interleaved; milliseconds of CPU time are medians. What `nightrank.trainer.ranks.device.choose_attention` goes by.
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional

from benchmarks.accuracy.report import commit

ROWS, HEADS, WIDE = 64, 12, 32
"""MiniLM's."""
LENGTHS: Final = (16, 32, 64, 96)
ROUNDS: Final = 5
Attention = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def fused(query: Tensor, key: Tensor, value: Tensor, mask_B1LL: Tensor) -> Tensor:
    return functional.scaled_dot_product_attention(query, key, value, attn_mask=mask_B1LL)


def plain(query: Tensor, key: Tensor, value: Tensor, mask_B1LL: Tensor) -> Tensor:
    scores = (query @ key.transpose(2, 3)) * WIDE**-0.5
    return scores.masked_fill(~mask_B1LL, torch.finfo(scores.dtype).min).softmax(-1) @ value


def race(length: int, kind: torch.dtype) -> dict[str, float]:
    """Milliseconds of each, output and gradients within rounding of each other."""
    random = torch.Generator().manual_seed(1)
    drawn = [torch.randn(ROWS, length, HEADS, WIDE, generator=random).to(kind) for _ in range(3)]
    inputs = [values.transpose(1, 2).requires_grad_() for values in drawn]
    mask = (torch.rand(ROWS, 1, 1, length, generator=random) < 0.9).expand(-1, 1, length, -1)
    times: dict[str, list[float]] = {"fused": [], "plain": []}
    seen = []
    for number in range(ROUNDS + 1):
        for name, attention in (("fused", fused), ("plain", plain)):
            started = time.process_time()
            out = attention(*inputs, mask)
            gradients = torch.autograd.grad(out.square().sum(), inputs)
            if number:
                times[name].append(1e3 * (time.process_time() - started))
            else:
                seen.append((out.detach(), *gradients))
    for one, other in zip(*seen, strict=True):
        tolerance = 0.05 if kind == torch.bfloat16 else 1e-4
        torch.testing.assert_close(one.float(), other.float(), atol=tolerance * float(other.abs().max()), rtol=tolerance)
    return {name: round(statistics.median(found), 2) for name, found in times.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attention", description=__doc__)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    kinds = {"bf16": torch.bfloat16, "fp32": torch.float32}
    rows = [{"length": length, "kind": name, **race(length, kind)} for name, kind in kinds.items() for length in LENGTHS]
    told = {"name": "attention", "unit": "ms forward and backward", "rows": rows, "torch": torch.__version__}
    text = json.dumps({**told, "commit": commit(), "machine": platform.machine()}, indent=2)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
