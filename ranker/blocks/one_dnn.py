"""fp32 products on the CPU by oneDNN.

torch gives them to MKL, which on an AMD core uses half the width of the registers: 100 GFLOP/s where oneDNN, in the same wheel,
reaches 225 (EPYC of family 26, one thread, 1,024 x 384 x 1,536). Products in bf16 go to oneDNN by themselves.
"""

import torch
from torch import Tensor

from nightrank.ranker import private_torch


def times_transposed(x: Tensor, weight_oi: Tensor, bias_o: Tensor | None = None) -> Tensor:
    """x W^T + b, [..., i] -> [..., o], equal to torch's own up to the order of the sums. Leaves no gradient behind: for
    inference, and for what takes its gradient itself."""
    if x.dtype == torch.float32 and x.device.type == "cpu":
        return private_torch.linear(x, weight_oi, bias_o)
    return torch.nn.functional.linear(x, weight_oi, bias_o)
